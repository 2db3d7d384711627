//! HTTP around the decisions: reads a call, waits as long as it should, writes the answer.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use keywheel_actors::clock::{Clock, Moment};
use ring::digest;
use serde_json::json;

use super::answer::{Events, Length, Scribe, download, file_object, speech, write_json_string};
use super::ask::{Ask, Form, Manner, Received};
use super::body::{AnswerBody, HangUp, stream_steps};
use super::complaint::Complaint;
use super::fault::Mishap;
use super::foreign::Named;
use super::headers::{tell_gauges, tell_wait};
use super::paths::{Sent, is_upload, work};
use super::run::{Call, Decision, Ruling, Run, Work};
use super::tongue::Tongue;

/// Larger bodies are answered with 413; OpenAI's own limit is not published, Anthropic's is 32 MB.
const BODY_BYTES_MAX: usize = 32 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const SOUND: HeaderValue = HeaderValue::from_static("audio/mpeg");

/// The model that is listed if the spec lists none.
const ANY_MODEL: &str = "sim";

/// A run and its clock: replaced as a whole when the provider starts anew.
#[derive(Debug)]
pub(crate) struct Era {
    pub(crate) clock: Clock,
    pub(crate) run: Run,
}

/// Answers one request.
///
/// # Errors
/// [`HangUp`] if the connection is to be closed without an answer.
pub(crate) async fn answer(
    era: Arc<Era>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, HangUp> {
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/healthz") => return Ok(json_answer("{\"status\":\"up\"}")),
        (&Method::GET, "/ledger") => return Ok(ledger(&era, head.uri.query())),
        _ => {}
    }
    let path = head.uri.path();
    let tongue = Tongue::of(path, &head.headers);
    let sent = if is_upload(&head.method, path) { count(body).await? } else { read(body).await? };
    let request_id = head.headers.get(REQUEST_ID);
    let now = era.clock.now();
    let call = Call {
        secret: tongue.secret(&head.headers),
        request_id: request_id.map(HeaderValue::as_bytes),
        work: work(&head.method, path, &sent),
    };
    let Decision { number, ruling } = era.run.decide(now, &call);

    let mut answer = match ruling {
        Ruling::HangUp => return Err(HangUp),
        Ruling::Refused { complaint, gauges, wait } => {
            let mut answer = complaint_answer(&complaint, tongue);
            tell_gauges(answer.headers_mut(), tongue, &gauges, era.clock.wall(now));
            if let Some(wait) = wait.filter(|_| tongue != Tongue::Gemini) {
                tell_wait(answer.headers_mut(), era.run.spec().headers, wait, era.clock.wall(now));
            }
            answer
        }
        Ruling::Listed => {
            let Work::List(model) = call.work else { return Err(HangUp) };
            match model {
                None => models(&era.run.spec().models, tongue),
                Some(model) => json_answer(model_object(model, tongue)),
            }
        }
        Ruling::Taken { delay, mishap, gauges, mut rng, bill } => {
            // Only an ask is ever taken.
            let Work::Ask(ask) = &call.work else { return Err(HangUp) };
            let delay = delay + stall_before(ask, mishap);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let scribe = scribe(&era, number, now, mishap);
            if let Some(bill) = bill.filter(|_| !matches!(mishap, Some(Mishap::Error | Mishap::Overloaded))) {
                era.run.settle(era.clock.now(), bill, scribe.used(ask));
            }
            let mut answer = taken(&era, scribe, ask, mishap, &mut rng);
            tell_gauges(answer.headers_mut(), tongue, &gauges, era.clock.wall(now));
            answer
        }
    };
    let request_id = request_id.cloned().or_else(|| HeaderValue::try_from(format!("req-sim-{number}")).ok());
    answer.headers_mut().extend(request_id.map(|id| (tongue.request_id(), id)));
    Ok(answer)
}

/// The whole body.
async fn read(body: Incoming) -> Result<Sent, HangUp> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(Sent::Whole(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            Ok(Sent::TooLong(Complaint::body_too_large(BODY_BYTES_MAX)))
        }
        // The caller is gone in the middle of its own request.
        Err(_) => Err(HangUp),
    }
}

/// How much the body is. It is nowhere held.
async fn count(mut body: Incoming) -> Result<Sent, HangUp> {
    let mut sha256 = digest::Context::new(&digest::SHA256);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| HangUp)?.into_data() else { continue };
        sha256.update(&data);
        bytes += data.len() as u64;
    }
    let sha256 = sha256.finish().as_ref().try_into().map_err(|_| HangUp)?;
    Ok(Sent::Counted(Received { bytes, sha256 }))
}

/// A stalled stream is silent in its middle, anything else before its beginning.
fn stall_before(ask: &Ask<'_>, mishap: Option<Mishap>) -> Duration {
    match (ask.form.manner(), mishap) {
        (Manner::Whole, Some(Mishap::Stall(pause))) => pause,
        (Manner::Stream(_), Some(Mishap::Stall(_)))
        | (
            _,
            Some(Mishap::Error | Mishap::Overloaded | Mishap::Cut | Mishap::InBand | Mishap::CutShort) | None,
        ) => Duration::ZERO,
    }
}

fn scribe(era: &Era, call: u64, now: Moment, mishap: Option<Mishap>) -> Scribe {
    let created = era.clock.wall(now).duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let spec = era.run.spec();
    let length = match mishap {
        Some(Mishap::CutShort) => Length::CutShort,
        Some(Mishap::Error | Mishap::Overloaded | Mishap::Cut | Mishap::Stall(_) | Mishap::InBand) | None => {
            Length::Full
        }
    };
    Scribe { call, created, chunks: spec.pace.chunks, words: spec.words, length }
}

fn taken(
    era: &Era,
    scribe: Scribe,
    ask: &Ask<'_>,
    mishap: Option<Mishap>,
    rng: &mut fastrand::Rng,
) -> Response<AnswerBody> {
    let tongue = ask.form.tongue();
    match mishap {
        Some(Mishap::Error) => return complaint_answer(&Complaint::server_error(), tongue),
        Some(Mishap::Overloaded) => return complaint_answer(&Complaint::overloaded(), tongue),
        Some(Mishap::Cut | Mishap::Stall(_) | Mishap::InBand | Mishap::CutShort) | None => {}
    }
    let json = |bytes: Bytes| (JSON, AnswerBody::Whole(bytes));
    let (kind, body) = match ask.form {
        Form::Chat(Manner::Whole) => json(scribe.chat(ask)),
        Form::Completion(Manner::Whole) => json(scribe.completion(ask)),
        Form::Response(Manner::Whole) => json(scribe.response(ask)),
        Form::Message(Manner::Whole) => json(scribe.message(ask)),
        Form::Generation(Manner::Whole) => json(scribe.generation(ask)),
        Form::Embeddings(encoding) => json(Scribe::embeddings(ask, encoding)),
        Form::Upload(received) => json(file_object(scribe.call, scribe.created, &received)),
        Form::Download(bytes) => (OCTETS, download(bytes)),
        Form::Speech => (SOUND, speech()),
        Form::Chat(Manner::Stream(usage)) => {
            return stream(era, ask, &scribe.chat_events(ask, usage), Named::No, mishap, rng);
        }
        Form::Completion(Manner::Stream(usage)) => {
            return stream(era, ask, &scribe.completion_events(ask, usage), Named::No, mishap, rng);
        }
        Form::Response(Manner::Stream(_)) => {
            return stream(era, ask, &scribe.response_events(ask), Named::Response, mishap, rng);
        }
        Form::Message(Manner::Stream(_)) => {
            return stream(era, ask, &scribe.message_events(ask), Named::Message, mishap, rng);
        }
        Form::Generation(Manner::Stream(_)) => {
            return stream(era, ask, &scribe.generation_events(ask), Named::No, mishap, rng);
        }
    };
    match mishap {
        Some(Mishap::Cut) => response(StatusCode::OK, kind, body.broken_off()),
        Some(Mishap::InBand) => json_answer(Complaint::server_error().told(tongue).1),
        Some(Mishap::Error | Mishap::Overloaded | Mishap::Stall(_) | Mishap::CutShort) | None => {
            response(StatusCode::OK, kind, body)
        }
    }
}

fn stream(
    era: &Era,
    ask: &Ask<'_>,
    events: &Events,
    named: Named,
    mishap: Option<Mishap>,
    rng: &mut fastrand::Rng,
) -> Response<AnswerBody> {
    let pace = era.run.spec().pace;
    let last = match mishap {
        Some(Mishap::InBand) => Complaint::server_error().event(named, ask.form.tongue()),
        Some(Mishap::Error | Mishap::Overloaded | Mishap::Cut | Mishap::Stall(_) | Mishap::CutShort)
        | None => Bytes::new(),
    };
    let steps = stream_steps(events, pace.chunks, mishap, &last, || pace.chunk_gap.draw(rng));
    response(StatusCode::OK, EVENT_STREAM, AnswerBody::stream(steps))
}

fn models(models: &[String], tongue: Tongue) -> Response<AnswerBody> {
    let any = [ANY_MODEL.to_owned()];
    let models = if models.is_empty() { &any } else { models };
    let (before, after) = tongue.model_list();
    let objects: Vec<_> = models.iter().map(|model| model_object(model, tongue)).collect();
    json_answer([before, &objects.join(&b','), after].concat())
}

fn model_object(model: &str, tongue: Tongue) -> Vec<u8> {
    let (before, after) = tongue.model_object();
    let mut body = before.to_vec();
    match tongue {
        Tongue::OpenAi | Tongue::Anthropic => write_json_string(&mut body, model),
        Tongue::Gemini => write_json_string(&mut body, &format!("models/{model}")),
    }
    body.extend_from_slice(after);
    body
}

fn ledger(era: &Era, query: Option<&str>) -> Response<AnswerBody> {
    let now = era.clock.now();
    let with_requests = query.is_some_and(|query| query.split('&').any(|part| part == "requests=1"));
    let ledger = if with_requests { era.run.ledger_with_requests(now) } else { era.run.ledger(now) };
    match serde_json::to_vec(&ledger) {
        Ok(body) => json_answer(body),
        Err(error) => {
            let body = json!({"error": {"message": error.to_string()}}).to_string();
            response(StatusCode::INTERNAL_SERVER_ERROR, JSON, AnswerBody::Whole(body.into()))
        }
    }
}

fn complaint_answer(complaint: &Complaint, tongue: Tongue) -> Response<AnswerBody> {
    let (status, body) = complaint.told(tongue);
    response(status, JSON, AnswerBody::Whole(body))
}

fn json_answer(body: impl Into<Bytes>) -> Response<AnswerBody> {
    response(StatusCode::OK, JSON, AnswerBody::Whole(body.into()))
}

fn response(status: StatusCode, content_type: HeaderValue, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
