//! The least time that a run will take within the declared limits, and what bounds it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::spec::{Dimension, ProviderSpec, WheelSpec};
use keywheel_actors::tokens::Tokens;
use serde::Serialize;

use crate::batch::books::ideal::{KeyCapacity, ideal_by};

/// What a run needs of one provider.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Needs {
    /// Calls: one for each row.
    pub(super) requests: u64,
    /// Tokens, the answers' at most.
    pub(super) tokens: Tokens,
}

impl Needs {
    const fn of(self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => self.requests,
            Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens => {
                self.tokens.amount(dimension)
            }
        }
    }
}

/// What providers limit.
const DIMENSIONS: [Dimension; 4] =
    [Dimension::Requests, Dimension::Tokens, Dimension::InputTokens, Dimension::OutputTokens];

/// How long a run will take.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct ForecastTime {
    /// The least time, in seconds. `None` if a key that is needed declares no limits.
    pub least_s: Option<f64>,
    /// The keys that declare no limits, as `provider/key`.
    pub undeclared: Vec<String>,
    /// What bounds it. `None` if nothing does.
    pub bottleneck: Option<Bottleneck>,
}

/// What bounds a run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bottleneck {
    /// Whose keys it is that give too little.
    pub provider: ProviderId,
    /// What they give too little of.
    pub limit: Dimension,
    /// How many accounts there are: keys that share a quota group are one.
    pub accounts: usize,
    /// The key with the highest limit of this kind, as `provider/key`.
    pub key: String,
    /// How much sooner the run would be over with another key like that, in seconds.
    pub another_saves_s: f64,
}

/// One account of a provider, under the name of its first key.
#[derive(Clone)]
struct Account {
    key: KeyId,
    capacity: KeyCapacity,
}

/// The time that the slowest limit of the slowest provider takes.
///
/// All rows are reckoned at the first candidate of their model; a lower bound, since a limit on tokens and one
/// on requests are looked at alone, and answers take time themselves.
pub(super) fn least_time(needs: &BTreeMap<ProviderId, Needs>, spec: &WheelSpec) -> ForecastTime {
    let providers: Vec<(Needs, Vec<Account>)> = spec
        .providers
        .iter()
        .filter_map(|provider| Some((*needs.get(&provider.id)?, accounts(provider))))
        .collect();
    let unlimited = |account: &&Account| account.capacity.limits.windows.is_empty();
    let undeclared: Vec<String> = providers
        .iter()
        .flat_map(|(_, accounts)| accounts.iter().filter(unlimited))
        .map(|account| account.key.to_string())
        .collect();
    if !undeclared.is_empty() {
        return ForecastTime { undeclared, ..ForecastTime::default() };
    }
    let Some((time, place, dimension)) = slowest(&providers) else { return ForecastTime::default() };
    let bottleneck = bottleneck(time, place, dimension, &providers);
    ForecastTime { least_s: Some(time.as_secs_f64()), undeclared, bottleneck }
}

/// The slowest limit: its time, its provider's place, what it counts.
fn slowest(providers: &[(Needs, Vec<Account>)]) -> Option<(Duration, usize, Dimension)> {
    let times = providers.iter().enumerate().flat_map(|(place, (needs, accounts))| {
        DIMENSIONS.into_iter().filter_map(move |dimension| {
            let need = needs.of(dimension);
            let capacities: Vec<KeyCapacity> =
                accounts.iter().map(|account| account.capacity.clone()).collect();
            Some((ideal_by(dimension, need, &capacities)?, place, dimension))
        })
    });
    times.max_by_key(|(time, ..)| *time)
}

fn bottleneck(
    time: Duration,
    place: usize,
    dimension: Dimension,
    providers: &[(Needs, Vec<Account>)],
) -> Option<Bottleneck> {
    let (_, accounts) = providers.get(place)?;
    let most = accounts.iter().max_by_key(|account| per_day(account, dimension))?.clone();
    let bottleneck = Bottleneck {
        provider: most.key.provider.clone(),
        limit: dimension,
        accounts: accounts.len(),
        key: most.key.to_string(),
        another_saves_s: 0.0,
    };
    let mut with_another = providers.to_vec();
    with_another.get_mut(place)?.1.push(most);
    let (sooner, ..) = slowest(&with_another)?;
    Some(Bottleneck { another_saves_s: time.saturating_sub(sooner).as_secs_f64(), ..bottleneck })
}

/// What an account grants of it in a day, by its tightest limit.
fn per_day(account: &Account, dimension: Dimension) -> u128 {
    /// A day in nanoseconds.
    const DAY: u128 = 86_400_000_000_000;
    let windows = account.capacity.limits.windows.iter().filter(|limit| limit.dimension == dimension);
    windows.map(|limit| u128::from(limit.count) * DAY / limit.window.as_nanos().max(1)).min().unwrap_or(0)
}

/// The enabled keys, those of one quota group together.
fn accounts(provider: &ProviderSpec) -> Vec<Account> {
    let mut groups = BTreeSet::new();
    let enabled = provider.keys.iter().filter(|key| key.enabled);
    let firsts = enabled.filter(|key| key.quota_group.as_ref().is_none_or(|group| groups.insert(group)));
    firsts
        .map(|key| Account {
            key: KeyId { provider: provider.id.clone(), key: key.name.clone() },
            capacity: KeyCapacity { limits: key.limits.clone(), dead_from: None },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::id::QuotaGroup;
    use keywheel_actors::secret::Secret;
    use keywheel_actors::spec::{KeySpec, Limits, MINUTE, WindowLimit};

    use super::*;

    fn key(name: &str, limits: Limits) -> KeySpec {
        KeySpec::new(name, Secret::new("sk")).limited(limits)
    }

    /// `rpm` with a burst of one, and `tpm` in any minute.
    fn limits(rpm: u64, tpm: Option<u64>) -> Limits {
        let limits = Limits::rpm_with_burst(rpm, 1);
        match tpm {
            Some(tpm) => limits.and(WindowLimit::tokens(tpm, MINUTE)),
            None => limits,
        }
    }

    fn spec(keys: Vec<KeySpec>) -> WheelSpec {
        let provider =
            ProviderSpec { keys, ..ProviderSpec::new("p", Arc::new(OpenAi), "http://127.0.0.1:1/v1") };
        WheelSpec { providers: vec![provider], ..WheelSpec::default() }
    }

    fn time(requests: u64, tokens: u64, keys: Vec<KeySpec>) -> ForecastTime {
        least_time(&[("p".into(), Needs { requests, tokens: Tokens::input(tokens) })].into(), &spec(keys))
    }

    #[test]
    fn requests_bound_a_run_of_short_rows() {
        let keys = vec![key("a", limits(60, None)), key("b", limits(120, None))];
        let told = time(302, 10, keys);
        assert_eq!(told.least_s, Some(100.0), "2 at once and 3 a second");
        let bottleneck = told.bottleneck.unwrap();
        assert_eq!(
            (bottleneck.key.as_str(), bottleneck.limit, bottleneck.accounts),
            ("p/b", Dimension::Requests, 2)
        );
        let saves = bottleneck.another_saves_s;
        assert!((saves - 40.0).abs() < 1e-6, "3 at once, 5 a second, whole calls only: {saves}");
    }

    #[test]
    fn tokens_bound_a_run_of_long_rows() {
        let keys = vec![key("a", limits(60, Some(10_000))), key("b", limits(60, Some(10_000)))];
        let told = time(50, 100_000, keys);
        assert_eq!(told.least_s, Some(240.0), "20,000 at once, and in each minute after it");
        let bottleneck = told.bottleneck.unwrap();
        assert_eq!((bottleneck.limit, bottleneck.another_saves_s), (Dimension::Tokens, 60.0));
    }

    #[test]
    fn keys_of_one_group_are_one_account_and_disabled_ones_none() {
        let in_group =
            |name| KeySpec { quota_group: Some(QuotaGroup::from("org")), ..key(name, limits(60, None)) };
        let disabled = KeySpec { enabled: false, ..key("c", Limits::default()) };
        let told = time(61, 0, vec![in_group("a"), in_group("b"), disabled]);
        assert_eq!(told.least_s, Some(60.0));
        assert_eq!(told.bottleneck.unwrap().accounts, 1);
    }

    #[test]
    fn keys_without_limits_make_it_unknown_and_are_named() {
        let told = time(61, 0, vec![key("a", limits(60, None)), key("b", Limits::default())]);
        assert_eq!((told.least_s, told.undeclared), (None, vec!["p/b".to_owned()]));
        assert_eq!(least_time(&BTreeMap::new(), &spec(Vec::new())), ForecastTime::default());
    }
}
