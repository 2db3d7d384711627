//! What headers say of one limit, seen from now.
//!
//! `remaining` is the hard truth at the moment at which it was said; whether
//! and how fast it refills since then is only believed when it was proven. A
//! provider that counts in windows gives nothing back before the window ends.

use std::time::Duration;

use super::learner::seconds;
use super::sent::Sent;
use crate::clock::Moment;
use crate::outcome::Gauge;
use crate::policy::quota::GUARD_MAX;
use crate::spec::{DAY, MINUTE};

/// How closely a reset must match a steady refill to prove one: rounding and the last call's fraction.
const TOLERANCE: f64 = 0.05;
/// A reset that lasts so many times longer than a steady refill would, proves a window.
const DISPROOF: f64 = 2.0;
/// Below this share of a limit a window that was filled at once looks like a bucket.
const TELLING_SHARE: f64 = 0.1;
/// A provider that says that nothing is left, but not until when, is asked again after this.
const NO_RESET: Duration = Duration::from_secs(1);
/// Of a limit that holds a single call the guard takes at most this part of the interval, 2 %.
const GUARD_SHARE: u32 = 50;

/// One limit of a provider as its headers show it.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    reading: Option<Reading>,
    refill: Option<Refill>,
    /// The most that was ever left.
    most: u64,
}

/// The latest word of the provider.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// When the call began whose answer it was.
    of: Moment,
    gauge: Gauge,
}

/// A steady refill that was proven for the limit of this size.
#[derive(Clone, Copy, Debug)]
struct Refill {
    limit: u64,
    per_second: f64,
}

impl Meter {
    /// The answer to a call that began at `of` and needed `amount`.
    pub(super) fn read(&mut self, gauge: Gauge, of: Moment, amount: u64, sent: &Sent, unknown: Unknown) {
        let reading = Reading { of, gauge };
        self.most = self.most.max(gauge.remaining.saturating_add(amount));
        self.prove(&gauge, amount);
        let counts = self.reading.is_none_or(|known| {
            let as_tight = || reading.left(unknown(sent, of)) <= known.left(unknown(sent, known.of));
            if Sent::may_have_crossed(of, known.of) { as_tight() } else { of > known.of }
        });
        if counts {
            self.reading = Some(reading);
        }
    }

    /// What can be taken at `now`, in calls of `amount`. `None` if nothing is known.
    pub(super) fn room(&self, now: Moment, amount: u64, sent: &Sent, unknown: Unknown) -> Option<u32> {
        let reading = self.reading?;
        let sent_since = unknown(sent, reading.of);
        let remaining = reading.gauge.remaining.saturating_add(self.refilled(&reading, now));
        // Of a limit that had something left, the reset is the time until it is full.
        let is_full = reading.gauge.remaining >= amount && reading.ends_at(self.most) <= now;
        let remaining = if is_full { remaining.max(self.most) } else { remaining };
        let left = remaining.saturating_sub(sent_since).min(self.most);
        let calls = left.checked_div(amount).unwrap_or(u64::from(u32::MAX));
        if calls == 0 && !sent.is_awaiting() && reading.ends_at(self.most) <= now {
            // Its time is over: one call finds out.
            return Some(1);
        }
        Some(u32::try_from(calls).unwrap_or(u32::MAX))
    }

    /// When [`Meter::room`] is more than nothing; the next answer may say otherwise.
    pub(super) fn next_at(&self, amount: u64, sent: &Sent, unknown: Unknown) -> Moment {
        let Some(reading) = self.reading else { return Moment::ZERO };
        let sent_since = unknown(sent, reading.of);
        let missing = sent_since.saturating_add(amount).saturating_sub(reading.gauge.remaining);
        let by_refill = self.refill_of(&reading).map_or(Moment::NEVER, |per_second| {
            reading.of
                + guard(Duration::from_secs_f64(1.0 / per_second), self.most)
                + seconds(missing as f64 / per_second)
        });
        let by_reset = if sent.is_awaiting() { Moment::NEVER } else { reading.ends_at(self.most) };
        by_refill.min(by_reset)
    }

    /// Whether the provider said that less than `amount` was left.
    pub(super) fn is_spent(gauge: Option<Gauge>, amount: u64) -> bool {
        gauge.is_some_and(|gauge| gauge.remaining < amount)
    }

    /// What the limit gives in the long run, as far as that was proven.
    pub(super) fn per_second(&self) -> Option<f64> {
        self.refill_of(&self.reading?)
    }

    /// Until when nothing is left, if the latest answer said so.
    pub(super) fn spent_until(&self) -> Option<Moment> {
        let reading = self.reading.filter(|reading| reading.gauge.remaining == 0)?;
        let by_refill = self.refill_of(&reading).map_or(Moment::NEVER, |per_second| {
            let each = Duration::from_secs_f64(1.0 / per_second);
            reading.of + guard(each, self.most) + each
        });
        Some(by_refill.min(reading.ends_at(self.most)))
    }

    fn refill_of(&self, reading: &Reading) -> Option<f64> {
        let refill = self.refill.filter(|refill| Some(refill.limit) == reading.gauge.limit)?;
        Some(refill.per_second)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast clamps")]
    fn refilled(&self, reading: &Reading, now: Moment) -> u64 {
        let Some(per_second) = self.refill_of(reading) else { return 0 };
        let guard = guard(Duration::from_secs_f64(1.0 / per_second), self.most);
        // A nanosecond more, lest rounding takes what the alarm was set for.
        let age = (now + Duration::from_nanos(1)).since(reading.of + guard);
        (age.as_secs_f64() * per_second) as u64
    }

    /// Looks for the proof that the limit refills steadily, or that it doesn't.
    ///
    /// A reset means "until full" with most providers and "until such a request fits" with others; for a limit
    /// that counts in windows it means the end of the window. Which minute or day the limit is of is not said.
    fn prove(&mut self, gauge: &Gauge, amount: u64) {
        let (Some(limit), Some(reset)) = (gauge.limit.filter(|limit| *limit > 0), gauge.reset) else {
            return;
        };
        let whole = limit as f64;
        let until_full = limit.saturating_sub(gauge.remaining) as f64;
        let until_it_fits = amount.saturating_sub(gauge.remaining) as f64;
        for window in [MINUTE, DAY] {
            let per_second = whole / window.as_secs_f64();
            let matches = |missing: f64, least: f64| {
                let ratio = reset.as_secs_f64() * per_second / missing;
                missing >= 1.0 && (least..=1.0 + TOLERANCE).contains(&ratio)
            };
            let is_full_then =
                gauge.remaining as f64 >= whole * TELLING_SHARE && matches(until_full, 1.0 - TOLERANCE);
            // What never held as much as the limit is a bucket with a smaller burst.
            let is_bucket = (self.most as f64) < whole * (1.0 - TELLING_SHARE) && gauge.remaining >= amount;
            let until_burst = self.most.saturating_sub(gauge.remaining) as f64;
            let is_full_then = is_full_then || (is_bucket && matches(until_burst, 1.0 - TOLERANCE));
            if is_full_then || (window == MINUTE && matches(until_it_fits, 0.0)) {
                self.refill = Some(Refill { limit, per_second });
                return;
            }
        }
        let Some(refill) = self.refill.filter(|refill| refill.limit == limit) else { return };
        let steadily = until_full.max(until_it_fits) / refill.per_second;
        let spent_for_long = gauge.remaining == 0
            && reset.as_secs_f64() * refill.per_second > DISPROOF * amount as f64
            && (reset.as_secs_f64() - steadily).abs() > TOLERANCE * steadily;
        if spent_for_long {
            self.refill = None;
        }
    }
}

/// What was sent since an answer's call, in a meter's own unit.
pub(super) type Unknown = fn(&Sent, Moment) -> u64;

impl Reading {
    fn ends_at(&self, most: u64) -> Moment {
        let reset = self.gauge.reset.unwrap_or(NO_RESET);
        self.of + reset + guard(reset, most)
    }

    const fn left(&self, sent_since: u64) -> u64 {
        self.gauge.remaining.saturating_sub(sent_since)
    }
}

/// A call may overtake the one before it on its way. What holds several calls loses nothing by waiting for that.
fn guard(interval: Duration, most: u64) -> Duration {
    let absorbed = interval.saturating_mul(u32::try_from(most.saturating_sub(1)).unwrap_or(u32::MAX));
    GUARD_MAX.min(absorbed.max(interval / GUARD_SHARE))
}
