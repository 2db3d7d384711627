//! What came of a row that was sent, whoever answered it.

mod ask;
mod cache;
mod expect;
mod schema;
pub(in crate::batch) mod text;

use std::fmt;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use keywheel_actors::Answer;
use keywheel_actors::error::SendError;
use keywheel_actors::outcome::{Attempt, Usage};

pub use ask::Answers;
pub use cache::{Cache, CacheSummary};
pub use expect::Expectation;
pub use schema::SchemaError;

/// What came of a row that was sent.
#[derive(Debug)]
pub(in crate::batch) struct Answered {
    /// The answer, or why there is none.
    pub result: Result<Answer, RowFault>,
    /// Every call that was made for it, in order; none if it was answered without one.
    pub attempts: Vec<Attempt>,
    /// What the provider counted for each answer that was paid for and thrown away, because it wasn't what
    /// was expected; `None` for one that it didn't count.
    pub thrown_away: Vec<Option<Usage>>,
    /// Who answered it.
    pub origin: Origin,
}

/// Who answered a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Origin {
    /// A provider, for this row.
    Wheel,
    /// An identical row, in an earlier run or just now: no call was made for this one.
    Cache,
}

/// Why a row that was sent failed.
#[derive(Debug)]
pub(in crate::batch) enum RowFault {
    /// The wheel has no answer for it.
    Sent(SendError),
    /// Providers answered, but never what was expected.
    Unexpected(Box<UnexpectedAnswer>),
}

/// The last of a row's answers, none of which was what was expected.
#[derive(Debug)]
pub(in crate::batch) struct UnexpectedAnswer {
    /// The answer.
    pub told: Told,
    /// What is wrong with it, for people.
    pub why: String,
    /// How many answers there were.
    pub answers: usize,
}

/// A response as it came from the provider.
#[derive(Debug)]
pub(in crate::batch) struct Told {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as the provider wrote it.
    pub body: Bytes,
}

impl Answered {
    /// What the wheel says of a row.
    pub(in crate::batch) fn by_wheel(result: Result<Answer, SendError>) -> Self {
        let (result, attempts) = match result {
            Ok(mut answer) => {
                let attempts = std::mem::take(&mut answer.served.attempts);
                (Ok(answer), attempts)
            }
            Err(error) => {
                let attempts = error.attempts().to_vec();
                (Err(RowFault::Sent(error)), attempts)
            }
        };
        Self { result, attempts, thrown_away: Vec::new(), origin: Origin::Wheel }
    }

    /// Whether its deadline ended it.
    pub(in crate::batch) const fn is_over_deadline(&self) -> bool {
        matches!(self.result, Err(RowFault::Sent(SendError::DeadlineOver { .. })))
    }

    /// What was paid for it: the usage of every answer that the provider counted, also of those that were
    /// thrown away, and the call that brought it if it is on record.
    pub(in crate::batch) fn paid(&self) -> impl Iterator<Item = (Option<&Attempt>, &Usage)> {
        let kept = self.result.as_ref().ok().map(|answer| &answer.usage);
        let mut calls = self.attempts.iter().filter(|attempt| attempt.fault.is_none());
        let usages = self.thrown_away.iter().chain(kept).map(move |usage| (calls.next(), usage));
        usages.filter_map(|(call, usage)| usage.as_ref().map(|usage| (call, usage)))
    }
}

impl RowFault {
    /// A short word for programs.
    pub(in crate::batch) fn code(&self) -> &'static str {
        match self {
            Self::Sent(error) => error.code(),
            Self::Unexpected(_) => "unexpected_answer",
        }
    }

    /// The provider's own words, if it answered and the fault lies in what it said.
    pub(in crate::batch) fn into_told(self) -> Option<Told> {
        match self {
            Self::Sent(SendError::Refused(refused)) => {
                Some(Told { status: refused.status, headers: refused.headers, body: refused.body })
            }
            Self::Sent(
                SendError::Unavailable { .. }
                | SendError::Exhausted { .. }
                | SendError::DeadlineOver { .. }
                | SendError::NoRoute { .. }
                | SendError::QueueFull { .. }
                | SendError::Draining
                | SendError::Lost,
            ) => None,
            Self::Unexpected(unexpected) => Some(unexpected.told),
        }
    }
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(error) => error.fmt(f),
            Self::Unexpected(unexpected) => {
                let UnexpectedAnswer { why, answers, .. } = unexpected.as_ref();
                match answers {
                    1 => write!(f, "the answer is not what was expected: {why}"),
                    _ => write!(f, "none of {answers} answers is what was expected, the last one: {why}"),
                }
            }
        }
    }
}
