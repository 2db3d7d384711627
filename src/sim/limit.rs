//! One limit, counted exactly.
//!
//! This is the oracle for Keywheel's own quota rules, so it shares nothing with
//! them. It counts in whole numbers: what it says about waiting is exact to the
//! nanosecond.

use std::collections::VecDeque;

use keywheel_actors::clock::Moment;
use std::time::Duration;

use super::spec::{LimitSpec, Shape};

/// Whether a request fits into a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fit {
    /// Now.
    Now,
    /// At this moment, if nobody else takes anything until then, and not earlier.
    At(Moment),
    /// Never: it costs more than the limit can ever hold.
    Never,
}

/// A limit and what has been taken from it. The moments given to it don't run backwards.
#[derive(Debug)]
pub(crate) struct Limit {
    spec: LimitSpec,
    /// The spec's count, scaled. Zero if the quota was cut to nothing.
    count: u64,
    /// The most that fits at once, scaled.
    capacity: u64,
    taken: Taken,
}

#[derive(Debug)]
enum Taken {
    /// `debt` is what is missing from a full bucket. One request or token is worth as many parts as
    /// `per` has nanoseconds, and every nanosecond gives back `count` parts: so all numbers stay whole.
    Bucket { debt_parts: u128, settled: Moment },
    /// What was taken in the window with this number.
    Fixed { window: u128, sum: u64 },
    /// Every request of the last `per`. At most `count` entries: each costs at least one.
    Sliding { entries: VecDeque<(Moment, u64)>, sum: u64 },
}

impl Limit {
    pub(crate) fn new(spec: LimitSpec) -> Self {
        let taken = match spec.shape {
            Shape::TokenBucket { .. } => Taken::Bucket { debt_parts: 0, settled: Moment::ZERO },
            Shape::FixedWindow => Taken::Fixed { window: 0, sum: 0 },
            Shape::SlidingWindow => Taken::Sliding { entries: VecDeque::new(), sum: 0 },
        };
        let mut limit = Self { spec, count: 0, capacity: 0, taken };
        limit.scale(Moment::ZERO, 1.0);
        limit
    }

    pub(crate) fn spec(&self) -> &LimitSpec {
        &self.spec
    }

    /// How many in `per`, after all changes.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The most that fits at once, after all changes.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Sets the limit to a multiple of its spec. What was taken stays taken.
    pub(crate) fn scale(&mut self, at: Moment, factor: f64) {
        self.settle(at);
        self.count = scaled(self.spec.count, factor);
        self.capacity = match self.spec.shape {
            Shape::TokenBucket { burst } => scaled(burst, factor),
            Shape::FixedWindow | Shape::SlidingWindow => self.count,
        };
    }

    /// Whether a request of this cost fits.
    pub(crate) fn fit(&mut self, now: Moment, cost: u64) -> Fit {
        if self.count == 0 || cost > self.capacity {
            return Fit::Never;
        }
        self.settle(now);
        // What may be left in the limit at most for the request to fit.
        let room = self.capacity - cost;
        let at = match &self.taken {
            Taken::Bucket { debt_parts, .. } => {
                let excess = debt_parts.saturating_sub(u128::from(room) * self.spec.per.as_nanos());
                now + nanos(excess.div_ceil(u128::from(self.count)))
            }
            Taken::Fixed { sum, .. } if *sum <= room => now,
            Taken::Fixed { window, .. } => Moment::ZERO + nanos((window + 1) * self.spec.per.as_nanos()),
            Taken::Sliding { entries, sum } => {
                let mut left = *sum;
                let mut at = now;
                for (taken_at, taken) in entries {
                    if left <= room {
                        break;
                    }
                    left -= taken;
                    at = *taken_at + self.spec.per;
                }
                at
            }
        };
        if at > now { Fit::At(at) } else { Fit::Now }
    }

    /// Takes what an accepted request costs.
    pub(crate) fn take(&mut self, now: Moment, cost: u64) {
        self.settle(now);
        match &mut self.taken {
            Taken::Bucket { debt_parts, .. } => *debt_parts += u128::from(cost) * self.spec.per.as_nanos(),
            Taken::Fixed { sum, .. } => *sum += cost,
            Taken::Sliding { entries, sum } => {
                entries.push_back((now, cost));
                *sum += cost;
            }
        }
    }

    /// Takes what a refused request costs: never more than makes the limit full from now on.
    pub(crate) fn punish(&mut self, now: Moment, cost: u64) {
        self.take(now, cost);
        let (count, capacity, per_nanos) = (self.count, self.capacity, self.spec.per.as_nanos());
        match &mut self.taken {
            Taken::Bucket { debt_parts, .. } => {
                *debt_parts = (*debt_parts).min(u128::from(capacity) * per_nanos);
            }
            Taken::Fixed { sum, .. } => *sum = (*sum).min(capacity),
            Taken::Sliding { entries, sum } => {
                // The youngest entries alone fill the limit, so the oldest no longer matter.
                while let Some((_, oldest)) = entries.front().filter(|(_, oldest)| *sum - oldest >= count) {
                    *sum -= oldest;
                    entries.pop_front();
                }
            }
        }
    }

    /// What was taken at `at` was `to` and not `from`. What a window no longer counts isn't corrected.
    pub(crate) fn correct(&mut self, now: Moment, at: Moment, from: u64, to: u64) {
        self.settle(now);
        let per_nanos = self.spec.per.as_nanos();
        match &mut self.taken {
            Taken::Bucket { debt_parts, .. } => {
                let charged = *debt_parts + u128::from(to) * per_nanos;
                *debt_parts = charged.saturating_sub(u128::from(from) * per_nanos);
            }
            Taken::Fixed { window, sum } => {
                if at.since_start().as_nanos() / per_nanos == *window {
                    *sum = sum.saturating_add(to).saturating_sub(from);
                }
            }
            Taken::Sliding { entries, sum } => {
                // Calls that came together are alike: it doesn't matter which of them is corrected.
                if let Some((_, taken)) = entries.iter_mut().rev().find(|entry| **entry == (at, from)) {
                    *taken = to;
                    *sum = sum.saturating_add(to).saturating_sub(from);
                }
            }
        }
    }

    /// How much fits now.
    pub(crate) fn remaining(&mut self, now: Moment) -> u64 {
        self.settle(now);
        let sum = match &self.taken {
            Taken::Bucket { debt_parts, .. } => {
                u64::try_from(debt_parts.div_ceil(self.spec.per.as_nanos())).unwrap_or(u64::MAX)
            }
            Taken::Fixed { sum, .. } | Taken::Sliding { sum, .. } => *sum,
        };
        self.capacity.saturating_sub(sum)
    }

    /// When it will be full again if nobody takes anything.
    pub(crate) fn full_at(&mut self, now: Moment) -> Moment {
        // A window is told by its youngest entry: asking whether all fits would walk through every one.
        if let Taken::Sliding { entries, .. } = &self.taken {
            let youngest_leaves = entries.back().map_or(now, |(at, _)| *at + self.spec.per);
            return youngest_leaves.max(now);
        }
        match self.fit(now, self.capacity) {
            Fit::Now => now,
            Fit::At(at) => at,
            Fit::Never => Moment::NEVER,
        }
    }

    /// Gives back what time has given back.
    fn settle(&mut self, now: Moment) {
        let per = self.spec.per;
        match &mut self.taken {
            Taken::Bucket { debt_parts, settled } => {
                let given = now.since(*settled).as_nanos() * u128::from(self.count);
                *debt_parts = debt_parts.saturating_sub(given);
                *settled = now.max(*settled);
            }
            Taken::Fixed { window, sum } => {
                let current = now.since_start().as_nanos() / per.as_nanos();
                if current > *window {
                    (*window, *sum) = (current, 0);
                }
            }
            Taken::Sliding { entries, sum } => {
                while let Some((_, oldest)) = entries.front().filter(|(at, _)| *at + per <= now) {
                    *sum -= oldest;
                    entries.pop_front();
                }
            }
        }
    }
}

/// `count` times `factor`; only a factor of zero leaves nothing.
fn scaled(count: u64, factor: f64) -> u64 {
    if factor == 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast clamps")]
    let scaled = (count as f64 * factor).round() as u64;
    scaled.max(1)
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
