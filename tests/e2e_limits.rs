//! Limits that the wheel was told of: used to the full, never overstepped.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel::sim::{LimitSpec, Outcome, Shape, SimSpec};
use keywheel_actors::clock::Moment;
use keywheel_actors::policy::quota::default_guard;
use keywheel_actors::spec::{Limits, WindowLimit};

use support::{Scenario, Seen, World, millis};

/// When each key was called, by the wheel's own clock, in order.
fn calls_by_key(seen: &[Seen]) -> BTreeMap<String, Vec<Moment>> {
    let mut calls = BTreeMap::<_, Vec<_>>::new();
    for attempt in seen.iter().flat_map(Seen::attempts) {
        calls.entry(attempt.key.to_string()).or_default().push(attempt.started);
    }
    for calls in calls.values_mut() {
        calls.sort();
    }
    calls
}

/// How much longer the slowest call was on its way to the provider than the fastest.
fn jitter(world: &World, seen: &[Seen]) -> Duration {
    let ledger = world.ledger();
    let arrived = |job: &Seen| Moment::after_start(millis(ledger.request(&job.id)[0].at_ms));
    // The clocks began at different times, so only differences of these mean anything.
    let skew = Duration::from_secs(3_600);
    let delays = seen.iter().map(|job| (arrived(job) + skew).since(job.attempts()[0].started));
    let (least, most) = delays
        .fold((Duration::MAX, Duration::ZERO), |(least, most), delay| (least.min(delay), most.max(delay)));
    // The books keep whole milliseconds.
    most.saturating_sub(least) + millis(1)
}

/// A call that overtakes an earlier one by more than the guard is not ours to prevent: then a machine
/// under load was that much slower for one call than for another. Otherwise nothing was refused.
fn assert_nothing_refused(world: &World, seen: &[Seen], window: Duration, peak_max: u64) {
    let ledger = world.ledger();
    for limit in ledger.keys.iter().flat_map(|key| &key.limits) {
        assert!(limit.peak_is_exact && limit.peak <= peak_max, "{limit:?}");
    }
    let (jitter, guard) = (jitter(world, seen), default_guard(window));
    let throttled = ledger.count(Outcome::Throttled);
    assert!(throttled == 0 || jitter > guard, "{throttled} refused at a jitter of {jitter:?}");
}

#[tokio::test]
async fn a_limit_holds_in_every_window() {
    let (count, window) = (10, Duration::from_secs(2));
    let declared = Limits::default().and(WindowLimit::requests(count, window));
    let sim = SimSpec::with_keys(2).limited(LimitSpec::requests(count, window));
    let world = Scenario::of(sim).each_key(|key| key.limits = declared.clone()).start();

    // Two full windows of both keys.
    let seen = world.send_many("r", 40).await;
    world.assert_each_accepted_once(&seen);
    world.assert_books_agree(&seen);
    for calls in calls_by_key(&seen).values() {
        for calls in calls.windows(11) {
            assert!(calls[10] >= calls[0] + window, "eleven calls within a window: {calls:?}");
        }
    }
    assert_nothing_refused(&world, &seen, window, count);
}

#[tokio::test]
async fn a_declared_burst_means_a_token_bucket() {
    let (count, window, burst) = (20, Duration::from_secs(1), 4);
    let declared =
        Limits::default().and(WindowLimit { burst: Some(burst), ..WindowLimit::requests(count, window) });
    let bucket = LimitSpec::requests(count, window).shaped(Shape::TokenBucket { burst });
    let sim = SimSpec::with_keys(2).limited(bucket);
    let world = Scenario::of(sim).each_key(|key| key.limits = declared.clone()).start();

    let seen = world.send_many("r", 80).await;
    world.assert_each_accepted_once(&seen);
    world.assert_books_agree(&seen);
    for calls in calls_by_key(&seen).values() {
        for (first, from) in calls.iter().enumerate() {
            for (last, to) in calls.iter().enumerate().skip(first) {
                let made = (last - first + 1) as u128;
                let refilled = to.since(*from).as_nanos() * u128::from(count);
                let granted = u128::from(burst) * window.as_nanos() + refilled;
                assert!(made * window.as_nanos() <= granted, "{made} calls from {from:?} to {to:?}");
            }
        }
    }
    assert_nothing_refused(&world, &seen, window, count + burst);
}

#[tokio::test]
async fn keys_of_one_quota_group_share_its_limit() {
    let (count, window) = (8, Duration::from_secs(2));
    let declared = Limits::default().and(WindowLimit::requests(count, window));
    let org = |key: keywheel::sim::KeySpec| key.in_group("org");
    let limit = LimitSpec::requests(count, window);
    let sim = SimSpec::with_keys(2).limited(limit).key(0, org).key(1, org);
    let world = Scenario::of(sim).each_key(|key| key.limits = declared.clone()).start();

    let seen = world.send_many("r", 12).await;
    world.assert_each_accepted_once(&seen);
    let mut calls: Vec<Moment> = calls_by_key(&seen).into_values().flatten().collect();
    calls.sort();
    for calls in calls.windows(9) {
        assert!(calls[8] >= calls[0] + window, "nine calls of the group within a window: {calls:?}");
    }
    assert_nothing_refused(&world, &seen, window, count);
}
