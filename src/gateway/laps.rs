//! Where the time of a request went: to its client, to a key that wasn't free, to its provider, or to us.

use std::time::Duration;

use keywheel_actors::clock::Moment;
use keywheel_actors::outcome::Attempt;

/// Where the time of a request went until its answer began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Laps {
    /// Before and between its calls, and behind the last one if that didn't help: for a key to be free.
    pub(super) waited: Duration,
    /// What is left beside that and its calls: our own.
    pub(super) overhead: Duration,
}

/// When the things happened that happen to each request that becomes a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Its body was there: until then it was its client's turn.
    pub(super) read: Moment,
    /// It was handed to the wheel.
    pub(super) sent: Moment,
    /// The wheel answered.
    pub(super) answered: Moment,
}

impl Laps {
    /// Of one that was served: what lies behind its last call is our own time.
    pub(super) fn of_served(times: Times, attempts: &[Attempt]) -> Self {
        let last_end = attempts.last().map_or(times.sent, |last| last.started + last.took);
        Self::new(times, attempts, last_end)
    }

    /// Of one that wasn't: whatever it did behind its last call, it waited.
    pub(super) fn of_failed(times: Times, attempts: &[Attempt]) -> Self {
        Self::new(times, attempts, times.answered)
    }

    fn new(times: Times, attempts: &[Attempt], waited_until: Moment) -> Self {
        let called: Duration = attempts.iter().map(|attempt| attempt.took).sum();
        let waited = waited_until.since(times.sent).saturating_sub(called);
        let overhead = times.answered.since(times.read).saturating_sub(called).saturating_sub(waited);
        Self { waited, overhead }
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::id::{KeyId, KeyName, Model, ProviderId};
    use keywheel_actors::outcome::{Fault, Reason};

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    /// The body was there after 5 s, and 2 ms later it was a job.
    fn times(answered: u64) -> Times {
        Times { read: at(5_000), sent: at(5_002), answered: at(answered) }
    }

    fn call(started: u64, took: u64, fault: Option<Reason>) -> Attempt {
        Attempt {
            key: KeyId { provider: ProviderId::from("p"), key: KeyName::from("k") },
            model: Model::from("m"),
            started: at(started),
            took: Duration::from_millis(took),
            fault: fault.map(|reason| Fault::new(reason, "")),
        }
    }

    fn laps(waited: u64, overhead: u64) -> Laps {
        Laps { waited: Duration::from_millis(waited), overhead: Duration::from_millis(overhead) }
    }

    #[test]
    fn what_is_neither_called_nor_waited_for_is_our_own() {
        // 8 ms for a key, 90 ms there, 1 ms for the answer's way.
        assert_eq!(Laps::of_served(times(5_101), &[call(5_010, 90, None)]), laps(8, 3));
        let calls = [call(5_002, 20, Some(Reason::Throttled)), call(5_052, 50, None)];
        assert_eq!(Laps::of_served(times(5_102), &calls), laps(30, 2));
    }

    #[test]
    fn who_is_refused_in_the_end_has_waited_until_then() {
        let calls = [call(5_002, 20, Some(Reason::Throttled)), call(5_052, 50, Some(Reason::Throttled))];
        assert_eq!(Laps::of_failed(times(8_002), &calls), laps(2_930, 2));
        assert_eq!(Laps::of_failed(times(8_002), &[]), laps(3_000, 2), "it waited for its first call");
    }
}
