//! The least time in which a run could have been done: what its real time is measured by.

use std::time::Duration;

use keywheel_actors::spec::{Dimension, Limits, WindowLimit};

/// What one account could give: a key of its own, or all keys of one quota group together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyCapacity {
    /// The limits declared for it. Calls at once and tokens are left out of account.
    pub limits: Limits,
    /// When it stopped working, from the start of the run. `None`: it works still. Zero: it never did.
    pub dead_from: Option<Duration>,
}

/// The least time in which `keys` can make `calls`, however cleverly they are used.
///
/// A token bucket of `burst` gives `burst` at once and the rest at its rate. A limit of N per window
/// without burst gives N in each window that has begun. The tightest limit of a key counts.
///
/// `None` if a key that worked has no limit on requests, for then nothing but the provider's own speed
/// bounds the run, or if the keys died before they could have made so many calls.
pub fn ideal(calls: u64, keys: &[KeyCapacity]) -> Option<Duration> {
    ideal_by(Dimension::Requests, calls, keys)
}

/// The same for whatever limits count: the least time in which `keys` give `need` of it.
pub(in crate::batch) fn ideal_by(dimension: Dimension, need: u64, keys: &[KeyCapacity]) -> Option<Duration> {
    let working: Vec<_> = keys.iter().filter(|key| key.dead_from != Some(Duration::ZERO)).collect();
    if working.iter().any(|key| windows(key, dimension).next().is_none()) {
        return None;
    }
    let given = |nanos: u64| working.iter().map(|key| capacity(key, dimension, nanos)).sum::<u128>();
    let enough = |nanos: u64| given(nanos) >= u128::from(need);
    if !enough(u64::MAX) {
        return None;
    }
    // Capacity never shrinks with time, so halving the interval finds the least moment to the nanosecond.
    let (mut too_early, mut in_time) = (0, u64::MAX);
    if enough(0) {
        return Some(Duration::ZERO);
    }
    while in_time - too_early > 1 {
        let middle = too_early + (in_time - too_early) / 2;
        if enough(middle) {
            in_time = middle;
        } else {
            too_early = middle;
        }
    }
    Some(Duration::from_nanos(in_time))
}

/// What a key can have given by `nanos` after the start.
fn capacity(key: &KeyCapacity, dimension: Dimension, nanos: u64) -> u128 {
    let worked = key.dead_from.map_or(u128::from(nanos), |dead| dead.as_nanos().min(u128::from(nanos)));
    windows(key, dimension).map(|window| window_capacity(window, worked)).min().unwrap_or(0)
}

fn window_capacity(limit: &WindowLimit, nanos: u128) -> u128 {
    let count = u128::from(limit.count);
    let window = limit.window.as_nanos().max(1);
    match limit.burst {
        Some(burst) => u128::from(burst) + count * nanos / window,
        None => count * (nanos / window + 1),
    }
}

fn windows(key: &KeyCapacity, dimension: Dimension) -> impl Iterator<Item = &WindowLimit> {
    key.limits.windows.iter().filter(move |limit| limit.dimension == dimension)
}

#[cfg(test)]
mod tests {
    use keywheel_actors::spec::{DAY, MINUTE};
    use proptest::prelude::*;

    use super::*;

    fn alive(limits: Limits) -> KeyCapacity {
        KeyCapacity { limits, dead_from: None }
    }

    fn dead_from(limits: Limits, seconds: u64) -> KeyCapacity {
        KeyCapacity { limits, dead_from: Some(Duration::from_secs(seconds)) }
    }

    /// 300 a minute, five at once: 5 + 5 a second.
    fn five_a_second() -> Limits {
        Limits::rpm_with_burst(300, 5)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn buckets_give_their_burst_and_then_their_rate() {
        assert_eq!(ideal(1_500, &vec![alive(five_a_second()); 10]), Some(secs(29)));
        assert_eq!(ideal(150, &[alive(five_a_second())]), Some(secs(29)));
        assert_eq!(ideal(5, &[alive(five_a_second())]), Some(secs(0)));
        assert_eq!(ideal(6, &[alive(five_a_second())]), Some(Duration::from_millis(200)));
        assert_eq!(ideal(0, &[alive(five_a_second())]), Some(secs(0)));
    }

    #[test]
    fn windows_give_all_they_have_when_they_begin() {
        let hundred = alive(Limits::default().and(WindowLimit::requests(100, MINUTE)));
        assert_eq!(ideal(100, std::slice::from_ref(&hundred)), Some(secs(0)));
        assert_eq!(ideal(101, std::slice::from_ref(&hundred)), Some(secs(60)));
        assert_eq!(ideal(500, &[hundred.clone(), hundred]), Some(secs(120)));
    }

    #[test]
    fn the_tightest_limit_counts_and_tokens_do_not() {
        let limits = five_a_second().and(WindowLimit::requests(50, DAY)).and(WindowLimit::tokens(1, MINUTE));
        assert_eq!(ideal(50, &[alive(limits.clone())]), Some(secs(9)));
        assert_eq!(ideal(51, &[alive(limits)]), Some(secs(86_400)));
    }

    #[test]
    fn the_dead_give_what_they_gave() {
        let half = [alive(five_a_second()), dead_from(five_a_second(), 9)];
        assert_eq!(ideal(100, &half), Some(secs(9)), "both to the end");
        assert_eq!(ideal(200, &half), Some(secs(29)), "50 of the dead one, 150 of the other");
        let never_worked = [alive(five_a_second()), dead_from(five_a_second(), 0)];
        assert_eq!(ideal(150, &never_worked), Some(secs(29)));
        assert_eq!(ideal(51, &[dead_from(five_a_second(), 9)]), None, "nobody could have made the last call");
    }

    #[test]
    fn without_limits_there_is_no_ideal() {
        let boundless = Limits { windows: Vec::new(), concurrency: Some(4) };
        assert_eq!(ideal(10, &[alive(five_a_second()), alive(boundless.clone())]), None);
        assert_eq!(ideal(10, &[alive(five_a_second()), dead_from(boundless.clone(), 3)]), None);
        assert_eq!(ideal(10, &[alive(five_a_second()), dead_from(boundless, 0)]), Some(secs(1)));
        assert_eq!(ideal(10, &[]), None);
    }

    proptest! {
        #[test]
        fn it_is_the_least_time(
            calls in 1_u64..100_000,
            limits in prop::collection::vec((1_u64..1_000, prop::option::of(1_u64..50), prop::option::of(0_u64..100)), 1..6),
        ) {
            let keys: Vec<_> = limits
                .into_iter()
                .map(|(count, burst, dead)| KeyCapacity {
                    limits: Limits::default().and(WindowLimit { burst, ..WindowLimit::requests(count, MINUTE) }),
                    dead_from: dead.map(Duration::from_secs),
                })
                .collect();
            let given = |nanos: u64| {
                keys.iter().filter(|key| key.dead_from != Some(Duration::ZERO)).map(|key| capacity(key, Dimension::Requests, nanos)).sum::<u128>()
            };
            if let Some(time) = ideal(calls, &keys) {
                let nanos = u64::try_from(time.as_nanos()).unwrap();
                prop_assert!(given(nanos) >= u128::from(calls));
                prop_assert!(nanos == 0 || given(nanos - 1) < u128::from(calls));
            }
        }
    }
}
