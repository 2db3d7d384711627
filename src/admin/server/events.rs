//! What happens, as server-sent events, for as long as somebody reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use keywheel_actors::Farewell;
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::event::Event;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};

use super::answer::{Answer, refused};
use super::service::Service;
use crate::admin::event::EventReport;

/// Readers at once. Each costs the encoding of every event.
pub(super) const STREAMS_MAX: usize = 32;

/// How often something is written when nothing happens: proxies end what is silent, and only by writing is it found
/// that nobody reads.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// The first words: nothing to tell, but the reader knows that it is heard, and when to come back.
const GREETING: &str = "retry: 2000\n: here is what happens from now on\n\n";

/// A reader.
struct Reader {
    events: broadcast::Receiver<Event>,
    clock: Clock,
    service: Arc<Service>,
    farewell: Farewell,
    /// When it came, and how long it may stay.
    begun: Moment,
    life: Option<Duration>,
    _place: OwnedSemaphorePermit,
    greeted: bool,
    /// Whether the last word has been said.
    over: bool,
}

impl Reader {
    /// What to write next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(GREETING.as_bytes()));
        }
        if self.over {
            return None;
        }
        let event = tokio::select! {
            biased;
            event = self.events.recv() => event,
            () = self.service.end() => return None,
            () = self.farewell.said() => {
                self.over = true;
                return Some(told(&EventReport::draining(self.clock)));
            }
            () = after(self.life, self.begun, self.clock) => return None,
            () = tokio::time::sleep(KEEP_ALIVE_EVERY) => return Some(Bytes::from_static(b": keep-alive\n\n")),
        };
        heard(event, self.clock).map(|report| told(&report))
    }
}

/// When a reader has stayed long enough.
async fn after(life: Option<Duration>, begun: Moment, clock: Clock) {
    match life {
        Some(life) => tokio::time::sleep_until(clock.instant(begun + life)).await,
        None => std::future::pending().await,
    }
}

/// What there is to tell; `None` when nothing will happen any more.
fn heard(event: Result<Event, RecvError>, clock: Clock) -> Option<EventReport> {
    match event {
        Ok(event) => Some(EventReport::of(&event, clock)),
        Err(RecvError::Lagged(count)) => Some(EventReport::lost(count, clock)),
        Err(RecvError::Closed) => None,
    }
}

fn told(report: &EventReport) -> Bytes {
    // What is told are strings and numbers; they can always be encoded.
    let line = serde_json::to_string(report).unwrap_or_default();
    format!("data: {line}\n\n").into()
}

/// Tells what happens from now on, until the process drains or the reader has been there for `life`. The wheel keeps
/// some thousands of events for one that is slow; then the oldest are lost, and it is told how many.
pub(super) fn follow(service: &Arc<Service>, life: Option<Duration>, streams: &AtomicBool) -> Answer {
    if service.subject.wheel.is_draining() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "it is about to end");
    }
    let Ok(place) = Arc::clone(&service.streams).try_acquire_owned() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "too many follow the events already");
    };
    streams.store(true, Ordering::Relaxed);
    let wheel = &service.subject.wheel;
    let reader = Reader {
        events: wheel.events(),
        clock: wheel.clock(),
        service: Arc::clone(service),
        farewell: wheel.farewell(),
        begun: wheel.clock().now(),
        life,
        _place: place,
        greeted: false,
        over: false,
    };
    let frames = futures_util::stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), reader))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

#[cfg(test)]
mod tests {
    use keywheel_actors::event::EventKind;

    use super::*;
    use crate::admin::event::What;

    #[tokio::test]
    async fn a_reader_that_is_slow_loses_the_oldest_and_is_told_how_many() {
        let clock = Clock::start();
        let (sender, mut events) = broadcast::channel(4);
        for _ in 0..10 {
            sender.send(Event { at: Moment::ZERO, kind: EventKind::StateKept }).unwrap();
        }
        drop(sender);
        let mut told = Vec::new();
        while let Some(report) = heard(events.recv().await, clock) {
            told.push(report.what);
        }
        let kept = std::iter::repeat_n(What::StateKept, 4);
        assert_eq!(told, [What::Lost { count: 6 }].into_iter().chain(kept).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_is_one_line_and_an_empty_one() {
        let clock = Clock::start();
        let event = EventReport {
            what: What::StateNotKept { why: "two\nlines".to_owned() },
            ..EventReport::draining(clock)
        };
        let text = String::from_utf8(told(&event).to_vec()).unwrap();
        assert!(text.starts_with("data: {\"at\":") && text.ends_with("two\\nlines\"}\n\n"), "{text}");
        assert_eq!(text.matches('\n').count(), 2);
    }
}
