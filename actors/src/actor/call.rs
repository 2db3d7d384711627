//! One call: a task that takes a job to the provider and its answer to the caller, on the shared runtime or in the
//! caller's own.
//!
//! The task never touches an actor's state. It holds a [`Slip`], and whatever
//! becomes of it (an answer, a fault, a caller who left, a panic) the slip
//! reports to the key exactly once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::time::timeout_at;

use crate::clock::Moment;
use crate::dialect::{Api, Dialect, Kind, PlainHttp, Speech, Tongue, redirect, success};
use crate::error::SendError;
use crate::id::KeyId;
use crate::outcome::{Attempt, Fault, Gauges, Reason, Served, Usage};
use crate::policy::budget::RetryKind;
use crate::policy::route::Charge;
use crate::request::{Delivery, HoldBack, Request};
use crate::secret::{Fingerprint, Secret};
use crate::span;
use crate::spec::Timeouts;
use crate::upstream::{Call, Response, TransportError};
use crate::wheel::{Answer, AnswerBody, AnswerStream};

use super::body::{self, Body, NoBody, Shape};
use super::hub::Hub;
use super::job::Job;
use super::limits::{Late, Limits};
use super::message::{Back, Committed, End, RawAnswer};
use super::slip::Slip;
use super::{stream, waiting};

/// What all calls of one key have in common.
pub(crate) struct Line {
    pub(crate) key: KeyId,
    pub(crate) secret: Secret,
    pub(crate) fingerprint: Fingerprint,
    /// The credential as headers, made once.
    pub(crate) credential: HeaderMap,
    /// The same for OpenAI's requests to a provider that speaks otherwise; empty if it doesn't answer them.
    pub(crate) credential_as_openai: HeaderMap,
    pub(crate) speech: Speech,
    pub(crate) base_url: Arc<str>,
    pub(crate) timeouts: Timeouts,
    pub(crate) hub: Arc<Hub>,
    /// Set by the key's actor while the key is disabled: a call not yet sent is not sent any more.
    pub(crate) barred: Arc<AtomicBool>,
    /// Set by the provider when another key has taken the name: then this one says nothing under it any more.
    pub(crate) superseded: Arc<AtomicBool>,
}

impl Line {
    /// How to say what this request says.
    fn tongue(&self, request: &Request) -> Tongue<'_> {
        self.speech.for_path_at_hand(&request.path)
    }

    fn credential(&self, kind: Kind) -> &HeaderMap {
        match kind {
            Kind::Own => &self.credential,
            Kind::AsOpenAi => &self.credential_as_openai,
        }
    }

    /// Whether both are of the same key: one that got its name or its place later is another.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.barred, &other.barred)
    }
}

/// Has `job` taken through one call.
pub(crate) fn begin(line: Arc<Line>, mut job: Job, slip: Slip, started: Moment) {
    let errands = job.errands();
    let call = run(line, job, slip, started);
    match errands {
        Some(give) => give(waiting::errand(call)),
        None => drop(tokio::spawn(call)),
    }
}

/// Takes `job` through one call.
async fn run(line: Arc<Line>, mut job: Job, mut slip: Slip, started: Moment) {
    let mut cut_off = line.hub.cut_off.subscribe();
    let progress = {
        let tongue = line.tongue(&job.request);
        let request = prepare(&line, &job, tongue);
        let wanted = Wanted::of(&job);
        let limits = Limits::new(&line, &job, started);
        let exchange = pin!(exchange(&line, &**tongue.dialect, request, wanted, limits, &mut slip));
        let interrupted = pin!(async {
            let gone = pin!(job.abandoned());
            let stopped = pin!(cut_off.wait_for(|cut| *cut));
            match select(gone, stopped).await {
                Either::Left(_) => Reason::CallerGone,
                Either::Right(_) => Reason::Stopped,
            }
        });
        match select(exchange, interrupted).await {
            Either::Left((progress, _)) => progress,
            Either::Right((Reason::CallerGone, _)) => Progress::Abandoned,
            Either::Right(_) => Progress::CutOff,
        }
    };
    match progress {
        Progress::Answered(answer) => deliver(&line, job, slip, started, *answer),
        Progress::Failed(fault, answer) => give_back(&line, job, slip, started, fault, answer),
        Progress::Abandoned => slip.settle(End::Cancelled),
        Progress::CutOff => {
            slip.settle(End::Cancelled);
            job.end(Err(SendError::Draining));
        }
        Progress::DeadlineOver => {
            slip.settle(End::Cancelled);
            let fault = Fault::new(Reason::DeadlineOver, "the deadline passed during the call");
            let mut attempts = job.take_attempts();
            attempts.push(attempt(&line, &job, started, Some(fault)));
            job.end(Err(SendError::DeadlineOver { attempts }));
        }
    }
}

/// How an answer is wanted.
#[derive(Clone, Copy)]
struct Wanted {
    delivery: Delivery,
    hold_back: HoldBack,
    meaning: Meaning,
}

/// What a good answer can tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// What a model said, or a fault: it is judged.
    Model,
    /// What the provider keeps: a file, a list, the record of a call that failed. Only its status counts.
    Record,
}

impl Wanted {
    fn of(job: &Job) -> Self {
        let Request { method, path, delivery, .. } = &job.request;
        let calls_a_model = *method == Method::POST && Api::of_path(path).is_some();
        let meaning =
            if *delivery != Delivery::Passed || calls_a_model { Meaning::Model } else { Meaning::Record };
        Self { delivery: *delivery, hold_back: job.terms.hold_back, meaning }
    }
}

/// How far a call got.
enum Progress {
    Answered(Box<Good>),
    Failed(Fault, Option<Box<RawAnswer>>),
    Abandoned,
    CutOff,
    DeadlineOver,
}

/// A good answer, or the good beginning of one.
struct Good {
    status: StatusCode,
    headers: HeaderMap,
    body: GoodBody,
}

enum GoodBody {
    Whole(Bytes, Option<Usage>),
    Stream(Box<stream::Begun>),
}

impl From<Late> for Progress {
    fn from(late: Late) -> Self {
        match late {
            Late::Deadline => Self::DeadlineOver,
            Late::Stalled(fault) => Self::Failed(fault, None),
        }
    }
}

fn prepare(line: &Line, job: &Job, tongue: Tongue<'_>) -> Call {
    let (path, body) = tongue.dialect.address_to(&job.request, job.model());
    let path = if tongue.prefix.is_empty() { path } else { format!("{}{path}", tongue.prefix) };
    let mut headers = job.request.headers.clone();
    if !body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.extend(line.credential(tongue.kind).clone());
    span::tell(&mut headers, job.attempts.len());
    let method: Method = job.request.method.clone();
    let base_url = Arc::clone(&line.base_url);
    let upload = job.request.upload.clone();
    let withdrawn = Some(Arc::clone(&line.barred));
    Call { key: line.key.clone(), method, base_url, path, headers, body, upload, withdrawn }
}

async fn exchange(
    line: &Line,
    dialect: &dyn Dialect,
    call: Call,
    wanted: Wanted,
    limits: Limits,
    slip: &mut Slip,
) -> Progress {
    if line.barred.load(Ordering::Acquire) {
        return Progress::Failed(Fault::new(Reason::Stopped, "the key was disabled before the call"), None);
    }
    let clock = line.hub.clock;
    let by = limits.for_an_answer();
    let upload = call.upload.clone();
    let is_head = call.method == Method::HEAD;
    let response = match timeout_at(clock.instant(by), line.hub.upstream.call(call)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Progress::Failed(transport_fault(line, &error), None),
        // Who waits for the end of a request owes no answer yet.
        Err(_) if upload.is_some_and(|upload| !upload.is_whole()) => {
            let fault = Fault::new(Reason::CallerMistake, "the upload didn't end in time");
            return Progress::Failed(fault, None);
        }
        Err(_) => return limits.overrun(clock.now(), "no answer came in time").into(),
    };
    let Response { status, mut headers, body } = response;
    drop_echoes(&line.secret, &mut headers);
    let gauges = dialect.gauges(&headers, clock.wall(clock.now()));
    slip.note(|outcome| outcome.gauges = gauges);
    if let Some(fault) = redirect::fault_in(status, &headers, wanted.delivery) {
        return Progress::Failed(scrub_fault(&line.secret, fault), None);
    }
    if status.is_success() && wanted.delivery != Delivery::Passed && success::is_compressed(&headers) {
        let fault = Fault::new(Reason::Cut, "the answer is compressed, which nobody asked for");
        return Progress::Failed(fault, None);
    }
    let has_body = !is_head && status != StatusCode::NO_CONTENT;
    let shape = match wanted.meaning {
        _ if !status.is_success() || !has_body => Shape::Whole,
        Meaning::Model => Shape::of(wanted.delivery, &headers),
        Meaning::Record => Shape::Bytes,
    };
    let read = match shape {
        Shape::Whole => body::whole(line, body, limits, by).await,
        Shape::Events => stream::begin(line, dialect, body, limits, by, wanted.hold_back)
            .await
            .map(|begun| Body::Begun(Box::new(begun))),
        Shape::Object => body::object(line, body, limits, by).await,
        Shape::Bytes => body::bytes(line, body, limits, by, wanted.hold_back).await,
    };
    let body = match read {
        Ok(body) => body,
        Err(NoBody::Late(late)) => return late.into(),
        Err(NoBody::Failed(fault, said)) => {
            return Progress::Failed(fault, Some(Box::new(RawAnswer { status, headers, body: said })));
        }
    };
    let now = clock.now();
    slip.note(|outcome| outcome.first_content = Some(now.since(outcome.made.started)));
    let body = match body {
        Body::Whole(body) => body,
        Body::Begun(begun) => {
            return Progress::Answered(Box::new(Good { status, headers, body: GoodBody::Stream(begun) }));
        }
    };
    // Who asked whether anything has changed is answered so.
    let is_unchanged = status == StatusCode::NOT_MODIFIED && wanted.delivery == Delivery::Passed;
    let is_good = is_unchanged || wanted.meaning == Meaning::Record && status.is_success();
    let fault = match dialect.fault_in(status, &headers, &body, clock.wall(now)) {
        // Of a record that isn't there, or can't be had so, the status says enough.
        Some(fault) if wanted.meaning == Meaning::Record && fault.reason == Reason::Unclassified => {
            PlainHttp::bearer().fault_in(status, &headers, &body, clock.wall(now))
        }
        fault => fault,
    };
    match fault.filter(|_| !is_good) {
        None => {
            let usage = dialect.usage_in(&body);
            Progress::Answered(Box::new(Good { status, headers, body: GoodBody::Whole(body, usage) }))
        }
        Some(fault) => {
            // Messages are cut to a length; a key must be gone before, or half of it might stay.
            let (fault, body) = match line.secret.scrub_bytes(&body) {
                Some(clean) => {
                    let again = dialect.fault_in(status, &headers, &clean, clock.wall(now));
                    (again.unwrap_or_else(|| without_words(fault)), clean)
                }
                None => (fault, body),
            };
            let fault = scrub_fault(&line.secret, fault);
            Progress::Failed(fault, Some(Box::new(RawAnswer { status, headers, body })))
        }
    }
}

fn deliver(line: &Arc<Line>, mut job: Job, mut slip: Slip, started: Moment, good: Good) {
    let paid: Option<RetryKind> = job.paid.take();
    let mut attempts = job.take_attempts();
    attempts.push(attempt(line, &job, started, None));
    let fell_back = job.progress.has_advanced();
    let served = Served { provider: line.key.provider.clone(), fell_back, attempts };
    let Good { status, headers, body } = good;
    match body {
        GoodBody::Whole(bytes, usage) => {
            slip.note(|outcome| outcome.usage = usage);
            job.end(Ok(Answer { status, headers, body: AnswerBody::Whole(bytes), served, usage }));
            slip.settle(End::Served { paid });
        }
        GoodBody::Stream(begun) => {
            slip.note(|outcome| {
                if outcome.made.charge == Charge::Free {
                    line.hub.tell_provider(&line.key.provider, Committed(outcome.made.epoch));
                }
            });
            let body = AnswerStream::new(stream::handed::Handed::new(*begun, Arc::clone(line), slip, paid));
            // If the caller is gone the stream is dropped here, and with it the call.
            job.end(Ok(Answer { status, headers, body: AnswerBody::Stream(body), served, usage: None }));
        }
    }
}

fn give_back(
    line: &Line,
    mut job: Job,
    slip: Slip,
    started: Moment,
    fault: Fault,
    answer: Option<Box<RawAnswer>>,
) {
    let fault = meant(&job, fault);
    // What was stopped before it left is no call: the provider knows nothing of it.
    if fault.reason != Reason::Stopped {
        let attempt = attempt(line, &job, started, Some(fault.clone()));
        job.attempts.push(attempt);
    }
    slip.settle(End::Failed { fault, back: Some(Back { job, answer }) });
}

/// A model that isn't there is no lane to rest where the request names none that is known here: all requests without one
/// would rest with it, files and lists among them.
fn meant(job: &Job, fault: Fault) -> Fault {
    match fault.reason {
        Reason::ModelDenied if job.model().as_str().is_empty() => {
            Fault { reason: Reason::CallerMistake, scope: Reason::CallerMistake.usual_scope(), ..fault }
        }
        _ => fault,
    }
}

fn attempt(line: &Line, job: &Job, started: Moment, fault: Option<Fault>) -> Attempt {
    let took = line.hub.clock.now().since(started);
    Attempt { key: line.key.clone(), model: job.model().clone(), started, took, fault }
}

/// What a broken exchange means.
pub(crate) fn transport_fault(line: &Line, error: &TransportError) -> Fault {
    let reason = match error {
        TransportError::Connect(_) | TransportError::Lost(_) => Reason::Unreachable,
        TransportError::Cut(_) => Reason::Cut,
        TransportError::Unsendable(_) => Reason::CallerMistake,
        TransportError::Withdrawn => Reason::Stopped,
    };
    Fault::new(reason, line.secret.scrub(&error.to_string()))
}

/// A fault in whose words the provider may have echoed the key.
pub(crate) fn scrub_fault(secret: &Secret, mut fault: Fault) -> Fault {
    fault.message = secret.scrub(&fault.message).into();
    fault.code = fault.code.map(|code| secret.scrub(&code).into());
    fault
}

/// A fault whose words may hold half a key: they were cut before it could be found.
pub(crate) fn without_words(mut fault: Fault) -> Fault {
    fault.message = "".into();
    fault.code = None;
    fault
}

/// Drops headers in which the provider echoes the key. Those of good answers reach callers as well, hence
/// for every call; as hardly a value is as long as a key it costs nothing to speak of.
fn drop_echoes(secret: &Secret, headers: &mut HeaderMap) {
    let echoing = headers.iter().filter(|(_, value)| secret.scrub_bytes(value.as_bytes()).is_some());
    let echoing: Vec<HeaderName> = echoing.map(|(name, _)| name.clone()).collect();
    for name in echoing {
        headers.remove(name);
    }
}

/// An outcome with nothing known yet.
pub(crate) const NOTHING_KNOWN: Gauges = Gauges { requests: None, tokens: None };
