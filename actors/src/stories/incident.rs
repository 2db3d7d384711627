//! A provider that refuses good keys for a while, and what it is told apart from: keys that are bad.

use std::time::Duration;

use crate::board::KeyState;
use crate::id::KeyName;
use crate::request::Terms;
use crate::spec::Pick;

use super::scenario::{CALL, Scenario, World, at_once, millis, ok, secs, unauthorized};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// How long a provider rests that refused all its keys.
const REST: Duration = Duration::from_secs(15);

/// Four keys with two calls at once each, of a provider that refuses everybody.
fn refusing() -> Scenario {
    Scenario::keys(NAMES).each_key(|key| key.limits = at_once(2)).otherwise(unauthorized())
}

fn assert_all_active(world: &World) {
    for name in NAMES {
        assert_eq!(world.state(name), KeyState::Active, "{name}");
    }
}

#[test]
fn a_probe_that_is_refused_in_an_incident_costs_no_key() {
    refusing().run(|world| async move {
        let jobs = world.send_many(4);
        world.advance(REST + millis(500)).await;
        let (calls, probes) = (world.calls().len(), world.calls().len() - 4);
        assert_eq!((calls, probes), (5, 1));
        assert_all_active(&world);
        world.upstream.otherwise(ok());
        for job in jobs {
            let seen = job.await.expect("lives");
            assert!(seen.ending.is_ok(), "{seen:?}");
            assert!(seen.ended.since_start() <= secs(17), "{:?}", seen.ended);
        }
        world.settle().await;
        assert_all_active(&world);
    });
}

#[test]
fn a_bad_key_that_is_preferred_doesnt_hide_that_the_others_are_good_again() {
    let refusals = std::array::from_fn::<_, 9, _>(|_| unauthorized());
    for pick in [Pick::PrimaryFirst, Pick::Sticky] {
        let scenario = refusing().with(|spec| spec.providers[0].rotation.pick = pick);
        scenario.upstream("a", refusals.clone()).run(|world| async move {
            let jobs = world.send_many(4);
            world.advance(secs(1)).await;
            for job in jobs {
                job.abort();
            }
            for name in &NAMES[1..] {
                world.upstream.then(*name, unauthorized());
            }
            world.upstream.otherwise(ok());
            world.advance(REST).await;
            // Each probe is another job's: none knows with which key the one before was refused.
            let mut probes = Vec::new();
            while probes.len() < 5 {
                let terms = Terms { deadline: world.now() + millis(10), ..Terms::default() };
                let before = world.calls().len();
                world.send_with(terms).await.error();
                probes.extend(world.calls().into_iter().skip(before));
                world.advance(secs(1)).await;
            }
            let mut tried: Vec<_> = probes[..4].iter().map(KeyName::as_str).collect();
            tried.sort_unstable();
            assert_eq!(tried, NAMES, "{pick:?}");
            assert_ne!(probes[4].as_str(), probes[3].as_str(), "{pick:?}");
        });
    }
}

#[test]
fn a_refusal_that_was_under_way_when_the_incident_ended_costs_no_key() {
    let late = unauthorized().after(REST + secs(1));
    refusing().upstream("b", [unauthorized(), late]).run(|world| async move {
        let jobs = world.send_many(8);
        world.advance(secs(1)).await;
        assert_eq!((world.calls().len(), world.key("b").in_flight), (8, 1));
        world.upstream.otherwise(ok());
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        world.settle().await;
        assert_all_active(&world);
    });
}

#[test]
fn a_key_that_is_bad_besides_is_disabled_by_its_next_call() {
    let refusals = std::array::from_fn::<_, 9, _>(|_| unauthorized());
    refusing().upstream("c", refusals).run(|world| async move {
        let jobs = world.send_many(4);
        world.advance(secs(1)).await;
        assert_all_active(&world);
        world.upstream.otherwise(ok());
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        world.settle().await;
        let before = world.calls_of("c");
        world.sent_many(20).await;
        assert_eq!(world.state("c"), KeyState::Disabled);
        let after = world.calls_of("c") - before;
        assert!(after <= 1, "one call shows it: {after}");
    });
}

#[test]
fn one_key_that_serves_again_shows_that_the_others_were_refused_without_a_fault() {
    // Nobody declares an incident: the fourth key is never refused.
    let scenario = Scenario::keys(NAMES).each_key(|key| key.limits = at_once(1));
    let (early, late) = (unauthorized(), unauthorized().after(CALL * 3));
    scenario.upstream("a", [early]).upstream("b", [late]).run(|world| async move {
        let jobs = world.send_many(4);
        world.advance(CALL * 2).await;
        assert_eq!((world.state("a"), world.state("b")), (KeyState::Disabled, KeyState::Active));
        world.sent_many(2).await;
        assert_eq!(world.key("b").in_flight, 1, "its answer hasn't come");
        for job in jobs {
            assert!(job.await.expect("lives").ending.is_ok());
        }
        world.sent_many(20).await;
        assert_all_active(&world);
    });
}

#[test]
fn keys_that_died_together_are_called_once_more_and_then_never_again() {
    let scenario = Scenario::keys(NAMES).each_key(|key| key.limits = at_once(1));
    let (one, other) = ([unauthorized(), unauthorized()], [unauthorized(), unauthorized()]);
    scenario.upstream("a", one).upstream("b", other).run(|world| async move {
        for _ in 0..5 {
            for seen in world.sent_many(20).await {
                assert!(seen.ending.is_ok(), "{seen:?}");
            }
        }
        assert_eq!((world.calls_of("a"), world.calls_of("b")), (2, 2));
        assert_eq!((world.state("a"), world.state("b")), (KeyState::Disabled, KeyState::Disabled));
        assert_eq!((world.state("c"), world.state("d")), (KeyState::Active, KeyState::Active));
    });
}

#[test]
fn bad_keys_are_told_from_an_incident_while_good_ones_are_slow_to_answer() {
    // Half of the keys are bad, and each is met while answers that take half a minute are still under way.
    let slow = secs(30);
    let refusals = std::array::from_fn::<_, 20, _>(|_| unauthorized());
    let scenario = Scenario::keys(["a", "b", "c", "d", "e", "f"]).otherwise(ok().after(slow));
    let scenario = scenario.upstream("a", refusals.clone()).upstream("c", refusals.clone());
    scenario.upstream("e", refusals).run(|world| async move {
        let mut jobs = Vec::new();
        for _ in 0..60 {
            jobs.push((world.now(), world.send_many(1)));
            world.advance(secs(3)).await;
        }
        for (sent, job) in jobs {
            for seen in futures_util::future::join_all(job).await {
                let seen = seen.expect("lives");
                assert!(seen.ending.is_ok(), "{seen:?}");
                assert_eq!(seen.ended.since(sent), slow, "the provider didn't rest");
            }
        }
        for bad in ["a", "c", "e"] {
            assert_eq!((world.calls_of(bad), world.state(bad)), (2, KeyState::Disabled), "{bad}");
        }
    });
}
