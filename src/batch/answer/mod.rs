//! What came of a row that was sent, whoever answered it.

pub(in crate::batch) mod text;

use std::fmt;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use keywheel_actors::Answer;
use keywheel_actors::error::SendError;
use keywheel_actors::outcome::Attempt;

/// What came of a row that was sent.
#[derive(Debug)]
pub(in crate::batch) struct Answered {
    /// The answer, or why there is none.
    pub result: Result<Answer, RowFault>,
    /// Every call that was made for it, in order; none if it was answered without one.
    pub attempts: Vec<Attempt>,
}

/// Why a row that was sent failed.
#[derive(Debug)]
pub(in crate::batch) enum RowFault {
    /// The wheel has no answer for it.
    Sent(SendError),
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
        match result {
            Ok(mut answer) => {
                let attempts = std::mem::take(&mut answer.served.attempts);
                Self { result: Ok(answer), attempts }
            }
            Err(error) => {
                let attempts = error.attempts().to_vec();
                Self { result: Err(RowFault::Sent(error)), attempts }
            }
        }
    }
}

impl RowFault {
    /// A short word for programs.
    pub(in crate::batch) fn code(&self) -> &'static str {
        match self {
            Self::Sent(error) => error.code(),
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
        }
    }
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(error) => error.fmt(f),
        }
    }
}
