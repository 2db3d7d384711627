//! Faults that come by chance.

use std::time::Duration;

use serde::Deserialize;

use super::file::read_duration;

/// Which share of calls fails, and how; the rest is served. Shares are from 0 to 1 and add up to at most 1.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRates {
    /// Answered with 500.
    pub error: f64,
    /// Answered with 503: no capacity.
    pub overloaded: f64,
    /// The connection closes in the middle of the answer.
    pub cut: f64,
    /// Nothing comes for [`FaultRates::stall_for`]: before a plain answer, in the middle of a stream.
    pub stall: f64,
    /// An error object inside an answer of status 200: in the middle of a stream, or as the whole body.
    pub in_band: f64,
    /// A proper answer whose text ends in the middle, as if the model had reached its token limit.
    pub cut_short: f64,
    /// How long a stalled answer is silent before it goes on.
    #[serde(deserialize_with = "read_duration")]
    pub stall_for: Duration,
}

impl Default for FaultRates {
    fn default() -> Self {
        Self {
            error: 0.0,
            overloaded: 0.0,
            cut: 0.0,
            stall: 0.0,
            in_band: 0.0,
            cut_short: 0.0,
            // Longer than the idle timeouts in use (Keywheel's own is 20 s).
            stall_for: Duration::from_secs(30),
        }
    }
}

/// One way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mishap {
    Error,
    Overloaded,
    Cut,
    /// For so long.
    Stall(Duration),
    InBand,
    CutShort,
}

impl FaultRates {
    fn shares(&self) -> [(f64, Mishap); 6] {
        [
            (self.error, Mishap::Error),
            (self.overloaded, Mishap::Overloaded),
            (self.cut, Mishap::Cut),
            (self.stall, Mishap::Stall(self.stall_for)),
            (self.in_band, Mishap::InBand),
            (self.cut_short, Mishap::CutShort),
        ]
    }

    /// Whether the next call fails, and how.
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> Option<Mishap> {
        let mut left = rng.f64();
        for (share, mishap) in self.shares() {
            if left < share {
                return Some(mishap);
            }
            left -= share;
        }
        None
    }

    /// What makes them impossible, in a sentence.
    pub(crate) fn mistake(&self) -> Option<String> {
        let shares = self.shares().map(|(share, _)| share);
        let possible = shares.iter().all(|share| (0.0..=1.0).contains(share));
        // Room for the rounding of decimal fractions such as 0.1 + 0.2.
        let together = shares.iter().sum::<f64>() <= 1.0 + 1e-9;
        (!possible || !together).then(|| "fault rates are shares from 0 to 1, together at most 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_comes_as_often_as_asked() {
        let rates = FaultRates { error: 0.1, cut: 0.2, in_band: 0.05, ..FaultRates::default() };
        let mut rng = fastrand::Rng::with_seed(1);
        let drawn: Vec<_> = (0..100_000).map(|_| rates.draw(&mut rng)).collect();
        let share = |what| drawn.iter().filter(|mishap| **mishap == what).count() as f64 / 1e5;
        for (what, expected) in [
            (Some(Mishap::Error), 0.1),
            (Some(Mishap::Overloaded), 0.0),
            (Some(Mishap::Cut), 0.2),
            (Some(Mishap::Stall(Duration::from_secs(30))), 0.0),
            (Some(Mishap::InBand), 0.05),
            (None, 0.65),
        ] {
            assert!((share(what) - expected).abs() < 0.005, "{what:?}: {}", share(what));
        }
    }

    #[test]
    fn all_or_nothing_is_exact() {
        let mut rng = fastrand::Rng::with_seed(1);
        let always = FaultRates { stall: 1.0, ..FaultRates::default() };
        for _ in 0..1_000 {
            assert_eq!(always.draw(&mut rng), Some(Mishap::Stall(Duration::from_secs(30))));
            assert_eq!(FaultRates::default().draw(&mut rng), None);
        }
    }

    #[test]
    fn more_than_everything_is_a_mistake() {
        assert_eq!(FaultRates::default().mistake(), None);
        assert!(FaultRates { error: 0.6, cut: 0.6, ..FaultRates::default() }.mistake().is_some());
        assert!(FaultRates { error: -0.1, ..FaultRates::default() }.mistake().is_some());
        assert!(FaultRates { error: f64::NAN, ..FaultRates::default() }.mistake().is_some());
    }
}
