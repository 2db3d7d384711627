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
const EVIDENCE_WAIT: Duration = Duration::from_secs(2);
/// The same while calls are under way that began after the first refusal: refusals come back in milliseconds, successes
/// take as long as a model thinks. It is shorter than [`WINDOW`], so that nobody who was refused is forgotten meanwhile.
const ANSWER_WAIT: Duration = Duration::from_secs(45);

/// What keys that may still be tried can show when one is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others {
    /// How many there are.
    pub usable: usize,
    /// When the latest call of one began whose calls are still under way.
    pub asked_at: Option<Moment>,
}

/// What is known about refused credentials of one provider. `K` names a key.
#[derive(Clone, Debug)]
pub struct IncidentGuard<K> {
    suspects: Vec<Suspect<K>>,
    /// Keys that might still be tried when the last one was refused.
    others_usable: usize,
    /// When the latest call began that was accepted.
    well_from: Moment,
    course: Course,
    /// Keys whose calls were refused while the incident lasts: another one may be good by now.
    tried: Vec<K>,
    /// Refusals of calls that began before belong to an incident that is over.
    over_at: Moment,
}

/// Whether the provider is known to refuse everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Course {
    Quiet,
    /// Since then.
    Incident {
        since: Moment,
    },
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
            tried: Vec::new(),
            over_at: Moment::ZERO,
        }
    }
}

impl<K: Copy + Eq> IncidentGuard<K> {
    /// The call of a key that began at `began` was refused.
    ///
    /// `accepted_from` is when the latest call of this key began that was accepted.
    pub fn refused(
        &mut self,
        now: Moment,
        key: K,
        began: Moment,
        accepted_from: Option<Moment>,
        others: Others,
    ) -> Finding<K> {
        if self.excuses(began) {
            self.heed_probe(key, began);
            return Finding::Straggler;
        }
        self.others_usable = others.usable;
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
        let wait = if others.asked_at >= Some(first) { ANSWER_WAIT } else { EVIDENCE_WAIT };
        let evidence_to_come = others.usable > 0 && now.since(first) < wait;
        if !is_suspicious || evidence_to_come {
            return Finding::KeysFault;
        }
        self.course = Course::Incident { since: now };
        self.tried.clear();
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

    /// The keys with which a probe has been refused in the incident that lasts. Most ways to pick a key would take the
    /// same one again, and if that is bad, never find out that the others are good.
    pub fn tried(&self) -> &[K] {
        match self.course {
            Course::Incident { .. } => &self.tried,
            Course::Quiet => &[],
        }
    }

    /// Nobody is left who wasn't tried: each may be tried again.
    pub fn try_all_again(&mut self) {
        self.tried.clear();
    }

    /// A call was answered that began after everybody was refused: that is over.
    pub fn over(&mut self, now: Moment) {
        if let Course::Incident { .. } = self.course {
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
            Course::Incident { .. } => Moment::NEVER,
            Course::Quiet => self.over_at,
        }
    }

    /// That key is gone, and so is what it proved.
    pub fn forget(&mut self, key: K) {
        self.tried.retain(|tried| *tried != key);
        self.suspects.retain(|suspect| suspect.key != key);
    }

    /// Notes with whom a probe was refused; other calls began before the incident was known.
    fn heed_probe(&mut self, key: K, began: Moment) {
        if let Course::Incident { since } = self.course
            && began > since
            && !self.tried.contains(&key)
        {
            self.tried.push(key);
        }
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
mod tests;
