//! How long calls took.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer calls count as this long: six times the longest that a provider is given by default.
const LONGEST_US: u64 = 3_600_000_000;

/// Latencies with this many exact digits.
#[derive(Clone, Copy, Debug)]
pub(in crate::batch) enum Digits {
    /// For one key among many: 15 kB each.
    Two = 2,
    /// For the run.
    Three = 3,
}

/// Durations of calls.
#[derive(Clone, Debug)]
pub(in crate::batch) struct Latency {
    /// None only if the constants were nonsense; then nothing is told.
    histogram: Option<Histogram<u32>>,
    sum: Duration,
}

/// What share of the calls took how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Bin {
    /// Longer than the bin before, and at most this.
    pub at_most: Duration,
    /// Calls in it.
    pub calls: u64,
}

impl Latency {
    /// Without a call.
    pub(in crate::batch) fn new(digits: Digits) -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, digits as u8).ok();
        Self { histogram, sum: Duration::ZERO }
    }

    /// One more call.
    pub(in crate::batch) fn note(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum = self.sum.saturating_add(took);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(micros.max(1));
        }
    }

    /// How many there are.
    pub(in crate::batch) fn calls(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// Their mean; `None` without a call.
    pub(in crate::batch) fn mean(&self) -> Option<Duration> {
        let calls = self.calls();
        (calls > 0).then(|| self.sum.div_f64(calls as f64))
    }

    /// The time that this percentage of them took at most; `None` without a call.
    pub(in crate::batch) fn percentile(&self, percentile: f64) -> Option<Duration> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_micros(histogram.value_at_percentile(percentile)))
    }

    /// The distribution, `per_tenfold` bins for each power of ten, from the first with calls to the last.
    pub(in crate::batch) fn bins(&self, per_tenfold: u32) -> Vec<Bin> {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Vec::new();
        };
        let step = 10_f64.powf(1.0 / f64::from(per_tenfold));
        // A bin too early is empty and taken off below; starting exactly is at the mercy of rounding.
        let first = ((histogram.min() as f64).log10() * f64::from(per_tenfold)).floor();
        let mut bins = Vec::new();
        let mut edge = 10_f64.powf(first / f64::from(per_tenfold));
        let mut below = 0;
        while below < histogram.len() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most an hour")]
            let micros = edge.round() as u64;
            let up_to = histogram.iter_recorded().take_while(|value| {
                // What can't be told from the edge counts as being at it.
                histogram.lowest_equivalent(value.value_iterated_to()) <= micros
            });
            let up_to: u64 = up_to.map(|value| u64::from(value.count_at_value())).sum();
            bins.push(Bin { at_most: Duration::from_micros(micros), calls: up_to - below });
            below = up_to;
            edge *= step;
        }
        let empty = bins.iter().take_while(|bin| bin.calls == 0).count();
        bins.split_off(empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(millis: &[u64]) -> Latency {
        let mut latency = Latency::new(Digits::Three);
        for millis in millis {
            latency.note(Duration::from_millis(*millis));
        }
        latency
    }

    #[test]
    fn percentiles_are_true_to_three_digits() {
        let millis: Vec<u64> = (1..=1_000).collect();
        let latency = latency(&millis);
        assert_eq!((latency.calls(), latency.mean()), (1_000, Some(Duration::from_micros(500_500))));
        for (percentile, millis) in [(50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (99.9, 999.0)] {
            let told = latency.percentile(percentile).unwrap().as_secs_f64() * 1e3;
            assert!((told / millis - 1.0).abs() < 2e-3, "p{percentile}: {told}");
        }
    }

    #[test]
    fn every_call_is_in_one_bin() {
        let latency = latency(&[1, 2, 3, 15, 15, 90, 100, 101, 7_000]);
        let bins = latency.bins(1);
        let ends: Vec<(u64, u64)> =
            bins.iter().map(|bin| (u64::try_from(bin.at_most.as_millis()).unwrap(), bin.calls)).collect();
        assert_eq!(ends, [(1, 1), (10, 2), (100, 4), (1_000, 1), (10_000, 1)]);
        let fine: u64 = latency.bins(10).iter().map(|bin| bin.calls).sum();
        assert_eq!(fine, 9);
    }

    #[test]
    fn nothing_has_no_figures() {
        let latency = latency(&[]);
        assert_eq!((latency.mean(), latency.percentile(99.0)), (None, None));
        assert!(latency.bins(10).is_empty());
    }
}
