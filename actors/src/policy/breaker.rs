//! Keeps jobs away from a provider that fails, and finds out when it is well again.
//!
//! It is closed while calls go through. It opens after a run of failures, rests,
//! and then lets exactly one call probe: its success closes the breaker, its
//! failure means another rest, twice as long. Every change starts a new epoch;
//! a call carries the epoch in which it began, and what it says later about an
//! older one is ignored.

use std::time::Duration;

use super::backoff::{Backoff, jitter_on_hint};
use crate::clock::Moment;

/// Failures in a row that open the breaker.
pub const FAILURES_IN_A_ROW: u32 = 5;
/// Calls within [`SAMPLED_S`] seconds without which their share of successes says nothing.
pub const SAMPLES_MIN: u32 = 20;
/// How far back the share of successes looks, in seconds; the current one counts as a whole.
pub const SAMPLED_S: u64 = SECONDS as u64;
const SECONDS: usize = 10;
/// Successes in a row after which an earlier rest is forgotten. Before them, a
/// provider that flaps rests twice as long each time.
pub const RECOVERED_AFTER: u32 = 5;

/// The breaker of one provider.
#[derive(Clone, Debug)]
pub struct Breaker {
    epoch: Epoch,
    state: State,
    /// Rests since it was last well.
    rests: u32,
}

/// The time between two changes of a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Epoch(u64);

impl Epoch {
    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Whether a call may start, with the epoch that its outcome has to carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It may.
    Go(Epoch),
    /// It may, as the one probe after a rest. Its end must be told by
    /// [`Breaker::succeeded`], [`Breaker::failed`] or [`Breaker::abandoned`].
    Probe(Epoch),
    /// The provider rests.
    NotUntil(Moment),
    /// A probe is under way: wait for what it finds.
    ProbeOut,
}

/// What an outcome changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The provider rests now.
    Opened {
        /// When a probe may start.
        until: Moment,
    },
    /// The provider is well again.
    Closed,
}

#[derive(Clone, Debug)]
enum State {
    Closed(Record),
    Resting { until: Moment },
    Probing,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { epoch: Epoch::default(), state: State::Closed(Record::default()), rests: 0 }
    }
}

impl Breaker {
    /// Admits a call at `now`, or says why not.
    pub fn admit(&mut self, now: Moment) -> Admission {
        let admission = self.would_admit(now);
        if let Admission::Probe(epoch) = admission {
            self.epoch = epoch;
            self.state = State::Probing;
        }
        admission
    }

    /// What [`admit`](Self::admit) would say at `now`; the probe stays available.
    pub fn would_admit(&self, now: Moment) -> Admission {
        match self.state {
            State::Closed(_) => Admission::Go(self.epoch),
            State::Resting { until } if now < until => Admission::NotUntil(until),
            State::Resting { .. } => Admission::Probe(self.epoch.next()),
            State::Probing => Admission::ProbeOut,
        }
    }

    /// A call admitted in `epoch` was served.
    pub fn succeeded(&mut self, now: Moment, epoch: Epoch) -> Option<Change> {
        if epoch != self.epoch {
            return None;
        }
        match &mut self.state {
            State::Closed(record) => {
                record.succeeded(now);
                if record.successes_in_a_row >= RECOVERED_AFTER {
                    self.rests = 0;
                }
                None
            }
            State::Resting { .. } => None,
            State::Probing => Some(self.close()),
        }
    }

    /// A call admitted in `epoch` failed by the provider's fault.
    /// `hint` is the provider's word on how long to stay away; a rest isn't shorter.
    pub fn failed(
        &mut self,
        now: Moment,
        epoch: Epoch,
        rng: &mut fastrand::Rng,
        hint: Option<Duration>,
    ) -> Option<Change> {
        if epoch != self.epoch {
            return None;
        }
        let opens = match &mut self.state {
            State::Closed(record) => record.failed(now),
            State::Resting { .. } => false,
            State::Probing => true,
        };
        opens.then(|| self.rest(now, rng, hint))
    }

    /// A call admitted in `epoch` ended without a word about the provider: its
    /// caller left, its key was at fault. If it was the probe, another may start.
    pub fn abandoned(&mut self, epoch: Epoch) {
        if epoch == self.epoch && matches!(self.state, State::Probing) {
            self.state = State::Resting { until: Moment::ZERO };
        }
    }

    /// Makes the provider rest whatever its calls say, as after an incident of
    /// the whole provider. A longer rest that is under way stays.
    pub fn trip(&mut self, now: Moment, rest: Duration) -> Change {
        self.open(now + rest)
    }

    /// Goes on with another provider: what is said by calls of the one before is ignored.
    pub fn renew(&mut self) -> Option<Change> {
        let was_closed = matches!(self.state, State::Closed(_));
        self.rests = 0;
        let change = self.close();
        (!was_closed).then_some(change)
    }

    /// When the rest ends; `None` while calls or a probe go through.
    pub const fn resting_until(&self) -> Option<Moment> {
        match self.state {
            State::Resting { until } => Some(until),
            State::Closed(_) | State::Probing => None,
        }
    }

    fn rest(&mut self, now: Moment, rng: &mut fastrand::Rng, hint: Option<Duration>) -> Change {
        let own = Backoff::BREAKER_REST.delay(self.rests, rng);
        let asked = hint.map_or(Duration::ZERO, |wait| jitter_on_hint(wait, rng));
        self.rests = self.rests.saturating_add(1);
        self.open(now + own.max(asked))
    }

    fn open(&mut self, until: Moment) -> Change {
        let until = self.resting_until().map_or(until, |already| already.max(until));
        self.epoch = self.epoch.next();
        self.state = State::Resting { until };
        Change::Opened { until }
    }

    fn close(&mut self) -> Change {
        self.epoch = self.epoch.next();
        self.state = State::Closed(Record::default());
        Change::Closed
    }
}

/// What the calls of a closed breaker said.
#[derive(Clone, Debug, Default)]
struct Record {
    failures_in_a_row: u32,
    successes_in_a_row: u32,
    seconds: [Second; SECONDS],
}

/// The calls that ended in one second; its slot is used again [`SAMPLED_S`] later.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    succeeded: u32,
    failed: u32,
}

impl Record {
    fn succeeded(&mut self, now: Moment) {
        self.failures_in_a_row = 0;
        self.successes_in_a_row = self.successes_in_a_row.saturating_add(1);
        self.second(now).succeeded += 1;
    }

    /// Whether this failure is one too many.
    fn failed(&mut self, now: Moment) -> bool {
        self.successes_in_a_row = 0;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.second(now).failed += 1;
        self.failures_in_a_row >= FAILURES_IN_A_ROW || self.mostly_fails(now)
    }

    fn mostly_fails(&self, now: Moment) -> bool {
        let oldest = (now.since_start().as_secs() + 1).saturating_sub(SAMPLED_S);
        let recent = self.seconds.iter().filter(|second| second.number >= oldest);
        let (succeeded, failed) =
            recent.fold((0, 0), |(ok, bad), second| (ok + second.succeeded, bad + second.failed));
        succeeded + failed >= SAMPLES_MIN && succeeded < failed
    }

    fn second(&mut self, now: Moment) -> &mut Second {
        let number = now.since_start().as_secs();
        let slot = &mut self.seconds[(number % SAMPLED_S) as usize];
        if slot.number != number {
            *slot = Second { number, ..Second::default() };
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A breaker and its clock.
    struct Story {
        breaker: Breaker,
        now: Moment,
        rng: fastrand::Rng,
    }

    impl Story {
        fn begin() -> Self {
            Self { breaker: Breaker::default(), now: Moment::ZERO, rng: fastrand::Rng::with_seed(7) }
        }

        fn at_secs(&mut self, secs: u64) {
            self.now = Moment::after_start(Duration::from_secs(secs));
        }

        fn go(&mut self) -> Epoch {
            match self.breaker.admit(self.now) {
                Admission::Go(epoch) => epoch,
                other => panic!("not closed: {other:?}"),
            }
        }

        fn probe(&mut self) -> Epoch {
            match self.breaker.admit(self.now) {
                Admission::Probe(epoch) => epoch,
                other => panic!("no probe: {other:?}"),
            }
        }

        fn fail(&mut self, epoch: Epoch) -> Option<Change> {
            self.breaker.failed(self.now, epoch, &mut self.rng, None)
        }

        fn succeed(&mut self, epoch: Epoch) -> Option<Change> {
            self.breaker.succeeded(self.now, epoch)
        }

        /// Five failures; how long the rest is.
        fn fall(&mut self) -> Duration {
            let epoch = self.go();
            let changes: Vec<_> = (0..5).map(|_| self.fail(epoch)).collect();
            assert_eq!(changes[..4], [None; 4]);
            self.rest_after(changes[4])
        }

        fn rest_after(&self, change: Option<Change>) -> Duration {
            match change {
                Some(Change::Opened { until }) => until.since(self.now),
                other => panic!("not opened: {other:?}"),
            }
        }

        fn wait_for_the_rest_to_end(&mut self) {
            self.now = self.breaker.resting_until().expect("resting");
        }
    }

    fn assert_about(rest: Duration, secs: u64) {
        let fifth = Duration::from_secs(secs) / 5;
        assert!((fifth * 4..=fifth * 6).contains(&rest), "{rest:?} is not {secs} s ±20 %");
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_probe_closes_it() {
        let mut story = Story::begin();
        assert_about(story.fall(), 1);

        let until = story.breaker.resting_until().expect("resting");
        assert_eq!(story.breaker.admit(story.now), Admission::NotUntil(until));
        story.wait_for_the_rest_to_end();
        let probe = story.probe();
        assert_eq!(story.breaker.admit(story.now), Admission::ProbeOut);
        assert_eq!(story.breaker.resting_until(), None);
        assert_eq!(story.succeed(probe), Some(Change::Closed));
        story.go();
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let mut story = Story::begin();
        let epoch = story.go();
        for _ in 0..4 {
            assert_eq!(story.fail(epoch), None);
        }
        story.succeed(epoch);
        for _ in 0..4 {
            assert_eq!(story.fail(epoch), None);
        }
        assert!(story.fail(epoch).is_some());
    }

    #[test]
    fn it_opens_when_under_half_of_twenty_calls_succeed() {
        let mut story = Story::begin();
        let epoch = story.go();
        for _ in 0..9 {
            assert_eq!(story.succeed(epoch), None);
            assert_eq!(story.fail(epoch), None);
        }
        assert_eq!(story.fail(epoch), None, "9 of 19: too few to judge by");
        assert!(story.fail(epoch).is_some(), "9 of 20");
    }

    #[test]
    fn half_of_the_calls_is_enough() {
        let mut story = Story::begin();
        let epoch = story.go();
        for _ in 0..1_000 {
            assert_eq!(story.succeed(epoch), None);
            assert_eq!(story.fail(epoch), None);
        }
    }

    /// Ten successes and ten failures at 1,000 s, one of each and another failure later.
    fn opens_by_what_was_before(later_s: u64) -> bool {
        let mut story = Story::begin();
        let epoch = story.go();
        story.at_secs(1_000);
        for _ in 0..10 {
            assert_eq!(story.succeed(epoch), None);
            assert_eq!(story.fail(epoch), None);
        }
        story.at_secs(1_000 + later_s);
        story.succeed(epoch);
        assert_eq!(story.fail(epoch), None);
        story.fail(epoch).is_some()
    }

    #[test]
    fn what_is_ten_seconds_old_no_longer_counts() {
        assert!(opens_by_what_was_before(0), "11 of 23");
        assert!(opens_by_what_was_before(9), "11 of 23");
        assert!(!opens_by_what_was_before(10), "1 of 3, in the slot of those before");
        assert!(!opens_by_what_was_before(12), "1 of 3, in another slot");
    }

    #[test]
    fn each_failed_probe_doubles_the_rest_up_to_fifteen_seconds() {
        let mut story = Story::begin();
        assert_about(story.fall(), 1);
        for secs in [2, 4, 8, 15, 15] {
            story.wait_for_the_rest_to_end();
            let probe = story.probe();
            let change = story.fail(probe);
            assert_about(story.rest_after(change), secs);
        }
    }

    #[test]
    fn five_successes_in_a_row_make_it_forget_its_rests() {
        let mut story = Story::begin();
        assert_about(story.fall(), 1);
        for (successes, next_rest) in [(4, 2), (5, 1)] {
            story.wait_for_the_rest_to_end();
            let probe = story.probe();
            story.succeed(probe);
            let epoch = story.go();
            (0..successes).for_each(|_| assert_eq!(story.succeed(epoch), None));
            assert_about(story.fall(), next_rest);
        }
    }

    #[test]
    fn stragglers_of_an_older_epoch_change_nothing() {
        let mut story = Story::begin();
        let old = story.go();
        story.fall();
        assert_eq!(story.succeed(old), None);
        story.wait_for_the_rest_to_end();
        let probe = story.probe();
        assert_eq!(story.succeed(old), None);
        assert_eq!(story.fail(old), None);
        assert_eq!(story.succeed(probe), Some(Change::Closed));
        let changes: Vec<_> = (0..10).map(|_| story.fail(old)).collect();
        assert_eq!(changes, [None; 10]);
        story.go();
    }

    #[test]
    fn an_abandoned_probe_frees_its_place() {
        let mut story = Story::begin();
        story.fall();
        story.wait_for_the_rest_to_end();
        let first = story.probe();
        story.breaker.abandoned(first);
        let second = story.probe();
        assert_eq!(story.succeed(first), None, "it was given up");
        assert_eq!(story.breaker.admit(story.now), Admission::ProbeOut);
        story.breaker.abandoned(first);
        assert_eq!(story.breaker.admit(story.now), Admission::ProbeOut);
        assert_eq!(story.succeed(second), Some(Change::Closed));
    }

    #[test]
    fn looking_does_not_use_the_probe_up() {
        let mut story = Story::begin();
        story.fall();
        story.wait_for_the_rest_to_end();
        let seen = story.breaker.would_admit(story.now);
        assert_eq!(story.breaker.would_admit(story.now), seen);
        assert_eq!(story.breaker.admit(story.now), seen);
        assert_eq!(story.breaker.would_admit(story.now), Admission::ProbeOut);
    }

    #[test]
    fn a_hint_makes_the_rest_longer_but_never_shorter() {
        let mut story = Story::begin();
        let epoch = story.go();
        for _ in 0..4 {
            story.fail(epoch);
        }
        let asked = Duration::from_secs(120);
        let change = story.breaker.failed(story.now, epoch, &mut story.rng, Some(asked));
        let rest = story.rest_after(change);
        assert!((asked..=asked + Duration::from_secs(1)).contains(&rest), "{rest:?}");

        story.wait_for_the_rest_to_end();
        let probe = story.probe();
        let change = story.breaker.failed(story.now, probe, &mut story.rng, Some(Duration::from_millis(5)));
        assert_about(story.rest_after(change), 2);
    }

    #[test]
    fn another_provider_has_nothing_to_do_with_the_one_before() {
        let mut story = Story::begin();
        let old = story.go();
        assert_eq!(story.breaker.renew(), None, "nobody rested");
        let changes: Vec<_> = (0..10).map(|_| story.fail(old)).collect();
        assert_eq!(changes, [None; 10]);
        assert_about(story.fall(), 1);
        assert_eq!(story.breaker.renew(), Some(Change::Closed));
        assert_about(story.fall(), 1);
        story.wait_for_the_rest_to_end();
        let probe = story.probe();
        story.breaker.renew();
        assert_eq!(story.fail(probe), None);
        story.go();
    }

    #[test]
    fn an_incident_trips_it_and_never_shortens_a_rest() {
        let mut story = Story::begin();
        let old = story.go();
        let until = Moment::after_start(Duration::from_secs(30));
        assert_eq!(story.breaker.trip(story.now, Duration::from_secs(30)), Change::Opened { until });
        assert_eq!(story.breaker.trip(story.now, Duration::from_secs(5)), Change::Opened { until });
        assert_eq!(story.succeed(old), None);
        assert_eq!(story.breaker.admit(story.now), Admission::NotUntil(until));
    }

    proptest! {
        /// Whatever happens, at most one probe is out, and the breaker never gets stuck.
        #[test]
        fn never_two_probes_and_never_stuck(
            steps in prop::collection::vec((0..5_u8, any::<prop::sample::Index>(), 0..4_u64), 1..300),
            seed in any::<u64>(),
        ) {
            let mut story = Story { rng: fastrand::Rng::with_seed(seed), ..Story::begin() };
            let mut under_way: Vec<Epoch> = Vec::new();
            let mut probe = None;
            for (step, which, secs) in steps {
                story.now += Duration::from_secs(secs);
                match story.breaker.admit(story.now) {
                    Admission::Go(epoch) => under_way.push(epoch),
                    Admission::Probe(epoch) => {
                        prop_assert_eq!(probe, None, "a second probe");
                        probe = Some(epoch);
                        under_way.push(epoch);
                    }
                    Admission::NotUntil(until) => prop_assert!(until > story.now),
                    Admission::ProbeOut => prop_assert!(probe.is_some(), "waiting for nobody"),
                }
                if step == 4 {
                    story.breaker.trip(story.now, Duration::from_secs(secs));
                    probe = None;
                }
                if under_way.is_empty() {
                    continue;
                }
                let epoch = under_way.swap_remove(which.index(under_way.len()));
                match step {
                    0 => drop(story.succeed(epoch)),
                    1 | 2 => drop(story.fail(epoch)),
                    _ => story.breaker.abandoned(epoch),
                }
                probe = probe.filter(|probe| *probe != epoch);
            }
        }
    }
}
