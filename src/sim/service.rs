//! HTTP around the decisions: reads a call, waits as long as it should, writes the answer.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use keywheel_actors::clock::{Clock, Moment};
use serde_json::json;

use super::answer::{Length, Scribe, embeddings, write_json_string};
use super::ask::{Ask, Form};
use super::body::{AnswerBody, HangUp, stream_steps};
use super::complaint::Complaint;
use super::fault::Mishap;
use super::headers::{tell_gauges, tell_wait};
use super::run::{Call, Decision, Ruling, Run, Work};

/// Larger bodies are answered with 413; OpenAI's own limit is not published, Anthropic's is 32 MB.
const BODY_BYTES_MAX: usize = 32 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

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
        (&Method::GET, "/healthz") => return Ok(json_answer(StatusCode::OK, "{\"status\":\"up\"}")),
        (&Method::GET, "/ledger") => return Ok(ledger(&era, head.uri.query())),
        _ => {}
    }
    let body = read(body).await?;
    let work = work(&head.method, head.uri.path(), body.as_ref());
    let secret = bearer(&head.headers);
    let request_id = head.headers.get(REQUEST_ID);
    let now = era.clock.now();
    let call = Call { secret, request_id: request_id.map(HeaderValue::as_bytes), work };
    let Decision { number, ruling } = era.run.decide(now, &call);

    let mut answer = match ruling {
        Ruling::HangUp => return Err(HangUp),
        Ruling::Refused { complaint, gauges, wait } => {
            let mut answer = complaint_answer(&complaint);
            tell_gauges(answer.headers_mut(), &gauges);
            if let Some(wait) = wait {
                tell_wait(answer.headers_mut(), era.run.spec().headers, wait, era.clock.wall(now));
            }
            answer
        }
        Ruling::Listed => models(&era.run.spec().models),
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
            tell_gauges(answer.headers_mut(), &gauges);
            answer
        }
    };
    let request_id = request_id.cloned().or_else(|| HeaderValue::try_from(format!("req-sim-{number}")).ok());
    answer.headers_mut().extend(request_id.map(|id| (REQUEST_ID, id)));
    Ok(answer)
}

/// The whole body. `Err` inside: it is too long.
async fn read(body: Incoming) -> Result<Result<Bytes, Complaint>, HangUp> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(Ok(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(Err(Complaint::body_too_large(BODY_BYTES_MAX))),
        // The caller is gone in the middle of its own request.
        Err(_) => Err(HangUp),
    }
}

fn work<'a>(method: &Method, path: &str, body: Result<&'a Bytes, &Complaint>) -> Work<'a> {
    let read: fn(&'a [u8]) -> serde_json::Result<Ask<'a>> = match (method, path) {
        (&Method::GET, "/v1/models") => return Work::List,
        (&Method::POST, "/v1/chat/completions") => Ask::chat,
        (&Method::POST, "/v1/embeddings") => Ask::embeddings,
        (_, "/v1/models" | "/v1/chat/completions" | "/v1/embeddings") => {
            return Work::Nonsense(Complaint::wrong_method(method.as_str(), path));
        }
        _ => return Work::Nonsense(Complaint::unknown_path(method.as_str(), path)),
    };
    match body.map(|body| read(body)) {
        Ok(Ok(ask)) => Work::Ask(ask),
        Ok(Err(error)) => Work::Nonsense(Complaint::bad_body(&error)),
        Err(complaint) => Work::Nonsense(complaint.clone()),
    }
}

/// The bearer token.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A stalled stream is silent in its middle, anything else before its beginning.
fn stall_before(ask: &Ask<'_>, mishap: Option<Mishap>) -> Duration {
    match (ask.form, mishap) {
        (Form::Chat | Form::Embeddings, Some(Mishap::Stall(pause))) => pause,
        (Form::ChatStream(_), Some(Mishap::Stall(_)))
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
    match mishap {
        Some(Mishap::Error) => return complaint_answer(&Complaint::server_error()),
        Some(Mishap::Overloaded) => return complaint_answer(&Complaint::overloaded()),
        Some(Mishap::Cut | Mishap::Stall(_) | Mishap::InBand | Mishap::CutShort) | None => {}
    }
    let bytes = match ask.form {
        Form::Chat => scribe.chat(ask),
        Form::Embeddings => embeddings(ask),
        Form::ChatStream(usage) => {
            let pace = era.run.spec().pace;
            let events = scribe.chat_events(ask, usage);
            let complaint = Complaint::server_error().body();
            let steps = stream_steps(&events, pace.chunks, mishap, &complaint, || pace.chunk_gap.draw(rng));
            return response(StatusCode::OK, EVENT_STREAM, AnswerBody::stream(steps));
        }
    };
    match mishap {
        Some(Mishap::Cut) => response(StatusCode::OK, JSON, AnswerBody::cut(&bytes)),
        Some(Mishap::InBand) => json_answer(StatusCode::OK, Complaint::server_error().body()),
        Some(Mishap::Error | Mishap::Overloaded | Mishap::Stall(_) | Mishap::CutShort) | None => {
            json_answer(StatusCode::OK, bytes)
        }
    }
}

fn models(models: &[String]) -> Response<AnswerBody> {
    let any = [ANY_MODEL.to_owned()];
    let models = if models.is_empty() { &any } else { models };
    let mut body = br#"{"object":"list","data":["#.to_vec();
    for (place, model) in models.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(br#"{"object":"model","created":0,"owned_by":"sim","id":"#);
        write_json_string(&mut body, model);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    json_answer(StatusCode::OK, body)
}

fn ledger(era: &Era, query: Option<&str>) -> Response<AnswerBody> {
    let now = era.clock.now();
    let with_requests = query.is_some_and(|query| query.split('&').any(|part| part == "requests=1"));
    let ledger = if with_requests { era.run.ledger_with_requests(now) } else { era.run.ledger(now) };
    match serde_json::to_vec(&ledger) {
        Ok(body) => json_answer(StatusCode::OK, body),
        Err(error) => json_answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({"error": {"message": error.to_string()}}).to_string(),
        ),
    }
}

fn complaint_answer(complaint: &Complaint) -> Response<AnswerBody> {
    json_answer(complaint.status, complaint.body())
}

fn json_answer(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    response(status, JSON, AnswerBody::Whole(body.into()))
}

fn response(status: StatusCode, content_type: HeaderValue, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
