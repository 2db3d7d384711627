//! What a key's health leaves to the next process.

use std::time::Duration;

use super::{KeyHealth, Reach, Rest, Sharing};
use crate::board::{Cause, KeyState};
use crate::clock::Moment;
use crate::id::Model;
use crate::spec::{DAY, Rotation};

/// No provider's word reaches further than into the next month; a longer rest is a clock that was wrong.
const REST_MAX: Duration = DAY.saturating_mul(45);

/// The health of a key, seen from one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HealthPast {
    /// What rests.
    pub rests: Vec<RestPast>,
    /// Unclassified failures in a row.
    pub strikes: u32,
    /// Throttles in a row.
    pub throttles: u32,
    /// Probes in a row that found no money.
    pub money_probes: u32,
}

/// One rest, seen from one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct RestPast {
    /// The model, if only one rests.
    pub lane: Option<Model>,
    /// Whether the whole quota group rests.
    pub shared: bool,
    /// The public status that follows.
    pub state: KeyState,
    /// Why.
    pub cause: Cause,
    /// What is left of it. `None`: until somebody acts.
    pub left: Option<Duration>,
    /// The provider's message.
    pub message: Box<str>,
}

impl KeyHealth {
    /// What there is to remember.
    pub fn past(&self, now: Moment) -> HealthPast {
        // The next process has its own configuration.
        let lasts = |rest: &&Rest| rest.until > now && rest.cause != Cause::Configuration;
        let rests = self.rests.iter().filter(lasts);
        HealthPast {
            rests: rests.map(|rest| RestPast::of(rest, now)).collect(),
            strikes: self.strikes,
            throttles: self.throttles,
            money_probes: self.money_probes,
        }
    }

    /// A key with a past. What it says of a group that the key has left concerns the key alone.
    pub fn recalled(rules: Rotation, sharing: Sharing, past: &HealthPast, now: Moment) -> Self {
        let mut health = Self::new(rules, sharing);
        health.rests = past.rests.iter().map(|rest| rest.from(now, sharing)).collect();
        health.strikes = past.strikes;
        health.struck_at = now;
        health.throttles = past.throttles;
        health.throttled_at = now;
        health.money_probes = past.money_probes;
        health
    }
}

impl RestPast {
    fn of(rest: &Rest, now: Moment) -> Self {
        let lane = match &rest.reach {
            Reach::Key | Reach::Group => None,
            Reach::Lane(model) | Reach::GroupLane(model) => Some(model.clone()),
        };
        Self {
            lane,
            shared: rest.reach.is_shared(),
            state: rest.state,
            cause: rest.cause,
            left: (!rest.until.is_never()).then(|| rest.until.since(now)),
            message: rest.message.clone(),
        }
    }

    fn from(&self, now: Moment, sharing: Sharing) -> Rest {
        let shared = self.shared && sharing == Sharing::Grouped;
        let reach = match (self.lane.clone(), shared) {
            (None, false) => Reach::Key,
            (None, true) => Reach::Group,
            (Some(model), false) => Reach::Lane(model),
            (Some(model), true) => Reach::GroupLane(model),
        };
        Rest {
            reach,
            state: self.state,
            cause: self.cause,
            until: self.left.map_or(Moment::NEVER, |left| now + left.min(REST_MAX)),
            message: self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn rest(reach: Reach, until: Moment) -> Rest {
        let cause = Cause::Fault(Reason::MoneyGone);
        Rest { reach, state: KeyState::Failed, cause, until, message: "no money".into() }
    }

    #[test]
    fn what_rests_goes_on_resting_for_what_was_left() {
        let mut before = KeyHealth::new(Rotation::default(), Sharing::Grouped);
        before.impose(rest(Reach::Group, at(1_000)));
        before.impose(rest(Reach::GroupLane("m".into()), at(50)));
        before.impose(rest(Reach::Key, Moment::NEVER));
        let past = before.past(at(100));
        assert_eq!(past.rests.len(), 2, "what is over is over");

        let after = KeyHealth::recalled(Rotation::default(), Sharing::Grouped, &past, at(0));
        assert_eq!(after.past(at(0)), past);
        let alone = KeyHealth::recalled(Rotation::default(), Sharing::Alone, &past, at(0));
        assert!(alone.rests.iter().all(|rest| !rest.reach.is_shared()));
        assert_eq!(alone.rests_until(at(0)), Some(Moment::NEVER));
    }

    #[test]
    fn a_rest_of_years_is_a_clock_that_was_wrong() {
        let mut before = KeyHealth::new(Rotation::default(), Sharing::Alone);
        before.impose(rest(Reach::Key, at(0) + DAY * 4_000));
        let after = KeyHealth::recalled(Rotation::default(), Sharing::Alone, &before.past(at(0)), at(0));
        assert_eq!(after.rests_until(at(0)), Some(at(0) + DAY * 45));
    }
}
