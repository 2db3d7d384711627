//! The calls that were sent lately: what an answer can't know of yet.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::policy::quota::GUARD_MAX;

/// Calls that left within this may arrive in another order.
const SHUFFLE: Duration = GUARD_MAX;
/// How long before the call that was heard of last others are remembered: longer than any rule looks back.
const REMEMBERED: Duration = Duration::from_secs(2);
/// More calls than this are never remembered, whatever is under way: ten minutes at 100 a second.
const CALLS_MAX: usize = 65_536;

/// Calls in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    calls: VecDeque<Call>,
    /// Calls that were sent before all of these.
    before: u64,
    /// Calls that haven't ended.
    under_way: u64,
    first: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    at: Moment,
    tokens: u64,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Awaited,
    Heard,
}

/// How many calls, and how many tokens they probably need.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

impl Sent {
    pub(super) fn push(&mut self, at: Moment, tokens: u64) {
        self.calls.push_back(Call { at, tokens, answer: Answer::Awaited });
        self.under_way += 1;
        self.first.get_or_insert(at);
        if self.calls.len() > CALLS_MAX {
            self.calls.pop_front();
            self.before += 1;
        }
    }

    /// A call that was sent at `at` has ended. Calls much older than it are forgotten.
    pub(super) fn heard(&mut self, at: Moment) {
        self.under_way = self.under_way.saturating_sub(1);
        self.forget_before(at - REMEMBERED);
        let first = self.calls.partition_point(|call| call.at < at);
        let mut alike = self.calls.range_mut(first..).take_while(|call| call.at == at);
        if let Some(call) = alike.find(|call| call.answer == Answer::Awaited) {
            call.answer = Answer::Heard;
        }
    }

    fn forget_before(&mut self, at: Moment) {
        while self.calls.front().is_some_and(|call| call.at < at) {
            self.calls.pop_front();
            self.before += 1;
        }
    }

    /// Calls that were sent until `at`, of all that ever were.
    pub(super) fn count_until(&self, at: Moment) -> u64 {
        self.before + self.calls.partition_point(|call| call.at <= at) as u64
    }

    /// When the first call ever was sent.
    pub(super) const fn first(&self) -> Option<Moment> {
        self.first
    }

    /// Calls that were sent in the time before `at`.
    pub(super) fn count_within(&self, before: Duration, at: Moment) -> u64 {
        self.calls
            .iter()
            .rev()
            .skip_while(|call| call.at > at)
            .take_while(|call| call.at + before > at)
            .count() as u64
    }

    /// Whether any call is under way.
    pub(super) const fn is_awaiting(&self) -> bool {
        self.under_way > 0
    }

    /// What the provider can't have counted when it answered the call that was sent at `at`: later calls, and
    /// those that left together with it and aren't answered.
    pub(super) fn unknown_to(&self, at: Moment) -> Load {
        let first = self.calls.partition_point(|call| call.at < at - SHUFFLE);
        let mut load = Load::default();
        for call in self.calls.range(first..) {
            if call.at > at || call.answer == Answer::Awaited {
                load.requests += 1;
                load.tokens = load.tokens.saturating_add(call.tokens);
            }
        }
        load
    }

    /// Whether calls at these two moments may have arrived in either order.
    pub(super) fn may_have_crossed(one: Moment, other: Moment) -> bool {
        one + SHUFFLE >= other && other + SHUFFLE >= one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn an_answer_knows_of_no_later_call() {
        let mut sent = Sent::default();
        for millis in [0, 100, 200] {
            sent.push(at(millis), 10);
        }
        sent.heard(at(0));
        assert_eq!(sent.unknown_to(at(0)), Load { requests: 2, tokens: 20 });
        sent.heard(at(200));
        assert_eq!(sent.unknown_to(at(200)), Load::default(), "the one from before was counted");
        assert!(sent.is_awaiting());
    }

    #[test]
    fn calls_that_left_together_may_arrive_in_any_order() {
        let mut sent = Sent::default();
        for _ in 0..3 {
            sent.push(at(0), 10);
        }
        sent.heard(at(0));
        assert_eq!(sent.unknown_to(at(0)), Load { requests: 2, tokens: 20 });
        sent.heard(at(0));
        sent.heard(at(0));
        assert_eq!(sent.unknown_to(at(0)), Load::default());
    }

    #[test]
    fn counting_goes_on_when_calls_are_forgotten() {
        let mut sent = Sent::default();
        for millis in [0, 100, 200] {
            sent.push(at(millis), 0);
        }
        sent.push(at(2_150), 0);
        sent.heard(at(2_150));
        assert_eq!(sent.calls.len(), 2);
        assert_eq!((sent.count_until(at(150)), sent.count_until(at(200))), (2, 3));
        assert_eq!(sent.count_within(Duration::from_millis(100), at(250)), 1);
    }
}
