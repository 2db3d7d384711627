//! The one builder of end-to-end stories: simulated providers, and a wheel over real sockets.
#![allow(dead_code, reason = "every file of stories uses its own part of it")]

#[cfg(unix)]
pub(crate) mod browser;
#[cfg(unix)]
pub(crate) mod gateway;
#[cfg(unix)]
pub(crate) mod live;
pub(crate) mod program;
#[cfg(unix)]
pub(crate) mod running;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use keywheel::sim::{Ledger, Outcome, OutcomeClass, RequestEntry, Sim, SimSpec};
use keywheel_actors::board::{KeyView, ProviderView};
use keywheel_actors::dialect::OpenAi;
use keywheel_actors::error::SendError;
use keywheel_actors::event::Event;
use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::outcome::Attempt;
use keywheel_actors::request::{Delivery, Request, Terms};
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{KeySpec, ProviderSpec, WheelSpec};
use keywheel_actors::upstream::{HttpOptions, Wire};
use keywheel_actors::{Answer, Wheel};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;

/// A story that takes longer hangs. Nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often something is looked at that nobody announces.
const GLANCE: Duration = Duration::from_millis(2);

/// Providers that listen already, and a wheel that has not started yet.
#[derive(Default)]
pub(crate) struct Scenario {
    spec: WheelSpec,
    sims: BTreeMap<ProviderId, Sim>,
}

impl Scenario {
    /// One provider `p`. The wheel knows its keys, and nothing of their limits.
    pub(crate) fn of(sim: SimSpec) -> Self {
        Self::default().and("p", sim)
    }

    /// One more provider, behind those before.
    pub(crate) fn and(mut self, id: &str, sim: SimSpec) -> Self {
        let sim = Sim::start_on_thread(sim).expect("port 0 is always free");
        let provider = ProviderSpec::new(id, Arc::new(OpenAi), sim.base_url());
        let key = |key: &keywheel::sim::KeySpec| KeySpec {
            quota_group: key.quota_group.as_deref().map(Into::into),
            ..KeySpec::new(key.name.as_str(), Secret::new(key.secret.as_str()))
        };
        self.spec.providers.push(sim.spec().keys.iter().map(key).fold(provider, ProviderSpec::with_key));
        self.sims.insert(id.into(), sim);
        self
    }

    /// One more provider at an address that the story itself listens on.
    pub(crate) fn and_at(mut self, id: &str, base_url: String, keys: &[&str]) -> Self {
        let provider = ProviderSpec::new(id, Arc::new(OpenAi), base_url);
        let key = |name: &&str| KeySpec::new(*name, Secret::new(format!("sk-{name}")));
        self.spec.providers.push(keys.iter().map(key).fold(provider, ProviderSpec::with_key));
        self
    }

    /// Changes every key.
    pub(crate) fn each_key(mut self, change: impl Fn(&mut KeySpec)) -> Self {
        self.spec.providers.iter_mut().flat_map(|provider| &mut provider.keys).for_each(change);
        self
    }

    /// Starts the wheel.
    pub(crate) fn start(self) -> World {
        let upstream = Wire::new(HttpOptions::default()).expect("an HTTP client");
        let wheel = Wheel::start(self.spec, Arc::new(upstream)).expect("a sound specification");
        World { events: RefCell::new(wheel.events()), wheel, sims: self.sims }
    }
}

/// A running scenario.
pub(crate) struct World {
    pub(crate) wheel: Wheel,
    sims: BTreeMap<ProviderId, Sim>,
    events: RefCell<Receiver<Event>>,
}

impl World {
    /// Sends a job named `id` on the usual terms and waits for its end.
    pub(crate) async fn send(&self, id: &str) -> Seen {
        self.spawn(id, Terms::default()).await.expect("the caller's task lives")
    }

    /// Sends a job by a caller of its own.
    pub(crate) fn spawn(&self, id: &str, terms: Terms) -> JoinHandle<Seen> {
        let (wheel, id) = (self.wheel.clone(), id.to_owned());
        tokio::spawn(async move {
            let ending = wheel.send(request(&id, Delivery::Whole), terms).await;
            Seen { id, ending }
        })
    }

    /// Sends so many jobs at once, named `a-0`, `a-1`, … for the name `a`.
    pub(crate) fn spawn_many(&self, name: &str, count: usize) -> Vec<JoinHandle<Seen>> {
        (0..count).map(|number| self.spawn(&format!("{name}-{number}"), Terms::default())).collect()
    }

    /// Sends so many jobs at once and waits for all.
    pub(crate) async fn send_many(&self, name: &str, count: usize) -> Vec<Seen> {
        all(self.spawn_many(name, count)).await
    }

    /// Sends a job that streams.
    pub(crate) async fn stream(&self, id: &str) -> Result<Answer, SendError> {
        self.wheel.send(request(id, Delivery::Stream), Terms::default()).await
    }

    /// The simulated provider of that name.
    pub(crate) fn sim(&self, provider: &str) -> &Sim {
        &self.sims[&ProviderId::from(provider)]
    }

    /// What the provider `p` has in its books.
    pub(crate) fn ledger(&self) -> Ledger {
        self.sim("p").ledger_with_requests()
    }

    /// Calls of a key of `p` that ended so, by the provider's books.
    pub(crate) fn calls(&self, key: &str, outcome: Outcome) -> u64 {
        self.ledger().key(key).expect("the key exists").count(outcome)
    }

    /// A key of `p` as it is published. Actors publish as soon as they are up: before that it is untouched.
    pub(crate) fn key(&self, name: &str) -> KeyView {
        self.wheel.board().key(&key_id(name)).unwrap_or_default()
    }

    /// The provider `p` as it is published.
    pub(crate) fn provider(&self) -> ProviderView {
        let providers = self.wheel.board().providers();
        providers.into_iter().find(|(id, _)| id.as_str() == "p").map(|(_, view)| view).unwrap_or_default()
    }

    /// What has happened since this was last asked.
    pub(crate) fn happened(&self) -> Vec<Event> {
        let mut events = self.events.borrow_mut();
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(GLANCE).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("it never came true: {what}"));
    }

    /// Waits until the actors have heard of everything that ended: callers hear of it first.
    pub(crate) async fn settle(&self) {
        let idle = |world: &Self| world.wheel.board().keys().iter().all(|(_, key)| key.in_flight == 0);
        self.until("nothing is under way", idle).await;
        // Stats answers after the events that came before.
        self.wheel.stats().await.expect("Stats lives");
    }

    /// Every job ended well, and some provider accepted each of them exactly once.
    #[track_caller]
    pub(crate) fn assert_each_accepted_once(&self, seen: &[Seen]) {
        let ledgers: Vec<Ledger> = self.sims.values().map(Sim::ledger_with_requests).collect();
        for job in seen {
            assert!(job.ending.is_ok(), "{job:?}");
            let entries = ledgers.iter().flat_map(|ledger| ledger.request(&job.id));
            let accepted = entries.filter(|entry| entry.outcome.class() != OutcomeClass::Rejected).count();
            assert_eq!(accepted, 1, "{} was accepted {accepted} times", job.id);
        }
    }

    /// The books of `p` and the jobs' own records tell of the same calls, in the same order.
    #[track_caller]
    pub(crate) fn assert_books_agree(&self, seen: &[Seen]) {
        let ledger = self.ledger();
        for job in seen {
            let booked =
                |entry: &RequestEntry| (entry.key.clone().unwrap_or_default(), entry.outcome.class());
            let booked: Vec<_> = ledger.request(&job.id).iter().map(booked).collect();
            let recorded: Vec<_> = job.attempts().iter().map(|made| made.key.key.to_string()).collect();
            assert!(booked.iter().map(|(key, _)| key).eq(&recorded), "{booked:?} but {recorded:?}");
        }
        let recorded: usize = seen.iter().map(|job| job.attempts().len()).sum();
        assert_eq!(ledger.calls, recorded as u64, "calls that no job knows of");
    }
}

/// How a job ended, as its caller sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) ending: Result<Answer, SendError>,
}

impl Seen {
    /// The calls that were made for it.
    pub(crate) fn attempts(&self) -> &[Attempt] {
        match &self.ending {
            Ok(answer) => &answer.served.attempts,
            Err(error) => error.attempts(),
        }
    }

    /// The key that served it, such as `p/k0`.
    #[track_caller]
    pub(crate) fn served_by(&self) -> String {
        let answer = self.ending.as_ref().expect("it was served");
        answer.served.attempts.last().expect("the serving attempt").key.to_string()
    }
}

/// Waits for jobs to end.
pub(crate) async fn all(jobs: Vec<JoinHandle<Seen>>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for job in jobs {
        let job = tokio::time::timeout(PATIENCE, job).await.expect("every job has an ending");
        seen.push(job.expect("the caller's task lives"));
    }
    seen
}

/// The name of a key of `p`.
pub(crate) fn key_id(name: &str) -> KeyId {
    KeyId { provider: "p".into(), key: name.into() }
}

/// A request that the provider's books know by `id`.
pub(crate) fn request(id: &str, delivery: Delivery) -> Request {
    let stream = delivery == Delivery::Stream;
    let body =
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hello"}}],"stream":{stream}}}"#);
    Request {
        method: Method::POST,
        path: "/chat/completions".to_owned(),
        headers: HeaderMap::from_iter([(
            http::HeaderName::from_static("x-request-id"),
            HeaderValue::from_str(id).expect("a plain name"),
        )]),
        body: body.into(),
        model: "m".into(),
        delivery,
        to: keywheel_actors::request::Destination::Routed,
        upload: None,
    }
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
