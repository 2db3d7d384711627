//! An answer on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{self, BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header;
use keywheel_actors::error::SendError;
use keywheel_actors::outcome::{Attempt, Usage};
use keywheel_actors::upstream::TransportError;
use keywheel_actors::{Answer, AnswerBody, AnswerStream};

use super::headers;
use super::laps::Laps;
use super::refusal::{Refusal, last_event};
use super::surface::{Endpoint, Events};
use super::underway::{Underway, Used};
use crate::telemetry::Ending;

/// What every response tells of how it came about.
pub(super) const PROVIDER: &str = "x-keywheel-provider";
pub(super) const MODEL: &str = "x-keywheel-model";
pub(super) const ATTEMPTS: &str = "x-keywheel-attempts";
pub(super) const FALLBACK: &str = "x-keywheel-fallback";
pub(super) const WAITED_MS: &str = "x-keywheel-waited-ms";
pub(super) const OVERHEAD_MS: &str = "x-keywheel-overhead-ms";

fn tell_laps(response: &mut HttpResponseBuilder, laps: Laps) {
    response.insert_header((WAITED_MS, millis(laps.waited)));
    response.insert_header((OVERHEAD_MS, millis(laps.overhead)));
}

/// Milliseconds to the microsecond.
fn millis(duration: Duration) -> String {
    let micros = duration.as_micros();
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

/// The answer of a provider, as the client gets it.
pub(super) fn respond(
    answer: Answer,
    endpoint: &Endpoint,
    laps: Laps,
    mut underway: Underway,
) -> HttpResponse {
    let Answer { status, headers: told, body, served, usage } = answer;
    let status = status_of(status);
    let mut response = HttpResponseBuilder::new(status);
    headers::to_client(&told, &mut response);
    response.insert_header((PROVIDER, served.provider.as_str()));
    tell_attempts(&mut response, &served.attempts, served.fell_back);
    tell_laps(&mut response, laps);
    underway.answered(status.as_u16(), laps, served.attempts, served.fell_back);
    match body {
        // Nobody asks an empty body for its end.
        AnswerBody::Whole(bytes) if bytes.is_empty() => {
            underway.end(Ending::Served, usage.into());
            match length(&told).filter(|length| *length > 0 && status != StatusCode::NOT_MODIFIED) {
                // Only a HEAD is told the length of a body that doesn't come.
                Some(length) => response.body(SizedStream::new(length, stream::empty::<Nothing>())),
                None => response.finish(),
            }
        }
        AnswerBody::Whole(bytes) => response.body(Whole { bytes, usage, underway }),
        AnswerBody::Stream(body) => {
            underway.streams();
            let is_events = content_type(&told).is_some_and(|kind| kind.starts_with("text/event-stream"));
            let size = match length(&told).filter(|_| !is_events) {
                Some(length) => BodySize::Sized(length),
                None => BodySize::Stream,
            };
            let events = if is_events { endpoint.events } else { Events::None };
            response.body(Streamed { body: Some(body), size, events, underway })
        }
    }
}

/// What a body that doesn't come is made of.
type Nothing = Result<Bytes, std::convert::Infallible>;

/// What a failed job gives to its client.
pub(super) fn refuse(
    error: &SendError,
    endpoint: &Endpoint,
    laps: Laps,
    mut underway: Underway,
) -> HttpResponse {
    let attempts = error.attempts();
    let fell_back = attempts.windows(2).any(|pair| pair[0].key.provider != pair[1].key.provider);
    let mut response = match error {
        SendError::Refused(refused)
            if is_the_clients(refused.status) && speaks_as(endpoint, &refused.body) =>
        {
            let status = status_of(refused.status);
            underway.answered(status.as_u16(), laps, attempts.to_vec(), fell_back);
            underway.refused_there(error.code());
            let mut response = HttpResponseBuilder::new(status);
            headers::to_client(&refused.headers, &mut response);
            response.insert_header(("x-should-retry", "false"));
            response.body(refused.body.clone())
        }
        _ => {
            let refusal = Refusal::of(error);
            underway.answered(refusal.status.as_u16(), laps, attempts.to_vec(), fell_back);
            underway.refused(&refusal);
            refusal.respond(endpoint.api)
        }
    };
    let mut told = HttpResponseBuilder::new(response.status());
    tell_attempts(&mut told, attempts, fell_back);
    tell_laps(&mut told, laps);
    if let Some(last) = attempts.last() {
        told.insert_header((PROVIDER, last.key.provider.as_str()));
    }
    for (name, value) in told.finish().headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// Whether a status speaks of the request. Others speak of our keys, our speed or the provider.
fn is_the_clients(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404..=428 | 430..=499)
}

/// Whether a refusal is written as the client's API writes it; Google's answer OpenAI's requests with its own.
fn speaks_as(endpoint: &Endpoint, body: &[u8]) -> bool {
    endpoint.events == Events::None
        || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
            .is_ok_and(|body| body.contains_key("error") || body.contains_key("message"))
}

fn tell_attempts(response: &mut HttpResponseBuilder, attempts: &[Attempt], fell_back: bool) {
    response.insert_header((ATTEMPTS, attempts.len().to_string()));
    let Some(last) = attempts.last() else { return };
    response.insert_header((FALLBACK, if fell_back { "true" } else { "false" }));
    // A client may have named the model, and names may hold what no header can.
    if let Ok(model) = actix_web::http::header::HeaderValue::from_str(last.model.as_str())
        && !model.is_empty()
    {
        response.insert_header((MODEL, model));
    }
}

fn status_of(status: http::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY)
}

fn content_type(headers: &http::HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().map(str::trim_start)
}

fn length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A whole answer. The request counts as under way until it has been written.
struct Whole {
    bytes: Bytes,
    usage: Option<Usage>,
    underway: Underway,
}

impl MessageBody for Whole {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let bytes = std::mem::take(&mut this.bytes);
        this.underway.passed_on(bytes.len());
        this.underway.end(Ending::Served, this.usage.into());
        Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
    }
}

impl Drop for Whole {
    /// Who leaves before it could be written has used what it used.
    fn drop(&mut self) {
        self.underway.end(Ending::ClientGone, self.usage.into());
    }
}

/// An answer that comes in pieces. Dropped, as when its client leaves, it ends the call and frees the key.
struct Streamed {
    body: Option<AnswerStream>,
    size: BodySize,
    events: Events,
    underway: Underway,
}

impl Drop for Streamed {
    /// SDKs leave behind the last event: they have got what there was.
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        let ending = if body.is_handed_out() { Ending::Served } else { Ending::ClientGone };
        self.underway.end(ending, used(&body));
    }
}

impl MessageBody for Streamed {
    type Error = TransportError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, TransportError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let polled = std::task::ready!(Pin::new(&mut *body).poll_next(task));
        let broken = match polled {
            Some(Ok(bytes)) => {
                this.underway.passed_on(bytes.len());
                return Poll::Ready(Some(Ok(bytes)));
            }
            None => {
                let used = used(body);
                this.body = None;
                this.underway.end(Ending::Served, used);
                return Poll::Ready(None);
            }
            Some(Err(broken)) => broken,
        };
        let used = used(body);
        this.body = None;
        this.underway.end(Ending::Cut, used);
        // Events tell of it themselves; of anything else only a broken connection can, and an error makes one.
        Poll::Ready(Some(match last_event(this.events, "stream_broken", &broken.to_string()) {
            Some(event) => Ok(Bytes::from(event)),
            None => Err(broken),
        }))
    }
}

/// What a stream has used up to here.
fn used(body: &AnswerStream) -> Used {
    match (body.usage(), body.seen()) {
        (Some(told), _) => Used::Told(told),
        (None, Some(seen)) => Used::Seen(seen),
        (None, None) => Used::Unknown,
    }
}

/// Frames a response as its request needs it.
pub(super) fn framed(mut response: HttpResponse, request: &HttpRequest) -> HttpResponse {
    match response.body().size() {
        // Chunks are unknown there: the connection's end is the body's (RFC 9112, 6.3).
        BodySize::Stream if request.version() < Version::HTTP_11 => {
            response.head_mut().no_chunking(true);
            response.head_mut().set_connection_type(ConnectionType::Close);
            response
        }
        // Nobody knows how long the body is that a GET would be given.
        BodySize::Sized(0) if request.method() == Method::HEAD => {
            response.set_body(BoxBody::new(body::None::new()))
        }
        BodySize::None | BodySize::Sized(_) | BodySize::Stream => response,
    }
}

/// Tells the name of a request in its response.
pub(super) fn named(mut response: HttpResponse, request_id: &str) -> HttpResponse {
    // A name is made of plain characters.
    if let Ok(value) = actix_web::http::header::HeaderValue::from_str(request_id) {
        let name = actix_web::http::header::HeaderName::from_static(super::ask::REQUEST_ID);
        response.headers_mut().insert(name, value);
    }
    response
}
