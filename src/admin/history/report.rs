//! The last minutes and the last failures, as the admin interface tells them.

use keywheel_actors::store::Wall;
use serde::{Deserialize, Serialize};

use crate::admin::event::EventReport;

/// Work over the last minutes, in bins of equal length. Every list has a number for each bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryReport {
    /// When this was put together.
    pub at: Wall,
    /// How long a bin is, in milliseconds.
    pub bin_ms: u64,
    /// When each bin began, oldest first. The last one is still open.
    pub bins: Vec<Wall>,
    /// Since when latencies are told here.
    pub latency_since: Wall,
    /// In order of their names.
    pub providers: Vec<ProviderHistory>,
    /// In order of provider and name.
    pub keys: Vec<KeyHistory>,
}

/// A provider's last minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderHistory {
    /// The provider.
    pub provider: String,
    /// Jobs that waited for it when each bin ended.
    pub queued: Vec<u32>,
    /// Calls that were under way when each bin ended.
    pub in_flight: Vec<u32>,
    /// Jobs that went on to the next provider.
    pub fell_over: Vec<u32>,
    /// Half of the calls that succeeded took no longer, in milliseconds. `None` if there were none.
    pub p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<f64>,
}

/// A key's last minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyHistory {
    /// Its provider.
    pub provider: String,
    /// Its name.
    pub key: String,
    /// Calls made.
    pub calls: Vec<u32>,
    /// Calls that succeeded.
    pub succeeded: Vec<u32>,
    /// Calls that were refused as too fast or beyond a quota.
    pub throttled: Vec<u32>,
    /// Calls that failed otherwise.
    pub failed: Vec<u32>,
    /// Half of the calls that succeeded took no longer, in milliseconds. `None` if there were none.
    pub p50_ms: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<f64>,
}

/// The last failures that are kept in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailuresReport {
    /// Failures that happened since the process began, those that aren't kept any more included.
    pub total: u64,
    /// Events that came too fast to be looked at; there may have been failures among them.
    pub lost: u64,
    /// The last ones, oldest first.
    pub failures: Vec<EventReport>,
}
