//! Let it crash: an actor that panics under load costs neither a job nor a call.
//!
//! What holds, and is asserted here: HTTP runs in tasks of its own, so a call under way outlives the
//! actors that started it, and a job in a crashing mailbox was not yet sent. So every job ends well, and
//! no request reaches the provider twice.

mod support;

use keywheel::sim::{Latency, Outcome, SimSpec};
use keywheel_actors::event::EventKind;
use keywheel_actors::spec::Limits;

use support::{Scenario, World, all, key_id, millis};

/// Jobs of one story: a few hundred.
const JOBS: usize = 400;

/// Three keys with eight calls at once and answers of uneven length.
fn under_load() -> World {
    let latency = Latency::Uniform { from: millis(5), to: millis(25) };
    let scenario = Scenario::of(SimSpec::with_keys(3).first_byte(latency));
    scenario.each_key(|key| key.limits = Limits { concurrency: Some(8), ..Limits::default() }).start()
}

/// Waits until the provider has had so many calls.
async fn calls_made(world: &World, calls: u64) {
    world.until("the load goes on", |world| world.sim("p").ledger().calls >= calls).await;
}

/// Nothing is left of the crash: no call is still counted as under way, no job waits, none was dropped.
async fn assert_all_is_well(world: &World, restarts_expected: fn(&EventKind) -> bool, count: usize) {
    world.settle().await;
    world.until("the queue is empty", |world| world.provider().queued == 0).await;
    world.until("the provider counts nothing", |world| world.provider().in_flight == 0).await;
    assert_eq!(world.wheel.stats().await.expect("Stats lives").dead_letters, 0);
    let restarts = world.happened().iter().filter(|event| restarts_expected(&event.kind)).count();
    assert_eq!(restarts, count);
    // Every key has its places back: with 24 of them, 24 jobs are under way at once.
    let before = world.ledger().calls;
    let seen = world.send_many("after", 24).await;
    world.assert_each_accepted_once(&seen);
    assert_eq!(world.ledger().calls, before + 24);
}

#[tokio::test]
async fn key_actors_that_panic_cost_neither_a_job_nor_a_call() {
    let world = under_load();
    let jobs = world.spawn_many("r", JOBS);
    for (name, calls) in [("k0", 40), ("k1", 120), ("k0", 200), ("k2", 280)] {
        calls_made(&world, calls).await;
        assert!(world.wheel.crash_key(&key_id(name)).await, "{name} lives");
    }
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
    world.assert_books_agree(&seen);
    assert_eq!(world.ledger().count(Outcome::Served), JOBS as u64);
    assert_all_is_well(&world, |kind| matches!(kind, EventKind::KeyRestarted { .. }), 4).await;
}

#[tokio::test]
async fn a_provider_actor_that_panics_costs_neither_a_job_nor_a_call() {
    let world = under_load();
    let jobs = world.spawn_many("r", JOBS);
    for calls in [60, 200] {
        calls_made(&world, calls).await;
        assert!(world.wheel.crash_provider(&"p".into()), "it lives");
    }
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
    world.assert_books_agree(&seen);
    assert_all_is_well(&world, |kind| matches!(kind, EventKind::ProviderRestarted { .. }), 2).await;
}

#[tokio::test]
async fn a_provider_and_its_key_may_panic_together() {
    let world = under_load();
    let jobs = world.spawn_many("r", JOBS);
    calls_made(&world, 100).await;
    assert!(world.wheel.crash_key(&key_id("k0")).await, "k0 lives");
    assert!(world.wheel.crash_provider(&"p".into()), "its provider lives");
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
    world.assert_books_agree(&seen);
    assert_all_is_well(&world, |kind| matches!(kind, EventKind::ProviderRestarted { .. }), 1).await;
}
