//! Stories of single windows with exact numbers, and what holds for all of them.

use std::time::Duration;

use proptest::prelude::*;

use super::{GUARD_MAX, NotUntil, Quota, Taken};
use crate::clock::Moment;
use crate::spec::{DAY, Dimension, Limits, MINUTE, WindowLimit};
use crate::tokens::Tokens;

const TICK: Duration = Duration::from_nanos(1);

fn at_ms(millis: u64) -> Moment {
    Moment::after_start(Duration::from_millis(millis))
}

fn bucket(count: u64, window: Duration, burst: u64) -> WindowLimit {
    WindowLimit { burst: Some(burst), ..WindowLimit::requests(count, window) }
}

fn requests_until(until: Moment) -> Result<Taken, NotUntil> {
    Err(NotUntil { until, dimension: Dimension::Requests })
}

/// Starts `calls` calls, each as early as it may; the moments at which they started.
fn take_greedily(quota: &mut Quota, from: Moment, calls: usize) -> Vec<Moment> {
    let mut now = from;
    let mut started = Vec::new();
    while started.len() < calls {
        match quota.take(now, Tokens::NONE) {
            Ok(taken) => started.push(taken.at()),
            Err(refusal) => now = refusal.until,
        }
    }
    started
}

#[test]
fn without_windows_nothing_is_refused() {
    let mut quota = Quota::new(&[]);
    assert_eq!(quota.available_calls(Moment::ZERO, Tokens::input(1_000)), u32::MAX);
    assert_eq!(quota.next_call_at(Moment::ZERO, Tokens::input(1_000)), Moment::NEVER);
    assert_eq!(quota.permitted_per_second(), None);
    assert!(quota.take(Moment::ZERO, Tokens::input(u64::MAX)).is_ok());
}

#[test]
fn three_hundred_a_minute_with_a_burst_of_five() {
    let mut quota = Quota::new(&Limits::rpm_with_burst(300, 5).windows);
    let started = take_greedily(&mut quota, Moment::ZERO, 150);

    assert_eq!(started[..5], [Moment::ZERO; 5], "the burst goes at once");
    assert_eq!(started[5], at_ms(200) + GUARD_MAX);
    assert_eq!(started[6], at_ms(400) + GUARD_MAX);
    assert_eq!(started[149], at_ms(29_000) + GUARD_MAX, "one guard in total, not one per call");
}

#[test]
fn the_whole_burst_is_back_after_idling() {
    let mut quota = Quota::new(&Limits::rpm_with_burst(300, 5).windows);
    take_greedily(&mut quota, Moment::ZERO, 5);

    let full = at_ms(1_000) + GUARD_MAX;
    assert_eq!(quota.available_calls(full - TICK, Tokens::NONE), 4);
    assert_eq!(quota.available_calls(full, Tokens::NONE), 5);
    let started = take_greedily(&mut quota, at_ms(60_000), 6);
    assert_eq!(started[..5], [at_ms(60_000); 5]);
    assert_eq!(started[5], at_ms(60_200) + GUARD_MAX, "and the next call is guarded again");
}

#[test]
fn a_burst_spent_bit_by_bit_is_not_slowed_down() {
    let mut quota = Quota::new(&Limits::rpm_with_burst(300, 5).windows);
    for call in 0..1_000 {
        assert!(quota.take(at_ms(call * 200), Tokens::NONE).is_ok(), "call {call} at the permitted rate");
    }
}

#[test]
fn a_bucket_of_one_loses_two_percent_to_its_guard() {
    let mut quota = Quota::new(&[bucket(600, MINUTE, 1)]);
    let started = take_greedily(&mut quota, Moment::ZERO, 101);
    assert_eq!(started[100], at_ms(100 * 102));
}

#[test]
fn a_bucket_of_two_absorbs_its_guard() {
    let mut quota = Quota::new(&[bucket(6_000, MINUTE, 2)]);
    let started = take_greedily(&mut quota, Moment::ZERO, 102);
    assert_eq!(started[101], at_ms(100 * 10) + Duration::from_millis(10));
}

#[test]
fn without_a_burst_any_window_counts() {
    let mut quota = Quota::new(&[WindowLimit::requests(3, MINUTE)]);
    for start_ms in [0, 10_000, 59_000] {
        assert!(quota.take(at_ms(start_ms), Tokens::NONE).is_ok());
    }
    assert_eq!(quota.take(at_ms(59_999), Tokens::NONE), requests_until(at_ms(60_000) + GUARD_MAX));
    assert!(quota.take(at_ms(60_000) + GUARD_MAX, Tokens::NONE).is_ok());
    assert_eq!(quota.take(at_ms(61_000), Tokens::NONE), requests_until(at_ms(70_000) + GUARD_MAX));
}

#[test]
fn the_tightest_window_decides_and_is_named() {
    let mut quota = Quota::new(&[
        WindowLimit::requests(60, MINUTE),
        WindowLimit::tokens(1_000, MINUTE),
        WindowLimit::requests(61, DAY),
    ]);
    assert_eq!(quota.available_calls(Moment::ZERO, Tokens::input(300)), 3);
    assert_eq!(quota.permitted_per_second(), Some(1.0), "a day's limit is no pace");
    assert!(quota.take(Moment::ZERO, Tokens::input(900)).is_ok());

    let until = at_ms(60_000) + GUARD_MAX;
    let refusal = NotUntil { until, dimension: Dimension::Tokens };
    assert_eq!(quota.check(at_ms(1), Tokens::input(101)), Err(refusal));
    assert_eq!(quota.check(at_ms(1), Tokens::input(100)), Ok(()));
    take_greedily(&mut quota, at_ms(2), 60);
    assert_eq!(
        quota.check(at_ms(120_000), Tokens::NONE).map_err(|refusal| refusal.until),
        Err(at_ms(86_400_000) + GUARD_MAX)
    );
}

#[test]
fn input_and_output_have_limits_of_their_own() {
    let of = |count, dimension| WindowLimit::tokens(count, MINUTE).of(dimension);
    let mut quota = Quota::new(&[
        of(1_000, Dimension::InputTokens),
        of(100, Dimension::OutputTokens),
        of(1_070, Dimension::Tokens),
    ]);
    let call = |input, output| Tokens { input, output };
    let refused = |quota: &Quota, tokens| quota.check(at_ms(1), tokens).map_err(|no| no.dimension);
    let first = quota.take(Moment::ZERO, call(400, 60)).expect("room");
    assert_eq!(refused(&quota, call(601, 0)), Err(Dimension::InputTokens));
    assert_eq!(refused(&quota, call(0, 41)), Err(Dimension::OutputTokens));
    assert_eq!(refused(&quota, call(580, 31)), Err(Dimension::Tokens));
    assert_eq!(refused(&quota, call(580, 30)), Ok(()));
    quota.settle(first, call(400, 20));
    assert_eq!(refused(&quota, call(550, 80)), Ok(()));
    assert_eq!(quota.available_calls(at_ms(1), call(10, 9)), 8);
    assert!(quota.check(at_ms(1), call(10, 101)).is_err_and(|no| no.never_fits()));
}

#[test]
fn what_there_is_room_for_fits_and_no_token_more() {
    let each = [
        (WindowLimit::tokens(100, MINUTE), 30),
        (WindowLimit::requests(5, MINUTE), u64::MAX),
        (WindowLimit { dimension: Dimension::OutputTokens, ..WindowLimit::tokens(40, MINUTE) }, 35),
    ];
    let windows: Vec<_> = each.iter().map(|(limit, _)| *limit).collect();
    let mut quota = Quota::new(&windows);
    quota.take(Moment::ZERO, Tokens { input: 55, output: 5 }).expect("the first");
    for (limit, room) in each {
        let mut alone = Quota::new(&[limit]);
        alone.take(Moment::ZERO, Tokens { input: 55, output: 5 }).expect("the first");
        assert_eq!(alone.room_for_output(Moment::ZERO, 10), room);
    }
    assert_eq!(quota.room_for_output(Moment::ZERO, 10), 30, "the tightest one decides");
    assert!(quota.check(Moment::ZERO, Tokens { input: 10, output: 31 }).is_err());
    assert!(quota.check(Moment::ZERO, Tokens { input: 10, output: 30 }).is_ok());
    assert_eq!(quota.room_for_output(Moment::ZERO, 41), 0);
}

#[test]
fn a_call_larger_than_a_window_never_fits() {
    for limit in [
        WindowLimit::tokens(1_000, MINUTE),
        WindowLimit { burst: Some(1_000), ..WindowLimit::tokens(60_000, MINUTE) },
    ] {
        let quota = Quota::new(&[limit]);
        let refusal = quota.check(Moment::ZERO, Tokens::input(1_001)).expect_err("too large");
        assert!(refusal.never_fits());
        assert_eq!(quota.available_calls(Moment::ZERO, Tokens::input(1_001)), 0);
        assert_eq!(quota.next_call_at(Moment::ZERO, Tokens::input(1_001)), Moment::NEVER);
        assert_eq!(quota.check(Moment::ZERO, Tokens::input(1_000)), Ok(()));
    }
}

#[test]
fn settling_corrects_in_both_directions() {
    let mut quota = Quota::new(&[WindowLimit::tokens(1_000, MINUTE)]);
    let first = quota.take(Moment::ZERO, Tokens::input(600)).expect("room");
    assert_eq!(quota.available_calls(at_ms(1), Tokens::input(100)), 4);
    quota.settle(first, Tokens::input(100));
    assert_eq!(quota.available_calls(at_ms(1), Tokens::input(100)), 9);

    let second = quota.take(at_ms(10_000), Tokens::input(100)).expect("room");
    quota.settle(second, Tokens::input(5_000));
    assert_eq!(
        quota.available_calls(at_ms(60_100), Tokens::input(1)),
        0,
        "overdrawn, though the first has left"
    );
    assert_eq!(quota.next_call_at(at_ms(10_001), Tokens::input(1)), at_ms(70_000) + GUARD_MAX);
}

#[test]
fn an_overdrawn_bucket_refills_at_its_own_rate() {
    let tokens = WindowLimit { burst: Some(1_000), ..WindowLimit::tokens(60_000, MINUTE) };
    let mut quota = Quota::new(&[tokens]);
    let call = quota.take(Moment::ZERO, Tokens::input(1_000)).expect("room");
    quota.settle(call, Tokens::input(11_000));
    assert_eq!(quota.next_call_at(at_ms(5), Tokens::input(1)), at_ms(10_001) + GUARD_MAX);
}

#[test]
fn a_call_longer_than_ten_minutes_is_still_charged_but_not_refunded() {
    let tokens = WindowLimit { burst: Some(100), ..WindowLimit::tokens(60, MINUTE) };
    let mut quota = Quota::with_guard(&[tokens], Duration::ZERO);
    let [cheaper, dearer] =
        [10, 10].map(|tokens| quota.take(Moment::ZERO, Tokens::input(tokens)).expect("full"));
    let overdrawn = quota.take(Moment::ZERO, Tokens::input(10)).expect("full");
    quota.settle(overdrawn, Tokens::input(1_000));
    let now = at_ms(920_000);
    let last = quota.take(now, Tokens::NONE).expect("nothing to pay");
    assert_eq!(
        quota.next_call_at(now, Tokens::input(1)),
        at_ms(921_000),
        "1,020 tokens at one a second, with a burst of 100"
    );

    quota.settle(last, Tokens::input(5));
    assert_eq!(
        quota.next_call_at(now, Tokens::input(1)),
        at_ms(926_000),
        "what is too old to be corrected isn't lost"
    );
    quota.settle(cheaper, Tokens::input(1));
    assert_eq!(quota.next_call_at(now, Tokens::input(1)), at_ms(926_000));
    quota.settle(dearer, Tokens::input(30));
    assert_eq!(quota.next_call_at(now, Tokens::input(1)), at_ms(946_000));
}

#[test]
fn giving_back_a_call_that_has_refilled_since_gives_nothing() {
    let mut quota = Quota::with_guard(&[bucket(60, MINUTE, 2)], Duration::ZERO);
    let old = quota.take(Moment::ZERO, Tokens::NONE).expect("full");
    let _ = quota.take(at_ms(10_000), Tokens::NONE).expect("full again");
    quota.give_back(old);
    assert_eq!(quota.available_calls(at_ms(10_000), Tokens::NONE), 1);
    assert_eq!(quota.next_call_at(at_ms(10_000), Tokens::NONE), at_ms(11_000));
}

#[test]
fn a_large_window_keeps_its_promise_though_calls_share_entries() {
    let window = Duration::from_secs(1);
    let mut quota = Quota::new(&[WindowLimit::requests(2_000, window)]);
    let mut started = Vec::new();
    let mut now = Moment::ZERO;
    while now < at_ms(20_000) {
        now = quota.next_call_at(now, Tokens::NONE).min(now + Duration::from_micros(400));
        started.extend(quota.take(now, Tokens::NONE).ok().map(Taken::at));
    }
    assert!(started.windows(2_001).all(|run| run[2_000].since(run[0]) >= window));
    // 40,000 less 1 % for the guard of a short window and 0.2 % for the shared entries.
    assert!(started.len() >= 39_500, "{}", started.len());
}

#[test]
fn extreme_numbers_do_not_overflow() {
    let unending = Duration::MAX;
    let mut quota = Quota::with_guard(
        &[
            bucket(u64::MAX, unending, u64::MAX),
            WindowLimit::requests(u64::MAX, unending),
            WindowLimit { burst: Some(u64::MAX), ..WindowLimit::tokens(1, TICK) },
            WindowLimit { count: 0, burst: Some(0), ..WindowLimit::tokens(0, Duration::ZERO) },
        ],
        unending,
    );
    let taken = quota.take(at_ms(5), Tokens::input(1)).expect("room");
    quota.settle(taken, Tokens::input(u64::MAX));
    assert_eq!(quota.available_calls(Moment::NEVER, Tokens::input(u64::MAX)), 0);
    assert!(quota.next_call_at(at_ms(6), Tokens::input(u64::MAX)).is_never());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(Duration),
    Take(u64),
    GiveBack(prop::sample::Index),
    Settle(prop::sample::Index, u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..400_000_000_u64).prop_map(|nanos| Step::Wait(Duration::from_nanos(nanos))),
        6 => (0..9_u64).prop_map(Step::Take),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => (any::<prop::sample::Index>(), 0..15_u64).prop_map(|(call, tokens)| Step::Settle(call, tokens)),
    ]
}

fn any_window() -> impl Strategy<Value = WindowLimit> {
    let dimension =
        prop_oneof![Just(Dimension::Requests), Just(Dimension::Tokens), Just(Dimension::InputTokens)];
    let burst = prop::option::of(1..12_u64);
    (dimension, 1..20_u64, 1_000_000..3_000_000_000_u64, burst).prop_map(
        |(dimension, count, nanos, burst)| WindowLimit {
            dimension,
            count,
            window: Duration::from_nanos(nanos),
            burst,
        },
    )
}

fn any_guard() -> impl Strategy<Value = Duration> {
    (0..30_u64).prop_map(Duration::from_millis)
}

/// A call that the quota let through, as an onlooker wrote it down.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: Moment,
    tokens: u64,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    UnderWay(Taken),
    Over,
    GivenBack,
}

impl Call {
    fn amount(&self, dimension: Dimension) -> u128 {
        match (self.fate, dimension) {
            (Fate::GivenBack, _) => 0,
            (Fate::UnderWay(_) | Fate::Over, Dimension::Requests) => 1,
            (
                Fate::UnderWay(_) | Fate::Over,
                Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens,
            ) => u128::from(Tokens::input(self.tokens).amount(dimension)),
        }
    }
}

/// The earliest moment at which the limit itself, without any guard, lets
/// `amount` start after `calls`; in nanoseconds × count, by the definition.
fn allowed_from(limit: &WindowLimit, calls: &[Call], amount: u128) -> u128 {
    let (count, window) = (u128::from(limit.count), limit.window.as_nanos());
    let scaled = |call: &Call| call.at.since_start().as_nanos() * count;
    let mut since = amount;
    let mut allowed = 0;
    for call in calls.iter().rev().filter(|call| call.amount(limit.dimension) > 0) {
        since += call.amount(limit.dimension);
        match limit.burst {
            None if since > count => return scaled(call) + window * count,
            None => {}
            Some(burst) => {
                allowed =
                    allowed.max((scaled(call) + since * window).saturating_sub(u128::from(burst) * window));
            }
        }
    }
    allowed
}

/// Follows the steps, calling `inspect` before each one.
fn follow(quota: &mut Quota, steps: &[Step], mut inspect: impl FnMut(&Quota, &[Call], Moment)) {
    let mut now = Moment::ZERO;
    let mut calls: Vec<Call> = Vec::new();
    for step in steps {
        inspect(quota, &calls, now);
        match step {
            Step::Wait(pause) => now += *pause,
            Step::Take(tokens) => {
                if let Ok(taken) = quota.take(now, Tokens::input(*tokens)) {
                    calls.push(Call { at: taken.at(), tokens: *tokens, fate: Fate::UnderWay(taken) });
                }
            }
            Step::GiveBack(which) => {
                if let Some((call, taken)) = under_way(&mut calls, *which) {
                    quota.give_back(taken);
                    call.fate = Fate::GivenBack;
                }
            }
            Step::Settle(which, tokens) => {
                if let Some((call, taken)) = under_way(&mut calls, *which) {
                    quota.settle(taken, Tokens::input(*tokens));
                    (call.tokens, call.fate) = (*tokens, Fate::Over);
                }
            }
        }
    }
}

fn under_way(calls: &mut [Call], which: prop::sample::Index) -> Option<(&mut Call, Taken)> {
    let mut open: Vec<_> = calls
        .iter_mut()
        .filter_map(|call| match call.fate {
            Fate::UnderWay(taken) => Some((call, taken)),
            Fate::Over | Fate::GivenBack => None,
        })
        .collect();
    if open.is_empty() { None } else { Some(open.swap_remove(which.index(open.len()))) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Never too much in any window, and never held back by more than the guard allows for.
    #[test]
    fn a_window_is_never_overspent_nor_held_back_for_nothing(
        limit in any_window(),
        guard in any_guard(),
        tokens in 1..9_u64,
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let amount = Tokens::input(tokens).amount(limit.dimension);
        let capacity = limit.burst.unwrap_or(limit.count);
        let mut quota = Quota::with_guard(&[limit], guard);
        follow(&mut quota, &steps, |quota, calls, now| {
            let allowed = allowed_from(&limit, calls, u128::from(amount));
            let count = u128::from(limit.count);
            let scaled_now = now.since_start().as_nanos() * count;
            match quota.check(now, Tokens::input(tokens)) {
                Ok(()) => assert!(scaled_now >= allowed && amount <= capacity, "too early at {now:?}"),
                Err(refusal) if refusal.never_fits() => assert!(amount > capacity),
                // A log costs one guard. A bucket costs one, and another one for a call of nearly its whole burst.
                Err(_) => assert!(scaled_now < allowed + 2 * guard.as_nanos() * count, "too late at {now:?}"),
            }
        });
    }

    /// `check`, `take`, `available_calls` and `next_call_at` tell the same story, to the nanosecond.
    #[test]
    fn all_questions_get_the_same_answer(
        limits in prop::collection::vec(any_window(), 1..4),
        guard in any_guard(),
        tokens in 0..9_u64,
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut quota = Quota::with_guard(&limits, guard);
        follow(&mut quota, &steps, |quota, _, now| {
            let available = quota.available_calls(now, Tokens::input(tokens));
            let checked = quota.check(now, Tokens::input(tokens));
            assert_eq!(checked.is_ok(), available > 0);
            assert_eq!(quota.clone().take(now, Tokens::input(tokens)).map(drop), checked);

            let mut greedy = quota.clone();
            let started = (0..available.min(50)).filter(|_| greedy.take(now, Tokens::input(tokens)).is_ok()).count();
            assert_eq!(started, available.min(50) as usize);
            if available < 50 {
                assert!(greedy.take(now, Tokens::input(tokens)).is_err(), "one more than promised");
            }

            let next = quota.next_call_at(now, Tokens::input(tokens));
            if let Err(refusal) = checked {
                assert_eq!(refusal.until, next);
            }
            if !next.is_never() {
                assert!(quota.available_calls(next, Tokens::input(tokens)) > available);
                assert_eq!(quota.available_calls((next - TICK).max(now), Tokens::input(tokens)), available);
                if available == 0 {
                    assert!(quota.clone().take(next, Tokens::input(tokens)).is_ok());
                }
            }
        });
    }

    /// Calls given back leave no trace, whatever happened around them.
    #[test]
    fn giving_back_restores_exactly(
        limits in prop::collection::vec(any_window(), 1..4),
        guard in any_guard(),
        steps in prop::collection::vec(any_step(), 1..80),
        later_ns in 0..4_000_000_000_u64,
        taken in prop::collection::vec(0..9_u64, 1..6),
    ) {
        let mut quota = Quota::with_guard(&limits, guard);
        follow(&mut quota, &steps, |before, _, now| {
            let mut after = before.clone();
            let receipts: Vec<_> = taken.iter().filter_map(|tokens| after.take(now, Tokens::input(*tokens)).ok()).collect();
            for receipt in receipts {
                after.give_back(receipt);
            }
            for when in [now, now + Duration::from_nanos(later_ns)] {
                for tokens in 0..9 {
                    assert_eq!(after.available_calls(when, Tokens::input(tokens)), before.available_calls(when, Tokens::input(tokens)));
                    assert_eq!(after.next_call_at(when, Tokens::input(tokens)), before.next_call_at(when, Tokens::input(tokens)));
                }
            }
        });
    }

    /// Delays on the way of up to one guard never make the provider refuse.
    #[test]
    fn the_guard_covers_jitter(
        count in 1..400_u64,
        burst in prop::option::of(2..12_u64),
        pauses_ms in prop::collection::vec(prop_oneof![4 => Just(0), 1 => 0..900_u64], 1..300),
        delays_ms in prop::collection::vec(0..=25_u64, 300),
    ) {
        let limit = WindowLimit { burst, ..WindowLimit::requests(count, Duration::from_secs(10)) };
        let mut quota = Quota::with_guard(&[limit], GUARD_MAX);
        let mut now = Moment::ZERO;
        let mut arrivals: Vec<Call> = Vec::new();
        for (pause_ms, delay_ms) in pauses_ms.iter().zip(&delays_ms) {
            now += Duration::from_millis(*pause_ms);
            now = now.max(take_greedily(&mut quota, now, 1)[0]);
            let arrived = now + Duration::from_millis(*delay_ms);
            arrivals.push(Call { at: arrived, tokens: 0, fate: Fate::Over });
        }
        arrivals.sort_by_key(|call| call.at);
        for (index, call) in arrivals.iter().enumerate() {
            let arrived = call.at.since_start().as_nanos() * u128::from(count);
            prop_assert!(arrived >= allowed_from(&limit, &arrivals[..index], 1), "call {index} came too early");
        }
    }
}
