//! Providers come and go while jobs run: nobody's call is cut, and no job is left behind.

use std::sync::Arc;

use crate::dialect::OpenAi;
use crate::error::SendError;
use crate::spec::{CandidateSpec, ProviderSpec, RouteSpec};
use crate::upstream::Step;

use super::scenario::{Scenario, at_once, failing, key, key_id, secs, throttled, unauthorized};

fn slow() -> Step {
    Step::answer(200, "{}").after(secs(10))
}

fn two() -> Scenario {
    Scenario::providers([("p", ["a"].as_slice()), ("q", ["b"].as_slice())])
}

#[test]
fn a_provider_that_vanished_ends_its_calls_and_sends_its_jobs_where_the_routes_lead_now() {
    let scenario =
        two().each_key(|key| key.limits = at_once(2)).with(|spec| spec.fallback_order = vec!["p".into()]);
    scenario.otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(6);
        world.advance(secs(2)).await;
        assert_eq!((world.calls_of("a"), world.calls_of("b")), (2, 0));
        let report = world
            .reload(|spec| {
                spec.providers.remove(0);
                spec.fallback_order.clear();
            })
            .await;
        assert_eq!(
            (report.providers.removed, report.keys.removed),
            (vec!["p".into()], vec![key_id("p", "a")])
        );
        world.settle().await;
        assert_eq!(world.calls_of("b"), 2, "those who waited wait elsewhere now");
        let mut served = Vec::new();
        for job in jobs {
            served.push(job.await.expect("lives").key().to_owned());
        }
        assert_eq!(served, ["a", "a", "b", "b", "b", "b"]);
        world.settle().await;
        let providers = world.wheel.board().providers();
        assert_eq!((providers.len(), providers[0].0.as_str()), (1, "q"));
        assert_eq!(world.keys_on_board(), ["q/b"]);
        assert!(!world.wheel.crash_provider(&"p".into()), "it is gone");
        world.send().await.served_by("b");
    });
}

#[test]
fn a_failed_call_of_a_provider_that_vanished_goes_on_elsewhere() {
    let scenario = two().with(|spec| spec.fallback_order = vec!["p".into()]);
    let late = |step: Step| step.after(secs(5));
    scenario.upstream("a", [late(throttled(secs(60))), late(failing()), late(unauthorized())]).run(
        |world| async move {
            let jobs = world.send_many(3);
            world.advance(secs(1)).await;
            world
                .reload(|spec| {
                    spec.providers.remove(0);
                    spec.fallback_order.clear();
                })
                .await;
            for job in jobs {
                job.await.expect("lives").served_by("b").attempts(2);
            }
        },
    );
}

#[test]
fn nobody_left_means_no_route() {
    Scenario::keys(["a"]).each_key(|key| key.limits = at_once(1)).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(2);
        world.advance(secs(1)).await;
        world.reload(|spec| spec.providers.clear()).await;
        let mut endings = Vec::new();
        for job in jobs {
            endings.push(job.await.expect("lives"));
        }
        endings[0].served_by("a");
        assert!(matches!(endings[1].error(), SendError::NoRoute { model } if model.as_str() == "m"));
        assert!(matches!(world.send().await.error(), SendError::NoRoute { .. }));
        world.reload(|_| {}).await;
        world.send().await.served_by("a");
    });
}

#[test]
fn jobs_elsewhere_skip_who_is_gone() {
    let three = [("p", ["a"].as_slice()), ("q", ["b"].as_slice()), ("r", ["c"].as_slice())];
    let scenario = Scenario::providers(three).upstream("a", [Step::answer(401, "").after(secs(5))]);
    scenario.run(|world| async move {
        let jobs = world.send_many(1);
        world.advance(secs(1)).await;
        world.reload(|spec| drop(spec.providers.remove(1))).await;
        for job in jobs {
            job.await.expect("lives").served_by("c").attempts(2);
        }
    });
}

#[test]
fn a_provider_without_keys_left_sends_its_jobs_on() {
    let scenario = two().with(|spec| spec.fallback_order = vec!["p".into()]);
    let throttles = std::array::from_fn::<_, 3, _>(|_| throttled(secs(60)));
    scenario.upstream("a", throttles).run(|world| async move {
        let jobs = world.send_many(3);
        world.advance(secs(1)).await;
        world
            .reload(|spec| {
                spec.providers[0].keys.clear();
                spec.fallback_order.clear();
            })
            .await;
        for job in jobs {
            job.await.expect("lives").served_by("b");
        }
        assert!(world.now().since_start() < secs(3));
    });
}

#[test]
fn a_provider_that_comes_back_while_it_leaves_stays() {
    two().each_key(|key| key.limits = at_once(1)).otherwise(slow()).run(|world| async move {
        let jobs = world.send_many(1);
        world.advance(secs(1)).await;
        world.reload(|spec| drop(spec.providers.remove(0))).await;
        world.reload(|_| {}).await;
        let more = world.send_many(1);
        world.settle().await;
        assert_eq!(world.calls_of("a"), 2, "the key is a new one, beside the old one's last call");
        for job in jobs.into_iter().chain(more) {
            job.await.expect("lives").served_by("a");
        }
        world.settle().await;
        assert_eq!(world.keys_on_board(), ["p/a", "q/b"]);
        assert_eq!(world.key("a").counts.calls, 1);
    });
}

#[test]
fn new_providers_and_routes_serve_new_jobs() {
    Scenario::keys(["a"]).run(|world| async move {
        let report = world
            .reload(|spec| {
                let q = ProviderSpec::new("q", Arc::new(OpenAi), "http://127.0.0.1:9/v1").with_key(key("b"));
                spec.providers.push(q);
                let candidates = vec![CandidateSpec { provider: "q".into(), model: "m-there".into() }];
                spec.routes.push(RouteSpec { model: "m".into(), candidates });
            })
            .await;
        assert_eq!((report.providers.added, report.keys.added), (vec!["q".into()], vec![key_id("q", "b")]));
        let seen = world.send().await;
        let served = &seen.served_by("b").ending.as_ref().expect("served").served;
        assert_eq!(served.attempts[0].model.as_str(), "m-there");
    });
}

#[test]
fn a_provider_that_was_given_up_gets_another_chance() {
    two().run(|world| async move {
        for _ in 0..4 {
            assert!(world.wheel.crash_provider(&"p".into()));
            world.advance(secs(1)).await;
        }
        world.send().await.served_by("b");
        world.reload(|_| {}).await;
        world.send().await.served_by("a");
    });
}
