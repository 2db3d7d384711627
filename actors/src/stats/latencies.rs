//! How long calls took, in a histogram that merges, fits any store, and never grows beyond a page.
//!
//! A bucket's number is found with shifts, and buckets that nothing fell into take no room: a call costs
//! one step in a small tree. `hdrhistogram` would do, but its form on disk is opaque and its memory dense.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Each power of two is cut into so many buckets (as a power of two): a bucket is at most 1/32 wide, so
/// that what is read out is at most 3.2 % more than what went in.
const CUTS_LOG2: u32 = 5;
const CUTS: u64 = 1 << CUTS_LOG2;

/// Longer calls count as this long: six times the longest that a provider is given by default.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Latencies of calls, to about 3 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latencies {
    /// How many fell into each bucket; at most 886 of them.
    buckets: BTreeMap<u16, u64>,
    /// The longest, exactly.
    max_us: u64,
}

/// The usual figures of a distribution. All zero for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of them took no longer.
    pub p50: Duration,
    /// Nine of ten took no longer.
    pub p90: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// None took longer.
    pub max: Duration,
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        *self.buckets.entry(bucket_of(micros)).or_default() += 1;
        self.max_us = self.max_us.max(micros);
    }

    /// Adds those of another one.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.max_us = self.max_us.max(other.max_us);
    }

    /// Those that were counted since this was `earlier`. Of the longest nobody knows when it was: it is taken to
    /// be among them.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket| earlier.buckets.get(bucket).copied().unwrap_or_default();
        let buckets =
            self.buckets.iter().map(|(bucket, count)| (*bucket, count.saturating_sub(before(bucket))));
        Self { buckets: buckets.filter(|(_, count)| *count > 0).collect(), max_us: self.max_us }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// The usual figures.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50: self.percentile(50),
            p90: self.percentile(90),
            p99: self.percentile(99),
            max: Duration::from_micros(self.max_us),
        }
    }

    /// What so many of a hundred didn't exceed: the nearest rank, as the upper end of its bucket.
    pub fn percentile(&self, percent: u64) -> Duration {
        let count = self.count();
        let rank = (count * percent.min(100)).div_ceil(100).max(1);
        let mut below = 0;
        let bucket = self.buckets.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        let micros = bucket.map_or(0, |(bucket, _)| largest_in(*bucket).min(self.max_us));
        Duration::from_micros(micros)
    }
}

/// Numbers under 32 have a bucket each; from there on 32 buckets share each power of two.
fn bucket_of(micros: u64) -> u16 {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(CUTS_LOG2 + 1);
    // The leading bit stands for the power, the 5 bits behind it for the bucket inside.
    let bucket = u64::from(shift) * CUTS + (micros >> shift);
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

fn largest_in(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let shift = (bucket / CUTS).saturating_sub(1);
    let leading = bucket - shift * CUTS;
    // Buckets read from a file may be anything.
    let above = u32::try_from(shift).ok().and_then(|shift| (leading + 1).checked_shl(shift));
    above.map_or(u64::MAX, |above| above.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_since_is_what_was_added() {
        let (before, more) = (of(&[10, 20, 5_000]), of(&[20, 7, 300_000]));
        let mut after = before.clone();
        after.merge(&more);
        assert_eq!(after.since(&before), more);
        assert_eq!(after.since(&after).count(), 0);
    }

    fn of(micros: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        for micros in micros {
            latencies.record(Duration::from_micros(*micros));
        }
        latencies
    }

    #[test]
    fn buckets_join_without_a_gap() {
        for bucket in 0..900 {
            let last = largest_in(bucket);
            assert_eq!((bucket_of(last), bucket_of(last + 1)), (bucket, bucket + 1));
        }
        assert_eq!(bucket_of(3_600_000_000), 885, "the bound that the documentation names");
    }

    #[test]
    fn nothing_took_no_time_and_one_is_exact() {
        assert_eq!(of(&[]).percentiles(), Percentiles::default());
        let one = Duration::from_micros(123_457);
        let all = Percentiles { p50: one, p90: one, p99: one, max: one };
        assert_eq!(of(&[123_457]).percentiles(), all);
        assert_eq!(of(&[u64::MAX]).percentiles().max, LONGEST);
    }

    #[test]
    fn a_hundred_calls_have_the_percentiles_that_one_counts() {
        // 1 ms to 100 ms; each figure is the upper end of its bucket.
        let all: Vec<u64> = (1..=100).map(|millis| millis * 1_000).collect();
        let found = of(&all).percentiles();
        let micros = [found.p50, found.p90, found.p99, found.max].map(|figure| figure.as_micros());
        assert_eq!(micros, [50_175, 90_111, 100_000, 100_000]);
    }

    #[test]
    fn whatever_a_file_says_is_read_out_without_a_panic() {
        let odd: Latencies = serde_json::from_str(r#"{"buckets":{"65535":1},"max_us":7}"#).unwrap();
        assert_eq!(odd.percentiles().p99, Duration::from_micros(7));
    }

    proptest! {
        #[test]
        fn merging_is_recording_all(
            one in prop::collection::vec(0_u64..4_000_000_000, 0..60),
            other in prop::collection::vec(0_u64..4_000_000_000, 0..60),
        ) {
            let mut merged = of(&one);
            merged.merge(&of(&other));
            let all = of(&[one.clone(), other.clone()].concat());
            prop_assert_eq!(&merged, &all);
            let mut turned = of(&other);
            turned.merge(&of(&one));
            prop_assert_eq!(&turned, &all);
            prop_assert_eq!(all.count(), (one.len() + other.len()) as u64);
            let json = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(serde_json::from_str::<Latencies>(&json).unwrap(), all);
        }

        #[test]
        fn a_percentile_is_never_less_and_at_most_a_32nd_more(
            mut all in prop::collection::vec(0_u64..3_600_000_000, 1..200),
            percent in 1_u64..=100,
        ) {
            let found = u64::try_from(of(&all).percentile(percent).as_micros()).unwrap();
            all.sort_unstable();
            let rank = (all.len() * usize::try_from(percent).unwrap()).div_ceil(100);
            let exact = all[rank - 1];
            prop_assert!(found >= exact && found <= exact + exact / 32, "{found} for {exact}");
        }
    }
}
