//! Let it crash: a panic costs its actor and nobody else.

use crate::error::SendError;
use crate::event::EventKind;
use crate::spec::Limits;
use crate::upstream::Step;

use super::scenario::{Scenario, World, key_id, millis, ok, secs, throttled, unauthorized};

fn slow() -> Step {
    Step::answer(200, "{}").after(secs(2))
}

fn four_at_once(scenario: Scenario) -> Scenario {
    scenario.each_key(|key| key.limits = Limits { concurrency: Some(4), ..Limits::default() })
}

async fn crash(world: &World, name: &str) {
    assert!(world.wheel.crash_key(&key_id("p", name)).await);
    world.settle().await;
}

#[test]
fn a_crashed_key_is_restarted_and_every_job_ends_well() {
    four_at_once(Scenario::keys(["a", "b"])).otherwise(slow()).run(|world| async move {
        let mut events = world.wheel.events();
        let jobs = world.send_many(20);
        world.advance(millis(1_100)).await;
        assert_eq!(world.key("a").in_flight, 4);
        crash(&world, "a").await;
        assert_eq!(world.key("a").in_flight, 4, "calls under way belong to the successor");
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        world.settle().await;
        assert_eq!(world.calls().len(), 20, "no job was sent twice");
        assert_eq!((world.key("a").in_flight, world.key("b").in_flight), (0, 0));
        let restarted = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event.kind, EventKind::KeyRestarted { .. }));
        assert_eq!(restarted.count(), 1);
        assert_eq!(world.wheel.stats().await.expect("Stats lives").dead_letters, 0);
    });
}

#[test]
fn a_successor_knows_the_rest_it_was_taking() {
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(60))]).run(|world| async move {
        world.send().await.served_by("b");
        crash(&world, "a").await;
        for _ in 0..10 {
            world.send().await.served_by("b");
        }
        world.advance(secs(62)).await;
        world.send().await.served_by("a");
    });
}

#[test]
fn a_crashed_provider_keeps_its_keys_and_its_queue() {
    four_at_once(Scenario::keys(["a", "b"])).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(20);
        world.advance(secs(1)).await;
        assert!(world.wheel.crash_provider(&"p".into()));
        world.advance(millis(1)).await;
        let late = world.send_many(3);
        for job in jobs.into_iter().chain(late) {
            let seen = job.await.expect("lives");
            assert!(seen.ending.is_ok(), "{seen:?}");
        }
        world.settle().await;
        assert_eq!(world.calls().len(), 23);
        let provider = &world.wheel.board().providers()[0].1;
        assert_eq!((provider.in_flight, provider.queued), (0, 0));
        let report = world.wheel.drain(secs(1)).await;
        assert_eq!(report.cut_off, 0, "nothing is counted that isn't there");
    });
}

#[test]
fn a_key_that_crashes_too_often_escalates_to_its_provider() {
    Scenario::keys(["a", "b"]).run(|world| async move {
        let mut events = world.wheel.events();
        for _ in 0..6 {
            crash(&world, "a").await;
            world.advance(millis(500)).await;
        }
        let restarted = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event.kind, EventKind::ProviderRestarted { .. }));
        assert_eq!(restarted.count(), 1);
        for seen in world.sent_many(10).await {
            assert!(seen.ending.is_ok());
        }
    });
}

#[test]
fn a_provider_that_crashes_too_often_is_given_up_and_its_jobs_move_on() {
    let scenario = Scenario::providers([("p", ["a"].as_slice()), ("q", ["b"].as_slice())]);
    scenario.upstream("a", [slow()]).run(|world| async move {
        for _ in 0..4 {
            assert!(world.wheel.crash_provider(&"p".into()));
            world.advance(secs(1)).await;
        }
        assert!(!world.wheel.crash_provider(&"p".into()), "it is gone");
        world.send().await.served_by("b");
    });
}

#[test]
fn jobs_in_a_crashing_mailbox_find_their_way_back() {
    four_at_once(Scenario::keys(["a"])).otherwise(ok()).run(|world| async move {
        for round in 0..3 {
            let jobs = world.send_many(30);
            // No time passes between the jobs and the crash: they are still in the mailboxes.
            assert!(world.wheel.crash_provider(&"p".into()), "round {round}");
            for job in jobs {
                let seen = job.await.expect("lives");
                assert!(seen.ending.is_ok(), "{seen:?}");
            }
            world.advance(secs(61)).await;
        }
    });
}

#[test]
fn a_job_whose_other_provider_was_given_up_ends_when_its_own_keys_are_dead() {
    let scenario = Scenario::providers([("p", ["a"].as_slice()), ("q", ["b"].as_slice())]);
    scenario.upstream("a", [unauthorized()]).run(|world| async move {
        for _ in 0..4 {
            assert!(world.wheel.crash_provider(&"q".into()));
            world.advance(secs(1)).await;
        }
        for _ in 0..2 {
            let seen = world.send().await;
            assert!(matches!(seen.error(), SendError::Unavailable { retry_after: None, .. }), "{seen:?}");
        }
    });
}
