//! A stream in its caller's hands: it holds the key's credit, and reports when it ends, breaks or is dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::Sleep;

use crate::clock::Moment;
use crate::outcome::{Fault, Reason, Usage};
use crate::policy::budget::RetryKind;
use crate::upstream::{BodyStream, TransportError};

use super::super::call::{Line, scrub_fault, transport_fault};
use super::super::limits::Late;
use super::super::message::End;
use super::super::slip::Slip;
use super::closing_time::{Closes, Entry, Why};
use super::{Begun, Events, UNCLOSED, is_said_to_be_whole, is_whole, last_mark, look};

/// A stream in its caller's hands.
pub(crate) struct Handed {
    running: Arc<Mutex<Running>>,
    entry: Entry,
}

/// What there is of it as long as it is neither dropped nor ended for it.
struct Running {
    begun: Begun,
    line: Arc<Line>,
    /// `None` once its end has been reported.
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
}

/// Whether the caller waits for the provider's next piece.
enum Waiting {
    No,
    /// And is to be woken so.
    Yes(Waker),
}

type Next = Option<Result<Bytes, TransportError>>;

impl Handed {
    pub(crate) fn new(begun: Begun, line: Arc<Line>, slip: Slip, paid: Option<RetryKind>) -> Self {
        let clock = line.hub.clock;
        let due = begun.due(clock.now());
        let last = begun.limits.last();
        let alarm = Box::pin(tokio::time::sleep_until(clock.instant(due)));
        let closing_time = Arc::clone(&line.hub.closing_time);
        let running = Running {
            begun,
            line,
            slip: Some(slip),
            paid,
            alarm,
            due,
            waiting: Waiting::No,
            failure: None,
            usage: None,
        };
        let running = Arc::new(Mutex::new(running));
        let entry = closing_time.enter(last, Arc::clone(&running) as Arc<dyn Closes>, clock);
        Self { running, entry }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens used, when it has ended well and told.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let running = self.lock();
        let events = running.begun.events.as_ref().filter(|_| running.is_handed_out());
        running.usage.or_else(|| events.and_then(|events| events.reader.usage()))
    }

    /// Tokens that have been seen to be used so far.
    pub(crate) fn seen(&self) -> Option<Usage> {
        let running = self.lock();
        let events = running.begun.events.as_ref()?;
        let told = events.reader.usage().unwrap_or_default();
        Some(Usage { output_tokens: told.output_tokens.max(events.written.tokens()), ..told })
    }

    /// Whether its caller has all of it, as the stream itself says. Its body may still have to end.
    pub(crate) fn is_handed_out(&self) -> bool {
        self.lock().is_handed_out()
    }
}

impl Stream for Handed {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Next> {
        self.lock().poll(task)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let closing_time = Arc::clone(&self.lock().line.hub.closing_time);
        closing_time.leave(&self.entry);
        self.lock().leave();
    }
}

impl Closes for Mutex<Running> {
    fn close(&self, why: Why) {
        let reader = self.lock().unwrap_or_else(PoisonError::into_inner).close(why);
        // Whoever is woken may look at once.
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Running {
    fn is_handed_out(&self) -> bool {
        self.is_said_to_be_whole() && self.begun.held.is_empty()
    }

    /// Whether all of it is here, though some of it may still be held for the caller.
    fn is_said_to_be_whole(&self) -> bool {
        let Begun { events, end, .. } = &self.begun;
        events.as_ref().is_some_and(|events| is_said_to_be_whole(&*events.reader, *end))
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Next> {
        while self.slip.is_some() {
            match self.take_events() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.begun.first_by = Moment::ZERO;
                    self.waiting = Waiting::No;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Err(fault) => {
                    self.fail(fault);
                    break;
                }
            }
            match self.begun.body.poll_next_unpin(task) {
                Poll::Ready(Some(Ok(chunk))) => {
                    // Bytes are no silence, though they may not be a whole event yet.
                    self.waiting = Waiting::No;
                    match &mut self.begun.events {
                        Some(Events { splitter, .. }) => splitter.push(chunk),
                        None => self.begun.held.push(chunk),
                    }
                }
                Poll::Ready(Some(Err(error))) => self.break_off(transport_fault(&self.line, &error)),
                Poll::Ready(None) => self.finish(),
                Poll::Pending => match self.overdue(task) {
                    Some(fault) => self.break_off(fault),
                    None => return Poll::Pending,
                },
            }
        }
        Poll::Ready(self.rest())
    }

    /// What its caller still gets of one whose end has been reported.
    fn rest(&mut self) -> Next {
        let held = self.begun.held.take();
        if held.is_empty() { self.failure.take().map(Err) } else { Some(Ok(held)) }
    }

    /// Reads the whole events that have come; gives their bytes, and the fault if one tells of it.
    fn take_events(&mut self) -> Result<Bytes, Fault> {
        loop {
            let Begun { events: Some(Events { splitter, reader, written }), held, end, .. } = &mut self.begun
            else {
                return Ok(self.begun.held.take());
            };
            match splitter.next_run(|raw| look(&self.line.secret, &mut **reader, written, end, raw)) {
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
    fn fail(&mut self, fault: Fault) {
        let fault = scrub_fault(&self.line.secret, fault);
        self.failure = Some(TransportError::Cut(fault.message.to_string()));
        if let Some(slip) = self.slip.take() {
            slip.settle(End::Failed { fault, back: None });
        }
    }

    fn finish(&mut self) {
        if let Begun { events: Some(Events { splitter, reader, .. }), held, end, .. } = &mut self.begun {
            held.push(last_mark(splitter, &mut **reader, end));
            if !is_whole(splitter, &**reader, *end) {
                return self.fail(Fault::new(Reason::Cut, UNCLOSED));
            }
        }
        self.serve();
    }

    /// Its body has broken, or what is waited for doesn't come. What was said to be whole was whole before that: some
    /// servers close, or forget, a connection right behind their last event.
    fn break_off(&mut self, fault: Fault) {
        if self.is_said_to_be_whole() { self.serve() } else { self.fail(fault) }
    }

    /// Reports that all of it has come.
    fn serve(&mut self) {
        self.usage = self.begun.events.as_ref().and_then(|events| events.reader.usage());
        if let Some(mut slip) = self.slip.take() {
            slip.note(|outcome| outcome.usage = self.usage);
            slip.settle(End::Served { paid: self.paid.take() });
        }
    }

    fn overdue(&mut self, task: &mut Context<'_>) -> Option<Fault> {
        let clock = self.line.hub.clock;
        match &mut self.waiting {
            Waiting::Yes(reader) => reader.clone_from(task.waker()),
            Waiting::No => {
                self.waiting = Waiting::Yes(task.waker().clone());
                self.due = self.begun.due(clock.now());
                // Behind the first piece the limits are others, and shorter.
                let due = clock.instant(self.due);
                if due < self.alarm.deadline() {
                    self.alarm.as_mut().reset(due);
                }
            }
        }
        while self.alarm.as_mut().poll(task).is_ready() {
            let now = clock.now();
            if now >= self.due {
                return Some(self.late(now));
            }
            self.alarm.as_mut().reset(clock.instant(self.due));
        }
        None
    }

    /// What it means that nothing more may come now.
    fn late(&self, now: Moment) -> Fault {
        match (self.begun.limits.overrun(now, "the stream stopped coming"), &self.waiting) {
            (Late::Deadline, _) => Fault::new(Reason::DeadlineOver, "the deadline passed inside the stream"),
            (Late::Stalled(fault), Waiting::Yes(_)) => fault,
            (Late::Stalled(_), Waiting::No) => {
                Fault::new(Reason::CallerGone, "the stream was read too slowly")
            }
        }
    }

    /// Ends it although nobody may ask for its next piece any more: connection and credit are free at once. Gives
    /// who waits for it.
    fn close(&mut self, why: Why) -> Option<Waker> {
        self.slip.as_ref()?;
        let fault = match why {
            Why::Drained => Fault::new(Reason::Stopped, "the wheel has drained"),
            Why::TimeIsOver => self.late(self.line.hub.clock.now()),
        };
        self.break_off(fault);
        self.begun.body = (Box::pin(stream::empty()) as BodyStream).fuse();
        match std::mem::replace(&mut self.waiting, Waiting::No) {
            Waiting::Yes(reader) => Some(reader),
            Waiting::No => None,
        }
    }

    /// Its caller wants no more of it. Most leave behind the last event and wait for nothing more.
    fn leave(&mut self) {
        if self.slip.is_some() && self.is_handed_out() {
            self.serve();
        }
        // Unsettled it reports that the call was cancelled.
        self.slip = None;
    }
}
