//! How long to wait before the next try, always with some chance in it.
//!
//! Without chance, everybody who failed together would come back together.

use std::time::Duration;

/// A wait that doubles with every failure in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The wait after the first failure, before chance.
    pub base: Duration,
    /// The longest wait, before chance.
    pub max: Duration,
    /// What chance does to it.
    pub jitter: Jitter,
}

/// What chance does to a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Jitter {
    /// Anywhere between half of it and all of it.
    Equal,
    /// Anywhere between 80 % and 120 % of it.
    Fifth,
}

impl Backoff {
    /// A provider's rest: 1 s doubled up to 15 s, ±20 %. Up to 18 s, it stays
    /// well inside the 30 s in which service has to be back after an outage.
    pub const BREAKER_REST: Self =
        Self { base: Duration::from_secs(1), max: Duration::from_secs(15), jitter: Jitter::Fifth };

    /// The same key once more after a transient fault: 200 ms doubled up to
    /// 5 s, about one connection's worth at first.
    pub const TRANSIENT_RETRY: Self =
        Self { base: Duration::from_millis(200), max: Duration::from_secs(5), jitter: Jitter::Equal };

    /// A throttle that named no wait: 1 s doubled up to `max`, the
    /// configuration's [`rate_limit_backoff`](crate::spec::Rotation::rate_limit_backoff).
    pub const fn throttled_without_hint(max: Duration) -> Self {
        Self { base: Duration::from_secs(1), max, jitter: Jitter::Equal }
    }

    /// The wait after `failures_before` earlier failures in a row: 0 for the first.
    pub fn delay(&self, failures_before: u32, rng: &mut fastrand::Rng) -> Duration {
        let full = self.without_jitter(failures_before);
        let (least, spread) = match self.jitter {
            Jitter::Equal => (full / 2, full / 2),
            Jitter::Fifth => (full / 5 * 4, full / 5 * 2),
        };
        least.saturating_add(up_to(spread, rng))
    }

    fn without_jitter(&self, failures_before: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures_before).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

/// A hint is exceeded by up to this part of it, 5 %: the provider's clock may be behind ours.
const HINT_JITTER_SHARE: u32 = 20;
/// An hour's hint must not become an hour and three minutes.
const HINT_JITTER_MAX: Duration = Duration::from_secs(1);

/// A provider's own word on how long to stay away, and up to 5 % more (at most 1 s). Never shorter.
pub fn jitter_on_hint(wait: Duration, rng: &mut fastrand::Rng) -> Duration {
    wait.saturating_add(up_to((wait / HINT_JITTER_SHARE).min(HINT_JITTER_MAX), rng))
}

/// How long after its last refusal an account without money is tried again:
/// a top-up is often minutes away, else days.
pub fn money_probe_after(probes_before: u32) -> Duration {
    const MINUTE_S: u64 = 60;
    const HOUR_S: u64 = 3_600;
    Duration::from_secs(match probes_before {
        0 => 15 * MINUTE_S,
        1 => HOUR_S,
        2 => 6 * HOUR_S,
        _ => 24 * HOUR_S,
    })
}

fn up_to(longest: Duration, rng: &mut fastrand::Rng) -> Duration {
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(0..=nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn waits_double_until_the_longest() {
        let throttle = Backoff::throttled_without_hint(secs(60));
        let waits: Vec<u64> = (0..9).map(|n| throttle.without_jitter(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);

        let rests: Vec<u64> = (0..6).map(|n| Backoff::BREAKER_REST.without_jitter(n).as_secs()).collect();
        assert_eq!(rests, [1, 2, 4, 8, 15, 15]);

        let retries: Vec<u128> =
            (0..7).map(|n| Backoff::TRANSIENT_RETRY.without_jitter(n).as_millis()).collect();
        assert_eq!(retries, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn chance_uses_the_whole_of_its_range() {
        let mut rng = fastrand::Rng::with_seed(1);
        let waits: Vec<_> = (0..1_000).map(|_| Backoff::BREAKER_REST.delay(0, &mut rng)).collect();
        let shortest = waits.iter().min().expect("waits");
        let longest = waits.iter().max().expect("waits");
        assert!((Duration::from_millis(800)..Duration::from_millis(810)).contains(shortest), "{shortest:?}");
        assert!(
            (Duration::from_millis(1_190)..=Duration::from_millis(1_200)).contains(longest),
            "{longest:?}"
        );
    }

    #[test]
    fn an_account_without_money_is_tried_ever_less_often() {
        let hours: Vec<f64> = (0..5).map(|n| money_probe_after(n).as_secs_f64() / 3_600.0).collect();
        assert_eq!(hours, [0.25, 1.0, 6.0, 24.0, 24.0]);
        assert_eq!(money_probe_after(u32::MAX), secs(86_400));
    }

    proptest! {
        #[test]
        fn any_wait_stays_in_its_range(
            base in any::<Duration>(), max in any::<Duration>(), failures in any::<u32>(), seed in any::<u64>(),
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let equal = Backoff { base, max, jitter: Jitter::Equal };
            let full = equal.without_jitter(failures);
            prop_assert!(full <= max);
            let wait = equal.delay(failures, &mut rng);
            prop_assert!(full / 2 <= wait && wait <= full);

            let fifth = Backoff { jitter: Jitter::Fifth, ..equal };
            let wait = fifth.delay(failures, &mut rng);
            prop_assert!(full / 5 * 4 <= wait && wait <= full.saturating_add(full / 5));
        }

        #[test]
        fn a_hint_is_never_shortened(wait in any::<Duration>(), seed in any::<u64>()) {
            let rest = jitter_on_hint(wait, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(rest >= wait);
            prop_assert!(rest <= wait.saturating_add((wait / 20).min(secs(1))));
        }
    }
}
