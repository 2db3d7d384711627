//! Buckets of time that grow wider with the run.

use std::ops::AddAssign;
use std::time::Duration;

/// Buckets of a timeline at most: finer than any picture of it.
pub(in crate::batch) const BUCKETS_MAX: usize = 600;

/// Width of a bucket at first: a run of a second has fifty of them.
const WIDTH_AT_FIRST: Duration = Duration::from_millis(20);

/// The common width of all buckets of a chronicle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Axis {
    width: Duration,
}

impl Default for Axis {
    fn default() -> Self {
        Self { width: WIDTH_AT_FIRST }
    }
}

impl Axis {
    /// Width of a bucket.
    pub(in crate::batch) const fn width(self) -> Duration {
        self.width
    }

    /// The bucket that something falls into that was so long after the start.
    pub(in crate::batch) fn bucket(self, after: Duration) -> usize {
        usize::try_from(after.as_nanos() / self.width.as_nanos()).unwrap_or(usize::MAX)
    }

    /// Whether such a bucket is beyond the last one; then every timeline must fold.
    pub(in crate::batch) fn is_short_of(self, after: Duration) -> bool {
        self.bucket(after) >= BUCKETS_MAX
    }

    /// Doubles the width.
    pub(in crate::batch) fn double(&mut self) {
        self.width = self.width.saturating_mul(2);
    }
}

/// One value for each bucket, the first at the start of the run.
#[derive(Clone, PartialEq, Debug, Default)]
pub(in crate::batch) struct Timeline<T> {
    buckets: Vec<T>,
}

impl<T: Copy + Default + AddAssign> Timeline<T> {
    /// Adds `value` to a bucket. What is beyond the last one is left out: fold first.
    pub(in crate::batch) fn add(&mut self, bucket: usize, value: T) {
        if bucket >= BUCKETS_MAX {
            return;
        }
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, T::default());
        }
        self.buckets[bucket] += value;
    }

    /// Makes one bucket of two, all along.
    pub(in crate::batch) fn fold(&mut self) {
        self.buckets = self.merged(2);
    }

    /// The buckets, so many of them made one.
    pub(in crate::batch) fn merged(&self, by: usize) -> Vec<T> {
        let sum = |run: &[T]| {
            let mut sum = T::default();
            for value in run {
                sum += *value;
            }
            sum
        };
        self.buckets.chunks(by.max(1)).map(sum).collect()
    }

    /// All of it.
    pub(in crate::batch) fn total(&self) -> T {
        self.merged(BUCKETS_MAX).first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_is_20_ms_wide_until_12_s_are_full() {
        let axis = Axis::default();
        assert_eq!(axis.bucket(Duration::from_millis(19)), 0);
        assert_eq!(axis.bucket(Duration::from_millis(20)), 1);
        assert!(!axis.is_short_of(Duration::from_millis(11_999)));
        assert!(axis.is_short_of(Duration::from_secs(12)));
    }

    #[test]
    fn two_buckets_become_one() {
        let mut line = Timeline::default();
        for (bucket, value) in [(0, 1_u64), (1, 2), (4, 5), (4, 1)] {
            line.add(bucket, value);
        }
        assert_eq!(line.merged(1), [1, 2, 0, 0, 6]);
        line.fold();
        assert_eq!(line.merged(1), [3, 0, 6]);
        assert_eq!(line.merged(2), [3, 6]);
    }

    proptest! {
        #[test]
        fn widening_loses_nothing_and_keeps_the_order(moments in prop::collection::vec(0_u64..500_000, 1..200)) {
            let (mut axis, mut line) = (Axis::default(), Timeline::default());
            for moment in &moments {
                let after = Duration::from_millis(*moment);
                while axis.is_short_of(after) {
                    axis.double();
                    line.fold();
                }
                line.add(axis.bucket(after), 1_u64);
            }
            prop_assert_eq!(line.total(), moments.len() as u64);
            let buckets = line.merged(1);
            prop_assert!(buckets.len() <= BUCKETS_MAX);
            for (bucket, count) in buckets.iter().enumerate() {
                let inside = moments.iter().filter(|moment| axis.bucket(Duration::from_millis(**moment)) == bucket);
                prop_assert_eq!(inside.count() as u64, *count);
            }
        }
    }
}
