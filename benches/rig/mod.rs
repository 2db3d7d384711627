//! What the benches of the actors share: an upstream inside this process, a wheel over it, and the same
//! work without actors to compare with.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use keywheel_actors::dialect::{Dialect as _, OpenAi};
use keywheel_actors::id::KeyId;
use keywheel_actors::request::{Delivery, Request, Terms};
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{KeySpec, Limits, ProviderSpec, WheelSpec};
use keywheel_actors::upstream::{Call, CallFuture, Response, Upstream};
use keywheel_actors::{AnswerBody, Wheel};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const PROVIDER: &str = "bench";
const BASE_URL: &str = "http://bench.invalid/v1";
/// Calls at once for each key: more than any bench has, so that no job waits for a credit.
const CONCURRENCY: u32 = 16_384;

const ASKED: Bytes = Bytes::from_static(
    br#"{"model":"m","messages":[{"role":"user","content":"How many keys has a piano?"}]}"#,
);
const ANSWERED: Bytes = Bytes::from_static(
    br#"{"id":"c-1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"88"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13}}"#,
);

/// Answers every call with 200 and a small body, after as many ms as its path ends with.
struct Answering;

impl Upstream for Answering {
    fn call(&self, call: Call) -> CallFuture {
        let after_ms = call.path.rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        Box::pin(async move {
            if after_ms > 0 {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            let json = HeaderValue::from_static("application/json");
            Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
                body: Box::pin(stream::iter([Ok(ANSWERED)])),
            })
        })
    }
}

/// The actors and their rival, over one upstream and one runtime.
pub(crate) struct Rig {
    /// A wheel whose keys have proved themselves: each is open for its full concurrency.
    pub(crate) wheel: Wheel,
    /// The same keys, taken in turns under a mutex.
    pub(crate) mutex: Arc<MutexRing>,
}

impl Rig {
    /// So many keys, and an upstream that answers when each call wants it to.
    pub(crate) fn new(keys: usize) -> Self {
        let upstream: Arc<dyn Upstream> = Arc::new(Answering);
        let wheel = Wheel::start(spec(keys), Arc::clone(&upstream)).expect("the actors start");
        let mutex = Arc::new(MutexRing::new(keys, upstream));
        let rig = Self { wheel, mutex };
        // A key that nobody knows takes three calls at once; it opens with its first success.
        let first_calls = stream::iter(0..keys).then(|_| send(rig.wheel.clone(), 0));
        rig.runtime().block_on(first_calls.collect::<()>());
        rig
    }

    /// What both run on.
    pub(crate) fn runtime(&self) -> Handle {
        self.wheel.runtime()
    }
}

/// One job through the actors, answered after so many ms.
pub(crate) async fn send(wheel: Wheel, after_ms: u64) {
    let answer = wheel.send(request(after_ms), Terms::default()).await.expect("it is served");
    assert!(matches!(answer.body, AnswerBody::Whole(body) if body.len() == ANSWERED.len()));
}

/// The same by way of the mutex.
pub(crate) async fn send_by_mutex(ring: Arc<MutexRing>, after_ms: u64) {
    let body = ring.send(request(after_ms)).await;
    assert_eq!(body.len(), ANSWERED.len());
}

fn spec(keys: usize) -> WheelSpec {
    let limits = Limits { concurrency: Some(CONCURRENCY), ..Limits::default() };
    let provider = ProviderSpec::new(PROVIDER, Arc::new(OpenAi), BASE_URL);
    let provider = (0..keys).fold(provider, |provider, number| {
        provider.with_key(KeySpec::new(key_name(number), secret(number)).limited(limits.clone()))
    });
    WheelSpec { providers: vec![provider], seed: Some(1), ..WheelSpec::default() }
}

fn key_name(number: usize) -> String {
    format!("k{number}")
}

fn secret(number: usize) -> Secret {
    Secret::new(format!("sk-{number}"))
}

fn request(after_ms: u64) -> Request {
    Request {
        method: Method::POST,
        path: format!("/chat/completions/{after_ms}"),
        headers: HeaderMap::new(),
        body: ASKED,
        model: "m".into(),
        delivery: Delivery::Whole,
        to: keywheel_actors::request::Destination::Routed,
        upload: None,
    }
}

/// Rotation as people write it first: a ring of keys under a lock, and a task for each call.
///
/// It has no limits, no retries, no deadlines, no health, and looks at no answer: the floor of what a
/// rotation can cost.
pub(crate) struct MutexRing {
    keys: Mutex<VecDeque<Arc<RingKey>>>,
    upstream: Arc<dyn Upstream>,
}

struct RingKey {
    id: KeyId,
    credential: HeaderMap,
}

impl MutexRing {
    fn new(keys: usize, upstream: Arc<dyn Upstream>) -> Self {
        let key = |number| {
            let mut credential = HeaderMap::new();
            OpenAi.authenticate(&secret(number), &mut credential).expect("it can stand in a header");
            let id = KeyId { provider: PROVIDER.into(), key: key_name(number).into() };
            Arc::new(RingKey { id, credential })
        };
        Self { keys: Mutex::new((0..keys).map(key).collect()), upstream }
    }

    fn send(&self, request: Request) -> impl Future<Output = Bytes> + use<> {
        let key = self.next_key();
        let upstream = Arc::clone(&self.upstream);
        let (reply, answered) = oneshot::channel();
        tokio::spawn(async move {
            let Request { method, path, mut headers, body, .. } = request;
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.extend(key.credential.clone());
            let call = Call {
                key: key.id.clone(),
                method,
                base_url: BASE_URL.into(),
                path,
                headers,
                body,
                upload: None,
                withdrawn: None,
            };
            let mut response = upstream.call(call).await.expect("it answers");
            let body = response.body.next().await.expect("a chunk").expect("a whole one");
            // Whoever asked waits below.
            let _ = reply.send(body);
        });
        async { answered.await.expect("the task answers") }
    }

    fn next_key(&self) -> Arc<RingKey> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.rotate_left(1);
        Arc::clone(keys.back().expect("there are keys"))
    }
}
