//! What a quota leaves to the next process.

use std::time::Duration;

use super::reserve::Reserve;
use super::windows::Quota;
use crate::clock::Moment;
use crate::spec::{Dimension, MINUTE};
use crate::tokens::Tokens;

/// Windows from this length on are reserved for: shorter ones are over before anybody has started again.
pub(super) const LONG: Duration = MINUTE.saturating_mul(60);
/// Uses are written down in so many parts of their window, each with its latest moment.
const PARTS: u32 = 64;

/// Which windows are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Those of an hour and more.
    Long,
    /// All.
    All,
}

/// What one window was used, seen from one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Past {
    /// What it counts.
    pub dimension: Dimension,
    /// In how long.
    pub window: Duration,
    /// How long ago, and how much; the oldest first.
    pub uses: Vec<(Duration, u64)>,
    /// Reserved, and perhaps used at any moment from here on.
    pub ahead: u64,
}

impl Quota {
    /// From now on the use of long windows is reserved before it happens.
    pub fn reserve_long_windows(&mut self) {
        for window in self.windows.iter_mut().filter(|window| window.length >= LONG) {
            if window.reserve.is_none() {
                window.reserve = Some(Reserve::of(window.whole()));
            }
        }
    }

    /// Asks for more where little is left for calls of `tokens`. True if anything was asked for: then
    /// [`Quota::past`] has to be kept durably, and [`Quota::granted`] called after.
    pub fn ask_reserve(&mut self, now: Moment, tokens: Tokens) -> bool {
        let mut asked = false;
        for window in &mut self.windows {
            let amount = window.amount(tokens);
            let low = window.reserve.is_some_and(|reserve| reserve.is_low(amount));
            let granted = if low { window.granted(now) } else { 0 };
            if let Some(reserve) = window.reserve.as_mut().filter(|reserve| reserve.left() < granted) {
                reserve.ask(amount, granted);
                asked = true;
            }
        }
        asked
    }

    /// What was asked for is kept.
    pub fn granted(&mut self) {
        self.windows.iter_mut().filter_map(|window| window.reserve.as_mut()).for_each(Reserve::granted);
    }

    /// Whoever asked is gone.
    pub fn forget_asked(&mut self) {
        self.windows.iter_mut().filter_map(|window| window.reserve.as_mut()).for_each(Reserve::forget_asked);
    }

    /// What was used, in at most 65 parts a window, each with its latest moment.
    pub fn past(&self, now: Moment, extent: Extent) -> Vec<Past> {
        let windows = self.windows.iter().filter(|window| extent == Extent::All || window.length >= LONG);
        let past = windows.map(|window| Past {
            dimension: window.dimension,
            window: window.length,
            uses: in_parts(&window.uses(now), window.length),
            ahead: window.reserve.map_or(0, |reserve| reserve.ahead()),
        });
        past.collect()
    }

    /// Takes over what an earlier process used; what it had only reserved must be among it, as used at its end.
    pub fn recall(&mut self, now: Moment, past: &[Past]) {
        for window in &mut self.windows {
            let known = past
                .iter()
                .find(|known| known.dimension == window.dimension && known.window == window.length);
            let Some(known) = known else { continue };
            let length = window.length;
            for (ago, amount) in known.uses.iter().filter(|(ago, _)| *ago <= length) {
                window.recall(now, *ago, *amount);
            }
        }
    }

    /// An earlier process ended without a word, at most `ago` before now: its short windows count as used up.
    pub fn suspect_short_windows(&mut self, now: Moment, ago: Duration) {
        for window in self.windows.iter_mut().filter(|window| window.length < LONG && ago < window.length) {
            let whole = window.whole();
            window.recall(now, ago, whole);
        }
    }
}

/// Neighbours together, as if all had been as late as the last of them.
fn in_parts(uses: &[(Duration, u64)], window: Duration) -> Vec<(Duration, u64)> {
    let width = window / PARTS;
    let mut parts: Vec<(Duration, u64)> = Vec::new();
    let mut first = Duration::MAX;
    for (ago, amount) in uses.iter().filter(|(_, amount)| *amount > 0) {
        match parts.last_mut() {
            Some(part) if first.saturating_sub(*ago) < width => {
                *part = (*ago, part.1.saturating_add(*amount));
            }
            Some(_) | None => {
                first = *ago;
                parts.push((*ago, *amount));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{DAY, Limits, WindowLimit};

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn daily(count: u64) -> Quota {
        let mut quota = Quota::new(&[WindowLimit::requests(count, DAY)]);
        quota.reserve_long_windows();
        quota
    }

    fn reserved(mut quota: Quota, second: u64) -> Quota {
        assert!(quota.ask_reserve(at(second), Tokens::NONE));
        quota.granted();
        quota
    }

    #[test]
    fn a_day_that_was_used_up_stays_used_up_until_it_is_over() {
        let mut before = reserved(daily(3), 0);
        for second in [0, 10, 20] {
            before.take(at(second), Tokens::NONE).expect("within the limit");
            if before.ask_reserve(at(second), Tokens::NONE) {
                before.granted();
            }
        }
        let past = before.past(at(3_600), Extent::Long);
        let mut after = daily(3);
        after.recall(at(0), &past);
        assert!(!after.ask_reserve(at(0), Tokens::NONE), "there is nothing to reserve");
        assert!(after.take(at(0), Tokens::NONE).is_err());
        let last_over = DAY.as_secs() - 3_580 + 1;
        assert!(
            !after.ask_reserve(at(last_over - 2), Tokens::NONE),
            "neighbours are all as late as the last of them"
        );
        let after = reserved(after, last_over);
        assert_eq!(after.available_calls(at(last_over), Tokens::NONE), 3);
    }

    #[test]
    fn nothing_is_used_before_it_is_reserved() {
        let mut quota = daily(1_000);
        let refused = quota.take(at(5), Tokens::NONE).expect_err("nothing is reserved");
        assert_eq!(refused.until, at(5) + RETRY);
        assert!(quota.ask_reserve(Moment::ZERO, Tokens::NONE));
        assert!(!quota.ask_reserve(Moment::ZERO, Tokens::NONE), "once");
        assert!(quota.take(at(5), Tokens::NONE).is_err(), "asked is not kept");
        quota.granted();
        assert_eq!(quota.available_calls(at(5), Tokens::NONE), 10);
        assert_eq!(quota.past(at(5), Extent::Long)[0].ahead, 10);
    }

    const RETRY: Duration = Duration::from_millis(20);

    #[test]
    fn a_short_window_is_suspected_for_its_length() {
        let mut quota = Quota::new(&[WindowLimit::requests(100, MINUTE)]);
        quota.suspect_short_windows(at(0), Duration::from_secs(10));
        assert_eq!(quota.available_calls(at(49), Tokens::NONE), 0);
        assert_eq!(quota.available_calls(at(51), Tokens::NONE), 100);
        let mut bucket = Quota::new(&Limits::rpm_with_burst(60, 10).windows);
        bucket.suspect_short_windows(at(0), Duration::from_secs(2));
        assert!(bucket.available_calls(at(0), Tokens::NONE) <= 2, "empty, and refilling");
    }

    #[test]
    fn many_uses_are_told_in_few_parts_and_never_less() {
        let uses: Vec<_> = (0..1_000).rev().map(|second| (Duration::from_secs(second * 86), 2)).collect();
        let parts = in_parts(&uses, DAY);
        assert!(parts.len() <= 65, "{}", parts.len());
        assert_eq!(parts.iter().map(|(_, amount)| amount).sum::<u64>(), 2_000);
        assert!(parts.iter().all(|(ago, _)| uses.iter().any(|(known, _)| known == ago)));
        assert!(parts.is_sorted_by(|a, b| a.0 > b.0));
    }
}
