//! Why a job ended without an answer, by what its caller can do about it.

use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use crate::board::Cause;
use crate::id::Model;
use crate::outcome::{Attempt, Fault};

/// Why [`crate::Wheel::send`] gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// The request can't succeed anywhere: it is the caller's to change.
    #[error("the provider refuses this request: {}", .0.fault)]
    Refused(Box<RefusedAnswer>),
    /// Nobody can serve it in time; worth trying again later.
    #[error("no key can serve this now: {why}")]
    Unavailable {
        /// What stands in the way, for people.
        why: String,
        /// The same for programs.
        obstacle: Obstacle,
        /// When trying again makes sense. `None` if nothing in sight will change it.
        retry_after: Option<Duration>,
        /// The calls that were made.
        attempts: Vec<Attempt>,
    },
    /// Calls were made and failed by the provider's fault, too often.
    #[error("gave up after {} calls, the last one: {last}", attempts.len())]
    Exhausted {
        /// The last fault.
        last: Box<Fault>,
        /// The calls that were made.
        attempts: Vec<Attempt>,
    },
    /// The deadline passed.
    #[error("the deadline passed after {} calls", attempts.len())]
    DeadlineOver {
        /// The calls that were made.
        attempts: Vec<Attempt>,
    },
    /// No provider is configured for this model.
    #[error("no provider serves the model `{model}`")]
    NoRoute {
        /// The model.
        model: Model,
    },
    /// Too many jobs wait already.
    #[error("the queue is full with {queue_jobs_max} jobs")]
    QueueFull {
        /// The limit that was reached.
        queue_jobs_max: usize,
        /// When a place is probably free.
        retry_after: Duration,
    },
    /// The wheel drains and takes nothing new.
    #[error("the wheel is draining")]
    Draining,
    /// The job was dropped on its way, by a crash or a shutdown. It may have been sent.
    #[error("the job was lost inside the wheel")]
    Lost,
}

impl SendError {
    /// The calls that were made for the job.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Refused(refused) => &refused.attempts,
            Self::Unavailable { attempts, .. }
            | Self::Exhausted { attempts, .. }
            | Self::DeadlineOver { attempts } => attempts,
            Self::NoRoute { .. } | Self::QueueFull { .. } | Self::Draining | Self::Lost => &[],
        }
    }

    /// A short word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.fault.reason.as_str(),
            Self::Unavailable { .. } => "unavailable",
            Self::Exhausted { .. } => "exhausted",
            Self::DeadlineOver { .. } => "deadline_over",
            Self::NoRoute { .. } => "no_route",
            Self::QueueFull { .. } => "queue_full",
            Self::Draining => "draining",
            Self::Lost => "lost",
        }
    }
}

/// What stands in the way of a job that nobody can serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// No key offers the model.
    NoSuchModel,
    /// The keys that could serve it rest; the one that is back first for this cause.
    Keys(Cause),
    /// The provider rests as a whole, or is gone.
    Provider,
}

/// A provider's own refusal, to be handed to the caller as it is.
#[derive(Clone, Debug)]
pub struct RefusedAnswer {
    /// What it means.
    pub fault: Fault,
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers.
    pub headers: HeaderMap,
    /// The provider's body, with the key scrubbed.
    pub body: Bytes,
    /// The calls that were made.
    pub attempts: Vec<Attempt>,
}
