//! A script of events in time.

use std::time::Duration;

use keywheel_actors::clock::Moment;
use serde::Deserialize;

use super::fault::FaultRates;
use super::latency::Latency;
use super::spec::Conduct;

/// One line of the script.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event {
    /// When, counted from the start.
    pub at: Duration,
    /// What.
    pub change: Change,
}

/// Something that changes while the provider runs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Change {
    /// A key dies, or recovers.
    Conduct {
        /// Its place among the keys, from 0.
        key: usize,
        /// How it behaves from now on.
        conduct: Conduct,
    },
    /// The limits of a key, and so of its quota group, are cut or raised.
    Quota {
        /// Its place among the keys, from 0.
        key: usize,
        /// New limits as a multiple of those in the spec: 0.1 for a tenth, 1 for the old ones, 0 for nothing.
        factor: f64,
    },
    /// The provider goes down, or comes back.
    Availability(Availability),
    /// Other faults by chance.
    Faults(FaultRates),
    /// Another time to the first byte.
    FirstByte(Latency),
}

impl Change {
    /// What makes it impossible with so many keys, in a sentence.
    pub(crate) fn mistake(&self, keys: usize) -> Option<String> {
        let unknown = |key| format!("an event names key {key}, but there are {keys}, counted from 0");
        match *self {
            Self::Conduct { key, .. } => (key >= keys).then(|| unknown(key)),
            Self::Quota { key, .. } if key >= keys => Some(unknown(key)),
            Self::Quota { factor, .. } => (!factor.is_finite() || factor < 0.0)
                .then(|| format!("an event scales a quota by {factor}, which is no share")),
            Self::Availability(_) => None,
            Self::Faults(rates) => rates.mistake(),
            Self::FirstByte(latency) => latency.mistake(),
        }
    }
}

/// A change that can't be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadChange(pub(crate) String);

/// Whether the provider can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It serves.
    #[default]
    Up,
    /// It answers everything with 503.
    Failing,
    /// It closes every connection, new ones at once and old ones at their next request.
    Refusing,
}

/// Events that are still to come, in order of time.
#[derive(Debug)]
pub(crate) struct Script {
    coming: std::vec::IntoIter<Event>,
}

impl Script {
    pub(crate) fn new(mut events: Vec<Event>) -> Self {
        // Stable: events of the same time happen in the order in which they were written.
        events.sort_by_key(|event| event.at);
        Self { coming: events.into_iter() }
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Moment {
        self.coming.as_slice().first().map_or(Moment::NEVER, |event| Moment::after_start(event.at))
    }

    /// The next event that is due at `now`, with its own time.
    pub(crate) fn due(&mut self, now: Moment) -> Option<(Moment, Change)> {
        let at = self.next_at();
        if at > now {
            return None;
        }
        self.coming.next().map(|event| (at, event.change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn events_come_in_order_of_time_and_none_too_early() {
        let event = |seconds, availability| Event {
            at: Duration::from_secs(seconds),
            change: Change::Availability(availability),
        };
        let mut script = Script::new(vec![
            event(8, Availability::Up),
            event(5, Availability::Failing),
            event(5, Availability::Refusing),
        ]);

        assert_eq!(script.due(second(5) - Duration::from_nanos(1)), None);
        assert_eq!(script.due(second(9)), Some((second(5), Change::Availability(Availability::Failing))));
        assert_eq!(script.due(second(9)), Some((second(5), Change::Availability(Availability::Refusing))));
        assert_eq!(script.next_at(), second(8));
        assert_eq!(script.due(second(9)), Some((second(8), Change::Availability(Availability::Up))));
        assert_eq!((script.due(second(9)), script.next_at()), (None, Moment::NEVER));
    }
}
