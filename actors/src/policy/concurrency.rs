//! How many calls a key may have in flight at once.
//!
//! A limit that nobody told us is learned as TCP learns its window: quickly
//! until the first throttle, then additively up and multiplicatively down. And
//! a key that comes back from a suspension proves itself with one call first.

use std::time::Duration;

use crate::clock::Moment;

/// Where an unknown limit starts: enough to learn something from every round trip, little
/// enough that a strict provider answers with a few throttles and not with a ban.
const LEARNED_START: u32 = 10;
/// Where learning ends. A key that really takes more can be told so in the configuration.
const LEARNED_MAX: u32 = 256;
/// For a key whose request rate is declared. The quota is the limiter then;
/// this only bounds memory, and suffices for 10,000 a minute at 6 s each.
const PACED: u32 = 1_024;

/// Calls that a key gets before anything is known of it: a dead one costs no more than these.
const UNTRIED: u32 = 3;
/// A bad credential is refused within milliseconds. A call that is still under way after this was
/// accepted, and the key need not wait for a model that thinks.
const TRIAL: Duration = Duration::from_secs(1);

/// The concurrency limit of one key.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// The limit apart from any comeback.
    full: u32,
    growth: Growth,
    comeback: Comeback,
}

/// Whether and how the limit grows.
#[derive(Clone, Copy, Debug)]
enum Growth {
    /// It was told, so it stays.
    Fixed,
    /// No throttle yet: one more per success.
    SlowStart,
    /// One more per limit's worth of successes.
    Careful { cut_at: Moment, successes: u32 },
}

/// How far a key is on its way back from a suspension.
#[derive(Clone, Copy, Debug)]
enum Comeback {
    /// Nothing is known of it yet; the trial ends with the first success, or so long after its first call.
    Untried { until: Option<Moment> },
    /// It wasn't suspended, or is all the way back.
    Complete,
    /// One call at a time, besides the older ones, until one of those started since then succeeds.
    Probing { since: Moment, older: u32 },
    /// One more per success.
    Climbing { limit: u32 },
}

impl Concurrency {
    /// A limit that was told; at least 1.
    pub fn fixed(limit: u32) -> Self {
        Self { full: limit.max(1), growth: Growth::Fixed, comeback: Comeback::Untried { until: None } }
    }

    /// No limit is told: at most 256, found by trying from what an earlier process learned, else from 10.
    pub fn learned(before: Option<u32>) -> Self {
        let full = before.unwrap_or(LEARNED_START).clamp(LEARNED_START, LEARNED_MAX);
        Self { full, growth: Growth::SlowStart, comeback: Comeback::Untried { until: None } }
    }

    /// What was learned, for the next process; `None` for a limit that was told.
    pub const fn learned_limit(&self) -> Option<u32> {
        match self.growth {
            Growth::Fixed => None,
            Growth::SlowStart | Growth::Careful { .. } => Some(self.full),
        }
    }

    /// The request rate is declared, so that the quota limits the key: 1,024.
    pub const fn paced() -> Self {
        Self { full: PACED, growth: Growth::Fixed, comeback: Comeback::Untried { until: None } }
    }

    /// Goes on under what is told now. What was learned stays if still nothing is told, and so does the way
    /// back from a suspension.
    pub const fn amend(&mut self, told: &Self) {
        match (self.growth, told.growth) {
            (Growth::SlowStart | Growth::Careful { .. }, Growth::SlowStart | Growth::Careful { .. }) => {}
            (Growth::Fixed, _) | (_, Growth::Fixed) => {
                self.full = told.full;
                self.growth = told.growth;
            }
        }
    }

    /// Calls that may be in flight at once, at least 1.
    pub fn limit(&self) -> u32 {
        match self.comeback {
            Comeback::Untried { .. } => self.full.min(UNTRIED),
            Comeback::Complete => self.full,
            Comeback::Probing { older, .. } => older.saturating_add(1),
            Comeback::Climbing { limit } => limit.min(self.full),
        }
    }

    /// A call begins.
    pub fn started(&mut self, now: Moment) {
        if let Comeback::Untried { until: until @ None } = &mut self.comeback {
            *until = Some(now + TRIAL);
        }
    }

    /// When [`Concurrency::wake`] has something to do.
    pub fn wake_at(&self) -> Moment {
        match self.comeback {
            Comeback::Untried { until } => until.unwrap_or(Moment::NEVER),
            Comeback::Complete | Comeback::Probing { .. } | Comeback::Climbing { .. } => Moment::NEVER,
        }
    }

    /// Ends a trial whose time is over.
    pub fn wake(&mut self, now: Moment) {
        if self.wake_at() <= now {
            self.comeback = Comeback::Complete;
        }
    }

    /// A call that began at `started` succeeded; `in_flight` counts it still.
    pub fn succeeded(&mut self, started: Moment, in_flight: u32) {
        match self.comeback {
            Comeback::Untried { .. } => self.comeback = Comeback::Complete,
            Comeback::Complete => self.grow(in_flight),
            Comeback::Probing { since, .. } => self.probed(started, since),
            Comeback::Climbing { limit } => self.climb_to(limit.saturating_add(1)),
        }
    }

    /// A call that began at `started` was throttled.
    ///
    /// A learned limit shrinks to 70 %, once for all calls that were under way
    /// at that moment: they all met the same wall.
    pub fn throttled(&mut self, started: Moment, now: Moment) {
        match self.growth {
            Growth::Fixed => return,
            Growth::Careful { cut_at, .. } if started < cut_at => return,
            Growth::SlowStart | Growth::Careful { .. } => {}
        }
        self.full = (self.full * 7 / 10).max(1);
        self.growth = Growth::Careful { cut_at: now, successes: 0 };
    }

    /// The key is used again after a suspension: one call first, then half of
    /// the old limit, then one more per success.
    /// `in_flight` calls are under way then; they end as they may, and the probe needn't wait for them.
    pub fn suspended(&mut self, now: Moment, in_flight: u32) {
        self.comeback = Comeback::Probing { since: now, older: in_flight };
    }

    /// A call that began at `started` has ended, however.
    pub fn ended(&mut self, started: Moment) {
        if let Comeback::Probing { since, older } = &mut self.comeback
            && started <= *since
        {
            *older = older.saturating_sub(1);
        }
    }

    fn grow(&mut self, in_flight: u32) {
        // A limit that isn't reached proves nothing by success. More than half
        // counts as used, as in TCP's slow start (Linux `tcp_is_cwnd_limited`).
        if self.full >= LEARNED_MAX || in_flight.saturating_mul(2) <= self.full {
            return;
        }
        match &mut self.growth {
            Growth::Fixed => {}
            Growth::SlowStart => self.full += 1,
            Growth::Careful { successes, .. } => {
                *successes += 1;
                if *successes >= self.full {
                    *successes = 0;
                    self.full += 1;
                }
            }
        }
    }

    fn probed(&mut self, started: Moment, since: Moment) {
        // A success from before the suspension says nothing about now.
        if started > since {
            self.climb_to((self.full / 2).max(1));
        }
    }

    const fn climb_to(&mut self, limit: u32) {
        self.comeback = if limit < self.full { Comeback::Climbing { limit } } else { Comeback::Complete };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::after_start(Duration::from_secs(secs))
    }

    /// The limit after each of so many successes with the limit in full use.
    fn limits_after_successes(concurrency: &mut Concurrency, started: Moment, count: u32) -> Vec<u32> {
        let succeed = |_| {
            concurrency.succeeded(started, concurrency.limit());
            concurrency.limit()
        };
        (0..count).map(succeed).collect()
    }

    /// A key that has been in use for a while.
    fn tried(mut concurrency: Concurrency) -> Concurrency {
        concurrency.started(at(0));
        concurrency.wake(at(1));
        concurrency
    }

    #[test]
    fn a_key_that_nobody_knows_gets_three_calls_first() {
        let mut answered = Concurrency::fixed(32);
        assert_eq!(answered.limit(), 3);
        answered.started(at(5));
        assert_eq!((answered.limit(), answered.wake_at()), (3, at(6)));
        answered.succeeded(at(5), 1);
        assert_eq!((answered.limit(), answered.wake_at()), (32, Moment::NEVER));
        let mut thinking = Concurrency::fixed(32);
        thinking.started(at(5));
        thinking.started(at(6));
        thinking.wake(at(6));
        assert_eq!(thinking.limit(), 32, "its call was accepted, or it would have been refused by now");
    }

    #[test]
    fn a_told_limit_stays() {
        let mut told = tried(Concurrency::fixed(32));
        told.throttled(at(1), at(2));
        limits_after_successes(&mut told, at(3), 100);
        assert_eq!(told.limit(), 32);
        assert_eq!(tried(Concurrency::fixed(0)).limit(), 1);
        assert_eq!(tried(Concurrency::paced()).limit(), 1_024);
    }

    #[test]
    fn what_is_told_anew_counts_and_what_was_learned_stays() {
        let mut told = tried(Concurrency::fixed(32));
        told.amend(&Concurrency::fixed(4));
        assert_eq!(told.limit(), 4);
        told.suspended(at(10), 0);
        told.amend(&Concurrency::fixed(8));
        assert_eq!(limits_after_successes(&mut told, at(11), 2), [4, 5], "it is still on its way back");
        let mut learned = tried(Concurrency::learned(None));
        limits_after_successes(&mut learned, at(0), 3);
        learned.amend(&Concurrency::learned(None));
        assert_eq!(learned.limit(), 13);
        learned.amend(&Concurrency::fixed(2));
        assert_eq!(learned.limit(), 2);
    }

    #[test]
    fn an_unknown_limit_grows_quickly_until_the_first_throttle() {
        let mut learned = tried(Concurrency::learned(None));
        assert_eq!(learned.limit(), 10);
        assert_eq!(limits_after_successes(&mut learned, at(0), 3), [11, 12, 13]);
        limits_after_successes(&mut learned, at(0), 7);
        learned.throttled(at(1), at(2));
        assert_eq!(learned.limit(), 14);
    }

    #[test]
    fn after_a_throttle_it_grows_by_one_per_round() {
        let mut learned = tried(Concurrency::learned(None));
        learned.throttled(at(1), at(2));
        assert_eq!(learned.limit(), 7);
        assert_eq!(limits_after_successes(&mut learned, at(3), 7), [7, 7, 7, 7, 7, 7, 8]);
        limits_after_successes(&mut learned, at(3), 7);
        assert_eq!(limits_after_successes(&mut learned, at(3), 1), [9], "the eighth at a limit of 8");
    }

    #[test]
    fn calls_that_met_the_same_wall_cut_once() {
        let mut learned = tried(Concurrency::learned(None));
        for _ in 0..10 {
            learned.throttled(at(1), at(2));
        }
        assert_eq!(learned.limit(), 7);
        learned.throttled(at(2), at(3));
        assert_eq!(learned.limit(), 4, "a call that began after the cut cuts again");
    }

    #[test]
    fn a_limit_that_is_not_used_does_not_grow() {
        let mut learned = tried(Concurrency::learned(None));
        (0..100).for_each(|_| learned.succeeded(at(0), 5));
        assert_eq!(learned.limit(), 10);
        learned.succeeded(at(0), 6);
        assert_eq!(learned.limit(), 11);
    }

    #[test]
    fn learning_ends_at_256_and_never_below_1() {
        let mut learned = tried(Concurrency::learned(None));
        limits_after_successes(&mut learned, at(0), 1_000);
        assert_eq!(learned.limit(), 256);
        (0..100).for_each(|second| learned.throttled(at(second), at(second)));
        assert_eq!(learned.limit(), 1);
        assert_eq!(limits_after_successes(&mut learned, at(100), 3), [2, 2, 3]);
    }

    #[test]
    fn a_key_comes_back_with_one_probe_then_half_then_bit_by_bit() {
        let mut told = tried(Concurrency::fixed(8));
        told.suspended(at(10), 0);
        assert_eq!(told.limit(), 1);
        assert_eq!(limits_after_successes(&mut told, at(11), 6), [4, 5, 6, 7, 8, 8]);
    }

    #[test]
    fn a_probe_neednt_wait_for_older_calls() {
        let mut told = tried(Concurrency::fixed(8));
        told.suspended(at(10), 2);
        assert_eq!(told.limit(), 3, "two older calls and the probe");
        told.ended(at(9));
        assert_eq!(told.limit(), 2);
    }

    #[test]
    fn a_failed_probe_keeps_it_at_one() {
        let mut told = tried(Concurrency::fixed(8));
        told.suspended(at(10), 0);
        told.throttled(at(11), at(12));
        assert_eq!(told.limit(), 1);
        told.suspended(at(20), 0);
        assert_eq!(limits_after_successes(&mut told, at(21), 1), [4], "half of the old limit, not of 1");
    }

    #[test]
    fn a_success_from_before_the_suspension_is_no_probe() {
        let mut told = tried(Concurrency::fixed(8));
        told.suspended(at(10), 0);
        told.succeeded(at(9), 5);
        assert_eq!(told.limit(), 1);
    }

    #[test]
    fn a_learned_limit_comes_back_to_what_the_throttle_left() {
        let mut learned = tried(Concurrency::learned(None));
        learned.throttled(at(1), at(2));
        learned.suspended(at(30), 0);
        assert_eq!(limits_after_successes(&mut learned, at(31), 5), [3, 4, 5, 6, 7]);
    }

    proptest! {
        #[test]
        fn the_limit_is_always_between_1_and_256(
            steps in prop::collection::vec((0..3_u8, 0..300_u32, 0..20_u64), 0..500),
        ) {
            let mut learned = tried(Concurrency::learned(None));
            let mut now = Moment::ZERO;
            for (step, in_flight, age_s) in steps {
                now += Duration::from_secs(1);
                let started = now - Duration::from_secs(age_s);
                match step {
                    0 => learned.throttled(started, now),
                    1 => learned.suspended(now, 0),
                    _ => learned.succeeded(started, in_flight),
                }
                prop_assert!((1..=256).contains(&learned.limit()));
            }
        }
    }
}
