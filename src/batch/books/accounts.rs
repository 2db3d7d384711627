//! Which keys share whose limits.

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

    /// Calls a second that the accounts in use permit now. `None` if one of them doesn't know its limits.
    pub(in crate::batch) fn permitted_per_second(&self, keys: &[(KeyId, KeyView)]) -> Option<f64> {
        let mut sum = None;
        for account in &self.0 {
            let in_use =
                keys.iter().any(|(id, view)| id.provider == account.provider && view.counts.calls > 0);
            let mut working = account.members(keys).filter(|(_, view)| !is_dead(view)).peekable();
            if in_use && working.peek().is_some() {
                let most = working.map(|(_, view)| view.permitted_per_second).reduce(larger_if_both)?;
                sum = Some(sum.unwrap_or(0.0) + most?);
            }
        }
        sum
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
        keys.iter().filter(|(id, _)| self.keys.contains(id))
    }
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
    use std::time::Duration;

    use keywheel_actors::board::{KeyCounts, KeyStatus};
    use keywheel_actors::dialect::OpenAi;
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

    #[test]
    fn a_group_counts_once_and_an_unused_fallback_not_at_all() {
        let keys = [
            view("main", "a", 9, KeyState::Active),
            view("main", "b", 0, KeyState::RateLimited),
            view("main", "c", 0, KeyState::Active),
            view("spare", "a", 0, KeyState::Active),
        ];
        assert_eq!(capacities(&keys, &Deaths::default()), [(60, None), (120, None)]);
        assert_eq!(accounts().permitted_per_second(&keys), Some(4.0));
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
        assert_eq!(accounts().permitted_per_second(&keys), None, "nobody is left to permit anything");
    }

    #[test]
    fn one_unknown_limit_makes_the_sum_unknown() {
        let mut keys = [view("main", "a", 9, KeyState::Active), view("main", "c", 9, KeyState::Active)];
        keys[1].1.permitted_per_second = None;
        assert_eq!(accounts().permitted_per_second(&keys), None);
        keys[1].1.status.state = KeyState::Disabled;
        assert_eq!(accounts().permitted_per_second(&keys), Some(2.0));
    }
}
