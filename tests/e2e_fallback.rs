//! A provider that is down: the next one serves, the first is hardly bothered, and has its jobs back when it is well.

mod support;

use keywheel::sim::{Availability, Change, Conduct, FaultRates, Latency, Outcome, SimSpec};
use keywheel_actors::error::SendError;
use keywheel_actors::event::{Event, EventKind};
use keywheel_actors::request::{Patience, Terms};

use support::{Scenario, Seen, World, all, millis};

/// Two keys that nobody knows yet have three calls each under way, and each of the first four failures
/// makes room for one more; the fifth in a row closes the provider.
const ASKED_MAX: usize = 2 * 3 + 4;

/// The first provider `p` and the one behind it, `q`, with two keys each.
fn two_providers() -> Scenario {
    let sim = || SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(5)));
    Scenario::of(sim()).and("q", sim())
}

fn turn(world: &World, availability: Availability) {
    world.sim("p").apply(Change::Availability(availability)).expect("always possible");
}

fn served_by_provider(seen: &[Seen], provider: &str) -> usize {
    seen.iter().filter(|job| job.served_by().starts_with(provider)).count()
}

fn count(happened: &[Event], is: fn(&EventKind) -> bool) -> usize {
    happened.iter().filter(|event| is(&event.kind)).count()
}

/// Jobs one after another until `p` serves one again.
async fn until_p_serves(world: &World) {
    let mut tried = 0;
    let back = async {
        while !world.send(&format!("again-{tried}")).await.served_by().starts_with("p/") {
            tried += 1;
            tokio::time::sleep(millis(20)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, back).await.expect("the first provider gets its jobs back");
}

async fn falls_back_and_returns(down: Availability) {
    let world = two_providers().start();
    turn(&world, down);
    let seen = world.send_many("down", 60).await;
    world.assert_each_accepted_once(&seen);
    assert_eq!(served_by_provider(&seen, "q/"), 60);

    world.settle().await;
    let asked: usize = seen.iter().map(|job| job.attempts().len() - 1).sum();
    // Every rest but the first follows a probe that failed.
    let rests = count(&world.happened(), |kind| matches!(kind, EventKind::ProviderRested { .. }));
    assert!((5..ASKED_MAX + rests).contains(&asked), "{asked} calls for a provider that is down");

    turn(&world, Availability::Up);
    until_p_serves(&world).await;
    world.until("its actor knows that it is well", |world| world.provider().resting_until.is_none()).await;
    let seen = world.send_many("up", 40).await;
    world.assert_each_accepted_once(&seen);
    assert_eq!(served_by_provider(&seen, "p/"), 40, "whoever is first serves when it is well");
    world.settle().await;
    assert_eq!(count(&world.happened(), |kind| matches!(kind, EventKind::ProviderResumed { .. })), 1);
}

#[tokio::test]
async fn a_provider_that_answers_503_is_left_and_taken_back() {
    falls_back_and_returns(Availability::Failing).await;
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_left_and_taken_back() {
    falls_back_and_returns(Availability::Refusing).await;
}

#[tokio::test]
async fn a_provider_without_a_living_key_is_passed_over() {
    let dead = |key: keywheel::sim::KeySpec| key.conducting(Conduct::OutOfMoney);
    let sim = SimSpec::with_keys(2).key(0, dead).key(1, dead);
    let world = Scenario::of(sim).and("q", SimSpec::with_keys(1)).start();
    let terms = Terms { deadline: world.wheel.clock().now() + support::PATIENCE, ..Terms::default() };
    let jobs = (0..30).map(|number| world.spawn(&format!("r-{number}"), terms)).collect();
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
    assert_eq!(served_by_provider(&seen, "q/k0"), 30);
}

#[tokio::test]
async fn a_passing_fault_is_repaired_where_it_happened() {
    let faults = FaultRates { error: 0.03, cut: 0.03, ..FaultRates::default() };
    let world = Scenario::of(SimSpec { faults, seed: 1, ..SimSpec::with_keys(3) }).start();
    let seen = world.send_many("r", 100).await;
    let [error, cut] = [Outcome::Error, Outcome::Cut].map(|outcome| world.ledger().count(outcome));
    assert!(error > 0 && cut > 0, "{error} errors, {cut} cuts");
    assert!(seen.iter().all(|job| job.ending.is_ok()), "{seen:?}");
    world.settle().await;
    world.assert_books_agree(&seen);
    assert_eq!(world.ledger().count(Outcome::Served), 100, "what was answered isn't asked again");
    assert_eq!(world.ledger().calls, 100 + error + cut);
}

#[tokio::test]
async fn without_a_fallback_an_impatient_job_hears_when_to_come_back() {
    let world = Scenario::of(SimSpec::with_keys(2)).start();
    turn(&world, Availability::Failing);
    let deadline = world.wheel.clock().now() + millis(400);
    let terms = Terms { deadline, patience: Patience::Interactive, ..Terms::default() };
    let jobs = (0..20).map(|number| world.spawn(&format!("r-{number}"), terms)).collect();
    let seen = all(jobs).await;
    let told = |job: &Seen| {
        matches!(
            &job.ending,
            Err(SendError::Unavailable { .. } | SendError::Exhausted { .. } | SendError::DeadlineOver { .. })
        )
    };
    assert!(seen.iter().all(told), "{seen:?}");
    let helpful = |job: &&Seen| matches!(&job.ending, Err(SendError::Unavailable { retry_after: Some(wait), .. }) if *wait > millis(0));
    assert!(seen.iter().filter(helpful).count() >= 10, "{seen:?}");
    world.settle().await;
    let asked = world.ledger().calls;
    assert!(asked <= ASKED_MAX as u64, "{asked} calls for a provider that is down");
}
