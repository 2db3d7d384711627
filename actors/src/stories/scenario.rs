//! The one builder of scenarios: keys, a scripted upstream, and what a caller sees.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Method};
use tokio::task::JoinHandle;

use crate::board::{KeyState, KeyView};
use crate::clock::Moment;
use crate::dialect::OpenAi;
use crate::error::SendError;
use crate::id::{KeyId, KeyName};
use crate::reload::ReloadReport;
use crate::request::{Delivery, Request, Terms};
use crate::secret::{FingerprintKey, Secret};
use crate::spec::{DAY, KeySpec, Limits, ProviderSpec, WheelSpec};
use crate::store::{self, Store};
use crate::upstream::{Scripted, Step};
use crate::wheel::{Answer, Wheel, paused, paused_remembering};

/// What is set up before the clock starts.
pub(super) struct Scenario {
    spec: WheelSpec,
    upstream: Scripted,
}

/// A running scenario.
#[derive(Clone)]
pub(super) struct World {
    pub(super) wheel: Wheel,
    pub(super) upstream: Scripted,
    /// What it was started with.
    pub(super) spec: Arc<WheelSpec>,
}

impl Scenario {
    /// One provider `p` with these keys, all of whose calls succeed after 50 ms.
    pub(super) fn keys<const N: usize>(names: [&str; N]) -> Self {
        Self::providers([("p", names.as_slice())])
    }

    /// These providers with their keys.
    pub(super) fn providers<const N: usize>(providers: [(&str, &[&str]); N]) -> Self {
        let providers = providers.map(|(id, keys)| {
            let provider = ProviderSpec::new(id, Arc::new(OpenAi), "http://127.0.0.1:9/v1");
            keys.iter().fold(provider, |provider, name| provider.with_key(key(name)))
        });
        let spec = WheelSpec { providers: providers.to_vec(), seed: Some(1), ..WheelSpec::default() };
        Self { spec, upstream: Scripted::always(ok()) }
    }

    /// Changes the specification.
    pub(super) fn with(mut self, change: impl FnOnce(&mut WheelSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Changes every key.
    pub(super) fn each_key(self, change: impl Fn(&mut KeySpec)) -> Self {
        self.with(|spec| spec.providers.iter_mut().flat_map(|provider| &mut provider.keys).for_each(change))
    }

    /// What calls with this key get, one after the other, before they succeed again.
    pub(super) fn upstream<const N: usize>(self, key: &str, steps: [Step; N]) -> Self {
        for step in steps {
            self.upstream.then(key, step);
        }
        self
    }

    /// What calls get that have no step of their own.
    pub(super) fn otherwise(self, step: Step) -> Self {
        self.upstream.otherwise(step);
        self
    }

    /// Runs the story with this memory, from that many days after it began.
    pub(super) fn remembering<F: Future>(
        self,
        store: &store::Scripted,
        days: f64,
        story: impl FnOnce(World) -> F,
    ) -> F::Output {
        let upstream = self.upstream.clone();
        let date = UNIX_EPOCH + DAY * 20_000 + DAY.mul_f64(days);
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let spec = WheelSpec { fingerprints: FingerprintKey::new(&[7; 32]), ..self.spec };
        let started = Arc::new(spec.clone());
        paused_remembering(spec, Arc::new(self.upstream), Some(store), date, |wheel| {
            story(World { wheel, upstream, spec: started })
        })
    }

    /// Runs the story.
    pub(super) fn run<F: Future>(self, story: impl FnOnce(World) -> F) -> F::Output {
        let upstream = self.upstream.clone();
        let spec = Arc::new(self.spec.clone());
        paused(self.spec, Arc::new(self.upstream), |wheel| story(World { wheel, upstream, spec }))
    }
}

impl World {
    /// Sends a job that waits as long as it takes.
    pub(super) async fn send(&self) -> Seen {
        self.send_with(Terms::default()).await
    }

    /// Sends a job on these terms.
    pub(super) async fn send_with(&self, terms: Terms) -> Seen {
        Seen { ending: self.wheel.send(request(Delivery::Whole), terms).await, ended: self.now() }
    }

    /// The same; its calls are made here.
    pub(super) async fn send_here_with(&self, terms: Terms) -> Seen {
        Seen { ending: self.wheel.send_here(request(Delivery::Whole), terms).await, ended: self.now() }
    }

    /// Sends a job with this body.
    pub(super) async fn send_body(&self, body: impl Into<bytes::Bytes>) -> Seen {
        let request = Request { body: body.into(), ..request(Delivery::Whole) };
        Seen { ending: self.wheel.send(request, Terms::default()).await, ended: self.now() }
    }

    /// Sends a job that streams.
    pub(super) async fn stream(&self) -> Result<Answer, SendError> {
        self.wheel.send(request(Delivery::Stream), Terms::default()).await
    }

    /// Sends so many jobs at once.
    pub(super) fn send_many(&self, count: usize) -> Vec<JoinHandle<Seen>> {
        self.send_many_with(count, Terms::default())
    }

    /// The same on these terms.
    pub(super) fn send_many_with(&self, count: usize, terms: Terms) -> Vec<JoinHandle<Seen>> {
        let send = |_| {
            let world = self.clone();
            tokio::spawn(async move { world.send_with(terms).await })
        };
        (0..count).map(send).collect()
    }

    /// Sends so many jobs at once and waits for all.
    pub(super) async fn sent_many(&self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        for job in self.send_many(count) {
            seen.push(job.await.expect("the caller's task lives"));
        }
        seen
    }

    /// Exchanges the configuration for the one it was started with, changed like this.
    pub(super) async fn reload(&self, change: impl FnOnce(&mut WheelSpec)) -> ReloadReport {
        let mut spec = WheelSpec::clone(&self.spec);
        change(&mut spec);
        self.wheel.reload(spec).await.expect("a sound specification")
    }

    /// Lets time pass.
    pub(super) async fn advance(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets the actors hear of what has just ended: the caller gets its answer before they do.
    pub(super) async fn settle(&self) {
        self.advance(millis(1)).await;
    }

    /// Now.
    pub(super) fn now(&self) -> Moment {
        self.wheel.clock().now()
    }

    /// A key as it is published.
    pub(super) fn key(&self, name: &str) -> KeyView {
        let provider = self.wheel.board().keys().into_iter().find(|(id, _)| id.key.as_str() == name);
        provider.map(|(_, view)| view).expect("the key is published")
    }

    /// The keys that are published.
    pub(super) fn keys_on_board(&self) -> Vec<String> {
        self.wheel.board().keys().iter().map(|(id, _)| id.to_string()).collect()
    }

    /// A key's status.
    pub(super) fn state(&self, name: &str) -> KeyState {
        self.key(name).status.state
    }

    /// Calls so far, by key.
    pub(super) fn calls(&self) -> Vec<KeyName> {
        self.upstream.calls().into_iter().map(|(key, _)| key).collect()
    }

    /// How many calls a key has made.
    pub(super) fn calls_of(&self, name: &str) -> usize {
        self.calls().iter().filter(|key| key.as_str() == name).count()
    }
}

/// How a job ended, as its caller sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) ending: Result<Answer, SendError>,
    pub(super) ended: Moment,
}

impl Seen {
    /// It was served by this key.
    #[track_caller]
    pub(super) fn served_by(&self, name: &str) -> &Self {
        assert_eq!(self.key(), name);
        self
    }

    /// The key that served it.
    #[track_caller]
    pub(super) fn key(&self) -> &str {
        let answer = self.ending.as_ref().expect("it was served");
        answer.served.attempts.last().expect("the serving attempt").key.key.as_str()
    }

    /// It was served after so many attempts.
    #[track_caller]
    pub(super) fn attempts(&self, count: usize) -> &Self {
        assert_eq!(self.ending.as_ref().expect("it was served").served.attempts.len(), count);
        self
    }

    /// It ended at this moment.
    #[track_caller]
    pub(super) fn at(&self, after_start: Duration) -> &Self {
        assert_eq!(self.ended.since_start(), after_start);
        self
    }

    /// Its error.
    #[track_caller]
    pub(super) fn error(&self) -> &SendError {
        self.ending.as_ref().expect_err("it was not served")
    }
}

pub(super) fn key(name: &str) -> KeySpec {
    KeySpec::new(name, Secret::new(format!("sk-{name}")))
}

/// So many calls at once, and nothing else known.
pub(super) fn at_once(calls: u32) -> Limits {
    Limits { concurrency: Some(calls), ..Limits::default() }
}

pub(super) fn key_id(provider: &str, name: &str) -> KeyId {
    KeyId { provider: provider.into(), key: name.into() }
}

pub(super) fn request(delivery: Delivery) -> Request {
    Request {
        method: Method::POST,
        path: "/chat/completions".to_owned(),
        headers: HeaderMap::new(),
        body: r#"{"model":"m","messages":[]}"#.into(),
        model: "m".into(),
        delivery,
        to: crate::request::Destination::Routed,
        upload: None,
    }
}

/// How long a call takes that succeeds.
pub(super) const CALL: Duration = Duration::from_millis(50);

pub(super) fn ok() -> Step {
    Step::answer(200, r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#).after(CALL)
}

pub(super) fn throttled(retry_after: Duration) -> Step {
    error(429, "requests", "rate_limit_exceeded", "too fast")
        .header("retry-after-ms", &retry_after.as_millis().to_string())
}

pub(super) fn throttled_without_hint() -> Step {
    error(429, "requests", "rate_limit_exceeded", "too fast")
}

pub(super) fn unauthorized() -> Step {
    error(401, "invalid_request_error", "invalid_api_key", "wrong key")
}

pub(super) fn broke() -> Step {
    error(429, "insufficient_quota", "insufficient_quota", "no money")
}

pub(super) fn overloaded() -> Step {
    error(503, "service_unavailable_error", "server_is_overloaded", "try later")
}

pub(super) fn failing() -> Step {
    error(500, "server_error", "internal", "oops")
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Step {
    let body =
        format!(r#"{{"error":{{"type":"{kind}","code":"{code}","message":"{message}","param":null}}}}"#);
    Step::answer(status, body)
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
