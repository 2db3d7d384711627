//! Keys take turns, rest, come back, and are never used while they rest.

use std::collections::HashMap;
use std::time::Duration;

use crate::board::{Cause, KeyState};
use crate::event::EventKind;
use crate::outcome::{Reason, Scope};
use crate::request::{Delivery, Destination, Patience, Request, Terms};
use crate::spec::{DAY, Limits, MINUTE, Pick, WindowLimit};
use crate::wheel::KeyCommand;

use super::scenario::{
    CALL, Scenario, Seen, at_once, broke, failing, key_id, millis, ok, overloaded, request, secs, throttled,
    throttled_without_hint, unauthorized,
};
use crate::error::{Obstacle, SendError};
use crate::upstream::Step;

#[test]
fn keys_take_turns() {
    Scenario::keys(["a", "b", "c"]).run(|world| async move {
        for name in ["a", "b", "c", "a"] {
            world.send().await.served_by(name).attempts(1);
        }
    });
}

#[test]
fn a_throttled_key_rests_until_the_hint_and_the_job_doesnt_notice() {
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(30))]).run(|world| async move {
        world.send().await.served_by("b").attempts(2);
        assert_eq!(world.state("a"), KeyState::RateLimited);
        world.send().await.served_by("b");
        world.advance(secs(29)).await;
        world.send().await.served_by("b");
        world.advance(secs(2)).await;
        assert_eq!(world.state("a"), KeyState::Active);
        world.send().await.served_by("a");
    });
}

#[test]
fn a_dead_key_is_called_once() {
    let refusals = std::array::from_fn::<_, 10, _>(|_| unauthorized());
    Scenario::keys(["a", "b"]).upstream("a", refusals).run(|world| async move {
        for seen in world.sent_many(50).await {
            seen.served_by("b");
        }
        let calls = world.calls_of("a");
        assert!(calls <= 3, "an untried key gets three calls: {calls}");
        world.advance(DAY * 30).await;
        world.send().await.served_by("b");
        assert_eq!(world.calls_of("a"), calls);
        let status = world.key("a").status;
        assert_eq!(status.state, KeyState::Disabled);
        assert_eq!(status.why.expect("a reason").cause, Cause::Fault(Reason::BadCredential));
    });
}

#[test]
fn all_keys_resting_means_waiting_then_going_on() {
    let scenario = Scenario::keys(["a", "b"]);
    scenario.upstream("a", [throttled(secs(20))]).upstream("b", [throttled(secs(10))]).run(
        |world| async move {
            let seen = world.send().await;
            seen.served_by("b").attempts(3);
            let waited = seen.ended.since_start();
            assert!(waited >= secs(10) && waited <= millis(10_600), "{waited:?}");
        },
    );
}

#[test]
fn who_cant_wait_gets_an_honest_retry_after() {
    let scenario = Scenario::keys(["a"]);
    scenario.upstream("a", [throttled(secs(40))]).run(|world| async move {
        let terms =
            Terms { deadline: world.now() + secs(30), patience: Patience::Interactive, ..Terms::default() };
        let seen = world.send_with(terms).await;
        let SendError::Unavailable { retry_after, attempts, why, obstacle } = seen.error() else {
            panic!("{seen:?}")
        };
        assert_eq!(*obstacle, Obstacle::Keys(Cause::Fault(Reason::Throttled)));
        let retry_after = retry_after.expect("it is known");
        assert!(retry_after >= secs(40) && retry_after <= secs(41), "{retry_after:?}");
        assert_eq!(attempts.len(), 1);
        assert_eq!(why, "of 1 keys of `p`: 1 rate_limited (throttled)");
        assert!(seen.ended.since_start() < secs(1), "it is told at once");
    });
}

#[test]
fn a_deadline_ends_a_waiting_job_to_the_moment() {
    let scenario = Scenario::keys(["a"]).upstream("a", [throttled(secs(40))]);
    scenario.run(|world| async move {
        let terms = Terms { deadline: world.now() + secs(30), ..Terms::default() };
        let seen = world.send_with(terms).await;
        assert!(matches!(seen.error(), SendError::DeadlineOver { attempts } if attempts.len() == 1));
        seen.at(secs(30));
    });
}

#[test]
fn a_deadline_ends_a_call_to_the_moment() {
    Scenario::keys(["a"]).upstream("a", [Step::silent()]).run(|world| async move {
        let terms = Terms { deadline: world.now() + secs(3), ..Terms::default() };
        let seen = world.send_with(terms).await;
        let SendError::DeadlineOver { attempts } = seen.error() else { panic!("{seen:?}") };
        let [attempt] = &**attempts else { panic!("{attempts:?}") };
        assert_eq!(attempt.took, secs(3), "the call that was given up is one of them");
        assert_eq!(attempt.fault.as_ref().map(|fault| fault.reason), Some(Reason::DeadlineOver));
        seen.at(secs(3));
        world.send().await.served_by("a");
    });
}

#[test]
fn a_window_is_never_overspent_and_always_used() {
    let limits = Limits::default().and(WindowLimit::requests(30, MINUTE));
    Scenario::keys(["a", "b"]).each_key(|key| key.limits = limits.clone()).run(|world| async move {
        let jobs = world.sent_many(200).await;
        assert!(jobs.iter().all(|seen| seen.ending.is_ok()));
        let mut times: HashMap<_, Vec<Duration>> = HashMap::new();
        let calls = world.upstream.calls();
        for (key, at) in &calls {
            times.entry(key.clone()).or_default().push(*at - calls[0].1);
        }
        for times in times.values() {
            for window in times.windows(31) {
                assert!(window[30] >= window[0] + MINUTE, "31 calls within a window: {window:?}");
            }
        }
        let last = jobs.iter().map(|seen| seen.ended).max().expect("jobs").since_start();
        assert!(last <= MINUTE * 3 + secs(1), "200 jobs are four windows of 60: {last:?}");
    });
}

#[test]
fn a_burst_means_a_token_bucket() {
    Scenario::keys(["a"]).each_key(|key| key.limits = Limits::rpm_with_burst(300, 5)).run(
        |world| async move {
            let jobs = world.sent_many(50).await;
            let last = jobs.iter().map(|seen| seen.ended).max().expect("jobs").since_start();
            // 45 calls after the burst, one each 200 ms; then the guard, and timers of 1 ms.
            let ideal = millis(45 * 200) + CALL;
            assert!(last >= ideal && last <= ideal + millis(60), "{last:?}");
        },
    );
}

#[test]
fn a_days_limit_ends_the_day_for_a_key() {
    let limits = Limits::default().and(WindowLimit::requests(3, DAY));
    Scenario::keys(["a", "b"]).with(|spec| spec.providers[0].keys[0].limits = limits).run(
        |world| async move {
            for _ in 0..10 {
                world.send().await;
            }
            assert_eq!(world.calls_of("a"), 3);
            world.advance(DAY).await;
            world.sent_many(2).await;
            assert_eq!(world.calls_of("a"), 4);
        },
    );
}

#[test]
fn tokens_are_limited_by_estimate_and_settled_by_usage() {
    let limits = Limits::default().and(WindowLimit::tokens(100, MINUTE));
    Scenario::keys(["a"]).each_key(|key| key.limits = limits.clone()).run(|world| async move {
        // Each answer says that it used 7 tokens, less than was reckoned.
        let first = world.send().await;
        first.served_by("a");
        for _ in 0..10 {
            world.send().await.served_by("a");
        }
        assert!(world.now().since_start() < secs(2), "settled calls leave room: {:?}", world.now());
        world.settle().await;
        assert_eq!(world.key("a").counts.tokens, 77);
        world.sent_many(5).await;
        assert!(world.now().since_start() >= MINUTE, "the window is used up");
    });
}

#[test]
fn keys_of_a_group_share_one_limit_and_one_fate() {
    let scenario = Scenario::keys(["a", "b", "c"]).with(|spec| {
        for key in &mut spec.providers[0].keys[..2] {
            key.quota_group = Some("org".into());
            key.limits = Limits::default().and(WindowLimit::requests(4, MINUTE));
        }
        spec.providers[0].keys[2].enabled = false;
    });
    scenario.run(|world| async move {
        let jobs = world.sent_many(6).await;
        let late = jobs.iter().filter(|seen| seen.ended.since_start() >= MINUTE).count();
        assert_eq!(late, 2, "four of six in the first minute");
        world.upstream.then("a", broke()).then("b", broke());
        let job = world.send_many(1).remove(0);
        world.advance(secs(1)).await;
        assert_eq!((world.state("a"), world.state("b")), (KeyState::Failed, KeyState::Failed));
        let why = world.key("b").status.why.expect("a reason");
        assert_eq!((why.cause, why.scope), (Cause::Fault(Reason::MoneyGone), Scope::Group));
        assert_eq!(world.calls().len(), 7, "the second key of the broke account is not tried");
        job.abort();
    });
}

#[test]
fn a_rest_ends_by_itself_without_any_traffic() {
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(5))]).run(|world| async move {
        let mut events = world.wheel.events();
        world.send().await;
        let mut states = Vec::new();
        while states.len() < 2 {
            let event = events.recv().await.expect("events go on");
            if let EventKind::KeyChanged { status, .. } = event.kind {
                states.push((status.state, event.at.since_start() >= secs(5)));
            }
        }
        assert_eq!(states, [(KeyState::RateLimited, false), (KeyState::Active, true)]);
    });
}

#[test]
fn after_a_rest_one_probe_goes_first() {
    let slow = Step::answer(200, "{}").after(secs(1));
    let scenario = Scenario::keys(["a"]).otherwise(slow).upstream("a", [throttled(secs(5))]);
    let told = Limits { concurrency: Some(10), ..Limits::default() };
    scenario.each_key(|key| key.limits = told.clone()).run(|world| async move {
        let jobs = world.send_many(40);
        world.advance(millis(6_100)).await;
        assert_eq!(world.key("a").in_flight, 1, "one probe");
        world.advance(millis(1_000)).await;
        let half = world.key("a").in_flight;
        assert!((2..=6).contains(&half), "then half of what it was: {half}");
        for job in jobs {
            job.await.expect("lives").served_by("a");
        }
    });
}

#[test]
fn commands_hold_when_they_return() {
    Scenario::keys(["a", "b"]).run(|world| async move {
        world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await.expect("the key exists");
        world.sent_many(20).await;
        assert_eq!(world.calls_of("a"), 0);
        world.wheel.command(&key_id("p", "a"), KeyCommand::Enable).await.expect("the key exists");
        world.wheel.command(&key_id("p", "b"), KeyCommand::Rest(secs(60))).await.expect("the key exists");
        world.sent_many(5).await.iter().for_each(|seen| {
            seen.served_by("a");
        });
        assert!(world.wheel.command(&key_id("p", "z"), KeyCommand::Reset).await.is_err());
    });
}

#[test]
fn a_call_whose_connection_stands_only_when_its_key_is_disabled_doesnt_leave() {
    let slow = || ok().connected_after(secs(3));
    let scenario = Scenario::keys(["a", "b"]).each_key(|key| key.limits = at_once(1));
    scenario.upstream("a", [slow()]).upstream("b", [slow()]).run(|world| async move {
        let jobs = world.send_many(2);
        world.advance(secs(1)).await;
        world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await.expect("the key exists");
        for job in jobs {
            job.await.expect("lives").served_by("b").attempts(1);
        }
        world.settle().await;
        assert_eq!((world.calls_of("a"), world.calls_of("b")), (0, 2));
        let view = world.key("a");
        assert_eq!((view.in_flight, view.counts.calls, view.counts.failed), (0, 0, 0));

        world.wheel.command(&key_id("p", "a"), KeyCommand::Enable).await.expect("the key exists");
        world.upstream.then("a", slow()).then("b", slow());
        let jobs = world.send_many(2);
        world.advance(secs(1)).await;
        world.reload(|spec| spec.providers[0].keys.truncate(1)).await;
        for job in jobs {
            job.await.expect("lives").served_by("a").attempts(1);
        }
        assert_eq!((world.calls_of("a"), world.calls_of("b")), (2, 2));
    });
}

#[test]
fn a_call_that_didnt_leave_takes_nothing_of_a_limit() {
    let narrow = |group: Option<&str>| {
        let scenario = Scenario::keys(["a", "b"]).each_key(|key| {
            key.quota_group = group.map(Into::into);
            key.limits = Limits::default().and(WindowLimit::requests(3, secs(60)));
        });
        let slow = || ok().connected_after(secs(3));
        let scenario = scenario.upstream("a", [slow(), slow(), slow()]);
        scenario.with(|spec| spec.providers[0].rotation.pick = Pick::PrimaryFirst)
    };
    narrow(Some("org")).run(|world| async move {
        let jobs = world.send_many(3);
        world.advance(secs(1)).await;
        world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await.expect("the key exists");
        for job in jobs {
            job.await.expect("lives").served_by("b").at(secs(3) + CALL);
        }
    });
    narrow(None).run(|world| async move {
        let jobs = world.send_many(3);
        world.advance(secs(1)).await;
        world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await.expect("the key exists");
        world.advance(secs(3)).await;
        world.wheel.command(&key_id("p", "a"), KeyCommand::Enable).await.expect("the key exists");
        for seen in world.sent_many(3).await {
            seen.served_by("a").at(secs(4) + CALL);
        }
        for job in jobs {
            job.await.expect("lives").served_by("b");
        }
    });
}

#[test]
fn a_key_that_was_enabled_isnt_disabled_by_what_was_under_way() {
    let steps = [unauthorized().after(CALL), unauthorized().after(secs(2))];
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = at_once(2));
    scenario.upstream("a", steps).run(|world| async move {
        let mut jobs = world.send_many(2);
        world.advance(secs(1)).await;
        assert_eq!((world.state("a"), world.key("a").in_flight), (KeyState::Disabled, 1));
        world.wheel.command(&key_id("p", "a"), KeyCommand::Enable).await.expect("the key exists");
        let late = jobs.remove(1).await.expect("lives");
        late.served_by("a").attempts(2).at(secs(2) + CALL);
        assert_eq!(world.state("a"), KeyState::Active);
        world.upstream.then("a", unauthorized());
        world.send().await.error();
        assert_eq!(world.state("a"), KeyState::Disabled, "the next call shows whether it is good");
    });
}

#[test]
fn when_every_key_is_dead_the_caller_hears_at_once() {
    let scenario = Scenario::keys(["a"]).upstream("a", [unauthorized()]);
    scenario.run(|world| async move {
        let seen = world.send().await;
        assert!(matches!(seen.error(), SendError::Unavailable { retry_after: None, .. }), "{seen:?}");
        let seen = world.send().await;
        assert!(matches!(seen.error(), SendError::Unavailable { retry_after: None, .. }), "{seen:?}");
        assert_eq!(world.calls_of("a"), 1);
    });
}

#[test]
fn a_provider_that_refuses_every_key_for_a_while_costs_no_key() {
    let scenario = Scenario::keys(["a", "b", "c", "d"]).otherwise(unauthorized());
    scenario.run(|world| async move {
        let jobs = world.send_many(8);
        world.advance(secs(30)).await;
        world.upstream.otherwise(ok());
        for job in jobs {
            let seen: Seen = job.await.expect("lives");
            assert!(seen.ending.is_ok(), "{seen:?}");
            assert!(seen.ended.since_start() <= secs(60), "back within 30 s: {:?}", seen.ended);
        }
        for name in ["a", "b", "c", "d"] {
            assert_eq!(world.state(name), KeyState::Active, "{name}");
        }
    });
}

#[test]
fn the_callers_mistake_goes_back_unchanged_and_blames_nobody() {
    let mistake = Step::answer(
        400,
        r#"{"error":{"type":"invalid_request_error","param":"messages","code":null,"message":"sk-a: no"}}"#,
    );
    Scenario::keys(["a", "b"]).otherwise(mistake).run(|world| async move {
        let seen = world.send().await;
        let SendError::Refused(refused) = seen.error() else { panic!("{seen:?}") };
        assert_eq!((refused.status.as_u16(), refused.attempts.len()), (400, 1));
        assert!(!String::from_utf8_lossy(&refused.body).contains("sk-a"), "the echoed key is scrubbed");
        assert_eq!(world.state("a"), KeyState::Active);
    });
}

#[test]
fn the_providers_faults_never_cost_a_key() {
    let steps = [failing(), overloaded(), Step::refused(), failing()];
    Scenario::keys(["a"]).upstream("a", steps).run(|world| async move {
        world.send().await.served_by("a").attempts(5);
        assert_eq!(world.state("a"), KeyState::Active);
    });
}

#[test]
fn throttles_without_a_hint_back_off() {
    let steps = [throttled_without_hint(), throttled_without_hint(), throttled_without_hint()];
    Scenario::keys(["a"]).upstream("a", steps).run(|world| async move {
        let seen = world.send().await;
        seen.attempts(4);
        let waited = seen.ended.since_start();
        assert!(waited >= millis(3_500) && waited <= millis(7_200), "about 1 + 2 + 4 s: {waited:?}");
    });
}

#[test]
fn a_job_that_waits_for_its_retry_hears_when_the_last_key_dies() {
    let scenario = Scenario::keys(["a"]).each_key(|key| {
        key.limits = Limits { concurrency: Some(3), ..Limits::default() };
    });
    scenario.run(|world| async move {
        world.send().await.served_by("a");
        world.upstream.then("a", unauthorized()).then("a", failing());
        for seen in world.sent_many(2).await {
            assert!(matches!(seen.error(), SendError::Unavailable { retry_after: None, .. }), "{seen:?}");
        }
    });
}

#[test]
fn a_shorter_hint_doesnt_call_a_resting_lane_back() {
    let narrow = Limits { concurrency: Some(3), ..Limits::default() };
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = narrow.clone());
    scenario.upstream("a", [throttled(secs(60)), throttled(secs(2)).after(CALL)]).run(|world| async move {
        for seen in world.sent_many(2).await {
            assert!(seen.ended.since_start() >= MINUTE, "{:?}", seen.ended);
        }
        assert_eq!(world.calls().len(), 4);
    });
}

#[test]
fn a_model_that_isnt_there_rests_nothing_where_none_was_named() {
    let denied = || Step::answer(404, r#"{"error":{"message":"no such model","code":"model_not_found"}}"#);
    let nameless = || Request {
        path: "/v2/models/x:generate".to_owned(),
        body: "{}".into(),
        model: "".into(),
        to: Destination::Provider("p".into()),
        ..request(Delivery::Whole)
    };
    Scenario::keys(["a", "b"]).upstream("a", [denied()]).upstream("b", [denied()]).run(|world| async move {
        for _ in 0..2 {
            let asked = world.wheel.send(nameless(), Terms::default()).await;
            let Err(SendError::Refused(refused)) = asked else { panic!("{asked:?}") };
            assert_eq!((refused.status.as_u16(), refused.attempts.len()), (404, 1));
        }
        assert!(world.wheel.send(nameless(), Terms::default()).await.is_ok());
        assert_eq!(world.calls().len(), 3);
    });
}
