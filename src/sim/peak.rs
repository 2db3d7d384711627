//! How much went through at most in any window: the proof that nobody overspent.

use std::collections::VecDeque;
use std::time::Duration;

use keywheel_actors::clock::Moment;

/// Requests of one window that are remembered, at 24 bytes each: a quarter of an hour at 1,000 a second.
const ENTRIES_MAX: usize = 1 << 20;

/// Watches what is taken, whatever the limit's own way of counting.
#[derive(Debug)]
pub(crate) struct Peak {
    per: Duration,
    entries: VecDeque<(Moment, u64)>,
    sum: u64,
    highest: u64,
    exact: bool,
}

impl Peak {
    pub(crate) fn new(per: Duration) -> Self {
        Self { per, entries: VecDeque::new(), sum: 0, highest: 0, exact: true }
    }

    /// Notes what was taken. `now` doesn't run backwards.
    pub(crate) fn note(&mut self, now: Moment, cost: u64) {
        while let Some((_, oldest)) = self.entries.front().filter(|(at, _)| *at + self.per <= now) {
            self.sum -= oldest;
            self.entries.pop_front();
        }
        if self.entries.len() == ENTRIES_MAX {
            self.exact = false;
            self.sum -= self.entries.pop_front().map_or(0, |(_, oldest)| oldest);
        }
        self.entries.push_back((now, cost));
        self.sum += cost;
        self.highest = self.highest.max(self.sum);
    }

    /// What was noted at `at` was `to` and not `from`. What is higher only now counts as seen now.
    pub(crate) fn correct(&mut self, at: Moment, from: u64, to: u64) {
        if let Some((_, noted)) = self.entries.iter_mut().rev().find(|entry| **entry == (at, from)) {
            *noted = to;
            self.sum = self.sum.saturating_add(to).saturating_sub(from);
            self.highest = self.highest.max(self.sum);
        }
    }

    /// The most that any window saw.
    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether nothing had to be forgotten; else [`Peak::highest`] is a lower bound.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_fullest_window_wherever_it_begins() {
        let mut peak = Peak::new(Duration::from_secs(60));
        // Three at the end of one minute and two at the start of the next are five in one window.
        for (second, cost) in [(0, 1), (58, 1), (59, 2), (60, 2), (119, 1)] {
            peak.note(Moment::after_start(Duration::from_secs(second)), cost);
        }
        assert_eq!((peak.highest(), peak.is_exact()), (5, true));
    }

    #[test]
    fn says_when_it_had_to_forget() {
        let mut peak = Peak::new(Duration::from_secs(60));
        for _ in 0..=ENTRIES_MAX {
            peak.note(Moment::ZERO, 1);
        }
        assert_eq!((peak.highest(), peak.is_exact()), (ENTRIES_MAX as u64, false));
    }
}
