//! How often a crashing actor is started again before its supervisor gives up.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// How many restarts within how long are bearable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intensity {
    /// Restarts.
    pub restarts_max: usize,
    /// Within this time.
    pub period: Duration,
}

/// For a key: a defect that strikes at every call shows within seconds.
pub const KEY: Intensity = Intensity { restarts_max: 5, period: Duration::from_secs(10) };
/// For a provider: it is started with all it had, so a lasting defect strikes at once.
pub const PROVIDER: Intensity = Intensity { restarts_max: 3, period: Duration::from_secs(60) };

/// The second restart waits this long, each further one twice as long.
const DELAY_BASE: Duration = Duration::from_millis(50);

/// The restarts of one actor.
#[derive(Clone, Debug)]
pub struct Restarts {
    intensity: Intensity,
    crashes: VecDeque<Moment>,
}

/// What to do about a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// Start it again at this moment.
    RestartAt(Moment),
    /// It crashes too often: the supervisor's own supervisor must know.
    Escalate,
}

impl Restarts {
    /// No crash yet.
    pub const fn new(intensity: Intensity) -> Self {
        Self { intensity, crashes: VecDeque::new() }
    }

    /// It crashed.
    pub fn crashed(&mut self, now: Moment) -> Remedy {
        self.crashes.retain(|at| now.since(*at) < self.intensity.period);
        self.crashes.push_back(now);
        match self.crashes.len() {
            1 => Remedy::RestartAt(now),
            crashes if crashes > self.intensity.restarts_max => Remedy::Escalate,
            crashes => {
                let doublings = u32::try_from(crashes - 2).unwrap_or(u32::MAX).min(10);
                Remedy::RestartAt(now + DELAY_BASE * (1 << doublings))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_is_at_once_further_ones_wait_and_too_many_escalate() {
        let mut restarts = Restarts::new(KEY);
        let remedies: Vec<_> = (0..6).map(|_| restarts.crashed(at(0))).collect();
        let delays = [0, 50, 100, 200, 400].map(|millis| Remedy::RestartAt(at(millis)));
        assert_eq!(remedies[..5], delays);
        assert_eq!(remedies[5], Remedy::Escalate);
    }

    #[test]
    fn old_crashes_are_forgotten() {
        let mut restarts = Restarts::new(KEY);
        for second in (0..600).step_by(10) {
            let now = at(second * 1_000);
            assert_eq!(restarts.crashed(now), Remedy::RestartAt(now));
        }
    }
}
