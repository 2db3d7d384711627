//! A limit of `count` in *any* window: a log that slides.
//!
//! A plain token bucket of size N would let 2N−1 through within one window, so
//! a limit without a burst is kept as what it says.

use std::time::Duration;

use super::history::History;
use crate::clock::Moment;

/// At most `count` in any window of the given length.
#[derive(Clone, Debug)]
pub(super) struct SlidingLog {
    count: u64,
    /// How long a call counts: the window and the guard.
    counted: Duration,
    history: History,
    /// The sum of the history.
    used: u128,
}

impl SlidingLog {
    /// `guard` keeps each call counted for so much longer, for one that was
    /// slower on its way than its successors are.
    pub(super) fn new(count: u64, window: Duration, guard: Duration) -> Self {
        let counted = window.saturating_add(guard);
        Self { count: count.max(1), counted, history: History::new(counted), used: 0 }
    }

    /// Counts what another window remembers instead.
    pub(super) fn take_over(&mut self, history: &History) {
        self.history = history.seen_from(self.counted);
        self.used = self.history.iter().map(|entry| u128::from(entry.amount)).sum();
    }

    /// What it counts.
    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    /// The limit.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// How much may be taken at `now`.
    pub(super) fn room(&self, now: Moment) -> u64 {
        let expired: u128 = self
            .history
            .iter()
            .take_while(|entry| entry.last + self.counted <= now)
            .map(|entry| u128::from(entry.amount))
            .sum();
        let room = u128::from(self.count).saturating_sub(self.used.saturating_sub(expired));
        u64::try_from(room).unwrap_or(u64::MAX)
    }

    /// The first moment, not before `now`, at which `amount` may be taken.
    pub(super) fn earliest(&self, now: Moment, amount: u64) -> Moment {
        if amount > self.count {
            return Moment::NEVER;
        }
        if amount == 0 {
            return now;
        }
        let mut excess = (self.used + u128::from(amount)).saturating_sub(u128::from(self.count));
        let mut earliest = now;
        for entry in self.history.iter() {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(u128::from(entry.amount));
            earliest = earliest.max(entry.last + self.counted);
        }
        earliest
    }

    /// Counts `amount` from `now` on.
    pub(super) fn record(&mut self, now: Moment, amount: u64) {
        while let Some(entry) = self.history.pop_expired(now) {
            self.used = self.used.saturating_sub(u128::from(entry.amount));
        }
        self.history.record(now, amount);
        self.used += u128::from(amount);
    }

    /// What was taken at `at` was `to`, not `from`. A call that has left the
    /// window no longer matters.
    pub(super) fn correct(&mut self, at: Moment, from: u64, to: u64) {
        if let Some((before, after)) = self.history.correct(at, from, to) {
            self.used = self.used.saturating_sub(u128::from(before)) + u128::from(after);
        }
    }
}
