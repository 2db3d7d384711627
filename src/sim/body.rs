//! Bodies on the wire: whole, paced, stalled or cut.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::answer::Events;
use super::fault::Mishap;

/// The connection is to be closed without a proper end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the simulated provider hangs up")]
pub(crate) struct HangUp;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// In one piece; empty once it was sent.
    Whole(Bytes),
    /// Step by step.
    Paced(Box<Paced>),
}

impl AnswerBody {
    /// Promises all of `bytes` and breaks off after half of them.
    pub(crate) fn cut(bytes: &Bytes) -> Self {
        let steps = vec![Step::Send(bytes.slice(..bytes.len() / 2)), Step::Flush, Step::HangUp];
        Self::paced(steps, SizeHint::with_exact(bytes.len() as u64))
    }

    /// A stream of unknown length.
    pub(crate) fn stream(steps: Vec<Step>) -> Self {
        Self::paced(steps, SizeHint::default())
    }

    fn paced(steps: Vec<Step>, promised: SizeHint) -> Self {
        Self::Paced(Box::new(Paced { steps: steps.into_iter(), resting: Rest::No, promised }))
    }
}

/// What a paced body does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Bytes),
    /// Is silent.
    Wait(Duration),
    /// Lets the connection write out what it holds.
    Flush,
    /// Closes the connection.
    HangUp,
}

/// The steps of a stream: a gap before every chunk but the first, and perhaps a mishap in the middle.
///
/// Chunks without a gap between them go out in one piece.
pub(crate) fn stream_steps(
    events: &Events,
    chunks: usize,
    mishap: Option<Mishap>,
    complaint: &[u8],
    mut gap: impl FnMut() -> Duration,
) -> Vec<Step> {
    // The first event names the role, then come the chunks: so half of the chunks are before the middle.
    let middle = events.ranges.len() / 2;
    let mut steps = Vec::new();
    let mut sent = 0;
    let mut wait = |steps: &mut Vec<Step>, until: usize, pause: Duration| {
        if !pause.is_zero() {
            steps.extend([Step::Send(events.bytes.slice(sent..until)), Step::Wait(pause)]);
            sent = until;
        }
    };
    for (place, range) in events.ranges.iter().enumerate() {
        if (2..=chunks).contains(&place) {
            wait(&mut steps, range.start, gap());
        }
        if place != middle {
            continue;
        }
        match mishap {
            Some(Mishap::Stall(pause)) => wait(&mut steps, range.start, pause),
            Some(Mishap::Cut) => {
                steps.extend([Step::Send(events.bytes.slice(sent..range.start)), Step::Flush, Step::HangUp]);
                return steps;
            }
            Some(Mishap::InBand) => {
                let event = [b"data: ", complaint, b"\n\n"].concat();
                steps.extend([Step::Send(events.bytes.slice(sent..range.start)), Step::Send(event.into())]);
                return steps;
            }
            Some(Mishap::Error | Mishap::Overloaded | Mishap::CutShort) | None => {}
        }
    }
    steps.push(Step::Send(events.bytes.slice(sent..)));
    steps
}

/// A body that takes its time.
#[derive(Debug)]
pub(crate) struct Paced {
    steps: std::vec::IntoIter<Step>,
    resting: Rest,
    promised: SizeHint,
}

#[derive(Debug)]
enum Rest {
    No,
    Until(Pin<Box<Sleep>>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = HangUp;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Paced(paced) => paced.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Paced(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Paced(paced) => paced.promised,
        }
    }
}

impl Paced {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        loop {
            if let Rest::Until(pause) = &mut self.resting {
                std::task::ready!(pause.as_mut().poll(context));
                self.resting = Rest::No;
            }
            match self.steps.next() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) if bytes.is_empty() => {}
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(pause)) => self.resting = Rest::Until(Box::pin(sleep(pause))),
                Some(Step::Flush) => {
                    // hyper writes out what it holds as soon as a body has nothing more for the moment.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::HangUp) => return Poll::Ready(Some(Err(HangUp))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(20);

    /// A role, four chunks and an end.
    fn events() -> Events {
        Events { bytes: Bytes::from_static(b"r1234e"), ranges: (0..6).map(|at| at..at + 1).collect() }
    }

    fn steps(mishap: Option<Mishap>, gap: Duration) -> Vec<Step> {
        stream_steps(&events(), 4, mishap, b"E", || gap)
    }

    fn send(bytes: &'static str) -> Step {
        Step::Send(Bytes::from_static(bytes.as_bytes()))
    }

    #[test]
    fn without_gaps_a_stream_is_one_piece() {
        assert_eq!(steps(None, Duration::ZERO), [send("r1234e")]);
    }

    #[test]
    fn gaps_are_between_chunks_only() {
        let wait = || Step::Wait(GAP);
        assert_eq!(steps(None, GAP), [send("r1"), wait(), send("2"), wait(), send("3"), wait(), send("4e")]);
    }

    #[test]
    fn mishaps_come_in_the_middle() {
        let stall = Duration::from_secs(30);
        assert_eq!(
            steps(Some(Mishap::Stall(stall)), Duration::ZERO),
            [send("r12"), Step::Wait(stall), send("34e")]
        );
        assert_eq!(steps(Some(Mishap::Cut), Duration::ZERO), [send("r12"), Step::Flush, Step::HangUp]);
        assert_eq!(steps(Some(Mishap::InBand), Duration::ZERO), [send("r12"), send("data: E\n\n")]);
    }
}
