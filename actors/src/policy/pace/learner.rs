//! The rate of a limit of which nothing is known but its throttles.
//!
//! A throttle says one thing exactly: at that moment nothing was left. So the
//! calls that were accepted between two throttles, divided by the time between
//! them, are what the limit gives, whatever its burst. Until the first one the
//! rate grows with every answer; from then on the calls leave evenly, at the
//! rate that was measured, on a cubic curve (RFC 9438, section 4.2): a little
//! below it at first, long close to it, then ever faster above it.

use std::time::Duration;

use super::curve::Curve;
use super::sent::Sent;
use crate::clock::Moment;

/// While nothing is known the rate is so many times the answers so far, per second: it doubles every half
/// second, and meets a limit at a rate that costs a few rejected calls.
const GROWTH_PER_SECOND: f64 = 1.4;
/// Calls that may leave at once before anything is known: as many as an untried key gets.
const FIRST_CALLS: f64 = 3.0;
/// The rate that met the first throttle is counted over this.
const RECENT: Duration = Duration::from_millis(500);
/// From so many accepted calls on a measure stands for itself; fewer are counted together with later ones.
const MEASURED_CALLS_MIN: u64 = 8;
/// Older moments say nothing about now.
const MEASURED_WITHIN: Duration = Duration::from_secs(60);
/// A rate that was told is doubted at so many waves of throttles, however few calls were accepted between.
const DOUBTED_WAVES: u32 = 3;
/// A limit that holds so many calls was measured well whatever the pace was.
const SURE_BURST_MIN: f64 = 2.0;
/// The pace that met a throttle exceeds a rate that was measured well by no more than this.
const SURE_RATIO_MAX: f64 = 1.3;
/// What is left of a rate at which nothing was accepted.
const CUT: f64 = 0.7;
/// Less than this share of what was told is another rate, and not somebody else's few calls.
const DOUBTED_SHARE: f64 = 0.9;
/// Calls that are due within this may leave together: timers are no finer.
const GRAIN_S: f64 = 0.02;
/// A key that rested for more than the rest of the time says little about what it could do awake.
const AWAKE_SHARE_MIN: f64 = 0.25;
/// A rest after which a call fits again though the last measure was half too high.
const BREATHER_CALLS: f64 = 2.0;
/// No rate is believed below one call an hour, lest a dead end lasts for ever.
const SLOWEST: f64 = 1.0 / 3_600.0;

/// What is known of one key's rate, and which calls it lets go.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    phase: Phase,
    /// Calls that were throttled.
    throttled: u64,
    /// Answers since the latest wave of throttles, or since the start.
    answered: u64,
    /// The latest wave of throttles: whoever began before this met the same wall.
    wave_heard: Option<Moment>,
    /// The last moment at which nothing was left.
    anchor: Option<Anchor>,
    /// The latest rest.
    rests_until: Moment,
    rest: Duration,
    /// Calls that may leave by the spacing between them.
    spacing: f64,
    /// Calls that are left of the limit, as far as it is known.
    level: f64,
    /// When both were reckoned.
    reckoned: Moment,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It limits nothing: the limits are told. The rate among them, if there is one.
    Dormant { told: Option<f64> },
    /// No throttle yet, and nothing told.
    Starting,
    /// What throttles have shown.
    Paced { curve: Curve, burst: Burst, told: Option<f64> },
}

/// How much a limit gives at once.
#[derive(Clone, Copy, Debug)]
enum Burst {
    /// It accepted so many calls in so many seconds before it was empty for the first time.
    Within { calls: f64, seconds: f64 },
    /// So many calls.
    Known(f64),
}

/// A rate that was counted between two moments at which nothing was left.
struct Measure {
    rate: f64,
    worth: Worth,
}

enum Worth {
    /// Many calls, or a long time.
    Proof,
    /// A few calls.
    Clue,
}

/// A moment at which nothing was left.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Moment,
    /// Calls that were accepted until then.
    accepted: u64,
    /// Rests since then: the limit may have been full before they ended.
    rests: u32,
    rested: Duration,
    /// Waves of throttles since then, this one included.
    waves: u32,
}

/// What was learned, for the next process.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Learned {
    /// Calls a second.
    pub per_second: f64,
    /// Calls at once.
    pub burst: f64,
}

impl Learner {
    /// Nothing is told: it begins with what an earlier process learned, or with nothing.
    pub(super) fn unknown(before: Option<Learned>, now: Moment) -> Self {
        let phase = before.map_or(Phase::Starting, |learned| Phase::Paced {
            curve: Curve::measured(learned.per_second, now),
            burst: Burst::Known(learned.burst.max(1.0)),
            told: None,
        });
        Self::in_phase(phase)
    }

    /// Limits are told, and perhaps a rate among them: nothing is learned until that turns out to be wrong.
    pub(super) fn told(per_second: Option<f64>) -> Self {
        Self::in_phase(Phase::Dormant { told: per_second })
    }

    fn in_phase(phase: Phase) -> Self {
        Self {
            phase,
            throttled: 0,
            answered: 0,
            wave_heard: None,
            anchor: None,
            rests_until: Moment::ZERO,
            rest: Duration::ZERO,
            spacing: FIRST_CALLS,
            level: 0.0,
            reckoned: Moment::ZERO,
        }
    }

    /// Goes on under what is told now. What was learned stays if the same is told.
    pub(super) fn amend(&mut self, told: &Self) {
        let guesses = matches!((self.phase, told.phase), (Phase::Starting, Phase::Dormant { .. }));
        if self.told_rate() != told.told_rate() || guesses {
            *self = Self { throttled: self.throttled, wave_heard: self.wave_heard, ..told.clone() };
        }
    }

    const fn told_rate(&self) -> Option<f64> {
        match self.phase {
            Phase::Dormant { told } | Phase::Paced { told, .. } => told,
            Phase::Starting => None,
        }
    }

    /// Headers tell the limits: there is nothing to guess.
    pub(super) fn is_told(&mut self) {
        if matches!(self.phase, Phase::Starting) {
            self.phase = Phase::Dormant { told: None };
        }
    }

    /// Whether the limits are told, and nothing has shown lately that they are others.
    pub(super) fn trusts(&self, now: Moment) -> bool {
        let doubted = |anchor: Anchor| now.since(anchor.at) < MEASURED_WITHIN.saturating_mul(10);
        matches!(self.phase, Phase::Dormant { told: Some(_) }) && !self.anchor.is_some_and(doubted)
    }

    /// Whether throttles say how fast it goes.
    pub(super) const fn is_pacing(&self) -> bool {
        matches!(self.phase, Phase::Paced { .. })
    }

    pub(super) fn started(&mut self, now: Moment) {
        self.reckon(now);
        self.spacing -= 1.0;
        self.level -= 1.0;
    }

    pub(super) fn answered(&mut self, now: Moment) {
        self.reckon(now);
        self.answered += 1;
        let Phase::Paced { curve, told, .. } = &mut self.phase else { return };
        curve.follow(now);
        if let Some(told) = told.filter(|told| curve.at(now) >= *told) {
            self.phase = Phase::Dormant { told: Some(told) };
            self.anchor = None;
        }
    }

    /// A call that began at `started` was throttled.
    pub(super) fn throttled(&mut self, started: Moment, now: Moment, sent: &Sent) {
        self.reckon(now);
        self.throttled += 1;
        if self.wave_heard.is_some_and(|heard| started <= heard) {
            // It left before the first of its wave, and counted as accepted until now.
            if let Some(anchor) = self.anchor.as_mut().filter(|anchor| started <= anchor.at) {
                anchor.accepted = anchor.accepted.saturating_sub(1);
                if let Phase::Paced { burst: Burst::Within { calls, .. }, .. } = &mut self.phase {
                    *calls -= 1.0;
                }
            }
            return;
        }
        self.wave_heard = Some(now);
        let accepted = sent.count_until(started).saturating_sub(self.throttled);
        self.shrink_burst(started, sent);
        self.phase = match self.phase {
            Phase::Starting => {
                self.anchor = Some(Anchor::of(started, accepted));
                let seconds = sent.first().map_or(0.0, |first| started.since(first).as_secs_f64());
                let recent = sent.count_within(RECENT, started) as f64 / RECENT.as_secs_f64();
                let burst = Burst::Within { calls: accepted as f64, seconds };
                Phase::Paced { curve: Curve::guessed(recent, now), burst, told: None }
            }
            Phase::Dormant { told } => match self.doubt(started, accepted, told) {
                Some(rate) => {
                    Phase::Paced { curve: Curve::measured(rate, now), burst: Burst::Known(1.0), told }
                }
                None => Phase::Dormant { told },
            },
            Phase::Paced { curve, burst, told } => match self.measure(started, accepted) {
                Some(Measure { rate, worth: Worth::Proof }) => {
                    Phase::Paced { curve: Curve::measured(rate, now), burst: burst.at(rate), told }
                }
                // What was tried was too much and what was counted is too little: between the two.
                Some(Measure { rate, worth: Worth::Clue }) => {
                    let between = (rate * curve.at(now).max(rate)).sqrt();
                    Phase::Paced { curve: Curve::guessed(between, now), burst, told }
                }
                None => Phase::Paced { curve: self.cut(curve, started, now), burst, told },
            },
        };
        self.answered = 0;
        self.level = 0.0;
        self.spacing = self.spacing.min(0.0);
    }

    /// The key rests until then.
    pub(super) fn rests(&mut self, now: Moment, until: Moment) {
        let Some(anchor) = &mut self.anchor else { return };
        // Throttles of one wave prolong one rest.
        let from = now.max(self.rests_until);
        if until > from {
            anchor.rests += u32::from(from == now);
            anchor.rested += until.since(from);
            self.rest = if from == now { until.since(from) } else { self.rest + until.since(from) };
            self.rests_until = until;
        }
    }

    /// Calls that may start now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast clamps")]
    pub(super) fn room(&self, now: Moment) -> u32 {
        match self.phase {
            Phase::Dormant { .. } => u32::MAX,
            Phase::Starting => self.levels(now).0 as u32,
            Phase::Paced { .. } => {
                let (spacing, level) = self.levels(now);
                spacing.min(level) as u32
            }
        }
    }

    /// When the next call may start.
    pub(super) fn next_at(&self, now: Moment) -> Moment {
        let (spacing, level) = self.levels(now);
        let by_spacing = (1.0 - spacing) / self.spacing_per_second(now);
        let wait = match self.phase {
            Phase::Dormant { .. } => return Moment::ZERO,
            Phase::Starting => by_spacing,
            Phase::Paced { curve, .. } => by_spacing.max((1.0 - level) / curve.at(now)),
        };
        // A microsecond more, lest rounding leaves a little missing.
        now + seconds(wait.max(0.0)) + Duration::from_micros(1)
    }

    /// The rate that was found, per second.
    pub(super) fn per_second(&self) -> Option<f64> {
        match self.phase {
            Phase::Paced { curve, .. } => Some(curve.rate()),
            Phase::Dormant { .. } | Phase::Starting => None,
        }
    }

    /// How long to rest after a throttle that names no time, if that is known better than by guessing.
    pub(super) fn breather(&self) -> Option<Duration> {
        self.learned().map(|learned| seconds(BREATHER_CALLS / learned.per_second))
    }

    /// What was measured.
    pub(super) fn learned(&self) -> Option<Learned> {
        match self.phase {
            Phase::Paced { curve, burst: Burst::Known(burst), .. } => {
                Some(Learned { per_second: curve.rate(), burst })
            }
            Phase::Paced { burst: Burst::Within { .. }, .. } | Phase::Dormant { .. } | Phase::Starting => {
                None
            }
        }
    }

    /// The rate between this throttle and the anchor, if any call was accepted between them.
    fn measure(&mut self, at: Moment, accepted: u64) -> Option<Measure> {
        let (burst, tried) = match self.phase {
            Phase::Paced { curve, burst, .. } => (burst.at(curve.rate()).calls(), curve.at(at)),
            Phase::Dormant { .. } | Phase::Starting => (1.0, 0.0),
        };
        let anchor = self.anchor.get_or_insert(Anchor::of(at, accepted));
        let calls = accepted.saturating_sub(anchor.accepted);
        let rate = anchor.rate_until(at, calls as f64, burst)?;
        let burst = match self.phase {
            Phase::Paced { burst, .. } => burst.at(rate).calls(),
            Phase::Dormant { .. } | Phase::Starting => SURE_BURST_MIN,
        };
        let is_long = calls >= MEASURED_CALLS_MIN || at.since(anchor.at) >= MEASURED_WITHIN;
        // A limit that holds no more than a call loses all that isn't used at once: what was counted is less
        // than it gives, unless the calls came hardly faster.
        let is_sure = burst >= SURE_BURST_MIN || tried <= rate * SURE_RATIO_MAX;
        if !(is_long && is_sure) {
            return Some(Measure { rate, worth: Worth::Clue });
        }
        *anchor = Anchor::of(at, accepted);
        Some(Measure { rate, worth: Worth::Proof })
    }

    /// A limit that gives less right after a rest than it should have gained by then holds no more.
    fn shrink_burst(&mut self, at: Moment, sent: &Sent) {
        let Phase::Paced { curve, burst, .. } = &mut self.phase else { return };
        let since = sent.count_until(at).saturating_sub(sent.count_until(self.rests_until) + 1);
        let calls = (since as f64).max(1.0);
        if at > self.rests_until && calls + 1.0 <= burst.calls().min(curve.rate() * self.rest.as_secs_f64()) {
            *burst = match *burst {
                Burst::Within { seconds, .. } => Burst::Within { calls, seconds },
                Burst::Known(_) => Burst::Known(calls),
            };
        }
    }

    /// A lower rate, for nothing was accepted since the anchor; but no lower than that shows.
    fn cut(&self, curve: Curve, at: Moment, now: Moment) -> Curve {
        let empty = self.anchor.map_or(0.0, |anchor| at.since(anchor.at).as_secs_f64()).max(GRAIN_S);
        Curve::guessed((curve.rate() * CUT).max(CUT / empty), now)
    }

    /// The rate that throttles show in spite of what was told. One alone shows nothing: somebody else may use the
    /// key, too.
    fn doubt(&mut self, at: Moment, accepted: u64, told: Option<f64>) -> Option<f64> {
        let anchor = self.anchor.filter(|anchor| at.since(anchor.at) < MEASURED_WITHIN);
        let mut anchor = anchor.unwrap_or(Anchor { waves: 0, ..Anchor::of(at, accepted) });
        anchor.waves += 1;
        self.anchor = Some(anchor);
        let calls = accepted.saturating_sub(anchor.accepted);
        if calls < MEASURED_CALLS_MIN && anchor.waves < DOUBTED_WAVES {
            return None;
        }
        let Measure { rate, .. } = self.measure(at, accepted)?;
        told.is_none_or(|told| rate < told * DOUBTED_SHARE).then_some(rate)
    }

    fn spacing_per_second(&self, now: Moment) -> f64 {
        let growing = GROWTH_PER_SECOND * (self.answered as f64 + FIRST_CALLS);
        match self.phase {
            Phase::Paced { curve, .. } => curve.at(now).max(growing),
            Phase::Dormant { .. } | Phase::Starting => growing,
        }
    }

    /// The spacing and the level as they are now.
    fn levels(&self, now: Moment) -> (f64, f64) {
        let age = now.since(self.reckoned).as_secs_f64();
        let per_second = self.spacing_per_second(now);
        let at_once = (per_second * GRAIN_S).max(1.0);
        let (at_once, level) = match self.phase {
            Phase::Paced { curve, burst, .. } => {
                (at_once, (self.level + age * curve.at(now)).min(burst.calls()))
            }
            Phase::Dormant { .. } | Phase::Starting => (at_once.max(FIRST_CALLS), 0.0),
        };
        ((self.spacing + age * per_second).min(at_once), level)
    }

    fn reckon(&mut self, now: Moment) {
        (self.spacing, self.level) = self.levels(now);
        self.reckoned = self.reckoned.max(now);
    }
}

impl Anchor {
    /// The rate of a limit of this burst that gave so many calls until then. What it gained while the key rested
    /// was lost beyond its burst.
    fn rate_until(&self, at: Moment, calls: f64, burst: f64) -> Option<f64> {
        let all = at.since(self.at).as_secs_f64();
        if calls < 1.0 || all <= 0.0 {
            return None;
        }
        let rate = calls / all;
        let (rests, rested) = (f64::from(self.rests), self.rested.as_secs_f64().min(all));
        let awake = all - rested;
        if rate * rested <= burst * rests || awake < all * AWAKE_SHARE_MIN {
            return Some(rate.max(SLOWEST));
        }
        Some(rate.max((calls - burst * rests) / awake).max(SLOWEST))
    }

    const fn of(at: Moment, accepted: u64) -> Self {
        Self { at, accepted, rests: 0, rested: Duration::ZERO, waves: 1 }
    }
}

impl Burst {
    const fn calls(self) -> f64 {
        match self {
            // Before a rate was measured all of it may have been burst.
            Self::Within { calls, .. } => calls.max(1.0),
            Self::Known(calls) => calls,
        }
    }

    /// What it is at a rate that was measured.
    fn at(self, rate: f64) -> Self {
        match self {
            Self::Within { calls, seconds } => Self::Known((calls - rate * seconds).max(1.0)),
            Self::Known(calls) => Self::Known(calls),
        }
    }
}

pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
