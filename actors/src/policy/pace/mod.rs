//! How fast a key may be used whose limits nobody told us, or told us wrongly.
//!
//! Headers end the guessing at once: what remains is what may still be sent.
//! Without them throttles are the teacher. Limits that were declared are taken
//! at their word until throttles prove them too high; then they are found out
//! like unknown ones, until the rate has grown back to what was declared.

mod curve;
mod learner;
mod meter;
mod sent;

#[cfg(test)]
mod simulation;

use std::time::Duration;

use crate::clock::Moment;
use crate::id::Model;
use crate::outcome::Gauges;

use learner::Learner;
use meter::{Meter, Unknown};
use sent::Sent;

pub use learner::Learned;

/// Models whose headers are remembered apart; the one heard of longest ago makes room.
const LANES_MAX: usize = 16;
/// Who has nothing left for longer than this rests, for all to see.
const LASTING: Duration = Duration::from_secs(1);

/// So many throttles are borne that headers explain, and
const EXPLAINED_MIN: u64 = 10;
/// one more for so many good answers, 5 %.
const EXPLAINED_SHARE: u64 = 20;

/// What was found out about one key's limits.
#[derive(Clone, Debug)]
pub struct Pace {
    sent: Sent,
    learner: Learner,
    /// What headers said, by model: most providers keep a limit for each.
    lanes: Vec<Lane>,
    /// Calls that were throttled though their headers had been heeded.
    explained: u64,
    succeeded: u64,
}

#[derive(Clone, Debug)]
struct Lane {
    model: Model,
    requests: Meter,
    tokens: Meter,
}

const REQUESTS: Unknown = |sent, of| sent.unknown_to(of).requests;
const TOKENS: Unknown = |sent, of| sent.unknown_to(of).tokens;

/// Whether a call that was throttled should have been expected to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Surprise {
    /// Its rate or its headers are known: the next calls are timed by them.
    Expected,
    /// Nothing explains it yet.
    Unexplained,
}

impl Pace {
    /// No limit is declared: it begins with what an earlier process learned, or with nothing.
    pub fn unknown(before: Option<Learned>, now: Moment) -> Self {
        Self::with(Learner::unknown(before, now))
    }

    /// Limits are declared; `per_second` is the rate of their requests, if they have one. Nothing is learned until
    /// throttles show that it is lower.
    pub fn declared(per_second: Option<f64>) -> Self {
        Self::with(Learner::told(per_second))
    }

    fn with(learner: Learner) -> Self {
        Self { sent: Sent::default(), learner, lanes: Vec::new(), explained: 0, succeeded: 0 }
    }

    /// Goes on under what is declared now. What was learned stays where the same rate is told, or still none.
    pub fn amend(&mut self, declared: &Self) {
        self.learner.amend(&declared.learner);
    }

    /// A call of about `tokens` leaves.
    pub fn started(&mut self, now: Moment, tokens: u64) {
        self.sent.push(now, tokens);
        self.learner.started(now);
    }

    /// The call that began at `started` has ended, however; `gauges` are its headers.
    pub fn ended(&mut self, started: Moment, model: &Model, tokens: u64, gauges: &Gauges) {
        self.sent.heard(started);
        if *gauges == Gauges::default() {
            return;
        }
        if gauges.requests.is_some() {
            self.learner.is_told();
        }
        let place = self.lanes.iter().position(|lane| lane.model == *model);
        let mut lane = place.map_or_else(|| Lane::of(model), |place| self.lanes.remove(place));
        if let Some(gauge) = gauges.requests {
            lane.requests.read(gauge, started, 1, &self.sent, REQUESTS);
        }
        if let Some(gauge) = gauges.tokens {
            lane.tokens.read(gauge, started, tokens, &self.sent, TOKENS);
        }
        self.lanes.truncate(LANES_MAX - 1);
        self.lanes.insert(0, lane);
    }

    /// A call succeeded, after [`Pace::ended`].
    pub fn succeeded(&mut self, now: Moment) {
        self.succeeded += 1;
        self.learner.answered(now);
    }

    /// The call that began at `started` was throttled, after [`Pace::ended`].
    pub fn throttled(&mut self, started: Moment, tokens: u64, gauges: &Gauges, now: Moment) -> Surprise {
        let explained = Meter::is_spent(gauges.requests, 1) || Meter::is_spent(gauges.tokens, tokens);
        let was_trusted = self.learner.trusts(now);
        self.explained += u64::from(explained);
        // Headers that are kept and don't help tell of another limit, or too late.
        let helps = self.explained <= EXPLAINED_MIN + self.succeeded / EXPLAINED_SHARE;
        if !explained || was_trusted || !helps {
            self.learner.throttled(started, now, &self.sent);
        }
        if explained || self.learner.is_pacing() { Surprise::Expected } else { Surprise::Unexplained }
    }

    /// The key rests until then.
    pub fn rests(&mut self, now: Moment, until: Moment) {
        self.learner.rests(now, until);
    }

    /// Calls of `tokens` that may start now, as far as it is for this to say.
    pub fn room(&self, now: Moment, tokens: u64) -> u32 {
        let by_headers = self.heeded(now).iter().map(|lane| lane.room(now, tokens, &self.sent)).max();
        self.learner.room(now).min(by_headers.unwrap_or(u32::MAX))
    }

    /// When [`Pace::room`] is more than nothing; the next answer may say otherwise.
    pub fn next_at(&self, now: Moment, tokens: u64) -> Moment {
        let by_headers = self.heeded(now).iter().map(|lane| lane.next_at(tokens, &self.sent)).min();
        self.learner.next_at(now).max(by_headers.unwrap_or(Moment::ZERO))
    }

    /// Until when the model has nothing left. A key that has no other model merely paces itself, unless that lasts.
    pub fn lane_spent_until(&self, model: &Model, now: Moment) -> Option<Moment> {
        let lane = self.heeded(now).iter().find(|lane| lane.model == *model)?;
        let until = lane.requests.spent_until().max(lane.tokens.spent_until())?;
        (self.lanes.len() > 1 || until.since(now) >= LASTING).then_some(until)
    }

    /// The rate that was found, per second.
    pub fn per_second(&self) -> Option<f64> {
        let by_headers = || self.lanes.first()?.requests.per_second();
        self.learner.per_second().or_else(by_headers)
    }

    /// How long to rest after a throttle that names no time, if that is known better than by guessing.
    pub fn breather(&self) -> Option<Duration> {
        self.learner.breather()
    }

    /// What the next process should know.
    pub fn learned(&self) -> Option<Learned> {
        self.learner.learned()
    }

    /// What headers said, unless declared limits are trusted more.
    fn heeded(&self, now: Moment) -> &[Lane] {
        if self.learner.trusts(now) { &[] } else { &self.lanes }
    }
}

impl Lane {
    fn of(model: &Model) -> Self {
        Self { model: model.clone(), requests: Meter::default(), tokens: Meter::default() }
    }

    fn room(&self, now: Moment, tokens: u64, sent: &Sent) -> u32 {
        let requests = self.requests.room(now, 1, sent, REQUESTS).unwrap_or(u32::MAX);
        requests.min(self.tokens.room(now, tokens, sent, TOKENS).unwrap_or(u32::MAX))
    }

    fn next_at(&self, tokens: u64, sent: &Sent) -> Moment {
        let requests = self.requests.next_at(1, sent, REQUESTS);
        requests.max(self.tokens.next_at(tokens, sent, TOKENS))
    }
}
