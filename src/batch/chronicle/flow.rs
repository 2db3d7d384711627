//! What became of calls that went wrong: cause, action, result.

use std::collections::BTreeMap;

use keywheel_actors::outcome::{Attempt, Reason};

/// Why a call was not the end of its row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::batch) enum FlowCause {
    /// It failed.
    Fault(Reason),
    /// It was answered, but not as the row wanted it.
    Unfit,
}

/// What was done about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::batch) enum FlowAction {
    /// The same key was asked again.
    SameKey,
    /// Another key of the provider was asked.
    AnotherKey,
    /// Another provider was asked.
    AnotherProvider,
    /// Nothing more.
    GivenUp,
}

/// How the row ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::batch) enum RowEnd {
    /// It was answered.
    Ok,
    /// It was not.
    Failed,
}

impl FlowCause {
    /// In a word or two.
    pub(in crate::batch) const fn as_str(self) -> &'static str {
        match self {
            Self::Fault(reason) => reason.as_str(),
            Self::Unfit => "unfit answer",
        }
    }
}

impl FlowAction {
    /// In a word or two.
    pub(in crate::batch) const fn as_str(self) -> &'static str {
        match self {
            Self::SameKey => "same key again",
            Self::AnotherKey => "another key",
            Self::AnotherProvider => "another provider",
            Self::GivenUp => "given up",
        }
    }
}

impl RowEnd {
    /// In a word or two.
    pub(in crate::batch) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "row ok",
            Self::Failed => "row failed",
        }
    }
}

/// A small table: 23 causes, 4 actions, 2 ends.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::batch) struct Flow {
    calls: BTreeMap<(FlowCause, FlowAction, RowEnd), u64>,
}

impl Flow {
    /// A row ended so after these calls.
    pub(in crate::batch) fn note(&mut self, attempts: &[Attempt], end: RowEnd) {
        for (place, attempt) in attempts.iter().enumerate() {
            let next = attempts.get(place + 1);
            let cause = match (&attempt.fault, next, end) {
                (Some(fault), _, _) => FlowCause::Fault(fault.reason),
                (None, None, RowEnd::Ok) => continue,
                (None, Some(_), _) | (None, None, RowEnd::Failed) => FlowCause::Unfit,
            };
            let action = next.map_or(FlowAction::GivenUp, |next| action(attempt, next));
            *self.calls.entry((cause, action, end)).or_default() += 1;
        }
    }

    /// Calls by cause, action and end; none is 0.
    pub(in crate::batch) fn calls(&self) -> impl Iterator<Item = (FlowCause, FlowAction, RowEnd, u64)> {
        self.calls.iter().map(|((cause, action, end), calls)| (*cause, *action, *end, *calls))
    }
}

fn action(from: &Attempt, to: &Attempt) -> FlowAction {
    if from.key.provider != to.key.provider {
        return FlowAction::AnotherProvider;
    }
    if from.key == to.key { FlowAction::SameKey } else { FlowAction::AnotherKey }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::attempt;
    use super::*;

    #[test]
    fn each_wrong_call_tells_why_what_next_and_how_it_ended() {
        let mut flow = Flow::default();
        let throttled = Some(Reason::Throttled);
        let row = [
            attempt("p/a", 0, 5, throttled),
            attempt("p/b", 5, 5, throttled),
            attempt("p/b", 10, 5, Some(Reason::ServerError)),
            attempt("q/a", 15, 5, None),
        ];
        flow.note(&row, RowEnd::Ok);
        flow.note(&row, RowEnd::Ok);
        flow.note(&[attempt("p/a", 0, 5, throttled)], RowEnd::Failed);
        flow.note(&[attempt("p/a", 0, 5, None)], RowEnd::Ok);
        let calls: Vec<_> = flow.calls().collect();
        let throttled = FlowCause::Fault(Reason::Throttled);
        assert_eq!(
            calls,
            [
                (throttled, FlowAction::SameKey, RowEnd::Ok, 2),
                (throttled, FlowAction::AnotherKey, RowEnd::Ok, 2),
                (throttled, FlowAction::GivenUp, RowEnd::Failed, 1),
                (FlowCause::Fault(Reason::ServerError), FlowAction::AnotherProvider, RowEnd::Ok, 2),
            ]
        );
    }

    #[test]
    fn an_answer_that_the_row_did_not_want_is_a_cause_too() {
        let mut flow = Flow::default();
        let answered = || attempt("p/a", 0, 5, None);
        flow.note(&[answered(), answered()], RowEnd::Failed);
        let calls: Vec<_> = flow.calls().collect();
        assert_eq!(
            calls,
            [
                (FlowCause::Unfit, FlowAction::SameKey, RowEnd::Failed, 1),
                (FlowCause::Unfit, FlowAction::GivenUp, RowEnd::Failed, 1),
            ]
        );
    }
}
