//! What is told of a failed call is enough for a log: whose, why, what became of it, and until when.

use std::iter;

use http::HeaderValue;
use tokio::sync::broadcast;

use crate::clock::Moment;
use crate::event::{Decision, Event, EventKind, Logging};
use crate::outcome::{Reason, Scope};
use crate::request::{Delivery, Terms, X_REQUEST_ID};
use crate::secret::{FingerprintKey, Secret};

use super::scenario::{Scenario, key_id, millis, overloaded, request, secs, throttled, unauthorized};

/// The failures so far.
fn failures(events: &mut broadcast::Receiver<Event>) -> Vec<Event> {
    let told = iter::from_fn(|| events.try_recv().ok());
    told.filter(|event| matches!(event.kind, EventKind::CallFailed { .. })).collect()
}

/// Until when somebody rests for a failure.
fn until(event: &Event) -> Option<Moment> {
    let EventKind::CallFailed { until, .. } = &event.kind else { panic!("{event:?}") };
    *until
}

#[test]
fn a_failure_is_told_with_all_that_a_log_needs() {
    let fingerprints = FingerprintKey::new(&[7; 32]);
    let made_by = fingerprints.clone();
    let scenario = Scenario::keys(["a", "b"]).with(|spec| spec.fingerprints = fingerprints);
    scenario.upstream("a", [throttled(secs(30)).after(millis(20))]).run(|world| async move {
        let mut events = world.wheel.events();
        let mut asked = request(Delivery::Whole);
        asked.headers.insert(X_REQUEST_ID, HeaderValue::from_static("row-7"));
        world.wheel.send(asked, Terms::default()).await.expect("served by the other one");
        let event = failures(&mut events).pop().expect("told");
        assert_eq!(event.at.since_start(), millis(20));
        let EventKind::CallFailed {
            request_id,
            attempt,
            key,
            fingerprint,
            model,
            fault,
            decision,
            until,
            took,
            log,
            ..
        } = event.kind
        else {
            panic!("{event:?}")
        };
        assert_eq!(request_id.as_deref(), Some("row-7"));
        assert_eq!((attempt, key, model.as_str()), (1, key_id("p", "a"), "m"));
        assert_eq!(fingerprint, Secret::new("sk-a").fingerprint(&made_by));
        assert_eq!((fault.reason, fault.scope, fault.status), (Reason::Throttled, Scope::Lane, Some(429)));
        assert_eq!(fault.code.as_deref(), Some("rate_limit_exceeded"));
        assert_eq!((&*fault.message, fault.rest), ("too fast", Some(secs(30))));
        assert_eq!((decision, took, log), (Decision::Rotate, millis(20), Logging::On));
        let rest = until.expect("the lane rests").since(event.at);
        assert!(rest >= secs(30) && rest <= secs(31), "{rest:?}");
    });
}

#[test]
fn a_dead_key_rests_until_somebody_acts() {
    Scenario::keys(["a", "b"]).upstream("a", [unauthorized()]).run(|world| async move {
        let mut events = world.wheel.events();
        world.send().await.served_by("b");
        let told = failures(&mut events);
        assert_eq!(told.iter().map(until).collect::<Vec<_>>(), [Some(Moment::NEVER)]);
    });
}

#[test]
fn where_the_provider_pays_its_rest_is_told() {
    Scenario::keys(["a"]).otherwise(overloaded()).run(|world| async move {
        let mut events = world.wheel.events();
        let terms = Terms { deadline: world.now() + secs(20), ..Terms::default() };
        world.send_with(terms).await.error();
        world.settle().await;
        let told = failures(&mut events);
        assert_eq!(until(&told[0]), None, "one bad call isn't an illness");
        let rests = told.iter().filter_map(|event| Some(until(event)?.since(event.at)));
        let longest = rests.max().expect("the provider rests");
        assert!(longest <= secs(18), "{longest:?}");
    });
}

#[test]
fn keys_that_are_refused_together_are_told_as_the_providers_illness() {
    Scenario::keys(["a", "b", "c"]).otherwise(unauthorized()).run(|world| async move {
        let mut events = world.wheel.events();
        let terms = Terms { deadline: world.now() + secs(5), ..Terms::default() };
        world.send_with(terms).await.error();
        world.settle().await;
        let told = failures(&mut events);
        let last = told.last().and_then(until).expect("the provider rests").since_start();
        assert!(last <= secs(16), "no key is disabled: {told:?}");
    });
}

#[test]
fn a_key_may_be_left_out_of_logs() {
    let scenario = Scenario::keys(["a", "b"]).upstream("a", [unauthorized()]);
    scenario.with(|spec| spec.providers[0].keys[0].rotation.log_failures = false).run(|world| async move {
        let mut events = world.wheel.events();
        world.send().await.served_by("b");
        let event = failures(&mut events).pop().expect("told all the same");
        assert!(matches!(event.kind, EventKind::CallFailed { log: Logging::Off, .. }), "{event:?}");
    });
}

#[test]
fn a_long_name_of_a_request_is_cut() {
    Scenario::keys(["a", "b"]).upstream("a", [unauthorized()]).run(|world| async move {
        let mut events = world.wheel.events();
        let mut asked = request(Delivery::Whole);
        asked.headers.insert(X_REQUEST_ID, HeaderValue::try_from("x".repeat(500)).expect("a header"));
        world.wheel.send(asked, Terms::default()).await.expect("served by the other one");
        let event = failures(&mut events).pop().expect("told");
        let EventKind::CallFailed { request_id: Some(id), .. } = event.kind else { panic!("{event:?}") };
        assert_eq!(id.len(), 128);
    });
}
