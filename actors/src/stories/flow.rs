//! Flow control: bounds, fairness, callers that leave, drain.

use crate::error::SendError;
use crate::id::CallerId;
use crate::request::{Delivery, Terms};
use crate::spec::Limits;
use crate::upstream::Step;

use super::scenario::{CALL, Scenario, millis, request, secs};

fn slow() -> Step {
    Step::answer(200, "{}").after(secs(10))
}

fn narrow(scenario: Scenario) -> Scenario {
    scenario.each_key(|key| key.limits = Limits { concurrency: Some(2), ..Limits::default() })
}

#[test]
fn no_more_calls_at_once_than_the_limit() {
    narrow(Scenario::keys(["a", "b"])).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(9);
        world.advance(secs(1)).await;
        assert_eq!(world.calls().len(), 4);
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        assert_eq!(world.now().since_start(), secs(30));
    });
}

#[test]
fn a_caller_who_leaves_frees_the_credit_at_once() {
    narrow(Scenario::keys(["a"])).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(3);
        world.advance(secs(1)).await;
        assert_eq!((world.calls().len(), world.key("a").in_flight), (2, 2));
        jobs[0].abort();
        world.advance(millis(1)).await;
        assert_eq!(world.calls().len(), 3, "the third job took the freed credit");
        assert_eq!(world.key("a").counts.cancelled, 1);
    });
}

#[test]
fn a_caller_who_leaves_while_waiting_costs_nothing() {
    narrow(Scenario::keys(["a"])).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(4);
        world.advance(secs(1)).await;
        jobs[2].abort();
        for (index, job) in jobs.into_iter().enumerate() {
            if index != 2 {
                assert!(job.await.expect("lives").ending.is_ok());
            }
        }
        assert_eq!(world.calls().len(), 3);
    });
}

#[test]
fn the_queue_is_bounded_and_says_so() {
    let scenario = narrow(Scenario::keys(["a"])).with(|spec| spec.providers[0].queue_jobs_max = 3);
    scenario.otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(6);
        world.advance(millis(1)).await;
        let (mut full, mut served) = (0, 0);
        for job in jobs {
            match job.await.expect("lives").ending {
                Err(SendError::QueueFull { queue_jobs_max: 3, .. }) => full += 1,
                ending => served += usize::from(ending.is_ok()),
            }
        }
        assert_eq!((full, served), (1, 5));
    });
}

#[test]
fn callers_share_fairly() {
    let scenario = Scenario::keys(["a"])
        .each_key(|key| key.limits = Limits { concurrency: Some(1), ..Limits::default() });
    scenario.run(|world| async move {
        let greedy = world.send_many(50);
        world.advance(millis(1)).await;
        let modest = Terms { caller: CallerId(2), ..Terms::default() };
        let seen = world.send_with(modest).await;
        assert!(seen.ended.since_start() <= CALL * 4, "{:?}", seen.ended);
        greedy.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn drain_lets_jobs_end_and_takes_none() {
    narrow(Scenario::keys(["a"])).run(|world| async move {
        let jobs = world.send_many(6);
        world.advance(millis(1)).await;
        let report = world.wheel.drain(secs(60)).await;
        assert_eq!((report.finished, report.cut_off), (6, 0));
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        assert!(matches!(world.send().await.error(), SendError::Draining));
    });
}

#[test]
fn drain_waits_a_moment_for_those_who_tell_of_it() {
    Scenario::keys(["a"]).run(|world| async move {
        let (clock, mut farewell) = (world.wheel.clock(), world.wheel.farewell());
        let begun = clock.now();
        let telling = async move {
            farewell.said().await;
            tokio::time::sleep(millis(120)).await;
        };
        futures_util::future::join(world.wheel.drain(secs(60)), telling).await;
        assert_eq!(clock.now().since(begun), millis(120));
        assert!(world.wheel.is_draining());
    });
    Scenario::keys(["a"]).run(|world| async move {
        let (clock, _deaf) = (world.wheel.clock(), world.wheel.farewell());
        let begun = clock.now();
        world.wheel.drain(secs(60)).await;
        assert_eq!(clock.now().since(begun), millis(500));
    });
}

#[test]
fn drain_ends_the_rest_when_its_grace_is_over() {
    narrow(Scenario::keys(["a"])).otherwise(Step::silent()).run(|world| async move {
        let jobs = world.send_many(6);
        world.advance(millis(1)).await;
        let report = world.wheel.drain(secs(5)).await;
        assert_eq!((report.finished, report.cut_off), (0, 6));
        assert_eq!(world.now().since_start(), millis(5_001));
        for job in jobs {
            assert!(matches!(job.await.expect("lives").error(), SendError::Draining));
        }
    });
}

#[test]
fn ten_thousand_jobs_in_flight_all_end() {
    let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let scenario = Scenario::keys(many)
        .each_key(|key| key.limits = Limits { concurrency: Some(1_000), ..Limits::default() })
        .otherwise(slow());
    scenario.run(|world| async move {
        let jobs = world.send_many(10_000);
        world.advance(secs(5)).await;
        assert_eq!(world.wheel.board().providers()[0].1.in_flight, 10_000);
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        assert_eq!(world.now().since_start(), secs(11), "a second of trial, then all at once");
    });
}

#[test]
fn a_model_that_nobody_serves_is_refused_at_once() {
    Scenario::keys([]).with(|spec| spec.providers.clear()).run(|world| async move {
        let ending = world.wheel.send(request(Delivery::Whole), Terms::default()).await;
        assert!(matches!(ending, Err(SendError::NoRoute { .. })));
    });
}
