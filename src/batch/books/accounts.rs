//! Which keys share whose limits.

use std::collections::BTreeSet;
use std::time::Duration;

use keywheel_actors::board::{KeyState, KeyView};
use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyId, ProviderId, QuotaGroup};
use keywheel_actors::spec::{KeySpec, Limits, WheelSpec};

use super::deaths::Deaths;
use super::ideal::KeyCapacity;

/// The accounts behind a wheel's keys: a quota group is one account, a key without a group its own.
#[derive(Clone, Debug, Default)]
pub struct Accounts(Vec<Account>);

#[derive(Clone, Debug)]
struct Account {
    group: Option<QuotaGroup>,
    provider: ProviderId,
    keys: Vec<KeyId>,
    limits: Limits,
}

impl Accounts {
    /// The accounts of `spec`, with the limits that it declares.
    pub fn of(spec: &WheelSpec) -> Self {
        let mut accounts = Self::default();
        for provider in &spec.providers {
            for key in &provider.keys {
                accounts.add(&provider.id, key);
            }
        }
        accounts
    }

    /// What each account could give in a run that began at `start` and left its keys like this.
    ///
    /// Only providers that served at least one call count: one that stood by as a fallback and was never
    /// needed adds nothing. Inside a provider that served, a healthy key counts even if nobody used it.
    pub(in crate::batch) fn capacities(
        &self,
        keys: &[(KeyId, KeyView)],
        deaths: &Deaths,
        start: Moment,
    ) -> Vec<KeyCapacity> {
        let serving = |account: &&Account| {
            keys.iter().any(|(id, view)| id.provider == account.provider && view.counts.succeeded > 0)
        };
        self.0
            .iter()
            .filter(serving)
            .map(|account| {
                let ends = account.members(keys).map(|(id, view)| end_of(id, view, deaths));
                // The account gives as long as one of its keys works; an account that published nothing never did.
                let end = ends.max().unwrap_or(Moment::ZERO);
                KeyCapacity {
                    limits: account.limits.clone(),
                    dead_from: (!end.is_never()).then(|| end.since(start)),
                }
            })
            .collect()
    }

    /// What each account in use permits, and from when on. `None` if one of them doesn't know its limits.
    ///
    /// `keys` are in the board's order.
    pub(in crate::batch) fn permits(&self, keys: &[(KeyId, KeyView)], now: Moment) -> Option<Vec<Permit>> {
        let used = keys.iter().filter(|(_, view)| view.counts.calls > 0);
        let used: BTreeSet<&ProviderId> = used.map(|(id, _)| &id.provider).collect();
        let mut permits = Vec::new();
        for account in self.0.iter().filter(|account| used.contains(&account.provider)) {
            let working: Vec<&KeyView> =
                account.members(keys).map(|(_, view)| view).filter(|view| !is_dead(view)).collect();
            if working.is_empty() {
                continue;
            }
            let most = working.iter().map(|view| view.permitted_per_second).reduce(larger_if_both)?;
            let rests = working.iter().map(|view| rest_of(view, now));
            permits.push(Permit { per_second: most?, after: rests.min().unwrap_or_default() });
        }
        Some(permits)
    }

    fn add(&mut self, provider: &ProviderId, key: &KeySpec) {
        let id = KeyId { provider: provider.clone(), key: key.name.clone() };
        let shared = key.quota_group.as_ref().and_then(|group| {
            self.0
                .iter_mut()
                .find(|account| account.provider == *provider && account.group.as_ref() == Some(group))
        });
        match shared {
            Some(account) => account.keys.push(id),
            None => self.0.push(Account {
                group: key.quota_group.clone(),
                provider: provider.clone(),
                keys: vec![id],
                limits: key.limits.clone(),
            }),
        }
    }
}

impl Account {
    fn members<'a>(&'a self, keys: &'a [(KeyId, KeyView)]) -> impl Iterator<Item = &'a (KeyId, KeyView)> {
        // Thousands of keys are looked through several times a second.
        self.keys.iter().filter_map(|id| {
            let place = keys.binary_search_by(|(known, _)| known.cmp(id)).ok()?;
            keys.get(place)
        })
    }
}

/// What one account permits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::batch) struct Permit {
    /// Calls a second.
    pub per_second: f64,
    /// Time until its first key works again; zero if one does.
    pub after: Duration,
}

impl Permit {
    /// Calls a second of all together; `None` if there is no account.
    pub(in crate::batch) fn sum(permits: &[Self]) -> Option<f64> {
        (!permits.is_empty()).then(|| permits.iter().map(|permit| permit.per_second).sum())
    }
}

/// How long a key still rests.
fn rest_of(view: &KeyView, now: Moment) -> Duration {
    let until = view.status.why.as_ref().and_then(|why| why.until);
    until.map_or(Duration::ZERO, |until| until.since(now))
}

/// When a key stopped giving: never for one that works, at the start for one that never did.
fn end_of(id: &KeyId, view: &KeyView, deaths: &Deaths) -> Moment {
    if !is_dead(view) {
        return Moment::NEVER;
    }
    if view.counts.succeeded == 0 {
        return Moment::ZERO;
    }
    deaths.since(id).unwrap_or(Moment::NEVER)
}

const fn is_dead(view: &KeyView) -> bool {
    match view.status.state {
        KeyState::Active | KeyState::RateLimited => false,
        KeyState::Failed | KeyState::Disabled => true,
    }
}

fn larger_if_both(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a?.max(b?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keywheel_actors::board::{Cause, KeyCounts, KeyStatus, Why};
    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::outcome::Scope;
    use keywheel_actors::secret::Secret;
    use keywheel_actors::spec::ProviderSpec;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn key(name: &str, rpm: u64, group: Option<&str>) -> KeySpec {
        let limits = Limits::rpm_with_burst(rpm, 1);
        KeySpec { quota_group: group.map(QuotaGroup::from), ..KeySpec::new(name, Secret::new("sk")) }
            .limited(limits)
    }

    fn provider(id: &str, keys: Vec<KeySpec>) -> ProviderSpec {
        ProviderSpec { keys, ..ProviderSpec::new(id, Arc::new(OpenAi), "http://127.0.0.1:1/v1") }
    }

    fn view(provider: &str, name: &str, succeeded: u64, state: KeyState) -> (KeyId, KeyView) {
        let id = KeyId { provider: provider.into(), key: name.into() };
        let counts = KeyCounts { calls: succeeded, succeeded, ..KeyCounts::default() };
        let status = KeyStatus { state, why: None };
        (id, KeyView { status, counts, permitted_per_second: Some(2.0), ..KeyView::default() })
    }

    /// `main` with two keys of one account and one alone; `spare` in reserve.
    fn accounts() -> Accounts {
        Accounts::of(&WheelSpec {
            providers: vec![
                provider(
                    "main",
                    vec![key("a", 60, Some("org")), key("b", 60, Some("org")), key("c", 120, None)],
                ),
                provider("spare", vec![key("a", 600, Some("org"))]),
            ],
            ..WheelSpec::default()
        })
    }

    fn capacities(keys: &[(KeyId, KeyView)], deaths: &Deaths) -> Vec<(u64, Option<Duration>)> {
        let capacities = accounts().capacities(keys, deaths, at(100));
        capacities.iter().map(|key| (key.limits.windows[0].count, key.dead_from)).collect()
    }

    fn permitted(keys: &[(KeyId, KeyView)]) -> Option<f64> {
        Permit::sum(&accounts().permits(keys, at(100))?)
    }

    #[test]
    fn a_group_counts_once_and_an_unused_fallback_not_at_all() {
        let keys = [
            view("main", "a", 9, KeyState::Active),
            view("main", "b", 0, KeyState::RateLimited),
            view("main", "c", 0, KeyState::Active),
            view("spare", "a", 0, KeyState::Active),
        ];
        assert_eq!(capacities(&keys, &Deaths::default()), [(60, None), (120, None)]);
        assert_eq!(permitted(&keys), Some(4.0));
    }

    #[test]
    fn a_group_lives_as_long_as_its_last_key() {
        let mut keys = [
            view("main", "a", 9, KeyState::Failed),
            view("main", "b", 9, KeyState::Active),
            view("main", "c", 0, KeyState::Disabled),
        ];
        let mut deaths = Deaths::default();
        deaths.note(&keys[0].0, KeyState::Failed, at(110));
        assert_eq!(capacities(&keys, &deaths), [(60, None), (120, Some(Duration::ZERO))]);
        keys[1].1.status.state = KeyState::Disabled;
        deaths.note(&keys[1].0, KeyState::Disabled, at(130));
        assert_eq!(
            capacities(&keys, &deaths),
            [(60, Some(Duration::from_secs(30))), (120, Some(Duration::ZERO))]
        );
        assert_eq!(permitted(&keys), None, "nobody is left to permit anything");
    }

    #[test]
    fn an_account_gives_as_soon_as_one_of_its_keys_is_back() {
        let resting = |name: &str, until: u64| {
            let (id, mut view) = view("main", name, 1, KeyState::RateLimited);
            view.status.why = Some(Why {
                cause: Cause::Operator,
                scope: Scope::Key,
                until: Some(at(until)),
                message: "".into(),
            });
            (id, view)
        };
        let keys = [resting("a", 9), resting("b", 7), view("main", "c", 1, KeyState::Active)];
        let permits = accounts().permits(&keys, at(4)).unwrap();
        let after: Vec<(f64, Duration)> =
            permits.iter().map(|permit| (permit.per_second, permit.after)).collect();
        assert_eq!(after, [(2.0, Duration::from_secs(3)), (2.0, Duration::ZERO)]);
    }

    #[test]
    fn one_unknown_limit_makes_the_sum_unknown() {
        let mut keys = [view("main", "a", 9, KeyState::Active), view("main", "c", 9, KeyState::Active)];
        keys[1].1.permitted_per_second = None;
        assert_eq!(permitted(&keys), None);
        keys[1].1.status.state = KeyState::Disabled;
        assert_eq!(permitted(&keys), Some(2.0));
    }
}
