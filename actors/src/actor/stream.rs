//! Streams: held back until the first content, then handed to the caller without passing a mailbox.
//!
//! Before the first content event an error, a stall or an error inside the
//! stream still sends the job to another key. After it nothing is retried: the
//! caller reads an error and never a clean-looking end of a cut answer.

pub(crate) mod closing_time;
pub(crate) mod handed;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::Fuse;
use tokio::time::timeout_at;

use crate::clock::Moment;
use crate::dialect::sse::{Event, EventTooLong, Reading, Splitter};
use crate::dialect::written::Written;
use crate::dialect::{Dialect, Ending, EventMeaning, StreamReader};
use crate::outcome::{Fault, Reason};
use crate::request::HoldBack;
use crate::secret::Secret;
use crate::upstream::BodyStream;

use super::body::NoBody;
use super::call::{Line, scrub_fault, transport_fault, without_words};
use super::joined::Joined;
use super::limits::Limits;

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
    written: Written,
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
    let mut written = Written::default();
    let mut held = Joined::default();
    let mut held_events = 0;
    if hold_back == HoldBack::None {
        let events = Some(Events { splitter, reader, written });
        return Ok(Begun { held, body, events, limits, end: Seen::Open, first_by: by });
    }
    loop {
        while let Some(raw) = splitter.next_event().map_err(too_long)? {
            held.push(raw.clone());
            held_events += 1;
            let event = Event::parse(&raw);
            let end = match reader.read(&event) {
                EventMeaning::Failed(fault) => {
                    let (fault, raw) = scrubbed(&line.secret, &mut *reader, fault, raw);
                    return Err(NoBody::Failed(fault, raw));
                }
                EventMeaning::Done => {
                    note_end(&*reader, &mut written, &event);
                    Seen::Done
                }
                EventMeaning::Prelude if held_events < HELD_EVENTS_MAX && held.len() < HELD_BYTES_MAX => {
                    continue;
                }
                EventMeaning::Content => {
                    written.note(&event);
                    Seen::Open
                }
                EventMeaning::Prelude => Seen::Open,
            };
            let events = Some(Events { splitter, reader, written });
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
    let Begun { held, body, events: Some(Events { splitter, reader, written }), limits, end, .. } = begun
    else {
        return Ok(());
    };
    while held.len() <= FULL_BYTES_MAX {
        loop {
            let read = splitter.next_run(|raw| look(&line.secret, &mut **reader, written, end, raw));
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
    if reader.ending() != Ending::Unmarked
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
        Ending::Marked | Ending::MarkedAndClosed => end == Seen::Done,
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
    written: &mut Written,
    end: &mut Seen,
    raw: &[u8],
) -> Reading<(Fault, Bytes)> {
    let event = Event::parse(raw);
    match reader.read(&event) {
        EventMeaning::Failed(fault) => {
            Reading::Rejected(scrubbed(secret, reader, fault, Bytes::copy_from_slice(raw)))
        }
        EventMeaning::Done => {
            note_end(reader, written, &event);
            *end = Seen::Done;
            Reading::On
        }
        EventMeaning::Content => {
            written.note(&event);
            *end = Seen::Open;
            Reading::On
        }
        EventMeaning::Prelude => Reading::On,
    }
}

/// Notes a closing event that brings content as well.
fn note_end(reader: &dyn StreamReader, written: &mut Written, event: &Event<'_>) {
    if reader.ends_with_content() {
        written.note(event);
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
