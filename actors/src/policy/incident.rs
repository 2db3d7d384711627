//! Tells a bad key from a provider that refuses every key for a while.
//!
//! A key whose credential is refused is disabled at once. If many keys are
//! refused within a minute and none succeeds meanwhile, the provider is at
//! fault: then nobody stays disabled for it and the provider rests instead.

use std::time::Duration;

use crate::clock::Moment;

/// Refusals further apart than this don't belong together.
const WINDOW: Duration = Duration::from_secs(60);
/// So many keys refused together are suspicious, however many keys there are.
const KEYS_SUSPICIOUS: usize = 3;
/// A single refused key never makes an incident, or a provider with one key could not lose it.
const KEYS_MIN: usize = 2;
/// While keys that weren't refused may still prove the provider healthy, they get this long to do so.
/// Refusals come back in milliseconds, successes take as long as a model thinks.
const EVIDENCE_WAIT: Duration = Duration::from_secs(2);

/// What is known about refused credentials of one provider. `K` names a key.
#[derive(Clone, Debug)]
pub struct IncidentGuard<K> {
    refused: Vec<(K, Moment)>,
}

impl<K> Default for IncidentGuard<K> {
    fn default() -> Self {
        Self { refused: Vec::new() }
    }
}

impl<K: Copy + Eq> IncidentGuard<K> {
    /// A key was refused. `others_usable` says how many keys may still be tried.
    ///
    /// Gives the keys to reinstate if this is the provider's incident.
    pub fn refused(&mut self, now: Moment, key: K, others_usable: usize) -> Option<Vec<K>> {
        self.refused.retain(|(known, at)| *known != key && now.since(*at) <= WINDOW);
        self.refused.push((key, now));
        let count = self.refused.len();
        let half = (count + others_usable).div_ceil(2);
        if count < KEYS_MIN || count < KEYS_SUSPICIOUS.min(half) {
            return None;
        }
        let first = self.refused[0].1;
        let no_evidence_to_come = others_usable == 0 || now.since(first) >= EVIDENCE_WAIT;
        no_evidence_to_come
            .then(|| std::mem::take(&mut self.refused).into_iter().map(|(key, _)| key).collect())
    }

    /// That key is gone, and so is what it proved.
    pub fn forget(&mut self, key: K) {
        self.refused.retain(|(known, _)| *known != key);
    }

    /// A call that began at `started` succeeded: the provider was well then, so who was refused before
    /// is to blame alone. A call that began before a refusal proves nothing about it.
    pub fn succeeded(&mut self, started: Moment) {
        self.refused.retain(|(_, at)| *at >= started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn one_bad_key_is_its_own_fault() {
        let mut guard = IncidentGuard::default();
        assert_eq!(guard.refused(at(0), 'a', 9), None);
        assert_eq!(IncidentGuard::default().refused(at(0), 'a', 0), None, "even if it is the only one");
    }

    #[test]
    fn all_keys_refused_is_the_providers_fault() {
        let mut guard = IncidentGuard::default();
        assert_eq!(guard.refused(at(0), 'a', 2), None);
        assert_eq!(guard.refused(at(1), 'b', 1), None, "the third may still prove it healthy");
        assert_eq!(guard.refused(at(2), 'c', 0), Some(vec!['a', 'b', 'c']));
    }

    #[test]
    fn three_dead_keys_among_living_ones_stay_dead() {
        let mut guard = IncidentGuard::default();
        for (millis, key) in [(0, 'a'), (1, 'b'), (2, 'c')] {
            assert_eq!(guard.refused(at(millis), key, 7), None);
        }
        guard.succeeded(at(0));
        guard.succeeded(at(3));
        assert_eq!(guard.refused(at(2_500), 'd', 6), None, "a call begun in between cleared the provider");
    }

    #[test]
    fn without_any_success_three_of_fifty_are_enough_after_a_while() {
        let mut guard = IncidentGuard::default();
        assert_eq!(guard.refused(at(0), 'a', 49), None);
        assert_eq!(guard.refused(at(500), 'b', 48), None);
        assert_eq!(guard.refused(at(2_000), 'c', 47), Some(vec!['a', 'b', 'c']));
    }

    #[test]
    fn a_key_that_is_gone_proves_nothing() {
        let mut guard = IncidentGuard::default();
        assert_eq!(guard.refused(at(0), 'a', 1), None);
        guard.forget('a');
        assert_eq!(guard.refused(at(1), 'b', 0), None, "the other one was alone");
    }

    #[test]
    fn refusals_a_minute_apart_dont_add_up() {
        let mut guard = IncidentGuard::default();
        assert_eq!(guard.refused(at(0), 'a', 2), None);
        assert_eq!(guard.refused(at(61_000), 'b', 1), None);
        assert_eq!(guard.refused(at(122_000), 'c', 0), None);
    }
}
