//! How long a call may take for what.

use std::time::Duration;

use crate::clock::Moment;
use crate::outcome::{Fault, Reason};
use crate::request::Delivery;

use super::call::Line;
use super::job::Job;

/// The moments by which things must have happened.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    first_content: Moment,
    total: Moment,
    deadline: Moment,
    pub(crate) idle: Duration,
}

impl Limits {
    pub(crate) fn new(line: &Line, job: &Job, started: Moment) -> Self {
        let timeouts = &line.timeouts;
        let first = match (job.request.delivery, job.progress.next()) {
            (Delivery::Whole | Delivery::Passed, _) => timeouts.whole_content,
            (Delivery::Stream, Some(_)) => timeouts.first_content_with_fallback,
            (Delivery::Stream, None) => timeouts.first_content,
        };
        let total = started + timeouts.total;
        Self {
            first_content: (started + first).min(total),
            total,
            deadline: job.terms.deadline,
            idle: timeouts.idle,
        }
    }

    /// The last moment for the first of an answer.
    pub(crate) fn for_an_answer(&self) -> Moment {
        self.first_content.min(self.deadline)
    }

    /// The last moment for anything at all.
    pub(crate) fn last(&self) -> Moment {
        self.total.min(self.deadline)
    }

    /// What it means that `what` didn't happen by then.
    pub(crate) fn overrun(&self, now: Moment, what: &str) -> Late {
        if now >= self.deadline { Late::Deadline } else { Late::Stalled(Fault::new(Reason::Stalled, what)) }
    }
}

/// Why waiting ended.
pub(crate) enum Late {
    Deadline,
    Stalled(Fault),
}
