//! Time as the rest of the library sees it: a number that is passed in.
//!
//! Policies take a [`Moment`] and never read a clock, so a test can tell them
//! any story. Only actors and HTTP tasks hold a [`Clock`].

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A point in time, in nanoseconds since the wheel started.
///
/// It doesn't run backwards and knows no calendar; [`Clock::wall`] translates.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start of the wheel.
    pub const ZERO: Self = Self(0);
    /// Later than anything that will ever be waited for (584 years).
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment this long after the start.
    pub fn after_start(elapsed: Duration) -> Self {
        Self::ZERO + elapsed
    }

    /// Time from the start until now.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to this; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whether this is [`Moment::NEVER`].
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str("never");
        }
        write!(f, "{:?}", self.since_start())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The one place that asks what time it is.
///
/// It follows tokio's clock, so that a paused runtime pauses it too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    calendar: Calendar,
}

/// Where the date comes from.
#[derive(Clone, Copy, Debug)]
enum Calendar {
    /// The system, which may correct itself at any time.
    System,
    /// It was this at the start, and goes on with the clock.
    #[cfg(test)]
    Since(SystemTime),
}

impl Clock {
    /// Starts at [`Moment::ZERO`] now.
    pub fn start() -> Self {
        Self { start: Instant::now(), calendar: Calendar::System }
    }

    /// Starts now, at that date, which goes on as tokio's clock does.
    #[cfg(test)]
    pub(crate) fn starting_at(date: SystemTime) -> Self {
        Self { start: Instant::now(), calendar: Calendar::Since(date) }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        Moment::after_start(self.start.elapsed())
    }

    /// The calendar's date of `moment`, by the calendar as it stands now.
    pub fn wall(&self, moment: Moment) -> SystemTime {
        let (now, today) = (self.now(), self.today());
        if moment >= now {
            today.checked_add(moment.since(now)).unwrap_or(today)
        } else {
            today.checked_sub(now.since(moment)).unwrap_or(UNIX_EPOCH)
        }
    }

    /// The calendar's date.
    pub fn today(&self) -> SystemTime {
        match self.calendar {
            Calendar::System => SystemTime::now(),
            #[cfg(test)]
            Calendar::Since(start) => start + self.start.elapsed(),
        }
    }

    /// `moment` as tokio's timers want it; far moments are clamped to a year.
    pub fn instant(&self, moment: Moment) -> Instant {
        /// tokio's timer wheel can't hold much more than two years.
        const FAR: Duration = Duration::from_secs(365 * 86_400);
        self.start + moment.since_start().min(self.start.elapsed() + FAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_never_wraps() {
        let late = Moment::NEVER + Duration::from_secs(1);
        assert!(late.is_never());
        assert_eq!(Moment::ZERO - Duration::from_secs(1), Moment::ZERO);
        assert_eq!(Moment::ZERO.since(late), Duration::ZERO);
    }
}
