//! What the Stats actor has counted, per provider and key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::KeyId;
use crate::outcome::Reason;

/// Counters since the wheel started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsReport {
    /// Per key that has ended a call.
    pub keys: BTreeMap<String, KeyStats>,
    /// Jobs that were lost inside the wheel; each was answered with an error.
    pub dead_letters: u64,
}

impl StatsReport {
    /// One key's counters.
    pub fn key(&self, id: &KeyId) -> KeyStats {
        self.keys.get(&id.to_string()).cloned().unwrap_or_default()
    }
}

/// One key's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStats {
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that failed, by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// Calls that failed in the last 24 hours, in whole hours.
    pub failed_last_day: u64,
    /// Times its actor was started again.
    pub restarts: u64,
}
