//! Between what a policy leaves and what a store keeps: durations here, dates there.

use std::time::{Duration, SystemTime};

use crate::board::KeyState;
use crate::clock::{Clock, Moment};
use crate::id::KeyId;
use crate::policy::key_state::{HealthPast, KeyHealth, RestPast, Sharing};
use crate::policy::pace::Learned;
use crate::policy::quota::{Past, Quota};
use crate::secret::Fingerprint;
use crate::spec::KeySpec;
use crate::store::{GroupId, KeyMemory, Memory, PaceMemory, Presence, RestMemory, Wall, WindowMemory};

use super::state::SEEN_EVERY;

/// A killed process was last seen at most so long before it ended.
const UNSEEN_MAX: Duration = SEEN_EVERY.saturating_mul(2);

/// A key's past, dated.
pub(super) fn dated(
    fingerprint: Fingerprint,
    health: &HealthPast,
    concurrency: Option<u32>,
    pace: Option<Learned>,
    windows: &[Past],
    today: SystemTime,
) -> KeyMemory {
    let rests = health.rests.iter().map(|rest| RestMemory {
        lane: rest.lane.clone(),
        shared: rest.shared,
        state: rest.state,
        cause: rest.cause,
        until: rest.left.map(|left| Wall::from(today + left)),
        message: rest.message.clone(),
    });
    KeyMemory {
        fingerprint,
        rests: rests.collect(),
        strikes: health.strikes,
        throttles: health.throttles,
        money_probes: health.money_probes,
        concurrency,
        pace: pace.map(|learned| PaceMemory { per_second: learned.per_second, burst: learned.burst }),
        windows: dated_windows(windows, today),
    }
}

/// What windows were used, dated.
pub(super) fn dated_windows(windows: &[Past], today: SystemTime) -> Vec<WindowMemory> {
    windows.iter().map(|past| WindowMemory::dated(past, today)).collect()
}

/// What an earlier process left, seen from now.
pub(crate) struct Recollection<'a> {
    memory: &'a Memory,
    /// By the calendar, which may have been set back since something was written.
    today: Wall,
    now: Moment,
}

impl<'a> Recollection<'a> {
    pub(crate) fn of(memory: &'a Memory, clock: Clock, now: Moment) -> Self {
        Self { memory, today: Wall::from(clock.today()), now }
    }

    /// The health that a key begins with, and the concurrency that was learned.
    pub(crate) fn health(
        &self,
        id: &KeyId,
        spec: &KeySpec,
        fingerprint: Fingerprint,
    ) -> (KeyHealth, Option<u32>) {
        let sharing = if spec.quota_group.is_some() { Sharing::Grouped } else { Sharing::Alone };
        let Some(known) = self.known(id, fingerprint) else {
            return (KeyHealth::new(spec.rotation.clone(), sharing), None);
        };
        let past = HealthPast {
            rests: known.rests.iter().filter_map(|rest| self.rest(rest)).collect(),
            strikes: known.strikes,
            throttles: known.throttles,
            money_probes: known.money_probes,
        };
        (KeyHealth::recalled(spec.rotation.clone(), sharing, &past, self.now), known.concurrency)
    }

    /// The rate that was learned.
    pub(crate) fn pace(&self, id: &KeyId, fingerprint: Fingerprint) -> Option<Learned> {
        let PaceMemory { per_second, burst } = self.known(id, fingerprint)?.pace?;
        Some(Learned { per_second, burst })
    }

    /// What a key's own limits were used.
    pub(crate) fn recall_key(&self, id: &KeyId, fingerprint: Fingerprint, quota: &mut Quota) {
        if let Some(known) = self.known(id, fingerprint) {
            quota.recall(self.now, &self.windows(&known.windows));
        }
        self.suspect(quota);
    }

    /// What a group's limits were used.
    pub(crate) fn recall_group(&self, id: &GroupId, quota: &mut Quota) {
        if let Some(known) = self.memory.groups.get(id) {
            quota.recall(self.now, &self.windows(&known.windows));
        }
        self.suspect(quota);
    }

    fn known(&self, id: &KeyId, fingerprint: Fingerprint) -> Option<&'a KeyMemory> {
        self.memory.keys.get(id).filter(|known| known.concerns(fingerprint))
    }

    fn suspect(&self, quota: &mut Quota) {
        let Presence { seen, closed } = self.memory.presence;
        if !closed && seen > Wall::default() {
            quota.suspect_short_windows(self.now, self.unseen());
        }
    }

    /// How long ago the earlier process ended, at least.
    fn unseen(&self) -> Duration {
        self.today.since(self.memory.presence.seen).saturating_sub(UNSEEN_MAX)
    }

    fn rest(&self, rest: &RestMemory) -> Option<RestPast> {
        // Not before what was written last: a calendar that was set back must not prolong a rest.
        let today = self.today.max(self.memory.presence.seen);
        let left = rest.until.map(|until| Duration::from_millis(until.0.saturating_sub(today.0)));
        // What is over is over; and an active key doesn't rest.
        if left.is_some_and(|left| left.is_zero()) || rest.state == KeyState::Active {
            return None;
        }
        Some(RestPast {
            lane: rest.lane.clone(),
            shared: rest.shared,
            state: rest.state,
            cause: rest.cause,
            left,
            message: rest.message.clone(),
        })
    }

    fn windows(&self, windows: &[WindowMemory]) -> Vec<Past> {
        windows.iter().map(|memory| memory.seen_from(self.today, self.unseen())).collect()
    }
}
