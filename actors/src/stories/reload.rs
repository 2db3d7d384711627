//! The configuration changes while jobs run: what stays keeps its state, and no job fails for it.

use crate::board::{Cause, KeyState};
use crate::event::EventKind;
use crate::request::{Patience, Terms};
use crate::secret::Secret;
use crate::spec::{DAY, KeySpec, Limits, MINUTE, Pick, WindowLimit};
use crate::upstream::{Piece, Step};
use crate::wheel::{AnswerBody, KeyCommand};
use crate::{Differences, ReloadError};

use super::scenario::{
    CALL, Scenario, World, at_once, broke, key, key_id, millis, ok, overloaded, secs, throttled, unauthorized,
};

use futures_util::StreamExt;
use futures_util::future::join;

fn slow() -> Step {
    Step::answer(200, "{}").after(secs(10))
}

fn two() -> Scenario {
    Scenario::providers([("p", ["a"].as_slice()), ("q", ["b"].as_slice())])
}

/// Terms of a job that doesn't wait.
fn now_or_never(world: &World) -> Terms {
    Terms { deadline: world.now() + secs(1), patience: Patience::Interactive, ..Terms::default() }
}

#[test]
fn a_key_that_is_new_serves_and_one_that_vanished_ends_its_calls() {
    Scenario::keys(["a", "b"]).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(2);
        world.advance(secs(1)).await;
        let report = world.reload(|spec| spec.providers[0].keys[0] = key("c")).await;
        assert_eq!(report.keys.added, [key_id("p", "c")]);
        assert_eq!(report.keys.removed, [key_id("p", "a")]);
        assert!(report.providers.is_empty() && report.keys.changed.is_empty());
        assert_eq!((world.state("a"), world.key("a").in_flight), (KeyState::Disabled, 1));
        assert_eq!(world.key("a").status.why.expect("a reason").cause, Cause::Configuration);
        let more = world.send_many(4);
        world.advance(secs(1)).await;
        assert_eq!((world.calls_of("a"), world.calls_of("b"), world.calls_of("c")), (1, 3, 2));
        for job in jobs.into_iter().chain(more) {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/b", "p/c"]);
        assert!(!world.wheel.crash_key(&key_id("p", "a")).await, "there is no such key any more");
    });
}

#[test]
fn a_stream_of_a_key_that_vanished_comes_to_its_end() {
    let chunk = |text: &'static str| Piece::Bytes(secs(5), text.into());
    let content = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
    let steps = [Step::stream(vec![chunk(content), chunk(content), chunk("data: [DONE]\n\n")])];
    Scenario::keys(["a", "b"]).upstream("a", steps).run(|world| async move {
        let answer = world.stream().await.expect("served");
        world.reload(|spec| drop(spec.providers[0].keys.remove(0))).await;
        let AnswerBody::Stream(body) = answer.body else { panic!("it streams") };
        let pieces: Vec<_> = body.collect().await;
        assert!(pieces.len() == 3 && pieces.iter().all(Result::is_ok), "{pieces:?}");
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/b"]);
    });
}

#[test]
fn a_key_that_stays_keeps_its_rest_and_its_counts() {
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(60))]).run(|world| async move {
        world.send().await.served_by("b");
        let report = world.reload(|spec| spec.providers[0].keys[0].weight = 7).await;
        assert_eq!(report.keys, Differences { changed: vec![key_id("p", "a")], ..Differences::default() });
        assert_eq!((world.state("a"), world.key("a").counts.throttled), (KeyState::RateLimited, 1));
        for _ in 0..5 {
            world.send().await.served_by("b");
        }
        world.advance(secs(62)).await;
        world.send().await.served_by("a");
    });
}

#[test]
fn credits_in_flight_survive_a_changed_limit_both_ways() {
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = at_once(4));
    scenario.run(|world| async move {
        world.sent_many(8).await;
        world.upstream.otherwise(slow());
        let jobs = world.send_many(12);
        world.advance(secs(1)).await;
        assert_eq!(world.key("a").in_flight, 4);
        world.reload(|spec| spec.providers[0].keys[0].limits = at_once(6)).await;
        world.settle().await;
        assert_eq!(world.key("a").in_flight, 6);
        world.reload(|spec| spec.providers[0].keys[0].limits = at_once(2)).await;
        world.advance(secs(10)).await;
        assert_eq!(world.key("a").in_flight, 2, "four and two have ended, two have begun");
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        assert_eq!(world.calls().len(), 20);
    });
}

#[test]
fn what_was_used_counts_under_the_new_limits() {
    let limited = |count| Limits::default().and(WindowLimit::requests(count, MINUTE));
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = limited(10));
    scenario.run(|world| async move {
        world.sent_many(10).await;
        world.send_with(now_or_never(&world)).await.error();
        world.reload(|spec| spec.providers[0].keys[0].limits = limited(12)).await;
        for _ in 0..2 {
            world.send_with(now_or_never(&world)).await.served_by("a");
        }
        world.send_with(now_or_never(&world)).await.error();
        world.reload(|spec| spec.providers[0].keys[0].limits = limited(3)).await;
        let seen = world.send().await;
        assert!(seen.served_by("a").ended.since_start() >= secs(60), "twelve are more than three: {seen:?}");
    });
}

#[test]
fn a_group_that_stays_keeps_what_was_used_and_who_leaves_it_takes_it_along() {
    let limits = Limits::default().and(WindowLimit::requests(4, DAY));
    let scenario = Scenario::keys(["a", "b"]).each_key(|key| {
        key.quota_group = Some("org".into());
        key.limits = limits.clone();
    });
    scenario.run(|world| async move {
        world.sent_many(4).await;
        let five = Limits::default().and(WindowLimit::requests(5, DAY));
        world
            .reload(|spec| spec.providers[0].keys.iter_mut().for_each(|key| key.limits = five.clone()))
            .await;
        assert!(world.send_with(now_or_never(&world)).await.ending.is_ok());
        world.send_with(now_or_never(&world)).await.error();
        // Another name for the same account.
        let renamed = |key: &mut KeySpec| {
            key.quota_group = Some("org-1".into());
            key.limits = five.clone();
        };
        world.reload(|spec| spec.providers[0].keys.iter_mut().for_each(renamed)).await;
        world.send_with(now_or_never(&world)).await.error();
        world
            .reload(|spec| {
                spec.providers[0].keys.iter_mut().for_each(renamed);
                spec.providers[0].keys[1].quota_group = None;
            })
            .await;
        world.send_with(now_or_never(&world)).await.error();
        assert_eq!(world.calls().len(), 5);
    });
}

#[test]
fn a_key_with_another_secret_is_another_key() {
    Scenario::keys(["a"]).upstream("a", [unauthorized()]).run(|world| async move {
        let mut events = world.wheel.events();
        world.send_with(now_or_never(&world)).await.error();
        assert_eq!(world.state("a"), KeyState::Disabled);
        let waiting = world.send_many(1);
        assert!(waiting.into_iter().next().expect("one").await.expect("lives").ending.is_err());
        let report = world.reload(|spec| spec.providers[0].keys[0].secret = Secret::new("sk-new")).await;
        assert_eq!(report.keys.changed, [key_id("p", "a")]);
        world.send().await.served_by("a");
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/a"]);
        assert_eq!((world.state("a"), world.key("a").counts.calls), (KeyState::Active, 1));
        let states: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .filter_map(|event| match event.kind {
                EventKind::KeyChanged { status, .. } => Some(status.state),
                _ => None,
            })
            .collect();
        assert_eq!(states, [KeyState::Disabled, KeyState::Active]);
    });
}

#[test]
fn another_address_makes_all_keys_new() {
    let scenario = Scenario::keys(["a"]).upstream("a", [throttled(secs(600))]);
    scenario.run(|world| async move {
        world.send_with(now_or_never(&world)).await.error();
        let report = world.reload(|spec| spec.providers[0].base_url = "http://127.0.0.1:9/v2".into()).await;
        assert_eq!(report.providers.changed, ["p".into()]);
        assert_eq!(report.keys.changed, [key_id("p", "a")]);
        world.send_with(now_or_never(&world)).await.served_by("a");
    });
}

#[test]
fn what_a_key_hears_on_its_way_out_isnt_held_against_those_who_take_its_place() {
    let grouped = |name| KeySpec { quota_group: Some("org".into()), ..key(name) };
    let scenario = Scenario::keys([]).with(|spec| spec.providers[0].keys = vec![grouped("a"), grouped("b")]);
    scenario.upstream("a", [broke().after(secs(2))]).run(|world| async move {
        let job = world.send_many(1).remove(0);
        world.advance(secs(1)).await;
        world.reload(|spec| spec.providers[0].keys = vec![grouped("c"), grouped("d")]).await;
        let served = job.await.expect("lives");
        served.served_by("c").attempts(2).at(secs(2) + CALL);
        for name in ["c", "d"] {
            assert_eq!(world.state(name), KeyState::Active, "{name}");
        }
    });
}

#[test]
fn another_address_doesnt_rest_for_what_the_old_one_said() {
    let outage = overloaded().header("retry-after", "600");
    Scenario::keys(["a"]).otherwise(outage).run(|world| async move {
        let resting = || world.wheel.board().providers()[0].1.resting_until;
        world.send().await.error();
        world.settle().await;
        assert!(resting().is_some_and(|until| until > world.now() + secs(60)), "{:?}", resting());
        world.upstream.otherwise(ok());
        let job = world.send_many(1).remove(0);
        world.reload(|spec| spec.providers[0].rotation.max_failures = 9).await;
        assert!(resting().is_some(), "it is the same provider");
        world.reload(|spec| spec.providers[0].base_url = "http://127.0.0.1:9/v2".into()).await;
        assert_eq!(resting(), None);
        let served = job.await.expect("lives");
        assert!(served.ending.is_ok() && served.ended.since_start() < secs(5), "{served:?}");
    });
}

#[test]
fn the_configuration_disables_and_enables_but_an_operators_word_stays() {
    Scenario::keys(["a", "b"]).run(|world| async move {
        world.reload(|spec| spec.providers[0].keys[0].enabled = false).await;
        assert_eq!(world.key("a").status.why.expect("a reason").cause, Cause::Configuration);
        world.sent_many(5).await;
        assert_eq!(world.calls_of("a"), 0);
        world.reload(|_| {}).await;
        assert_eq!(world.state("a"), KeyState::Active);
        world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await.expect("a key");
        for enabled in [false, true] {
            world.reload(|spec| spec.providers[0].keys[0].enabled = enabled).await;
            assert_eq!(world.state("a"), KeyState::Disabled);
        }
        assert_eq!(world.key("a").status.why.expect("a reason").cause, Cause::Operator);
        world.sent_many(5).await;
        assert_eq!(world.calls_of("a"), 0);
        world.wheel.command(&key_id("p", "a"), KeyCommand::Enable).await.expect("a key");
        world.sent_many(2).await;
        assert!(world.calls_of("a") >= 1, "it takes its turn again");
    });
}

#[test]
fn when_it_returns_no_call_that_was_only_prepared_is_made() {
    let scenario = Scenario::keys(["a", "b"]).each_key(|key| key.limits = at_once(50));
    scenario.run(|world| async move {
        for name in ["a", "b"] {
            // Past the trial, so that fifty at once are on their way.
            world.sent_many(4).await;
            let jobs = world.send_many(80);
            world
                .reload(|spec| {
                    spec.providers[0].keys.retain(|key| key.name.as_str() != name);
                })
                .await;
            let calls = world.calls_of(name);
            for job in jobs {
                assert!(job.await.expect("lives").ending.is_ok());
            }
            assert_eq!(world.calls_of(name), calls);
            world.reload(|_| {}).await;
        }
    });
}

#[test]
fn the_order_of_keys_is_the_configurations() {
    let scenario =
        Scenario::keys(["a", "b"]).with(|spec| spec.providers[0].rotation.pick = Pick::PrimaryFirst);
    scenario.run(|world| async move {
        world.send().await.served_by("a");
        world.reload(|spec| spec.providers[0].keys.insert(0, key("c"))).await;
        world.send().await.served_by("c");
        world.reload(|spec| spec.providers[0].keys.reverse()).await;
        world.send().await.served_by("b");
    });
}

#[test]
fn a_mistake_changes_nothing() {
    Scenario::keys(["a"]).run(|world| async move {
        let mut spec = crate::spec::WheelSpec::clone(&world.spec);
        spec.providers[0].keys = vec![key("b"), key("b")];
        let refused = world.wheel.reload(spec).await;
        assert_eq!(refused, Err(ReloadError::Spec("provider `p` has two keys `b`".into())));
        world.send().await.served_by("a");
        world.wheel.drain(secs(1)).await;
        let refused = world.wheel.reload(crate::spec::WheelSpec::clone(&world.spec)).await;
        assert_eq!(refused, Err(ReloadError::Draining));
    });
}

#[test]
fn reloads_at_once_take_place_one_after_the_other() {
    Scenario::keys(["a"]).run(|world| async move {
        let mut events = world.wheel.events();
        let (first, second) = (world.clone(), world.clone());
        let (first, second) = join(
            first.reload(|spec| spec.providers[0].keys.push(key("b"))),
            second.reload(|spec| spec.providers[0].keys.push(key("c"))),
        )
        .await;
        assert_eq!(first.keys.added, [key_id("p", "b")]);
        assert_eq!(
            (second.keys.added, second.keys.removed),
            (vec![key_id("p", "c")], vec![key_id("p", "b")])
        );
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/a", "p/c"]);
        let told = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event.kind, EventKind::Reloaded { .. }));
        assert_eq!(told.count(), 2);
    });
}

#[test]
fn who_is_down_for_a_restart_starts_with_the_new_configuration() {
    let scenario = two().each_key(|key| key.limits = at_once(2));
    scenario.otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(2);
        world.advance(secs(1)).await;
        for _ in 0..2 {
            // The first restart is at once; the second one waits 50 ms.
            assert!(world.wheel.crash_provider(&"p".into()));
            world.advance(millis(10)).await;
        }
        world.wheel.crash_key(&key_id("q", "b")).await;
        let report = world
            .reload(|spec| {
                spec.providers[0].keys[0] = key("c");
                spec.providers[1].keys[0].enabled = false;
            })
            .await;
        assert_eq!(
            (report.keys.added, report.keys.changed),
            (vec![key_id("p", "c")], vec![key_id("q", "b")])
        );
        assert_eq!(world.state("b"), KeyState::Disabled);
        let more = world.send_many(2);
        for job in jobs {
            job.await.expect("lives").served_by("a");
        }
        for job in more {
            job.await.expect("lives").served_by("c");
        }
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/c", "q/b"]);
    });
}

#[test]
fn a_key_that_crashes_on_its_way_out_ends_its_calls_all_the_same() {
    Scenario::keys(["a", "b"]).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(2);
        world.advance(secs(1)).await;
        let key = key_id("p", "a");
        let crash = world.wheel.crash_key(&key);
        let reload = world.reload(|spec| drop(spec.providers[0].keys.remove(0)));
        let (crashed, _) = join(crash, reload).await;
        assert!(crashed);
        assert!(world.wheel.crash_provider(&"p".into()));
        world.settle().await;
        assert_eq!(world.key("a").in_flight, 1);
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/b"]);
        assert_eq!(world.calls().len(), 2);
    });
}

#[test]
fn a_thousand_reloads_under_load_lose_nothing_and_leave_nothing() {
    let scenario = two().each_key(|key| key.limits = at_once(5));
    scenario.run(|world| async move {
        for round in 0..1_000_u32 {
            let jobs = world.send_many(6);
            world.advance(millis(u64::from(round % 60))).await;
            world
                .reload(|spec| match round % 4 {
                    0 => spec.providers[0].keys[0].secret = Secret::new(format!("sk-{round}")),
                    1 => spec.providers[0].keys = vec![key("c"), key("d")],
                    2 => drop(spec.providers.remove(0)),
                    _ => {}
                })
                .await;
            for job in jobs {
                let seen = job.await.expect("lives");
                assert!(seen.ending.is_ok(), "round {round}: {seen:?}");
            }
        }
        world.advance(secs(1)).await;
        assert_eq!(world.keys_on_board(), ["p/a", "q/b"]);
        assert_eq!(world.calls().len(), 6_000, "no job was sent twice");
        let stats = world.wheel.stats().await.expect("Stats lives");
        assert_eq!(stats.dead_letters, 0);
        world.upstream.otherwise(ok().after(secs(10)));
        let jobs = world.send_many(12);
        world.advance(secs(3)).await;
        assert_eq!(world.key("a").in_flight, 5);
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
    });
}
