//! How the body of an answer is read: to its end, event by event, or as bytes of which nothing is understood.

use ::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::Fuse;
use tokio::time::timeout_at;

use crate::clock::Moment;
use crate::dialect::success;
use crate::outcome::{Fault, Reason};
use crate::request::{Delivery, HoldBack};
use crate::upstream::BodyStream;

use super::call::{Line, transport_fault};
use super::joined::Joined;
use super::limits::{Late, Limits};
use super::stream::Begun;

/// Longer answers than this are no model's: images and audio come as links or in parts.
const WHOLE_BYTES_MAX: usize = 64 << 20;

/// An answer that is passed on is understood, and so can tell of an error and of its usage, if it is no longer.
const OBJECT_BYTES_MAX: usize = 1 << 20;

/// What was read.
pub(crate) enum Body {
    /// All of it.
    Whole(Bytes),
    /// Its beginning; the rest goes to the caller as it comes.
    Begun(Box<Begun>),
}

/// Why an answer has no body that could be handed out.
pub(crate) enum NoBody {
    /// Too late.
    Late(Late),
    /// A fault, and what told of it.
    Failed(Fault, Bytes),
}

/// How a good answer is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// To its end, and understood.
    Whole,
    /// Event by event.
    Events,
    /// To its end and understood if it is an object and short, else as bytes.
    Object,
    /// As bytes of which nothing is understood, or which would have to be unpacked first.
    Bytes,
}

impl Shape {
    /// Of an answer with these headers, wanted so.
    pub(crate) fn of(delivery: Delivery, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let content_type = text(header::CONTENT_TYPE).map(str::trim_start);
        let is = |kind: &str| content_type.is_some_and(|said| said.starts_with(kind));
        match delivery {
            Delivery::Stream if is("text/event-stream") => Self::Events,
            Delivery::Whole | Delivery::Stream => Self::Whole,
            Delivery::Passed if success::is_compressed(headers) => Self::Bytes,
            Delivery::Passed if is("text/event-stream") => Self::Events,
            Delivery::Passed => {
                let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
                let is_short = length.is_none_or(|bytes| bytes <= OBJECT_BYTES_MAX);
                // Who says nothing of it may well send JSON.
                let is_json = content_type.is_none() || is("application/json");
                if is_short && is_json { Self::Object } else { Self::Bytes }
            }
        }
    }
}

/// Reads all of it; the first is to come `by` then, which may be as late as a whole answer: some servers send their
/// headers before the model has begun to think.
pub(crate) async fn whole(line: &Line, body: BodyStream, limits: Limits, by: Moment) -> Result<Body, NoBody> {
    let mut reading = Reading::of(line, body, limits, by);
    while reading.more().await? {
        if reading.held.len() > WHOLE_BYTES_MAX {
            let fault = Fault::new(Reason::Cut, format!("the answer is longer than {WHOLE_BYTES_MAX} bytes"));
            return Err(NoBody::Failed(fault, Bytes::new()));
        }
    }
    Ok(Body::Whole(reading.held.take()))
}

/// Reads all of it, if it is a short object: others are handed out as they come, a list that grows as a model speaks
/// among them.
pub(crate) async fn object(
    line: &Line,
    body: BodyStream,
    limits: Limits,
    by: Moment,
) -> Result<Body, NoBody> {
    let mut reading = Reading::of(line, body, limits, by);
    while reading.more().await? {
        let first = reading.held.first_byte_where(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|byte| byte != b'{') || reading.held.len() > OBJECT_BYTES_MAX {
            return Ok(reading.begun());
        }
    }
    Ok(Body::Whole(reading.held.take()))
}

/// Waits for the first of it, unless nothing is to be held back: until then anything can still be repaired.
pub(crate) async fn bytes(
    line: &Line,
    body: BodyStream,
    limits: Limits,
    by: Moment,
    hold_back: HoldBack,
) -> Result<Body, NoBody> {
    let mut reading = Reading::of(line, body, limits, by);
    if hold_back != HoldBack::None {
        reading.more().await?;
    }
    Ok(reading.begun())
}

/// A body as far as it has come.
struct Reading<'a> {
    line: &'a Line,
    body: Fuse<BodyStream>,
    limits: Limits,
    /// The first is to come by then.
    by: Moment,
    held: Joined,
}

impl<'a> Reading<'a> {
    fn of(line: &'a Line, body: BodyStream, limits: Limits, by: Moment) -> Self {
        Self { line, body: body.fuse(), limits, by, held: Joined::default() }
    }

    /// Waits for more; false at the end.
    async fn more(&mut self) -> Result<bool, NoBody> {
        let clock = self.line.hub.clock;
        let idle_by = (clock.now() + self.limits.idle).min(self.limits.last());
        let (by, late) = if self.held.is_empty() {
            (self.by, "no content came in time")
        } else {
            (idle_by, "the answer stopped coming")
        };
        match timeout_at(clock.instant(by), self.body.next()).await {
            Ok(Some(Ok(piece))) => {
                self.held.push(piece);
                Ok(true)
            }
            Ok(Some(Err(error))) => Err(NoBody::Failed(transport_fault(self.line, &error), Bytes::new())),
            Ok(None) => Ok(false),
            Err(_) => Err(NoBody::Late(self.limits.overrun(clock.now(), late))),
        }
    }

    fn begun(self) -> Body {
        let first_by = if self.held.is_empty() { self.by } else { Moment::ZERO };
        Body::Begun(Box::new(Begun::of_bytes(self.held, self.body, self.limits, first_by)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_understood_where_it_is_short_and_may_be_an_object() {
        const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
        const EVENTS: (&str, &str) = ("content-type", "text/event-stream");
        const GZIP: (&str, &str) = ("content-encoding", "gzip");
        let long = [JSON, ("content-length", "1048577")];
        for (told, passed, streamed) in [
            (&[][..], Shape::Object, Shape::Whole),
            (&[JSON], Shape::Object, Shape::Whole),
            (&[JSON, ("content-length", "1048576")], Shape::Object, Shape::Whole),
            (&long, Shape::Bytes, Shape::Whole),
            (&[JSON, GZIP], Shape::Bytes, Shape::Whole),
            (&[("content-type", "audio/mpeg")], Shape::Bytes, Shape::Whole),
            (&[EVENTS], Shape::Events, Shape::Events),
            (&[EVENTS, GZIP], Shape::Bytes, Shape::Events),
        ] {
            let headers = told.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers: HeaderMap = headers.collect();
            assert_eq!(Shape::of(Delivery::Passed, &headers), passed, "{told:?}");
            assert_eq!(Shape::of(Delivery::Stream, &headers), streamed, "{told:?}");
            assert_eq!(Shape::of(Delivery::Whole, &headers), Shape::Whole);
        }
    }
}
