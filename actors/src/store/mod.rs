//! What outlives the process: the health of keys, what they used of long windows, what was counted.
//!
//! Times in here are the calendar's, because the next process has another
//! [`Clock`](crate::clock::Clock). The State actor is the only writer.

mod disk;
mod scripted;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::board::{Cause, KeyState};
use crate::id::{KeyId, Model, ProviderId, QuotaGroup};
use crate::outcome::Scope;
use crate::policy::quota::Past;
use crate::secret::Fingerprint;
use crate::spec::Dimension;
use crate::stats::KeyStats;

pub use disk::Disk;
pub use scripted::Scripted;

/// Where memories are kept.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Everything that is remembered.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    fn load(&self) -> Result<Memory, StoreError>;

    /// Keeps all of `changes`, durably, or none of them. Called by one thread at a time.
    ///
    /// # Errors
    /// [`StoreError`] if they can't be written; what was kept before stays.
    fn save(&self, changes: &Changes) -> Result<(), StoreError>;
}

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Per key.
    pub keys: BTreeMap<KeyId, KeyMemory>,
    /// Per quota group.
    pub groups: BTreeMap<GroupId, GroupMemory>,
    /// What was counted, per key.
    pub stats: BTreeMap<KeyId, KeyStats>,
    /// When its process was last known to live, and how it ended.
    pub presence: Presence,
}

impl Memory {
    /// Takes `changes` over.
    pub fn apply(&mut self, changes: &Changes) {
        apply(&mut self.keys, &changes.keys);
        apply(&mut self.groups, &changes.groups);
        apply(&mut self.stats, &changes.stats);
        if let Some(presence) = changes.presence {
            self.presence = presence;
        }
    }
}

fn apply<K: Ord + Clone, V: Clone>(known: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(known.insert(key.clone(), value.clone())),
            None => drop(known.remove(key)),
        }
    }
}

/// What is to be kept. `None` forgets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Keys that changed.
    pub keys: BTreeMap<KeyId, Option<KeyMemory>>,
    /// Quota groups that changed.
    pub groups: BTreeMap<GroupId, Option<GroupMemory>>,
    /// Counters that changed.
    pub stats: BTreeMap<KeyId, Option<KeyStats>>,
    /// When this was written, and whether it is the last.
    pub presence: Option<Presence>,
}

impl Changes {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what is newer.
    pub fn then(&mut self, newer: Self) {
        self.keys.extend(newer.keys);
        self.groups.extend(newer.groups);
        self.stats.extend(newer.stats);
        self.presence = newer.presence.or(self.presence);
    }
}

/// A quota group among all groups.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GroupId {
    /// The provider that it belongs to.
    pub provider: ProviderId,
    /// Its name there.
    pub group: QuotaGroup,
}

/// One key's health and use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyMemory {
    /// Of the secret. Another secret under the same name has nothing to remember.
    pub fingerprint: Fingerprint,
    /// What rests, and why.
    pub rests: Vec<RestMemory>,
    /// Unclassified failures in a row.
    pub strikes: u32,
    /// Throttles in a row.
    pub throttles: u32,
    /// Probes in a row that found no money.
    pub money_probes: u32,
    /// Calls at once, as far as it was learned.
    pub concurrency: Option<u32>,
    /// Its rate, as far as it was learned.
    #[serde(default)]
    pub pace: Option<PaceMemory>,
    /// What its own limits were used.
    pub windows: Vec<WindowMemory>,
}

/// What a quota group's limits were used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupMemory {
    /// By window.
    pub windows: Vec<WindowMemory>,
}

impl KeyMemory {
    /// Whether it is about the key with this fingerprint. An order that was given while nothing ran concerns
    /// whatever secret stands under the name.
    pub fn concerns(&self, fingerprint: Fingerprint) -> bool {
        [fingerprint, Fingerprint::default()].contains(&self.fingerprint)
    }

    /// Nothing more will be used: what was reserved and not used is free.
    pub fn at_the_end(mut self) -> Self {
        self.windows.iter_mut().for_each(|window| window.ahead = 0);
        self
    }
}

impl GroupMemory {
    /// Nothing more will be used: what was reserved and not used is free.
    pub fn at_the_end(mut self) -> Self {
        self.windows.iter_mut().for_each(|window| window.ahead = 0);
        self
    }
}

/// One rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestMemory {
    /// The model, if only one rests.
    pub lane: Option<Model>,
    /// Whether the whole quota group rests.
    pub shared: bool,
    /// The public status that follows.
    pub state: KeyState,
    /// Why.
    pub cause: Cause,
    /// Until when. `None`: until somebody acts.
    pub until: Option<Wall>,
    /// The provider's message, scrubbed.
    pub message: Box<str>,
}

impl RestMemory {
    /// How far it reaches.
    pub const fn scope(&self) -> Scope {
        match (&self.lane, self.shared) {
            (Some(_), _) => Scope::Lane,
            (None, true) => Scope::Group,
            (None, false) => Scope::Key,
        }
    }
}

/// A rate that throttles have shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaceMemory {
    /// Calls a second.
    pub per_second: f64,
    /// Calls at once.
    pub burst: f64,
}

/// What one limit was used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowMemory {
    /// What it counts.
    pub dimension: Dimension,
    /// In how long.
    pub window: Duration,
    /// Amounts, each with the latest moment at which it can have been used; oldest first.
    pub uses: Vec<(Wall, u64)>,
    /// Reserved, and perhaps used since this was written.
    pub ahead: u64,
}

impl WindowMemory {
    /// What a window was used, seen from `today`, with its dates.
    pub fn dated(past: &Past, today: SystemTime) -> Self {
        Self {
            dimension: past.dimension,
            window: past.window,
            uses: past.uses.iter().map(|(ago, amount)| (Wall::from(today - *ago), *amount)).collect(),
            ahead: past.ahead,
        }
    }

    /// The same seen from a later `today`. What was only reserved counts as used when its process ended, so long
    /// ago.
    pub fn seen_from(&self, today: Wall, ended: Duration) -> Past {
        let uses = self.uses.iter().map(|(at, amount)| (today.since(*at), *amount));
        let uses = uses.chain([(ended, self.ahead)]).filter(|(_, amount)| *amount > 0);
        Past { dimension: self.dimension, window: self.window, uses: uses.collect(), ahead: 0 }
    }
}

/// When a process was last known to live, and how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When this was written.
    pub seen: Wall,
    /// Whether the process ended by itself, with everything written.
    pub closed: bool,
}

/// A date of the calendar, in milliseconds since 1970.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub u64);

impl Wall {
    /// From `earlier` to here. Dates to come are now: a calendar that was ahead for a while must not give a day twice.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Wall {
    /// Dates before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Wall> for SystemTime {
    /// Dates beyond a thousand years are clamped, so that arithmetic with them can't fail.
    fn from(wall: Wall) -> Self {
        const FAR_MS: u64 = 1_000 * 366 * 86_400 * 1_000;
        UNIX_EPOCH + Duration::from_millis(wall.0.min(FAR_MS))
    }
}

/// Why memories can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("another process has it open")]
    InUse,
    /// It was written by a version that is newer than this one.
    #[error("it was written by a newer version (format {found}, this one reads up to {known})")]
    TooNew {
        /// The format's number in the file.
        found: u64,
        /// The newest that this version reads.
        known: u64,
    },
    /// The disk, or what is on it.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}
