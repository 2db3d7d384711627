//! What a window remembers of the calls it let through, in bounded memory.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// Calls remembered one by one. A limit up to this size is kept exactly.
const SINGLES_MAX: usize = 512;
/// Beyond the singles, neighbours share an entry that covers this part of the
/// horizon: a busy window errs on the safe side by at most 0.2 % of its length.
const MERGED_MAX: u32 = 512;

/// Calls that started close together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// When the first of them started.
    first: Moment,
    /// When the last of them started. All of them are treated as if they had
    /// started then: pretending that a call was later is never too generous.
    pub(super) last: Moment,
    /// How much they took together.
    pub(super) amount: u64,
}

/// Calls in the order of their start; at most about 1,024 entries.
#[derive(Clone, Debug)]
pub(super) struct History {
    entries: VecDeque<Entry>,
    /// How far back its owner looks.
    horizon: Duration,
}

impl History {
    pub(super) const fn new(horizon: Duration) -> Self {
        Self { entries: VecDeque::new(), horizon }
    }

    /// The same calls for an owner who looks back so far.
    pub(super) fn seen_from(&self, horizon: Duration) -> Self {
        Self { entries: self.entries.clone(), horizon }
    }

    /// Remembers a call; `at` must not lie before the last one.
    pub(super) fn record(&mut self, at: Moment, amount: u64) {
        let crowded = self.entries.len() >= SINGLES_MAX;
        let width = if crowded { self.horizon / MERGED_MAX } else { Duration::ZERO };
        match self.entries.back_mut() {
            Some(entry) if at.since(entry.first) <= width => {
                entry.last = at;
                entry.amount = entry.amount.saturating_add(amount);
            }
            _ => self.entries.push_back(Entry { first: at, last: at, amount }),
        }
    }

    /// Takes out the oldest entry if it has left the horizon.
    pub(super) fn pop_expired(&mut self, now: Moment) -> Option<Entry> {
        let expired = self.entries.front().is_some_and(|entry| entry.last + self.horizon <= now);
        if expired { self.entries.pop_front() } else { None }
    }

    /// Replaces `from` by `to` in the entry of the call that started at `at`.
    /// Gives the entry's amount before and after; `None` if it is forgotten.
    pub(super) fn correct(&mut self, at: Moment, from: u64, to: u64) -> Option<(u64, u64)> {
        let index = self.entries.partition_point(|entry| entry.last < at);
        let entry = self.entries.get_mut(index).filter(|entry| entry.first <= at)?;
        let before = entry.amount;
        entry.amount = before.saturating_sub(from).saturating_add(to);
        Some((before, entry.amount))
    }

    /// How far back its owner looks.
    pub(super) const fn horizon(&self) -> Duration {
        self.horizon
    }

    /// The entries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at_us(micros: u64) -> Moment {
        Moment::after_start(Duration::from_micros(micros))
    }

    #[test]
    fn a_hundred_thousand_calls_a_minute_stay_within_bounds() {
        let mut history = History::new(MINUTE);
        for call in 0..300_000 {
            let now = at_us(call * 600);
            while history.pop_expired(now).is_some() {}
            history.record(now, 1);
        }
        let longest = MINUTE / MERGED_MAX;
        assert!(history.entries.len() <= SINGLES_MAX + 513, "{}", history.entries.len());
        assert!(history.iter().all(|entry| entry.last.since(entry.first) <= longest));
        let total: u64 = history.iter().map(|entry| entry.amount).sum();
        assert!((100_000..=100_200).contains(&total), "{total}");
    }

    #[test]
    fn the_first_512_calls_are_kept_one_by_one() {
        let mut history = History::new(MINUTE);
        (0..512).for_each(|call| history.record(at_us(call), 1));
        assert_eq!(history.entries.len(), 512);
        history.record(at_us(512), 1);
        assert_eq!(history.entries.len(), 512, "the 513th shares the entry of its neighbour");
    }

    #[test]
    fn a_forgotten_call_cannot_be_corrected() {
        let mut history = History::new(MINUTE);
        history.record(at_us(0), 7);
        assert_eq!(history.correct(at_us(0), 7, 9), Some((7, 9)));
        assert!(history.pop_expired(Moment::ZERO + MINUTE).is_some());
        assert_eq!(history.correct(at_us(0), 9, 0), None);
    }
}
