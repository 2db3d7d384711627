//! Which job is to be looked at when. Jobs that left meanwhile are still on the list; whoever looks passes them over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Moment;

/// Appointments of jobs that left are forgotten when they outnumber the waiting by this many.
const STALE_MAX: usize = 1_024;

/// Numbers of jobs by moments.
#[derive(Debug, Default)]
pub(super) struct Appointments {
    by_moment: BinaryHeap<Reverse<(Moment, u64)>>,
}

impl Appointments {
    /// Adds one, unless it never comes.
    pub(super) fn add(&mut self, at: Moment, number: u64) {
        if !at.is_never() {
            self.by_moment.push(Reverse((at, number)));
        }
    }

    /// Takes the next one whose moment has come.
    pub(super) fn next_due(&mut self, now: Moment) -> Option<u64> {
        if self.wake_at() > now {
            return None;
        }
        self.by_moment.pop().map(|Reverse((_, number))| number)
    }

    /// The next moment.
    pub(super) fn wake_at(&self) -> Moment {
        self.by_moment.peek().map_or(Moment::NEVER, |Reverse((at, _))| *at)
    }

    /// Forgets those who left, once they are many beside the `waiting`.
    pub(super) fn tidy(&mut self, waiting: usize, is_waiting: impl Fn(u64) -> bool) {
        if self.by_moment.len() > 2 * waiting + STALE_MAX {
            self.by_moment.retain(|Reverse((_, number))| is_waiting(*number));
        }
    }
}
