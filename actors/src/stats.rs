//! What the Stats actor has counted, per provider and key.
//!
//! Everything in here is a plain sum, so that two of a kind merge into one: the counters of a provider
//! are those of its keys, and those of this process go on where the last one stopped.

mod by_name;
mod last_day;
mod latencies;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{KeyId, ProviderId};
use crate::outcome::{Reason, Usage};
use crate::store::Wall;

pub use last_day::{Hour, LastDay};
pub use latencies::{Latencies, Percentiles};

/// All counters.
///
/// They are kept over restarts where there is a durable state, unlike the board's, which begin with the
/// process. A call counts when it has ended. Keys report in batches, and all that they have as soon as
/// they have no call under way; while they have some, up to a batch of calls that didn't fail is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsReport {
    /// Per key that has ended a call or been suspended.
    #[serde(with = "by_name")]
    pub keys: BTreeMap<KeyId, KeyStats>,
    /// Jobs that were lost inside the wheel since it started; each was answered with an error.
    pub dead_letters: u64,
}

impl StatsReport {
    /// One key's counters.
    pub fn key(&self, id: &KeyId) -> KeyStats {
        self.keys.get(id).cloned().unwrap_or_default()
    }

    /// The counters of all keys of each provider together.
    pub fn providers(&self) -> BTreeMap<ProviderId, KeyStats> {
        let mut providers: BTreeMap<ProviderId, KeyStats> = BTreeMap::new();
        for (id, stats) in &self.keys {
            providers.entry(id.provider.clone()).or_default().merge(stats);
        }
        providers
    }
}

/// One key's counters, or those of several together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyStats {
    /// Calls that ended, however: those that succeeded, failed and were cancelled.
    pub calls: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that were ended by ourselves or by a caller who left.
    pub cancelled: u64,
    /// Calls that failed, by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// The last 24 hours.
    pub last_day: LastDay,
    /// Tokens used, as far as the provider told.
    pub tokens: Usage,
    /// How long the calls that succeeded took as a whole.
    pub took: Latencies,
    /// How long streams that succeeded took to their first content.
    pub first_content: Latencies,
    /// Time in which it wasn't active, in milliseconds. A rest that is still on counts up to the report.
    pub suspended_ms: u64,
    /// Times its actor was started again.
    pub restarts: u64,
}

impl KeyStats {
    /// Calls that failed, whatever the reason.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Adds the counters of another one.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.succeeded += other.succeeded;
        self.cancelled += other.cancelled;
        add_up(&mut self.failed, &other.failed);
        self.last_day.merge(&other.last_day);
        self.tokens += other.tokens;
        self.took.merge(&other.took);
        self.first_content.merge(&other.first_content);
        self.suspended_ms += other.suspended_ms;
        self.restarts += other.restarts;
    }

    /// Calls that ended without failing, at `now`.
    pub(crate) fn note_calls(&mut self, calls: u64, now: Wall) {
        self.calls += calls;
        self.last_day.hour(now).calls += calls;
    }

    /// A call that failed, at `now`.
    pub(crate) fn note_failure(&mut self, reason: Reason, now: Wall) {
        self.calls += 1;
        *self.failed.entry(reason).or_default() += 1;
        let hour = self.last_day.hour(now);
        hour.calls += 1;
        *hour.failed.entry(reason).or_default() += 1;
    }
}

/// Adds counts by reason to others.
fn add_up(sums: &mut BTreeMap<Reason, u64>, more: &BTreeMap<Reason, u64>) {
    for (reason, count) in more {
        *sums.entry(*reason).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(provider: &str, key: &str) -> KeyId {
        KeyId { provider: provider.into(), key: key.into() }
    }

    fn some(calls: u64) -> KeyStats {
        let mut stats =
            KeyStats { succeeded: calls, suspended_ms: 1_500, restarts: 1, ..KeyStats::default() };
        stats.tokens = Usage { input_tokens: 3 * calls, output_tokens: 4 * calls, cached_tokens: calls };
        stats.note_calls(calls, Wall(7_200_000));
        stats.note_failure(Reason::Throttled, Wall(10_800_000));
        stats.took.record(Duration::from_millis(calls));
        stats.first_content.record(Duration::from_micros(calls));
        stats
    }

    #[test]
    fn a_report_reads_what_it_wrote() {
        let keys = [(key("p", "a"), some(1)), (key("p", "b"), some(2)), (key("q", "a"), KeyStats::default())];
        let report = StatsReport { keys: keys.into(), dead_letters: 5 };
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<StatsReport>(&json).unwrap(), report);
        assert!(json.starts_with(r#"{"keys":{"p":{"a":{"calls":2,"succeeded":1,"#), "{json}");
    }

    #[test]
    fn counters_that_an_older_version_wrote_are_read() {
        let read: KeyStats = serde_json::from_str(r#"{"succeeded":3,"failed":{"cut":1}}"#).unwrap();
        assert_eq!((read.succeeded, read.failures(), read.took.count()), (3, 1, 0));
    }

    #[test]
    fn a_provider_is_the_sum_of_its_keys() {
        let keys = [(key("p", "a"), some(1)), (key("p", "b"), some(2)), (key("q", "a"), some(10))];
        let providers = StatsReport { keys: keys.into(), dead_letters: 0 }.providers();
        let p = &providers[&ProviderId::from("p")];
        assert_eq!((p.calls, p.succeeded, p.failures()), (5, 3, 2));
        assert_eq!((p.last_day.calls(), p.last_day.failures()), (5, 2));
        assert_eq!(p.tokens, Usage { input_tokens: 9, output_tokens: 12, cached_tokens: 3 });
        assert_eq!((p.took.count(), p.took.percentiles().max), (2, Duration::from_millis(2)));
        assert_eq!((p.suspended_ms, p.restarts), (3_000, 2));
        assert_eq!(providers[&ProviderId::from("q")].calls, 11);
    }
}
