//! Exact numbers, and properties over any arrivals.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn millis(millis: u64) -> Moment {
    Moment::after_start(Duration::from_millis(millis))
}

fn limit(count: u64, shape: Shape) -> Limit {
    Limit::new(LimitSpec::requests(count, MINUTE).shaped(shape))
}

/// Takes `cost` if it fits.
fn accept(limit: &mut Limit, now: Moment, cost: u64) -> Fit {
    let fit = limit.fit(now, cost);
    if fit == Fit::Now {
        limit.take(now, cost);
    }
    fit
}

#[test]
fn a_token_bucket_lets_a_burst_through_and_then_its_rate() {
    let mut limit = limit(300, Shape::TokenBucket { burst: 5 });
    for _ in 0..5 {
        assert_eq!(accept(&mut limit, millis(0), 1), Fit::Now);
    }
    assert_eq!(accept(&mut limit, millis(0), 1), Fit::At(millis(200)));
    assert_eq!(accept(&mut limit, millis(200) - NANO, 1), Fit::At(millis(200)));
    assert_eq!(accept(&mut limit, millis(200), 1), Fit::Now);
    assert_eq!(limit.remaining(millis(600)), 2);
    assert_eq!(limit.full_at(millis(600)), millis(1_200));
    assert_eq!(limit.fit(millis(600), 6), Fit::Never);
}

#[test]
fn an_interval_that_is_no_whole_number_is_rounded_up_once_a_request() {
    let mut limit = limit(7, Shape::TokenBucket { burst: 1 });
    let mut now = Moment::ZERO;
    for _ in 0..70 {
        assert_eq!(accept(&mut limit, now, 1), Fit::Now);
        let Fit::At(next) = limit.fit(now, 1) else { panic!("the burst is one") };
        now = next;
    }
    assert_eq!(now, Moment::after_start(70 * Duration::from_nanos(8_571_428_572)));
}

#[test]
fn a_fixed_window_starts_again_at_multiples_of_its_length() {
    let mut limit = limit(2, Shape::FixedWindow);
    assert_eq!(accept(&mut limit, millis(59_000), 1), Fit::Now);
    assert_eq!(accept(&mut limit, millis(59_000), 1), Fit::Now);
    assert_eq!(accept(&mut limit, millis(59_999), 1), Fit::At(millis(60_000)));
    assert_eq!(accept(&mut limit, millis(60_000), 2), Fit::Now);
    assert_eq!(limit.full_at(millis(61_000)), millis(120_000));
    assert_eq!(limit.fit(millis(61_000), 3), Fit::Never);
}

#[test]
fn a_sliding_window_frees_each_request_after_its_length() {
    let mut limit = limit(3, Shape::SlidingWindow);
    for at in [0, 1_000, 2_000] {
        assert_eq!(accept(&mut limit, millis(at), 1), Fit::Now);
    }
    assert_eq!(accept(&mut limit, millis(3_000), 1), Fit::At(millis(60_000)));
    assert_eq!(limit.fit(millis(3_000), 2), Fit::At(millis(61_000)));
    assert_eq!(accept(&mut limit, millis(60_000), 1), Fit::Now);
    assert_eq!(limit.remaining(millis(60_500)), 0);
    assert_eq!(limit.full_at(millis(60_500)), millis(120_000));
}

#[test]
fn a_cut_quota_counts_what_was_taken_before() {
    let mut bucket = limit(600, Shape::TokenBucket { burst: 10 });
    bucket.take(millis(0), 10);
    // Half a second at the old rate gave 5 back; then one a second, and a burst of one.
    bucket.scale(millis(500), 0.1);
    assert_eq!((bucket.count(), bucket.capacity()), (60, 1));
    assert_eq!(bucket.fit(millis(500), 1), Fit::At(millis(5_500)));

    let mut sliding = limit(10, Shape::SlidingWindow);
    sliding.take(millis(0), 5);
    sliding.take(millis(1_000), 1);
    sliding.scale(millis(2_000), 0.1);
    assert_eq!(sliding.fit(millis(2_000), 1), Fit::At(millis(61_000)));
    assert_eq!(sliding.remaining(millis(2_000)), 0);
}

#[test]
fn a_quota_cut_to_nothing_lets_nothing_through_until_it_is_back() {
    for shape in [Shape::TokenBucket { burst: 3 }, Shape::FixedWindow, Shape::SlidingWindow] {
        let mut limit = limit(3, shape);
        limit.take(millis(0), 1);
        limit.scale(millis(0), 0.0);
        assert_eq!(limit.fit(millis(1), 1), Fit::Never);
        assert_eq!(limit.remaining(millis(1)), 0);
        limit.scale(millis(60_000), 1.0);
        assert_eq!(limit.fit(millis(120_000), 2), Fit::Now);
    }
}

#[test]
fn punishing_refusals_keeps_a_hammering_caller_out() {
    let mut sliding = limit(2, Shape::SlidingWindow);
    sliding.take(millis(0), 2);
    for at in (10_000..=50_000).step_by(10_000) {
        assert!(matches!(sliding.fit(millis(at), 1), Fit::At(_)));
        sliding.punish(millis(at), 1);
    }
    // The refusals at 40 s and 50 s alone fill the window of two.
    assert_eq!(sliding.fit(millis(50_000), 1), Fit::At(millis(100_000)));

    let mut bucket = limit(60, Shape::TokenBucket { burst: 2 });
    bucket.take(millis(0), 2);
    bucket.punish(millis(500), 1);
    assert_eq!(bucket.fit(millis(500), 1), Fit::At(millis(1_500)));
}

/// Arrivals: time since the one before, in ms, and cost.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0_u64..8_000, 1_u64..4), 1..200)
}

fn accepted(limit: &mut Limit, arrivals: &[(u64, u64)]) -> Vec<(Moment, u64)> {
    let mut now = 0;
    let mut accepted = Vec::new();
    for (gap, cost) in arrivals {
        now += gap;
        if accept(limit, millis(now), *cost) == Fit::Now {
            accepted.push((millis(now), *cost));
        }
    }
    accepted
}

proptest! {
    #[test]
    fn a_sliding_window_is_never_overspent(arrivals in arrivals(), count in 3_u64..20) {
        let accepted = accepted(&mut limit(count, Shape::SlidingWindow), &arrivals);
        for (start, _) in &accepted {
            let in_window: u64 = accepted
                .iter()
                .filter(|(at, _)| at >= start && at.since(*start) < MINUTE)
                .map(|(_, cost)| cost)
                .sum();
            prop_assert!(in_window <= count);
        }
    }

    #[test]
    fn a_bucket_never_gives_more_than_burst_and_rate(arrivals in arrivals(), count in 3_u64..200, burst in 3_u64..9) {
        let accepted = accepted(&mut limit(count, Shape::TokenBucket { burst }), &arrivals);
        for (first, (start, _)) in accepted.iter().enumerate() {
            let mut sum = 0;
            for (at, cost) in &accepted[first..] {
                sum += u128::from(*cost);
                let earned = at.since(*start).as_nanos() * u128::from(count);
                prop_assert!(sum * MINUTE.as_nanos() <= u128::from(burst) * MINUTE.as_nanos() + earned);
            }
        }
    }

    #[test]
    fn a_fixed_window_holds_in_every_window_of_the_clock(arrivals in arrivals(), count in 3_u64..20) {
        let mut sums = std::collections::BTreeMap::new();
        for (at, cost) in accepted(&mut limit(count, Shape::FixedWindow), &arrivals) {
            *sums.entry(at.since_start().as_secs() / 60).or_insert(0) += cost;
        }
        prop_assert!(sums.values().all(|sum| *sum <= count));
    }

    #[test]
    fn what_is_said_about_waiting_is_exact(
        arrivals in arrivals(),
        count in 3_u64..200,
        cost in 1_u64..4,
        shape in prop_oneof![
            (3_u64..9).prop_map(|burst| Shape::TokenBucket { burst }),
            Just(Shape::FixedWindow),
            Just(Shape::SlidingWindow),
        ],
    ) {
        let mut limit = limit(count, shape);
        accepted(&mut limit, &arrivals);
        let now = millis(arrivals.iter().map(|(gap, _)| gap).sum());
        if let Fit::At(at) = limit.fit(now, cost) {
            prop_assert!(at > now);
            prop_assert_ne!(limit.fit(at - NANO, cost), Fit::Now);
            prop_assert_eq!(limit.fit(at, cost), Fit::Now);
        } else {
            prop_assert!(limit.remaining(now) >= cost);
        }
    }
}
