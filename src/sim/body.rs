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
    /// The same piece again and again, up to a length.
    Repeated(Repeated),
    /// Step by step.
    Paced(Box<Paced>),
}

impl AnswerBody {
    /// So many bytes, made of `piece`.
    pub(crate) fn repeated(piece: Bytes, length: u64) -> Self {
        Self::Repeated(Repeated { piece, left: length, cut_at: None })
    }

    /// The same body, breaking off after half of what it promises.
    pub(crate) fn broken_off(self) -> Self {
        match self {
            Self::Whole(bytes) => Self::cut(&bytes),
            Self::Repeated(body) => Self::Repeated(Repeated { cut_at: Some(body.left / 2), ..body }),
            Self::Paced(_) => self,
        }
    }

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

/// A body of any length that is nowhere held as a whole.
#[derive(Debug)]
pub(crate) struct Repeated {
    piece: Bytes,
    left: u64,
    /// With so many bytes left it breaks off.
    cut_at: Option<u64>,
}

impl Repeated {
    fn next(&mut self) -> Option<Result<Frame<Bytes>, HangUp>> {
        if self.cut_at.is_some_and(|at| self.left <= at) {
            return Some(Err(HangUp));
        }
        let length = usize::try_from(self.left).map_or(self.piece.len(), |left| left.min(self.piece.len()));
        self.left -= length as u64;
        (length > 0).then(|| Ok(Frame::data(self.piece.slice(..length))))
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
/// Each event is a chunk of HTTP's of its own, as providers send them; those without a gap between them are written
/// together. `last` is the event that tells of an error in the middle.
pub(crate) fn stream_steps(
    events: &Events,
    chunks: usize,
    mishap: Option<Mishap>,
    last: &Bytes,
    mut gap: impl FnMut() -> Duration,
) -> Vec<Step> {
    // Half of the chunks, rounded up, are before the middle.
    let middle = events.first_chunk + chunks.div_ceil(2);
    let gaps = events.first_chunk + 1..events.first_chunk + chunks;
    let mut steps = Vec::with_capacity(events.ranges.len());
    let wait = |steps: &mut Vec<Step>, pause: Duration| {
        if !pause.is_zero() {
            steps.push(Step::Wait(pause));
        }
    };
    for (place, range) in events.ranges.iter().enumerate() {
        if gaps.contains(&place) {
            wait(&mut steps, gap());
        }
        match mishap.filter(|_| place == middle) {
            Some(Mishap::Stall(pause)) => wait(&mut steps, pause),
            Some(Mishap::Cut) => {
                steps.extend([Step::Flush, Step::HangUp]);
                return steps;
            }
            Some(Mishap::InBand) => {
                steps.push(Step::Send(last.clone()));
                return steps;
            }
            Some(Mishap::Error | Mishap::Overloaded | Mishap::CutShort) | None => {}
        }
        steps.push(Step::Send(events.bytes.slice(range.clone())));
    }
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
            Self::Repeated(body) => Poll::Ready(body.next()),
            Self::Paced(paced) => paced.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Repeated(body) => body.left == 0,
            Self::Paced(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Repeated(body) => SizeHint::with_exact(body.left),
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
        Events {
            bytes: Bytes::from_static(b"r1234e"),
            ranges: (0..6).map(|at| at..at + 1).collect(),
            first_chunk: 1,
        }
    }

    fn steps(mishap: Option<Mishap>, gap: Duration) -> Vec<Step> {
        stream_steps(&events(), 4, mishap, &Bytes::from_static(b"E"), || gap)
    }

    fn send(bytes: &'static str) -> Step {
        Step::Send(Bytes::from_static(bytes.as_bytes()))
    }

    fn sends(events: &'static str) -> impl Iterator<Item = Step> {
        (0..events.len()).map(|place| send(&events[place..=place]))
    }

    #[test]
    fn every_event_is_a_chunk_of_its_own() {
        assert_eq!(steps(None, Duration::ZERO), sends("r1234e").collect::<Vec<_>>());
    }

    #[test]
    fn gaps_are_between_chunks_only() {
        let wait = || Step::Wait(GAP);
        let paced =
            [send("r"), send("1"), wait(), send("2"), wait(), send("3"), wait(), send("4"), send("e")];
        assert_eq!(steps(None, GAP), paced);
    }

    #[test]
    fn mishaps_come_in_the_middle() {
        let stall = Duration::from_secs(30);
        let after_half = |rest: Vec<Step>| sends("r12").chain(rest).collect::<Vec<_>>();
        assert_eq!(
            steps(Some(Mishap::Stall(stall)), Duration::ZERO),
            after_half([Step::Wait(stall)].into_iter().chain(sends("34e")).collect())
        );
        assert_eq!(steps(Some(Mishap::Cut), Duration::ZERO), after_half(vec![Step::Flush, Step::HangUp]));
        assert_eq!(steps(Some(Mishap::InBand), Duration::ZERO), after_half(vec![send("E")]));
    }
}
