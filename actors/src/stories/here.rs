//! Calls that their caller makes where it waits.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use futures_util::FutureExt;

use crate::actor::waiting::Hands;
use crate::dialect::OpenAi;
use crate::request::{Delivery, Terms};
use crate::spec::{Limits, ProviderSpec, WheelSpec};
use crate::upstream::{Call, CallFuture, Scripted, Step, Upstream};
use crate::wheel::{Wheel, paused};

use super::scenario::{Scenario, key, millis, ok, request, secs};

/// One key that takes one call at a time.
fn alone() -> Scenario {
    Scenario::keys(["a"]).each_key(|key| key.limits = Limits { concurrency: Some(1), ..Limits::default() })
}

/// The specification of one key without limits.
fn plain() -> WheelSpec {
    let provider = ProviderSpec::new("p", Arc::new(OpenAi), "http://127.0.0.1:9/v1").with_key(key("a"));
    WheelSpec { providers: vec![provider], ..WheelSpec::default() }
}

#[test]
fn a_caller_who_leaves_during_its_call_frees_the_key_and_nothing_is_made_again() {
    alone().upstream("a", [Step::silent()]).run(|world| async move {
        {
            let mut sent = pin!(world.wheel.send_here(request(Delivery::Whole), Terms::default()));
            assert!((&mut sent).now_or_never().is_none());
            world.settle().await;
            assert!((&mut sent).now_or_never().is_none());
            assert_eq!((world.calls_of("a"), world.key("a").in_flight), (1, 1));
        }
        world.settle().await;
        assert_eq!((world.key("a").in_flight, world.key("a").counts.cancelled), (0, 1));
        world.advance(secs(60)).await;
        assert_eq!(world.calls_of("a"), 1);
        assert!(world.send_here_with(Terms::default()).await.ending.is_ok());
    });
}

#[test]
fn a_call_that_its_caller_never_began_is_not_made_by_anybody() {
    alone().run(|world| async move {
        {
            let mut sent = pin!(world.wheel.send_here(request(Delivery::Whole), Terms::default()));
            assert!((&mut sent).now_or_never().is_none());
            world.settle().await;
            assert_eq!((world.calls_of("a"), world.key("a").in_flight), (0, 1), "it has its key");
        }
        world.settle().await;
        let key = world.key("a");
        assert_eq!((world.calls_of("a"), key.in_flight, key.counts.cancelled), (0, 0, 1));
    });
}

#[test]
fn a_job_goes_on_to_the_next_key_in_the_same_hands() {
    let scenario = Scenario::keys(["a", "b"]).otherwise(ok().after(millis(10)));
    scenario.upstream("a", [Step::answer(429, "{}")]).upstream("b", [Step::answer(429, "{}")]).run(
        |world| async move {
            for _ in 0..2 {
                let seen = world.send_here_with(Terms::default()).await;
                assert!(seen.ending.is_ok(), "{seen:?}");
            }
            assert_eq!(world.calls().len(), 4, "two refusals, two answers");
        },
    );
}

/// Panics the first time.
struct Fragile {
    calls: AtomicUsize,
    then: Scripted,
}

impl Upstream for Fragile {
    fn call(&self, call: Call) -> CallFuture {
        assert!(self.calls.fetch_add(1, Ordering::Relaxed) > 0, "the first call panics, as it should");
        self.then.call(call)
    }
}

#[test]
fn a_call_that_panics_is_made_again_whoever_makes_it() {
    for hands in [Hands::Ours, Hands::TheCallers] {
        let upstream = Arc::new(Fragile { calls: AtomicUsize::new(0), then: Scripted::always(ok()) });
        paused(plain(), Arc::clone(&upstream) as Arc<dyn Upstream>, |wheel| async move {
            let sent = request(Delivery::Whole);
            let answer = match hands {
                Hands::TheCallers => wheel.send_here(sent, Terms::default()).await,
                Hands::Ours => wheel.send(sent, Terms::default()).await,
            };
            assert!(answer.is_ok(), "{answer:?}");
        });
        assert_eq!(upstream.calls.load(Ordering::Relaxed), 2);
    }
}

/// Notes on which thread it is called.
struct Witness {
    called_on: Arc<Mutex<Vec<ThreadId>>>,
    then: Scripted,
}

impl Upstream for Witness {
    fn call(&self, call: Call) -> CallFuture {
        self.called_on.lock().expect("nobody panics").push(thread::current().id());
        self.then.call(call)
    }
}

#[test]
fn calls_are_made_on_the_callers_thread_only_if_it_wants_them() {
    let called_on = Arc::<Mutex<Vec<ThreadId>>>::default();
    let upstream = Witness { called_on: Arc::clone(&called_on), then: Scripted::always(ok()) };
    let wheel = Wheel::start(plain(), Arc::new(upstream)).expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        wheel.send(request(Delivery::Whole), Terms::default()).await.expect("served");
        wheel.send_here(request(Delivery::Whole), Terms::default()).await.expect("served");
    });
    let here = thread::current().id();
    let threads: Vec<bool> = called_on.lock().expect("nobody panics").iter().map(|id| *id == here).collect();
    assert_eq!(threads, [false, true]);
}
