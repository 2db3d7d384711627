//! How long answers take, drawn from a distribution.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use keywheel_actors::unit::{format_duration, parse_duration};
use serde::Deserialize;

/// How far the 99th percentile of a normal distribution lies from its middle, in standard deviations.
const P99_DEVIATIONS: f64 = 2.326_347_874_040_840_8;

/// A distribution of durations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Anything between the two, all equally likely.
    Uniform {
        /// The shortest.
        from: Duration,
        /// The longest.
        to: Duration,
    },
    /// Many short ones and a long tail, as real providers have it.
    LogNormal {
        /// Half of them are shorter.
        median: Duration,
        /// One in a hundred is longer.
        p99: Duration,
    },
}

impl Latency {
    /// None at all; served without a timer.
    pub const NONE: Self = Self::Fixed(Duration::ZERO);

    /// The next duration.
    pub fn draw(&self, rng: &mut fastrand::Rng) -> Duration {
        match *self {
            Self::Fixed(latency) => latency,
            Self::Uniform { from, to } => from + to.saturating_sub(from).mul_f64(rng.f64()),
            Self::LogNormal { median, p99 } => {
                let spread = (p99.as_secs_f64() / median.as_secs_f64()).ln() / P99_DEVIATIONS;
                median.mul_f64((spread * standard_normal(rng)).exp())
            }
        }
    }

    /// What makes it impossible, in a sentence.
    pub(crate) fn mistake(&self) -> Option<String> {
        match *self {
            Self::Fixed(_) => None,
            Self::Uniform { from, to } => {
                (from > to).then(|| format!("the latency {self} ends before it begins"))
            }
            Self::LogNormal { median, p99 } => (median.is_zero() || p99 < median)
                .then(|| format!("the latency `{self}` needs a median above zero and a p99 not below it")),
        }
    }
}

/// Box and Muller's method: two even draws make a normal one.
fn standard_normal(rng: &mut fastrand::Rng) -> f64 {
    // 1 − u is never 0, whose logarithm would be infinite.
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (TAU * rng.f64()).cos()
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed(latency) => f.write_str(&format_duration(latency)),
            Self::Uniform { from, to } => write!(f, "{}..{}", format_duration(from), format_duration(to)),
            Self::LogNormal { median, p99 } => {
                write!(f, "median {} p99 {}", format_duration(median), format_duration(p99))
            }
        }
    }
}

/// A text that is no latency.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no latency; hint: write `50ms`, `40ms..60ms` or `median 50ms p99 400ms`")]
pub struct BadLatency(String);

impl FromStr for Latency {
    type Err = BadLatency;

    fn from_str(text: &str) -> Result<Self, BadLatency> {
        read(text).filter(|latency| latency.mistake().is_none()).ok_or_else(|| BadLatency(text.to_owned()))
    }
}

impl TryFrom<String> for Latency {
    type Error = BadLatency;

    fn try_from(text: String) -> Result<Self, BadLatency> {
        text.parse()
    }
}

fn read(text: &str) -> Option<Latency> {
    if let Some((from, to)) = text.split_once("..") {
        return Some(Latency::Uniform { from: parse_duration(from)?, to: parse_duration(to)? });
    }
    if let Some(rest) = text.trim().strip_prefix("median") {
        let (median, p99) = rest.split_once("p99")?;
        return Some(Latency::LogNormal { median: parse_duration(median)?, p99: parse_duration(p99)? });
    }
    parse_duration(text).map(Latency::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn drawn(latency: Latency) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut drawn: Vec<_> = (0..20_000).map(|_| latency.draw(&mut rng)).collect();
        drawn.sort();
        drawn
    }

    #[test]
    fn reads_what_it_writes() {
        for (text, latency) in [
            ("50ms", Latency::Fixed(millis(50))),
            ("40ms..60ms", Latency::Uniform { from: millis(40), to: millis(60) }),
            ("median 50ms p99 400ms", Latency::LogNormal { median: millis(50), p99: millis(400) }),
        ] {
            assert_eq!(text.parse(), Ok(latency));
            assert_eq!(latency.to_string(), text);
        }
        for text in ["", "50", "60ms..40ms", "median 0ms p99 1s", "median 2s p99 1s", "p99 1s"] {
            assert_eq!(text.parse::<Latency>(), Err(BadLatency(text.to_owned())));
        }
    }

    #[test]
    fn uniform_fills_its_range_evenly() {
        let drawn = drawn(Latency::Uniform { from: millis(40), to: millis(60) });
        assert!(drawn[0] >= millis(40) && drawn[19_999] <= millis(60));
        assert!(drawn[10_000].abs_diff(millis(50)) < Duration::from_micros(500), "{:?}", drawn[10_000]);
    }

    #[test]
    fn log_normal_meets_its_median_and_p99() {
        let drawn = drawn(Latency::LogNormal { median: millis(50), p99: millis(400) });
        assert!(drawn[10_000].abs_diff(millis(50)) < millis(2), "{:?}", drawn[10_000]);
        assert!(drawn[19_800].abs_diff(millis(400)) < millis(40), "{:?}", drawn[19_800]);
    }

    #[test]
    fn the_same_seed_gives_the_same_latencies() {
        let latency = Latency::LogNormal { median: millis(50), p99: millis(400) };
        assert_eq!(drawn(latency), drawn(latency));
    }
}
