//! An upstream that follows a script: the twin of [`super::Http`] for tests and embedders.
//!
//! It answers per key, step by step, on tokio's clock; with a paused clock a
//! story of hours takes milliseconds and every moment in it is exact.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::Instant;

use super::{BodyStream, Call, CallFuture, Response, TransportError, Upstream};
use crate::id::KeyName;

/// An answer as the script has it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Time until its connection stands.
    connected: Duration,
    /// Time until its headers.
    after: Duration,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Answer { status: StatusCode, headers: HeaderMap, pieces: Vec<Piece> },
    Refused,
    Silent,
}

/// A part of a streamed body.
#[derive(Clone, Debug)]
pub enum Piece {
    /// These bytes, so long after the piece before.
    Bytes(Duration, Bytes),
    /// The connection breaks.
    Break,
    /// Nothing ever comes again.
    Stall,
}

impl Step {
    /// An answer with this status and JSON body.
    pub fn answer(status: u16, body: impl Into<Bytes>) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self::of(status, json, vec![Piece::Bytes(Duration::ZERO, body.into())])
    }

    /// A stream of server-sent events in these pieces.
    pub fn stream(pieces: Vec<Piece>) -> Self {
        Self::of(200, HeaderValue::from_static("text/event-stream"), pieces)
    }

    /// Nobody listens.
    pub fn refused() -> Self {
        Self { connected: Duration::ZERO, after: Duration::ZERO, kind: Kind::Refused }
    }

    /// No answer, ever.
    pub fn silent() -> Self {
        Self { connected: Duration::ZERO, after: Duration::ZERO, kind: Kind::Silent }
    }

    /// On a connection that stands so long after the call began, and only if it may still leave then.
    pub fn connected_after(mut self, delay: Duration) -> Self {
        self.connected = delay;
        self
    }

    /// So long after the call began.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, text: &str) -> Self {
        if let Kind::Answer { headers, .. } = &mut self.kind
            && let Ok(value) = HeaderValue::from_str(text)
        {
            headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    fn of(status: u16, content_type: HeaderValue, pieces: Vec<Piece>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Self {
            connected: Duration::ZERO,
            after: Duration::ZERO,
            kind: Kind::Answer { status, headers, pieces },
        }
    }
}

/// A scripted upstream. Clones follow the same script.
#[derive(Clone, Debug)]
pub struct Scripted {
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    steps: HashMap<KeyName, VecDeque<Step>>,
    otherwise: Step,
    calls: Vec<(KeyName, Instant)>,
}

impl Scripted {
    /// Every call gets `otherwise` until [`Scripted::then`] says something else.
    pub fn always(otherwise: Step) -> Self {
        let script = Script { steps: HashMap::new(), otherwise, calls: Vec::new() };
        Self { script: Arc::new(Mutex::new(script)) }
    }

    /// The next call with `key` gets this step; further ones queue up behind it.
    pub fn then(&self, key: impl Into<KeyName>, step: Step) -> &Self {
        self.locked(|script| script.steps.entry(key.into()).or_default().push_back(step));
        self
    }

    /// From now on, calls without a step of their own get this one.
    pub fn otherwise(&self, step: Step) -> &Self {
        self.locked(|script| script.otherwise = step);
        self
    }

    /// Every call that left so far, by key, in order, with the moment when it did.
    pub fn calls(&self) -> Vec<(KeyName, Instant)> {
        self.locked(|script| script.calls.clone())
    }

    fn leave(&self, key: KeyName) {
        self.locked(|script| script.calls.push((key, Instant::now())));
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Upstream for Scripted {
    fn call(&self, call: Call) -> CallFuture {
        let key = call.key.key.clone();
        let step = self.locked(|script| {
            let own = script.steps.get_mut(&key).and_then(VecDeque::pop_front);
            own.unwrap_or_else(|| script.otherwise.clone())
        });
        if step.connected.is_zero() {
            self.leave(key.clone());
        }
        let script = self.clone();
        Box::pin(async move {
            if !step.connected.is_zero() {
                tokio::time::sleep(step.connected).await;
                if call.withdrawn.is_some_and(|withdrawn| withdrawn.load(Ordering::Acquire)) {
                    return Err(TransportError::Withdrawn);
                }
                script.leave(key);
            }
            if !step.after.is_zero() {
                tokio::time::sleep(step.after).await;
            }
            match step.kind {
                Kind::Answer { status, headers, pieces } => {
                    Ok(Response { status, headers, body: play(pieces) })
                }
                Kind::Refused => Err(TransportError::Connect("connection refused".to_owned())),
                Kind::Silent => std::future::pending().await,
            }
        })
    }
}

fn play(pieces: Vec<Piece>) -> BodyStream {
    Box::pin(stream::unfold(pieces.into_iter(), |mut pieces| async move {
        let item = match pieces.next()? {
            Piece::Bytes(delay, bytes) => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok(bytes)
            }
            Piece::Break => Err(TransportError::Cut("connection reset".to_owned())),
            Piece::Stall => std::future::pending().await,
        };
        Some((item, pieces))
    }))
}
