//! The rate of calls between two throttles.

use std::time::Duration;

use crate::clock::Moment;

/// A measured rate begins so far below itself: what is still under way may have been counted too well.
const DIP_MEASURED: f64 = 0.05;
/// A guessed one is cut to 70 %, which is CUBIC's β.
const DIP_GUESSED: f64 = 0.3;
/// A guess is to be replaced soon.
const PLATEAU_GUESSED: Duration = Duration::from_secs(2);
/// A measured rate is kept about as long as this on either side of itself, or
const PLATEAU_MEASURED: Duration = Duration::from_secs(15);
/// for so many calls if that is longer: they must be worth the few that the next throttle costs.
const PLATEAU_CALLS: f64 = 75.0;
/// At so many times the rate the curve begins anew from there.
const RAISE: f64 = 1.5;

/// A cubic curve through a rate (RFC 9438, section 4.2): below it at first, long close to it, then ever faster
/// above it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    rate: f64,
    since: Moment,
    dip: f64,
    /// When it passes through `rate`, in seconds from the beginning.
    plateau_s: f64,
}

impl Curve {
    /// Through a rate that was measured.
    pub(super) fn measured(rate: f64, now: Moment) -> Self {
        let plateau_s = PLATEAU_MEASURED.as_secs_f64().max(PLATEAU_CALLS / rate);
        Self { rate, since: now, dip: DIP_MEASURED, plateau_s }
    }

    /// Through a rate that was too high when it was last tried.
    pub(super) fn guessed(rate: f64, now: Moment) -> Self {
        Self { rate, since: now, dip: DIP_GUESSED, plateau_s: PLATEAU_GUESSED.as_secs_f64() }
    }

    /// The rate that it is about.
    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// The rate now; with nobody there to use it, it doesn't grow beyond the next step.
    pub(super) fn at(&self, now: Moment) -> f64 {
        let beyond = now.since(self.since).as_secs_f64() / self.plateau_s - 1.0;
        self.rate * (1.0 + self.dip * beyond.powi(3)).min(RAISE)
    }

    /// An answer came: if the curve has left its rate far behind, it goes on from there.
    pub(super) fn follow(&mut self, now: Moment) {
        if self.at(now) >= self.rate * RAISE {
            *self = Self::measured(self.rate * RAISE, now);
            self.since = now - Duration::from_secs_f64(2.0 * self.plateau_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn rounded(curve: &Curve, seconds: u64) -> String {
        format!("{:.2}", curve.at(at(seconds)))
    }

    #[test]
    fn it_stays_near_what_was_measured_and_then_grows_ever_faster() {
        let mut curve = Curve::measured(10.0, at(0));
        let rates: Vec<_> = [0, 8, 15, 22, 30, 40].iter().map(|second| rounded(&curve, *second)).collect();
        assert_eq!(rates, ["9.50", "9.95", "10.00", "10.05", "10.50", "12.31"]);
        curve.follow(at(47));
        assert_eq!(rounded(&curve, 3_600), "15.00", "unused it doesn't grow for ever");
        curve.follow(at(48));
        assert_eq!(rounded(&curve, 48), "15.75");
    }

    #[test]
    fn a_guess_is_cut_to_70_percent_and_left_soon() {
        let curve = Curve::guessed(10.0, at(0));
        assert_eq!([0, 2, 4].map(|second| rounded(&curve, second)), ["7.00", "10.00", "13.00"]);
    }

    #[test]
    fn a_slow_rate_is_kept_for_75_calls() {
        let curve = Curve::measured(0.5, at(0));
        assert_eq!(rounded(&curve, 150), "0.50");
    }
}
