//! The last 24 hours, in hours of the calendar.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::add_up;
use crate::outcome::Reason;
use crate::store::Wall;

/// The hour under way and those before it that make a day.
const HOURS_KEPT: usize = 24;
const HOUR_MS: u64 = 3_600_000;

/// What happened in the last 24 hours. Hours begin when the clock of UTC strikes; the one under way
/// counts, so that these are between 23 and 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LastDay {
    /// By the number of the hour since 1970; no more than a day of them.
    hours: BTreeMap<u64, Hour>,
}

/// What happened in one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hour {
    /// Calls that ended, however.
    pub calls: u64,
    /// Calls that failed, by reason.
    pub failed: BTreeMap<Reason, u64>,
}

impl LastDay {
    /// Calls that ended, however.
    pub fn calls(&self) -> u64 {
        self.hours.values().map(|hour| hour.calls).sum()
    }

    /// Calls that failed, whatever the reason.
    pub fn failures(&self) -> u64 {
        self.hours.values().flat_map(|hour| hour.failed.values()).sum()
    }

    /// Calls that failed, by reason.
    pub fn failed(&self) -> BTreeMap<Reason, u64> {
        let mut failed = BTreeMap::new();
        self.hours.values().for_each(|hour| add_up(&mut failed, &hour.failed));
        failed
    }

    /// Forgets what is older than a day at `now`. What was read from the durable state may be.
    pub fn forget(&mut self, now: Wall) {
        let now = now.0 / HOUR_MS;
        self.hours.retain(|hour, _| hour + HOURS_KEPT as u64 > now);
    }

    /// The hour of `now`, to count in.
    pub(super) fn hour(&mut self, now: Wall) -> &mut Hour {
        let number = now.0 / HOUR_MS;
        if !self.hours.contains_key(&number) {
            self.forget(now);
            self.shorten(HOURS_KEPT - 1);
        }
        self.hours.entry(number).or_default()
    }

    /// Adds those of another one. The hours are the calendar's, so they are the same.
    pub(super) fn merge(&mut self, other: &Self) {
        for (number, more) in &other.hours {
            let hour = self.hours.entry(*number).or_default();
            hour.calls += more.calls;
            add_up(&mut hour.failed, &more.failed);
        }
        self.shorten(HOURS_KEPT);
    }

    /// Hours of the future, from before a clock was set back, must not add up either.
    fn shorten(&mut self, hours: usize) {
        while self.hours.len() > hours {
            self.hours.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u64, minute: u64) -> Wall {
        Wall((480_000 + hour) * HOUR_MS + minute * 60_000)
    }

    fn fail(day: &mut LastDay, now: Wall) {
        let hour = day.hour(now);
        hour.calls += 1;
        *hour.failed.entry(Reason::Cut).or_default() += 1;
    }

    #[test]
    fn an_hour_counts_until_the_same_hour_of_the_next_day() {
        let mut day = LastDay::default();
        fail(&mut day, at(5, 0));
        fail(&mut day, at(5, 59));
        day.hour(at(6, 0)).calls += 1;
        day.forget(at(28, 59));
        assert_eq!((day.calls(), day.failures(), day.failed()[&Reason::Cut]), (3, 2, 2));
        day.forget(at(29, 0));
        assert_eq!((day.calls(), day.failures()), (1, 0));
    }

    #[test]
    fn counting_forgets_too_and_keeps_no_more_than_a_day() {
        let mut day = LastDay::default();
        for hour in 0..100 {
            fail(&mut day, at(hour, 30));
        }
        assert_eq!((day.hours.len(), day.failures()), (24, 24));
        // The clock was set back by days.
        for hour in 0..40 {
            fail(&mut day, at(hour, 0));
            assert!(day.hours.len() <= 24);
        }
    }

    #[test]
    fn the_same_hours_of_two_add_up() {
        let (mut one, mut other) = (LastDay::default(), LastDay::default());
        fail(&mut one, at(1, 0));
        fail(&mut other, at(1, 30));
        fail(&mut other, at(2, 0));
        one.merge(&other);
        assert_eq!((one.hours.len(), one.failures()), (2, 3));
    }
}
