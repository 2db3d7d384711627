//! Tells a bad key from a provider that refuses good ones for a while.
//!
//! A key whose credential is refused is disabled at once. If many keys are
//! refused within a minute and none is accepted meanwhile, the provider is at
//! fault: nobody stays disabled for it, the provider rests, and no refusal
//! says anything about a key until a call is answered that began after that.
//!
//! When many were refused, but by now somebody is accepted again, nobody knows
//! whether they are bad or an incident is just over. So each gets one more
//! call. The same if a key was refused that is accepted later. And since
//! answers overtake each other, what calls say that were under way when it
//! came out belongs to the incident as well. Whoever is refused again is to
//! blame.

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
    suspects: Vec<Suspect<K>>,
    /// Keys that might still be tried when the last one was refused.
    others_usable: usize,
    /// When the latest call began that was accepted.
    well_from: Moment,
    course: Course,
    /// Refusals of calls that began before belong to an incident that is over.
    over_at: Moment,
}

/// Whether the provider is known to refuse everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Course {
    Quiet,
    Incident,
}

/// A key that was refused lately.
#[derive(Clone, Debug)]
struct Suspect<K> {
    key: K,
    /// When the latest of its refused calls began.
    began: Moment,
    /// When the refusal came, or was taken back.
    since: Moment,
    stage: Stage,
}

/// How far a suspect is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Refused,
    /// The blame was taken back: its next call shows what it is.
    Retried,
    /// That call was refused. Only an incident of all keys excuses it now.
    RefusedAgain,
}

/// What a refusal means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding<K> {
    /// The key is to blame, as far as anybody knows.
    KeysFault,
    /// The key is not to blame: this belongs to an incident that is known already.
    Straggler,
    /// The provider is well, but it may not have been when these were refused: each gets another call.
    Doubtful(Vec<K>),
    /// The provider refuses everybody, and must rest. These aren't to blame.
    ProvidersFault(Vec<K>),
}

impl<K> Default for IncidentGuard<K> {
    fn default() -> Self {
        Self {
            suspects: Vec::new(),
            others_usable: 0,
            well_from: Moment::ZERO,
            course: Course::Quiet,
            over_at: Moment::ZERO,
        }
    }
}

impl<K: Copy + Eq> IncidentGuard<K> {
    /// The call of a key that began at `began` was refused.
    ///
    /// `accepted_from` is when the latest call of this key began that was accepted; `others_usable` says how
    /// many keys may still be tried.
    pub fn refused(
        &mut self,
        now: Moment,
        key: K,
        began: Moment,
        accepted_from: Option<Moment>,
        others_usable: usize,
    ) -> Finding<K> {
        if self.excuses(began) {
            return Finding::Straggler;
        }
        self.others_usable = others_usable;
        self.suspects.retain(|suspect| now.since(suspect.since) <= WINDOW);
        let began = self.suspect(now, key, began);
        let proven = accepted_from.filter(|accepted| *accepted > began).map(|_| key);
        let doubtful = self.retry_the_doubtful(now, proven);
        if !doubtful.is_empty() {
            return Finding::Doubtful(doubtful);
        }
        let unanswered = self.suspects.iter().filter(|suspect| suspect.is_unanswered(self.well_from));
        let Some(first) = unanswered.clone().map(|suspect| suspect.since).min() else {
            return Finding::KeysFault;
        };
        let is_suspicious = self.is_suspicious(unanswered.count());
        let evidence_to_come = others_usable > 0 && now.since(first) < EVIDENCE_WAIT;
        if !is_suspicious || evidence_to_come {
            return Finding::KeysFault;
        }
        self.course = Course::Incident;
        let well_from = self.well_from;
        let excused =
            |suspect: &Suspect<K>| suspect.stage == Stage::Refused || suspect.is_unanswered(well_from);
        Finding::ProvidersFault(self.take_back(now, excused))
    }

    /// A call of a key that began at `began` was accepted. Gives the keys that get another call.
    ///
    /// The provider was well then, so who was refused alone before is to blame. A call that began before a
    /// refusal came proves nothing about it.
    pub fn accepted(&mut self, now: Moment, key: K, began: Moment) -> Vec<K> {
        self.well_from = self.well_from.max(began);
        if self.suspects.is_empty() {
            return Vec::new();
        }
        let known = self.suspects.iter().position(|suspect| suspect.key == key && suspect.began < began);
        if let Some(known) = known.filter(|known| self.suspects[*known].stage == Stage::Retried) {
            self.suspects.swap_remove(known);
            return self.retry_the_doubtful(now, None);
        }
        self.retry_the_doubtful(now, known.map(|_| key))
    }

    /// A call was answered that began after everybody was refused: that is over.
    pub fn over(&mut self, now: Moment) {
        if self.course == Course::Incident {
            self.course = Course::Quiet;
            self.over_at = now;
        }
    }

    /// Whether the refusal of a call that began at `began` says nothing about its key.
    pub fn excuses(&self, began: Moment) -> bool {
        began < self.excused_before()
    }

    /// Refusals of calls that began before say nothing about their keys.
    pub const fn excused_before(&self) -> Moment {
        match self.course {
            Course::Incident => Moment::NEVER,
            Course::Quiet => self.over_at,
        }
    }

    /// That key is gone, and so is what it proved.
    pub fn forget(&mut self, key: K) {
        self.suspects.retain(|suspect| suspect.key != key);
    }

    /// Notes a refusal. Gives when the latest call of this key began that was refused.
    fn suspect(&mut self, now: Moment, key: K, began: Moment) -> Moment {
        let Some(known) = self.suspects.iter_mut().find(|suspect| suspect.key == key) else {
            self.suspects.push(Suspect { key, began, since: now, stage: Stage::Refused });
            return began;
        };
        known.began = known.began.max(began);
        known.since = now;
        known.stage = match known.stage {
            Stage::Refused => Stage::Refused,
            Stage::Retried | Stage::RefusedAgain => Stage::RefusedAgain,
        };
        known.began
    }

    /// Gives everybody another call who was refused for the first time, if that is in doubt: because a key is
    /// `proven` good by a call that began later, or because a call was accepted that began after one refusal
    /// and after the calls of many.
    fn retry_the_doubtful(&mut self, now: Moment, proven: Option<K>) -> Vec<K> {
        let refused = self.suspects.iter().filter(|suspect| suspect.stage == Stage::Refused);
        let was_well_since = refused.clone().any(|suspect| suspect.since < self.well_from);
        let before = refused.filter(|suspect| suspect.began < self.well_from).count();
        if proven.is_none() && !(was_well_since && self.is_suspicious(before)) {
            return Vec::new();
        }
        self.over_at = now;
        self.take_back(now, |suspect| suspect.stage == Stage::Refused || proven == Some(suspect.key))
    }

    /// Takes the blame from these.
    fn take_back(&mut self, now: Moment, from: impl Fn(&Suspect<K>) -> bool) -> Vec<K> {
        let suspects = self.suspects.iter_mut().filter(|suspect| from(suspect));
        let excused = suspects.map(|suspect| {
            suspect.stage = Stage::Retried;
            suspect.since = now;
            suspect.key
        });
        excused.collect()
    }

    /// Whether so many keys are too many to be bad by chance.
    fn is_suspicious(&self, keys: usize) -> bool {
        let half = (keys + self.others_usable).div_ceil(2);
        keys >= KEYS_MIN && keys >= KEYS_SUSPICIOUS.min(half)
    }
}

impl<K> Suspect<K> {
    /// Whether nobody was accepted since by a call that began later.
    fn is_unanswered(&self, well_from: Moment) -> bool {
        self.stage != Stage::Retried && self.since >= well_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    /// One provider and its refusals, in milliseconds. No key was ever accepted unless a story says so.
    #[derive(Default)]
    struct Story {
        guard: IncidentGuard<char>,
    }

    impl Story {
        /// A call that began then is refused now, while so many other keys may still be tried.
        fn refused(&mut self, now: u64, key: char, began: u64, others_usable: usize) -> Finding<char> {
            self.guard.refused(at(now), key, at(began), None, others_usable)
        }

        /// The call began as soon as the refusal before had come.
        fn refused_at_once(&mut self, now: u64, key: char, others_usable: usize) -> Finding<char> {
            self.refused(now, key, now, others_usable)
        }

        /// A call that began then is accepted now; the keys that get another call for it.
        fn accepted(&mut self, now: u64, key: char, began: u64) -> String {
            self.guard.accepted(at(now), key, at(began)).into_iter().collect()
        }

        /// Four keys are refused within milliseconds, by calls that began at 0.
        fn all_refused() -> Self {
            let mut story = Self::default();
            for (now, key, others_usable) in [(10, 'a', 3), (11, 'b', 2), (12, 'c', 1)] {
                assert_eq!(story.refused(now, key, 0, others_usable), Finding::KeysFault);
            }
            let all = Finding::ProvidersFault(vec!['a', 'b', 'c', 'd']);
            assert_eq!(story.refused(13, 'd', 0, 0), all);
            story
        }
    }

    #[test]
    fn one_bad_key_is_its_own_fault() {
        assert_eq!(Story::default().refused_at_once(1, 'a', 9), Finding::KeysFault);
        assert_eq!(Story::default().refused_at_once(1, 'a', 0), Finding::KeysFault, "even as the only one");
        let mut story = Story::default();
        for now in 1..=3 {
            assert_eq!(story.refused(now, 'a', 0, 49), Finding::KeysFault, "three calls, one key");
        }
        assert_eq!(story.accepted(50, 'b', 4), "", "who is refused alone isn't tried again");
    }

    #[test]
    fn all_keys_refused_is_the_providers_fault() {
        Story::all_refused();
    }

    #[test]
    fn while_an_incident_lasts_no_refusal_says_anything_about_a_key() {
        let mut story = Story::all_refused();
        assert_eq!(story.refused(14, 'b', 0, 4), Finding::Straggler, "it was under way");
        assert_eq!(story.refused(15_020, 'b', 15_000, 4), Finding::Straggler, "a probe in the incident");
        story.guard.over(at(17_050));
        assert_eq!(
            story.refused(17_060, 'c', 17_049, 4),
            Finding::Straggler,
            "it began before that was known"
        );
        assert_eq!(story.refused(17_060, 'c', 17_050, 3), Finding::KeysFault, "its next call disables it");
    }

    #[test]
    fn only_an_incident_can_be_over() {
        let mut story = Story::default();
        story.guard.over(at(5));
        assert_eq!(story.refused(6, 'a', 0, 9), Finding::KeysFault);
    }

    #[test]
    fn who_was_refused_with_others_gets_one_call_when_somebody_is_accepted() {
        let mut story = Story::default();
        for (now, key, others_usable) in [(1, 'a', 9), (2, 'b', 8), (3, 'c', 7)] {
            assert_eq!(story.refused(now, key, 0, others_usable), Finding::KeysFault);
        }
        assert_eq!(story.accepted(40, 'd', 0), "", "that call began before all refusals");
        assert_eq!(story.accepted(50, 'd', 3), "abc");
        for (now, key, others_usable) in [(60, 'a', 9), (61, 'b', 8), (62, 'c', 7)] {
            assert_eq!(story.refused(now, key, 51, others_usable), Finding::KeysFault);
        }
        assert_eq!(story.accepted(100, 'd', 63), "", "but only one");
        assert_eq!(story.refused(2_500, 'e', 2_490, 6), Finding::KeysFault, "they were answered for");
        assert_eq!(story.accepted(2_600, 'd', 2_501), "", "one more is refused alone");
    }

    #[test]
    fn a_refusal_that_comes_when_others_serve_again_belongs_to_those_before() {
        let mut story = Story::default();
        assert_eq!(story.refused(10, 'a', 0, 3), Finding::KeysFault);
        assert_eq!(story.accepted(30, 'd', 11), "", "one of four is refused alone");
        assert_eq!(story.refused(40, 'b', 0, 2), Finding::Doubtful(vec!['a', 'b']), "not alone after all");
        assert_eq!(story.refused(50, 'c', 39, 4), Finding::Straggler, "it began before that came out");
        assert_eq!(story.refused(60, 'b', 41, 3), Finding::KeysFault, "and this after it");
    }

    #[test]
    fn a_key_that_is_accepted_after_it_was_refused_clears_all_who_were_refused_with_it() {
        let mut story = Story::default();
        assert_eq!(story.refused(10, 'a', 0, 49), Finding::KeysFault);
        assert_eq!(story.refused(11, 'b', 0, 48), Finding::KeysFault);
        assert_eq!(story.accepted(20, 'b', 0), "", "which of its two calls came first, nobody knows");
        assert_eq!(story.accepted(30, 'b', 5), "ab");
        assert_eq!(story.refused(40, 'c', 0, 49), Finding::Straggler);
        assert_eq!(story.accepted(50, 'a', 31), "", "it has proven itself");
        assert_eq!(story.refused(60, 'a', 55, 49), Finding::KeysFault, "and is like all others again");
    }

    #[test]
    fn a_refusal_that_comes_after_its_key_was_accepted_is_no_fault_of_the_key() {
        let mut story = Story::default();
        assert_eq!(story.accepted(20, 'a', 5), "");
        let mut refused = |began| story.guard.refused(at(30), 'a', at(began), Some(at(5)), 0);
        assert_eq!(refused(4), Finding::Doubtful(vec!['a']));

        let mut story = Story::default();
        assert_eq!(story.accepted(20, 'a', 5), "");
        let mut refused = |began| story.guard.refused(at(30), 'a', at(began), Some(at(5)), 0);
        assert_eq!(refused(5), Finding::KeysFault, "which came first, nobody knows");
        assert_eq!(refused(6), Finding::KeysFault);
        assert_eq!(refused(4), Finding::KeysFault, "a later call of the same key was refused");
    }

    #[test]
    fn without_any_success_three_of_fifty_are_enough_after_a_while() {
        let mut story = Story::default();
        assert_eq!(story.refused_at_once(1, 'a', 49), Finding::KeysFault);
        assert_eq!(story.refused_at_once(500, 'b', 48), Finding::KeysFault);
        assert_eq!(story.refused_at_once(2_000, 'c', 47), Finding::KeysFault, "a millisecond early");
        let all = Finding::ProvidersFault(vec!['a', 'b', 'c', 'd']);
        assert_eq!(story.refused_at_once(2_001, 'd', 46), all);
    }

    #[test]
    fn keys_refused_again_one_after_the_other_are_an_incident_if_nobody_is_left() {
        let mut story = Story::default();
        assert_eq!(story.refused(1, 'a', 0, 2), Finding::KeysFault);
        assert_eq!(story.refused(2, 'b', 0, 1), Finding::KeysFault);
        assert_eq!(story.accepted(20, 'c', 3), "ab");
        assert_eq!(story.refused(30, 'a', 21, 2), Finding::KeysFault);
        assert_eq!(story.refused(31, 'b', 21, 1), Finding::KeysFault);
        let all = Finding::ProvidersFault(vec!['a', 'b', 'c']);
        assert_eq!(story.refused(32, 'c', 21, 0), all, "it came back");
    }

    #[test]
    fn a_key_that_is_gone_proves_nothing() {
        let mut story = Story::default();
        assert_eq!(story.refused_at_once(1, 'a', 1), Finding::KeysFault);
        story.guard.forget('a');
        assert_eq!(story.refused_at_once(2, 'b', 0), Finding::KeysFault, "the other one was alone");
    }

    #[test]
    fn refusals_a_minute_apart_dont_add_up() {
        let mut story = Story::default();
        assert_eq!(story.refused_at_once(1, 'a', 2), Finding::KeysFault);
        assert_eq!(story.refused_at_once(61_000, 'b', 1), Finding::KeysFault);
        assert_eq!(story.accepted(61_100, 'c', 61_050), "");
        assert_eq!(story.refused_at_once(122_000, 'c', 0), Finding::KeysFault);
    }
}
