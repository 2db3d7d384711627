//! From provider to provider along the route, and back.

use std::time::Duration;

use crate::board::KeyState;
use crate::clock::Moment;
use crate::error::SendError;
use crate::event::{Decision, EventKind};
use crate::outcome::Reason;
use crate::request::{Delivery, Patience, Terms};
use crate::spec::{CandidateSpec, Limits, MINUTE, RouteSpec, WindowLimit};
use crate::upstream::Step;

use super::scenario::{Scenario, failing, millis, ok, overloaded, request, secs, throttled, unauthorized};

fn two() -> Scenario {
    Scenario::providers([("p", ["a"].as_slice()), ("q", ["b"].as_slice())])
}

#[test]
fn one_fault_is_retried_at_home_two_go_next_door() {
    two().upstream("a", [failing(), ok(), overloaded(), overloaded()]).run(|world| async move {
        world.send().await.served_by("a").attempts(2);
        world.send().await.served_by("b").attempts(3);
    });
}

#[test]
fn a_provider_that_is_ill_is_left_alone_and_found_well_again() {
    two().run(|world| async move {
        // Five that trip the breaker, and three failed probes.
        for _ in 0..8 {
            world.upstream.then("a", Step::refused());
        }
        let mut events = world.wheel.events();
        for _ in 0..20 {
            world.send().await.served_by("b");
        }
        let rested = std::iter::from_fn(|| events.try_recv().ok())
            .any(|event| matches!(event.kind, EventKind::ProviderRested { .. }));
        assert!(rested);
        let asked = world.calls_of("a");
        assert!(asked <= 7, "an outage is not hammered on: {asked} calls");
        for _ in 0..20 {
            world.send().await;
            world.advance(secs(1)).await;
        }
        world.send().await.served_by("a");
    });
}

#[test]
fn dead_keys_here_mean_the_next_provider() {
    two().upstream("a", [unauthorized()]).run(|world| async move {
        world.send().await.served_by("b").attempts(2);
        world.send().await.served_by("b").attempts(1);
    });
}

fn moved() -> Step {
    Step::answer(302, "").header("location", "https://login.example.com/?from=m")
}

#[test]
fn an_address_that_leads_elsewhere_means_the_next_provider_and_costs_the_key_nothing() {
    let upstream = [moved(), moved(), moved(), moved(), moved()];
    two().upstream("a", upstream).run(|world| async move {
        for attempts in [3, 3, 2, 1] {
            world.send().await.served_by("b").attempts(attempts);
        }
        assert_eq!(world.state("a"), KeyState::Active, "after five of them");
    });
}

#[test]
fn a_path_of_the_caller_s_own_that_leads_elsewhere_is_the_caller_s_to_mend() {
    Scenario::keys(["a"]).otherwise(moved()).run(|world| async move {
        for _ in 0..6 {
            let asked = world.wheel.send(request(Delivery::Passed), Terms::default()).await;
            let Err(SendError::Exhausted { last, attempts }) = asked else { panic!("{asked:?}") };
            assert_eq!((last.reason, last.status, attempts.len()), (Reason::CallerMistake, Some(302), 1));
        }
        world.upstream.otherwise(ok());
        world.send().await.served_by("a").attempts(1);
    });
}

#[test]
fn a_rest_beyond_the_deadline_moves_the_job_on() {
    two().upstream("a", [throttled(secs(100))]).run(|world| async move {
        let terms = Terms { deadline: world.now() + secs(50), ..Terms::default() };
        world.send_with(terms).await.served_by("b");
        world.send().await.served_by("a");
        assert!(world.now().since_start() >= secs(100), "who has time waits for the first choice");
    });
}

#[test]
fn fallback_after_limits_that_patience() {
    let scenario = two().with(|spec| spec.providers[0].rotation.fallback_after = Some(secs(2)));
    scenario.upstream("a", [throttled(secs(100))]).run(|world| async move {
        world.send().await.served_by("b").attempts(2);
        world.send().await.served_by("b").attempts(1);
        assert!(world.now().since_start() < secs(1));
    });
}

#[test]
fn hours_are_not_waited_for_by_default_and_minutes_are() {
    two().upstream("a", [throttled(secs(301))]).run(|world| async move {
        world.send().await.served_by("b");
    });
    two().upstream("a", [throttled(secs(299)), ok()]).run(|world| async move {
        world.send().await.served_by("a");
    });
}

#[test]
fn waiting_jobs_go_next_door_only_as_far_as_there_is_room() {
    let scenario = two().with(|spec| {
        spec.providers[0].rotation.fallback_after = Some(secs(1));
        spec.providers[1].keys[0].limits = Limits::rpm_with_burst(60, 2);
    });
    scenario.upstream("a", [throttled(secs(10))]).run(|world| async move {
        let jobs = world.sent_many(40).await;
        let next_door = jobs.iter().filter(|seen| seen.key() == "b").count();
        assert!((10..=13).contains(&next_door), "a burst of 2, then one a second for 10 s: {next_door}");
        let last = jobs.iter().map(|seen| seen.ended).max().expect("jobs");
        assert!(last.since_start() <= secs(14), "the first provider serves the rest: {last:?}");
    });
}

/// Of 40 jobs at once, with such terms, to a key of 1 a second and an idle one: which were served by which, and when
/// the last of them was.
fn beside_an_idle_provider(scenario: Scenario, terms: Terms) -> (usize, usize, Duration) {
    let scenario = scenario.with(|spec| spec.providers[0].keys[0].limits = Limits::rpm_with_burst(60, 1));
    scenario.run(|world| async move {
        let mut seen = Vec::new();
        for job in world.send_many_with(40, terms) {
            seen.push(job.await.expect("the caller's task lives"));
        }
        let served = |key: &str| seen.iter().filter(|seen| seen.ending.is_ok() && seen.key() == key).count();
        let last = seen.iter().map(|seen| seen.ended).max().expect("jobs");
        (served("a"), served("b"), last.since_start())
    })
}

#[test]
fn nobody_runs_out_of_time_beside_a_provider_that_is_idle() {
    let by = |seconds| Terms { deadline: Moment::after_start(secs(seconds)), ..Terms::default() };
    let interactive = |seconds| Terms { patience: Patience::Interactive, ..by(seconds) };
    // At the start one is sent, and one each second until half of their time is over; those who leave then are served
    // next door within a second and a half, for a key of which nothing is known gets ten calls at once.
    let (home, next_door, last) = beside_an_idle_provider(two(), by(10));
    assert_eq!((home, next_door), (7, 33));
    assert!(last > secs(6) && last < secs(7), "{last:?}");
    let (home, next_door, last) = beside_an_idle_provider(two(), interactive(600));
    assert_eq!((home, next_door), (16, 24), "whoever is waited for waits no longer than for a first content");
    assert!(last > secs(15) && last < secs(17), "{last:?}");
    let (home, next_door, _) = beside_an_idle_provider(two(), by(600));
    assert_eq!((home, next_door), (40, 0), "who has time waits for the first choice");
    let (home, next_door, _) = beside_an_idle_provider(two(), Terms::default());
    assert_eq!((home, next_door), (40, 0));
    let never = two().with(|spec| spec.providers[0].rotation.fallback_after = None);
    let (home, next_door, _) = beside_an_idle_provider(never, interactive(10));
    assert!(home + next_door < 40, "as it was asked for: {home} and {next_door}");
}

#[test]
fn jobs_overflow_only_as_far_as_there_is_room() {
    let slow = two().with(|spec| spec.providers[1].keys[0].limits = Limits::rpm_with_burst(120, 2));
    let terms = Terms { deadline: Moment::after_start(secs(20)), ..Terms::default() };
    let (home, next_door, last) = beside_an_idle_provider(slow, terms);
    assert_eq!(home + next_door, 40);
    assert!((17..=21).contains(&home), "11 until then, and one of three of the rest: {home}");
    assert!(last < secs(20), "{last:?}");
}

#[test]
fn a_model_keeps_its_own_name_at_each_provider() {
    let scenario = two().with(|spec| {
        let at =
            |provider: &str, model: &str| CandidateSpec { provider: provider.into(), model: model.into() };
        let candidates = vec![at("p", "p-small"), at("q", "q-small")];
        spec.routes.push(RouteSpec { model: "m".into(), candidates });
    });
    scenario.upstream("a", [unauthorized()]).run(|world| async move {
        let seen = world.send().await;
        let attempts = &seen.served_by("b").ending.as_ref().expect("served").served.attempts;
        let models: Vec<_> = attempts.iter().map(|attempt| attempt.model.as_str()).collect();
        assert_eq!(models, ["p-small", "q-small"]);
    });
}

#[test]
fn when_all_fail_the_caller_learns_what_was_tried() {
    two().otherwise(failing()).run(|world| async move {
        let mut events = world.wheel.events();
        let terms = Terms { attempts_max: 4, ..Terms::default() };
        let seen = world.send_with(terms).await;
        let SendError::Exhausted { attempts, last } = seen.error() else { panic!("{seen:?}") };
        assert_eq!((attempts.len(), last.status), (4, Some(500)));
        world.advance(millis(1)).await;
        let decisions: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .filter_map(|event| match event.kind {
                EventKind::CallFailed { decision, .. } => Some(decision),
                _ => None,
            })
            .collect();
        let expected = [Decision::Rotate, Decision::FallBack, Decision::Rotate, Decision::Return];
        assert_eq!(decisions, expected);
    });
}

#[test]
fn a_neighbour_that_has_nothing_left_is_not_asked_again_and_again() {
    let scenario = two().with(|spec| {
        spec.providers[0].rotation.fallback_after = Some(secs(1));
        let key = &mut spec.providers[1].keys[0];
        key.quota_group = Some("org".into());
        key.limits = Limits::default().and(WindowLimit::requests(2, MINUTE));
    });
    scenario.upstream("a", [throttled(secs(30))]).run(|world| async move {
        let jobs = world.sent_many(10).await;
        let next_door = jobs.iter().filter(|seen| seen.key() == "b").count();
        assert_eq!(next_door, 2, "the rest waited for the first provider");
        assert!(world.now().since_start() <= secs(33), "{:?}", world.now());
    });
}

#[test]
fn a_key_avoided_at_home_means_nothing_next_door() {
    let home: [&str; 4] = ["a", "b", "c", "d"];
    let scenario = Scenario::providers([("p", home.as_slice()), ("q", ["z"].as_slice())]);
    scenario.otherwise(failing()).run(|world| async move {
        world.upstream.then("z", throttled(secs(1))).then("z", ok());
        world.send().await.served_by("z");
    });
}
