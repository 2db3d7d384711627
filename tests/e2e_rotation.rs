//! Keys that are throttled, dead or out of money: others serve, and those who rest are left alone.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel::sim::{Change, Conduct, HeaderStyle, Latency, LimitSpec, Outcome, SimSpec};
use keywheel_actors::board::{Cause, KeyState};
use keywheel_actors::clock::Moment;
use keywheel_actors::error::SendError;
use keywheel_actors::event::{Event, EventKind};
use keywheel_actors::outcome::Reason;
use keywheel_actors::request::{Patience, Terms};
use keywheel_actors::spec::Limits;

use support::{Scenario, Seen, World, all, millis};

/// Answers take a few milliseconds, so that several calls are under way at once.
fn keys(count: usize) -> SimSpec {
    SimSpec::with_keys(count).first_byte(Latency::Fixed(millis(5)))
}

fn at_once(calls: u32) -> Limits {
    Limits { concurrency: Some(calls), ..Limits::default() }
}

/// When each key rested, by the wheel's own clock.
fn rests(happened: &[Event]) -> BTreeMap<String, Vec<(Moment, Moment)>> {
    let mut rests = BTreeMap::<_, Vec<_>>::new();
    for event in happened {
        let EventKind::KeyChanged { key, status } = &event.kind else { continue };
        let Some(why) = &status.why else { continue };
        rests.entry(key.to_string()).or_default().push((event.at, why.until.unwrap_or(Moment::NEVER)));
    }
    rests
}

/// No key was called while it rested. The key's actor stamps both, so this is exact; and its record of
/// calls is the provider's.
async fn assert_rests_were_kept(world: &World, seen: &[Seen]) {
    world.settle().await;
    world.assert_books_agree(seen);
    let rests = rests(&world.happened());
    assert!(!rests.is_empty(), "this story is about keys that rest");
    for attempt in seen.iter().flat_map(Seen::attempts) {
        let key = attempt.key.to_string();
        for (from, until) in rests.get(&key).into_iter().flatten() {
            let within = attempt.started > *from && attempt.started < *until;
            assert!(!within, "{key} was called at {:?} and rested {from:?} to {until:?}", attempt.started);
        }
    }
}

#[tokio::test]
async fn throttled_keys_rest_and_others_serve() {
    // Nobody tells the wheel of these limits: it has to run into them.
    let limit = LimitSpec::requests(6, millis(250));
    let silent = SimSpec { headers: HeaderStyle::RetryAfter, ..keys(3) };
    let world = Scenario::of(silent.limited(limit)).start();
    let seen = world.send_many("r", 90).await;
    world.assert_each_accepted_once(&seen);
    assert!(world.ledger().count(Outcome::Throttled) > 0);
    for key in &world.ledger().keys {
        assert!(key.count(Outcome::Served) >= 6, "{key:?}");
    }
    assert_rests_were_kept(&world, &seen).await;
}

#[tokio::test]
async fn a_key_that_never_worked_costs_three_calls_at_most() {
    let world = Scenario::of(keys(3).key(0, |key| key.conducting(Conduct::Invalid))).start();
    let mut seen = world.send_many("r", 60).await;
    let wasted = world.calls("k0", Outcome::BadKey);
    assert!((1..=3).contains(&wasted), "{wasted}");
    let status = world.key("k0").status;
    assert_eq!(status.state, KeyState::Disabled);
    assert_eq!(status.why.expect("a reason").cause, Cause::Fault(Reason::BadCredential));

    seen.extend(world.send_many("later", 30).await);
    assert_eq!(world.calls("k0", Outcome::BadKey), wasted, "a dead key is left alone");
    world.assert_each_accepted_once(&seen);
    assert_rests_were_kept(&world, &seen).await;
}

#[tokio::test]
async fn a_key_that_dies_in_the_middle_is_left_at_once() {
    let world = Scenario::of(keys(3)).each_key(|key| key.limits = at_once(4)).start();
    let jobs = world.spawn_many("r", 200);
    world.until("k0 serves", |world| world.calls("k0", Outcome::Served) >= 10).await;
    world.sim("p").apply(Change::Conduct { key: 0, conduct: Conduct::Invalid }).expect("there is a k0");
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
    let wasted = world.calls("k0", Outcome::BadKey);
    assert!((1..=4).contains(&wasted), "no more than were under way: {wasted}");
    assert_eq!(world.key("k0").status.state, KeyState::Disabled);
    assert_rests_were_kept(&world, &seen).await;
}

#[tokio::test]
async fn an_account_without_money_costs_one_call_for_all_its_keys() {
    let broke = |key: keywheel::sim::KeySpec| key.conducting(Conduct::OutOfMoney).in_group("org");
    let world = Scenario::of(keys(3).key(0, broke).key(1, broke)).start();
    let mut seen = vec![world.send("first").await];
    seen.extend(world.send_many("r", 40).await);
    world.assert_each_accepted_once(&seen);
    assert!(seen.iter().all(|job| job.served_by() == "p/k2"));
    assert_eq!(world.ledger().count(Outcome::MoneyGone), 1, "its sibling shares the empty purse");
    for name in ["k0", "k1"] {
        let status = world.key(name).status;
        assert_eq!(status.state, KeyState::Failed, "{name}");
        assert_eq!(status.why.expect("a reason").cause, Cause::Fault(Reason::MoneyGone));
    }
    assert_rests_were_kept(&world, &seen).await;
}

#[tokio::test]
async fn when_all_keys_rest_jobs_wait_and_go_on() {
    let world = Scenario::of(keys(2).limited(LimitSpec::requests(5, millis(1_600)))).start();
    let jobs = world.spawn_many("r", 20);
    world
        .until("every key rests and jobs wait", |world| {
            let resting = |name| world.key(name).status.state == KeyState::RateLimited;
            let provider = world.provider();
            resting("k0") && resting("k1") && provider.in_flight == 0 && provider.queued > 0
        })
        .await;
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
    assert_rests_were_kept(&world, &seen).await;
}

#[tokio::test]
async fn an_impatient_job_is_told_when_to_come_back() {
    let window = Duration::from_secs(60);
    let world = Scenario::of(keys(1).limited(LimitSpec::requests(1, window))).start();
    world.send("first").await.ending.expect("the one call that the window holds");
    world.until("the key rests", |world| world.key("k0").status.state == KeyState::RateLimited).await;
    let deadline = world.wheel.clock().now() + Duration::from_secs(5);
    let terms = Terms { deadline, patience: Patience::Interactive, ..Terms::default() };
    let seen = all(vec![world.spawn("second", terms)]).await;
    let Err(SendError::Unavailable { retry_after: Some(wait), .. }) = &seen[0].ending else {
        panic!("{seen:?}")
    };
    // The hint may be exceeded by a second of jitter, and the key has rested for a moment already.
    let expected = Duration::from_secs(55)..=Duration::from_secs(61);
    assert!(expected.contains(wait), "{wait:?}");
    assert_eq!(world.ledger().calls, 1, "it was not asked of the provider");
}
