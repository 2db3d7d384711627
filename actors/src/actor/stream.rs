//! Streams: held back until the first content, then handed to the caller without passing a mailbox.
//!
//! Before the first content event an error, a stall or an error inside the
//! stream still sends the job to another key. After it nothing is retried: the
//! caller reads an error and never a clean-looking end of a cut answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::Fuse;
use futures_util::{Stream, StreamExt};
use tokio::time::{Sleep, timeout_at};

use crate::clock::Moment;
use crate::dialect::sse::{Event, EventTooLong, Reading, Splitter};
use crate::dialect::{Dialect, Ending, EventMeaning, StreamReader};
use crate::outcome::{Fault, Reason, Usage};
use crate::policy::budget::RetryKind;
use crate::request::HoldBack;
use crate::secret::Secret;
use crate::upstream::{BodyStream, TransportError};

use super::body::NoBody;
use super::call::{Late, Limits, Line, Slip, scrub_fault, transport_fault, without_words};
use super::joined::Joined;
use super::message::End;

/// A stream is held back no longer than this before it is committed without content.
const HELD_EVENTS_MAX: usize = 64;
/// The same in bytes.
const HELD_BYTES_MAX: usize = 256 << 10;

/// More than this is no longer held back, however much is to be: what a model says is shorter.
const FULL_BYTES_MAX: usize = 64 << 20;

/// A stream that can be handed out.
pub(crate) struct Begun {
    held: Joined,
    body: Fuse<BodyStream>,
    /// `None`: bytes of which nothing is understood.
    events: Option<Events>,
    limits: Limits,
    end: Seen,
    /// The first piece may take until then, as long as it hasn't come.
    first_by: Moment,
}

/// What makes events of bytes, and sense of events.
struct Events {
    splitter: Splitter,
    reader: Box<dyn StreamReader>,
}

/// Whether the stream said that it is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Open,
    Done,
}

impl Begun {
    /// Bytes of which nothing is understood, as far as they have come; the next of them is to come by then.
    pub(crate) fn of_bytes(held: Joined, body: Fuse<BodyStream>, limits: Limits, first_by: Moment) -> Self {
        Self { held, body, events: None, limits, end: Seen::Open, first_by }
    }

    /// When the next piece must have come that is waited for from now on.
    fn due(&self, now: Moment) -> Moment {
        (now + self.limits.idle).max(self.first_by).min(self.limits.last())
    }
}

/// Reads as far as is to be held back; the first content is to come `by` then.
pub(crate) async fn begin(
    line: &Line,
    dialect: &dyn Dialect,
    body: BodyStream,
    limits: Limits,
    by: Moment,
    hold_back: HoldBack,
) -> Result<Begun, NoBody> {
    let clock = line.hub.clock;
    let mut body = body.fuse();
    let mut splitter = Splitter::default();
    let mut reader = dialect.stream_reader();
    let mut held = Joined::default();
    let mut held_events = 0;
    if hold_back == HoldBack::None {
        let events = Some(Events { splitter, reader });
        return Ok(Begun { held, body, events, limits, end: Seen::Open, first_by: by });
    }
    loop {
        while let Some(raw) = splitter.next_event().map_err(too_long)? {
            held.push(raw.clone());
            held_events += 1;
            let end = match reader.read(&Event::parse(&raw)) {
                EventMeaning::Failed(fault) => {
                    let (fault, raw) = scrubbed(&line.secret, &mut *reader, fault, raw);
                    return Err(NoBody::Failed(fault, raw));
                }
                EventMeaning::Done => Seen::Done,
                EventMeaning::Prelude if held_events < HELD_EVENTS_MAX && held.len() < HELD_BYTES_MAX => {
                    continue;
                }
                EventMeaning::Content | EventMeaning::Prelude => Seen::Open,
            };
            let events = Some(Events { splitter, reader });
            let mut begun = Begun { held, body, events, limits, end, first_by: Moment::ZERO };
            if hold_back == HoldBack::Full {
                complete(line, &mut begun).await?;
            }
            return Ok(begun);
        }
        match timeout_at(clock.instant(by), body.next()).await {
            Ok(Some(Ok(chunk))) => splitter.push(chunk),
            Ok(Some(Err(error))) => {
                return Err(NoBody::Failed(transport_fault(line, &error), Bytes::new()));
            }
            Ok(None) => {
                let fault = Fault::new(Reason::Cut, "the stream ended before any content");
                return Err(NoBody::Failed(fault, Bytes::new()));
            }
            Err(_) => return Err(NoBody::Late(limits.overrun(clock.now(), "no content came in time"))),
        }
    }
}

/// Reads on to the end, as long as what is held isn't too much: then the rest is handed out as it comes.
async fn complete(line: &Line, begun: &mut Begun) -> Result<(), NoBody> {
    let clock = line.hub.clock;
    let Begun { held, body, events: Some(Events { splitter, reader }), limits, end, .. } = begun else {
        return Ok(());
    };
    while held.len() <= FULL_BYTES_MAX {
        loop {
            let read = splitter.next_run(|raw| look(&line.secret, &mut **reader, end, raw));
            let (run, rejected) = read.map_err(too_long)?;
            if let Some((fault, raw)) = rejected {
                return Err(NoBody::Failed(fault, raw));
            }
            if run.is_empty() {
                break;
            }
            held.push(run);
        }
        if is_said_to_be_whole(&**reader, *end) {
            return Ok(());
        }
        let by = (clock.now() + limits.idle).min(limits.last());
        match timeout_at(clock.instant(by), body.next()).await {
            Ok(Some(Ok(chunk))) => splitter.push(chunk),
            Ok(Some(Err(error))) => {
                return Err(NoBody::Failed(transport_fault(line, &error), Bytes::new()));
            }
            Ok(None) => {
                held.push(last_mark(splitter, &mut **reader, end));
                if is_whole(splitter, &**reader, *end) {
                    return Ok(());
                }
                return Err(NoBody::Failed(Fault::new(Reason::Cut, UNCLOSED), Bytes::new()));
            }
            Err(_) => return Err(NoBody::Late(limits.overrun(clock.now(), "the stream stopped coming"))),
        }
    }
    Ok(())
}

/// What is said of a stream that lacks its end.
const UNCLOSED: &str = "the stream ended without its closing event";

/// Some providers close the connection right behind the line that says `[DONE]`: such a line, or nothing.
fn last_mark(splitter: &mut Splitter, reader: &mut dyn StreamReader, end: &mut Seen) -> Bytes {
    if reader.ending() == Ending::Marked
        && let Some(raw) = splitter.last_event()
        && reader.read(&Event::parse(&raw)) == EventMeaning::Done
    {
        *end = Seen::Done;
        return raw;
    }
    Bytes::new()
}

/// Whether a stream whose body has ended is all that it was to be.
fn is_whole(splitter: &Splitter, reader: &dyn StreamReader, end: Seen) -> bool {
    match reader.ending() {
        Ending::Marked => end == Seen::Done,
        Ending::Unmarked => splitter.is_drained(),
    }
}

/// Whether a stream has said itself that it is all that it was to be, whatever becomes of its body.
fn is_said_to_be_whole(reader: &dyn StreamReader, end: Seen) -> bool {
    reader.ending() == Ending::Marked && end == Seen::Done
}

fn too_long(error: EventTooLong) -> NoBody {
    NoBody::Failed(Fault::new(Reason::Cut, error.to_string()), Bytes::new())
}

/// Reads an event behind the first content. One that tells of a fault doesn't go on.
fn look(
    secret: &Secret,
    reader: &mut dyn StreamReader,
    end: &mut Seen,
    raw: &[u8],
) -> Reading<(Fault, Bytes)> {
    match reader.read(&Event::parse(raw)) {
        EventMeaning::Failed(fault) => {
            Reading::Rejected(scrubbed(secret, reader, fault, Bytes::copy_from_slice(raw)))
        }
        EventMeaning::Done => {
            *end = Seen::Done;
            Reading::On
        }
        EventMeaning::Content | EventMeaning::Prelude => Reading::On,
    }
}

/// A fault and the event that told of it, without the key that the event may echo. The event is read again
/// without it, for messages are cut to a length, and half a key might stay.
fn scrubbed(secret: &Secret, reader: &mut dyn StreamReader, fault: Fault, raw: Bytes) -> (Fault, Bytes) {
    let Some(clean) = secret.scrub_bytes(&raw) else { return (scrub_fault(secret, fault), raw) };
    let fault = match reader.read(&Event::parse(&clean)) {
        EventMeaning::Failed(fault) => fault,
        EventMeaning::Prelude | EventMeaning::Content | EventMeaning::Done => without_words(fault),
    };
    (scrub_fault(secret, fault), clean)
}

/// A stream in its caller's hands. It holds the key's credit and reports when it ends, breaks or is dropped.
pub(crate) struct Handed {
    begun: Begun,
    line: Arc<Line>,
    slip: Option<Slip>,
    paid: Option<RetryKind>,
    /// Rings at `due` or before: to set it anew for each piece would cost more than the piece.
    alarm: Pin<Box<Sleep>>,
    /// When the next piece must have come. Counts only while the caller waits for the provider: a slow caller is
    /// not the provider's fault.
    due: Moment,
    waiting: Waiting,
    failure: Option<TransportError>,
    /// Tokens used, when it has ended well.
    usage: Option<Usage>,
    /// Ready when the grace of a drain is over.
    cut_off: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Whether the caller waits for the provider's next piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    No,
    Yes,
}

impl Handed {
    pub(crate) fn new(begun: Begun, line: Arc<Line>, slip: Slip, paid: Option<RetryKind>) -> Self {
        let clock = line.hub.clock;
        let due = begun.due(clock.now());
        let alarm = Box::pin(tokio::time::sleep_until(clock.instant(due)));
        let mut signal = line.hub.cut_off.subscribe();
        // The sender lives in the hub, which the line holds.
        let cut_off = Box::pin(async move { drop(signal.wait_for(|cut| *cut).await) });
        Self {
            begun,
            line,
            slip: Some(slip),
            paid,
            alarm,
            due,
            waiting: Waiting::No,
            failure: None,
            usage: None,
            cut_off,
        }
    }

    /// Tokens used, when it has ended well and told.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let events = self.begun.events.as_ref().filter(|_| self.is_handed_out());
        self.usage.or_else(|| events.and_then(|events| events.reader.usage()))
    }

    /// Whether its caller has all of it, as the stream itself says. Its body may still have to end.
    pub(crate) fn is_handed_out(&self) -> bool {
        let Begun { held, events, end, .. } = &self.begun;
        let is_whole = events.as_ref().is_some_and(|events| is_said_to_be_whole(&*events.reader, *end));
        is_whole && held.is_empty()
    }

    /// Reads the whole events that have come; gives their bytes, and the fault if one tells of it.
    fn take_events(&mut self) -> Result<Bytes, Fault> {
        loop {
            let Begun { events: Some(Events { splitter, reader }), held, end, .. } = &mut self.begun else {
                return Ok(self.begun.held.take());
            };
            match splitter.next_run(|raw| look(&self.line.secret, &mut **reader, end, raw)) {
                Ok((run, None)) if run.is_empty() => return Ok(held.take()),
                Ok((run, rejected)) => {
                    held.push(run);
                    if let Some((fault, _)) = rejected {
                        return Err(fault);
                    }
                }
                Err(error) => return Err(Fault::new(Reason::Cut, error.to_string())),
            }
        }
    }

    /// Reports a fault after the commit point, and keeps it for the caller behind the whole events so far.
    fn fail(&mut self, fault: Fault) -> Poll<Option<Result<Bytes, TransportError>>> {
        let fault = scrub_fault(&self.line.secret, fault);
        let error = TransportError::Cut(fault.message.to_string());
        if let Some(slip) = self.slip.take() {
            slip.settle(End::Failed { fault, back: None });
        }
        let held = self.begun.held.take();
        if held.is_empty() {
            return Poll::Ready(Some(Err(error)));
        }
        self.failure = Some(error);
        Poll::Ready(Some(Ok(held)))
    }

    fn finish(&mut self) -> Poll<Option<Result<Bytes, TransportError>>> {
        if let Begun { events: Some(Events { splitter, reader }), end, .. } = &mut self.begun {
            let mark = last_mark(splitter, &mut **reader, end);
            if !mark.is_empty() {
                return Poll::Ready(Some(Ok(mark)));
            }
            if !is_whole(splitter, &**reader, *end) {
                return self.fail(Fault::new(Reason::Cut, UNCLOSED));
            }
        }
        self.serve()
    }

    /// Its body has broken, or what is waited for doesn't come. What was said to be whole was whole before that: some
    /// servers close, or forget, a connection right behind their last event.
    fn break_off(&mut self, fault: Fault) -> Poll<Option<Result<Bytes, TransportError>>> {
        if self.is_handed_out() { self.serve() } else { self.fail(fault) }
    }

    /// Reports that all of it has been handed out.
    fn serve(&mut self) -> Poll<Option<Result<Bytes, TransportError>>> {
        self.usage = self.begun.events.as_ref().and_then(|events| events.reader.usage());
        if let Some(mut slip) = self.slip.take() {
            slip.note(|outcome| outcome.usage = self.usage);
            slip.settle(End::Served { paid: self.paid.take() });
        }
        Poll::Ready(None)
    }

    fn overdue(&mut self, task: &mut Context<'_>) -> Option<Fault> {
        let clock = self.line.hub.clock;
        let limits = self.begun.limits;
        if self.waiting == Waiting::No {
            self.waiting = Waiting::Yes;
            self.due = self.begun.due(clock.now());
            // Behind the first piece the limits are others, and shorter.
            let due = clock.instant(self.due);
            if due < self.alarm.deadline() {
                self.alarm.as_mut().reset(due);
            }
        }
        while self.alarm.as_mut().poll(task).is_ready() {
            let now = clock.now();
            if now >= self.due {
                return Some(match limits.overrun(now, "the stream stopped coming") {
                    Late::Deadline => {
                        Fault::new(Reason::DeadlineOver, "the deadline passed inside the stream")
                    }
                    Late::Stalled(fault) => fault,
                });
            }
            self.alarm.as_mut().reset(clock.instant(self.due));
        }
        None
    }
}

impl Drop for Handed {
    /// Most callers leave behind the last event and wait for nothing more.
    fn drop(&mut self) {
        if self.slip.is_some() && self.is_handed_out() {
            let _ = self.serve();
        }
    }
}

impl Stream for Handed {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.slip.is_none() {
            return Poll::Ready(this.failure.take().map(Err));
        }
        loop {
            match this.take_events() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    this.begun.first_by = Moment::ZERO;
                    this.waiting = Waiting::No;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Err(fault) => return this.fail(fault),
            }
            match this.begun.body.poll_next_unpin(task) {
                Poll::Ready(Some(Ok(chunk))) => match &mut this.begun.events {
                    Some(Events { splitter, .. }) => splitter.push(chunk),
                    None => this.begun.held.push(chunk),
                },
                Poll::Ready(Some(Err(error))) => {
                    let fault = transport_fault(&this.line, &error);
                    return this.break_off(fault);
                }
                Poll::Ready(None) => return this.finish(),
                Poll::Pending => {
                    if this.cut_off.as_mut().poll(task).is_ready() {
                        return this.break_off(Fault::new(Reason::Stopped, "the wheel has drained"));
                    }
                    return match this.overdue(task) {
                        Some(fault) => this.break_off(fault),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}
