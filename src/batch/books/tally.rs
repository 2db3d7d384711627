//! What the rows of a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel_actors::clock::Moment;
use keywheel_actors::outcome::{Attempt, Reason, Usage};

use crate::batch::answer::{Answered, Origin};
use crate::batch::output::line::OutputLine;
use crate::batch::show::progress::RowCounts;

/// Counts of a run, as its rows' own records tell them.
#[derive(Clone, Debug, Default)]
pub(in crate::batch) struct Tally {
    /// Rows, by how they ended.
    pub rows: RowCounts,
    /// Calls, by how they ended.
    pub calls: CallCounts,
    /// Tokens of all answers, those included that were thrown away.
    pub usage: Usage,
    /// Rows that were answered without a call of their own, as an identical one was.
    pub cached_rows: u64,
    /// Rows that failed or were invalid, by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// When the first row was handed to the wheel.
    pub first_sent: Option<Moment>,
    /// When the last row came back.
    pub last_answered: Option<Moment>,
}

/// Upstream calls, by what they came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(in crate::batch) struct CallCounts {
    /// Succeeded.
    pub succeeded: u64,
    /// Rejected as too fast, or beyond a quota.
    pub throttled: u64,
    /// Rejected because the key, or its access to the model, doesn't work.
    pub dead_key: u64,
    /// Lost by the provider: 5xx, overload, no connection, a stall, a cut.
    pub provider_fault: u64,
    /// Refused because the request itself can't succeed.
    pub refused: u64,
    /// Ended by ourselves.
    pub cancelled: u64,
}

impl CallCounts {
    /// The calls that even a perfect scheduler would have made.
    pub(in crate::batch) const fn needful(&self) -> u64 {
        self.succeeded + self.refused + self.provider_fault
    }

    /// The calls that it would not have made.
    pub(in crate::batch) const fn wasted(&self) -> u64 {
        self.throttled + self.dead_key
    }

    /// One more call.
    pub(in crate::batch) fn note(&mut self, attempt: &Attempt) {
        let count = match attempt.fault.as_ref().map(|fault| fault.reason) {
            None => &mut self.succeeded,
            Some(Reason::Throttled | Reason::QuotaUsedUp) => &mut self.throttled,
            Some(
                Reason::BadCredential
                | Reason::AccountBanned
                | Reason::MoneyGone
                | Reason::ModelDenied
                | Reason::ModelGone
                | Reason::RegionDenied,
            ) => &mut self.dead_key,
            Some(
                Reason::SlowDown
                | Reason::Overloaded
                | Reason::ServerError
                | Reason::Unreachable
                | Reason::Stalled
                | Reason::Cut
                | Reason::Unclassified,
            ) => &mut self.provider_fault,
            Some(Reason::TooLong | Reason::NeverFits | Reason::PolicyRefused | Reason::CallerMistake) => {
                &mut self.refused
            }
            Some(Reason::CallerGone | Reason::DeadlineOver | Reason::Stopped) => &mut self.cancelled,
        };
        *count += 1;
    }
}

impl Tally {
    /// A row was handed to the wheel.
    pub(in crate::batch) fn note_sent(&mut self, now: Moment) {
        self.first_sent.get_or_insert(now);
    }

    /// A row came back, and took these calls.
    pub(in crate::batch) fn note_result(&mut self, now: Moment, answered: &Answered) {
        self.last_answered = Some(now);
        for attempt in &answered.attempts {
            self.calls.note(attempt);
        }
        self.rows.retried += u64::from(answered.attempts.len() > 1);
        self.cached_rows += u64::from(answered.origin == Origin::Cache);
        for (_, usage) in answered.paid() {
            self.usage.input_tokens += usage.input_tokens;
            self.usage.output_tokens += usage.output_tokens;
            self.usage.cached_tokens += usage.cached_tokens;
        }
    }

    /// A row that was sent has its output line.
    pub(in crate::batch) fn note_answered(&mut self, line: &OutputLine) {
        match line.error() {
            None => self.rows.ok += 1,
            Some(error) => {
                self.rows.failed += 1;
                *self.errors.entry(error.code).or_default() += 1;
            }
        }
    }

    /// A row was not sent.
    pub(in crate::batch) fn note_rejected(&mut self, code: &'static str) {
        self.rows.invalid += 1;
        *self.errors.entry(code).or_default() += 1;
    }

    /// From the first row handed over to the last answer; zero if there was none.
    pub(in crate::batch) fn makespan(&self) -> Duration {
        match (self.first_sent, self.last_answered) {
            (Some(first), Some(last)) => last.since(first),
            (Some(_) | None, _) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::error::SendError;
    use keywheel_actors::id::KeyId;
    use keywheel_actors::outcome::Fault;

    use super::*;

    fn attempt(fault: Option<Reason>) -> Attempt {
        Attempt {
            key: KeyId { provider: "p".into(), key: "k".into() },
            model: "m".into(),
            started: Moment::ZERO,
            took: Duration::ZERO,
            fault: fault.map(|reason| Fault::new(reason, "")),
        }
    }

    fn exhausted(reasons: &[Reason]) -> Answered {
        let attempts = reasons.iter().map(|reason| attempt(Some(*reason))).collect();
        let last = Box::new(Fault::new(Reason::ServerError, ""));
        Answered::by_wheel(Err(SendError::Exhausted { last, attempts }))
    }

    #[test]
    fn every_reason_is_counted_once_and_in_one_place() {
        let mut calls = CallCounts::default();
        for reason in Reason::ALL {
            calls.note(&attempt(Some(reason)));
        }
        calls.note(&attempt(None));
        let expected = CallCounts {
            succeeded: 1,
            throttled: 2,
            dead_key: 6,
            provider_fault: 7,
            refused: 4,
            cancelled: 3,
        };
        assert_eq!(calls, expected);
        assert_eq!((calls.needful(), calls.wasted()), (12, 8));
    }

    #[test]
    fn tokens_are_those_of_all_answers_also_of_what_was_thrown_away() {
        let usage = |input_tokens| Some(Usage { input_tokens, output_tokens: 1, cached_tokens: 2 });
        let mut tally = Tally::default();
        let row = Answered { thrown_away: vec![usage(10), None, usage(20)], ..exhausted(&[]) };
        tally.note_result(Moment::ZERO, &row);
        assert_eq!(tally.usage, Usage { input_tokens: 30, output_tokens: 2, cached_tokens: 4 });
        let shared = Answered { origin: Origin::Cache, ..exhausted(&[]) };
        tally.note_result(Moment::ZERO, &shared);
        assert_eq!((tally.cached_rows, tally.usage.input_tokens), (1, 30));
    }

    #[test]
    fn makespan_is_from_the_first_row_sent_to_the_last_answer() {
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        let mut tally = Tally::default();
        assert_eq!(tally.makespan(), Duration::ZERO);
        tally.note_sent(at(3));
        tally.note_sent(at(4));
        assert_eq!(tally.makespan(), Duration::ZERO);
        tally.note_result(at(5), &exhausted(&[Reason::ServerError]));
        tally.note_result(at(9), &exhausted(&[Reason::Throttled, Reason::ServerError]));
        assert_eq!(tally.makespan(), Duration::from_secs(6));
        assert_eq!(tally.rows.retried, 1);
    }
}
