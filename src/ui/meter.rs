//! A rate over the last few seconds, read off a counter.

use std::collections::VecDeque;
use std::time::Duration;

use keywheel_actors::clock::Moment;

/// How far back a rate looks: long enough to be calm, short enough to show a throttle.
const LOOK_BACK: Duration = Duration::from_secs(10);

/// Readings of a counter. Read it a few times a second: it holds one reading each.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    readings: VecDeque<(Moment, u64)>,
}

impl Meter {
    /// Notes that the counter stands at `count`.
    pub fn note(&mut self, now: Moment, count: u64) {
        self.readings.push_back((now, count));
        while self.readings.get(1).is_some_and(|(at, _)| now.since(*at) >= LOOK_BACK) {
            self.readings.pop_front();
        }
    }

    /// Whether it looks back as far as it ever will.
    pub fn is_settled(&self) -> bool {
        match (self.readings.front(), self.readings.back()) {
            (Some((first, _)), Some((last, _))) => last.since(*first) >= LOOK_BACK,
            (None, _) | (_, None) => false,
        }
    }

    /// What the counter gained a second; zero before the second reading.
    pub fn per_second(&self) -> f64 {
        let (Some((first_at, first)), Some((last_at, last))) = (self.readings.front(), self.readings.back())
        else {
            return 0.0;
        };
        let seconds = last_at.since(*first_at).as_secs_f64();
        if seconds > 0.0 { last.saturating_sub(*first) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn looks_back_ten_seconds() {
        let mut meter = Meter::default();
        assert!(meter.per_second().abs() < f64::EPSILON);
        meter.note(at(0), 0);
        assert!(meter.per_second().abs() < f64::EPSILON);
        meter.note(at(2), 100);
        assert!(!meter.is_settled());
        assert!((meter.per_second() - 50.0).abs() < 1e-9);
        for second in 3..=20 {
            meter.note(at(second), 100);
        }
        assert!(meter.per_second().abs() < f64::EPSILON, "the busy time is out of sight");
        assert_eq!(meter.readings.len(), 11);
        assert!(meter.is_settled());
    }
}
