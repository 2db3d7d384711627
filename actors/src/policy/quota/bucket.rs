//! A limit with a burst: the provider's own token bucket, seen from here.
//!
//! It is kept as the moment at which the bucket will be full again (the
//! "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371).
//! Times are counted in nanoseconds × `count`, so that one unit refills in
//! exactly `window` of them and the long-run rate is exactly `count / window`.

use std::time::Duration;

use super::history::History;
use crate::clock::Moment;

/// How far back a call can be given back or settled: the longest that a call
/// may take ([`Timeouts::total`](crate::spec::Timeouts::total)).
/// An older call's surplus isn't returned, its deficit is charged in full.
const CORRECTED_WITHIN: Duration = Duration::from_secs(600);

/// A bucket of one has nothing that could absorb the guard, so each call would
/// pay it; it pays at most this part of the interval between two calls, 2 %.
const GUARD_SHARE_OF_SMALLEST: u128 = 50;

/// A bucket of `burst`, filled at `count` per window.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    count: u64,
    burst: u64,
    /// Scaled time in which one unit refills.
    refill: u128,
    /// Scaled time that a call keeps away from the edge.
    guard: u128,
    /// The level now: `forgotten` and then every call in the history.
    level: Level,
    /// The level that the calls left which are too old to be corrected.
    forgotten: Level,
    history: History,
}

/// How full the bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Level {
    /// When it will be full again if nothing more is taken; scaled.
    full_at: u128,
    /// What is left of the burst that began when it was last full. As long as
    /// no more than a burst has been taken, no delay on the way can matter.
    unspent: u64,
}

impl TokenBucket {
    /// `guard` is kept between a call and the moment at which the bucket would
    /// just have refilled for it, and doesn't slow the bucket down.
    pub(super) fn new(count: u64, window: Duration, burst: u64, guard: Duration) -> Self {
        let (count, burst) = (count.max(1), burst.max(1));
        let refill = window.as_nanos();
        let absorbed = refill.saturating_mul(u128::from(burst - 1));
        let bearable = absorbed.max(refill / GUARD_SHARE_OF_SMALLEST);
        let empty_history = Level { full_at: 0, unspent: burst };
        Self {
            count,
            burst,
            refill,
            guard: guard.as_nanos().saturating_mul(u128::from(count)).min(bearable),
            level: empty_history,
            forgotten: empty_history,
            history: History::new(window.max(CORRECTED_WITHIN)),
        }
    }

    /// Reckons with what another window remembers instead.
    pub(super) fn take_over(&mut self, history: &History) {
        self.history = history.seen_from(self.history.horizon());
        self.reckon();
    }

    /// The same for what another bucket no longer remembers: it will be full at the same moment.
    pub(super) fn take_over_level(&mut self, other: &Self) {
        let full_at = other.forgotten.full_at / u128::from(other.count);
        let unspent = other.forgotten.unspent.min(self.burst);
        self.forgotten = Level { full_at: full_at.saturating_mul(u128::from(self.count)), unspent };
        self.reckon();
    }

    /// What can still be corrected; an older call is only in the level.
    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    /// Its size.
    pub(super) const fn burst(&self) -> u64 {
        self.burst
    }

    /// How much may be taken at `now`.
    pub(super) fn room(&self, now: Moment) -> u64 {
        let now = self.scaled(now);
        if self.is_full(self.level, now) {
            return self.burst;
        }
        let edge = self.level.full_at.max(now).saturating_add(self.guard);
        let refilled = now.saturating_add(self.cost(self.burst)).saturating_sub(edge);
        let units = refilled.checked_div(self.refill).unwrap_or(u128::MAX);
        u64::try_from(units).unwrap_or(u64::MAX).max(self.level.unspent).min(self.burst)
    }

    /// The first moment, not before `now`, at which `amount` may be taken.
    pub(super) fn earliest(&self, now: Moment, amount: u64) -> Moment {
        if amount > self.burst {
            return Moment::NEVER;
        }
        if amount <= self.room(now) {
            return now;
        }
        let surely_full = self.level.full_at.saturating_add(self.guard);
        let to_spare = self.cost(self.burst - amount);
        // A call of nearly the whole burst waits until the bucket is surely full.
        let earliest = if to_spare < self.guard { surely_full } else { surely_full.saturating_sub(to_spare) };
        self.moment(earliest)
    }

    /// Takes `amount` at `now`.
    pub(super) fn record(&mut self, now: Moment, amount: u64) {
        while let Some(entry) = self.history.pop_expired(now) {
            self.forgotten = self.after(self.forgotten, entry.last, entry.amount);
        }
        self.history.record(now, amount);
        self.level = self.after(self.level, now, amount);
    }

    /// What was taken at `at` was `to`, not `from`; everything since then is
    /// reckoned anew, because a bucket that is full doesn't get fuller.
    pub(super) fn correct(&mut self, at: Moment, from: u64, to: u64) {
        if self.history.correct(at, from, to).is_none() {
            self.forgotten = self.after(self.forgotten, at, to.saturating_sub(from));
        }
        self.reckon();
    }

    fn reckon(&mut self) {
        self.level = self
            .history
            .iter()
            .fold(self.forgotten, |level, entry| self.after(level, entry.last, entry.amount));
    }

    /// The level after `amount` was taken at `at`.
    fn after(&self, level: Level, at: Moment, amount: u64) -> Level {
        if amount == 0 {
            return level;
        }
        let at = self.scaled(at);
        let unspent = if self.is_full(level, at) { self.burst } else { level.unspent };
        Level {
            full_at: level.full_at.max(at).saturating_add(self.cost(amount)),
            unspent: unspent.saturating_sub(amount),
        }
    }

    /// Whether it is full, however the calls before were delayed.
    fn is_full(&self, level: Level, at: u128) -> bool {
        level.full_at.saturating_add(self.guard) <= at
    }

    fn cost(&self, amount: u64) -> u128 {
        self.refill.saturating_mul(u128::from(amount))
    }

    fn scaled(&self, at: Moment) -> u128 {
        at.since_start().as_nanos().saturating_mul(u128::from(self.count))
    }

    fn moment(&self, scaled: u128) -> Moment {
        let nanos = scaled.div_ceil(u128::from(self.count));
        u64::try_from(nanos).map_or(Moment::NEVER, |nanos| Moment::after_start(Duration::from_nanos(nanos)))
    }
}
