//! Drain as a protocol: the jobs that are there end by themselves within the grace, the rest by us.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::error::SendError;
use crate::wheel::DrainReport;

use super::super::kernel::{Me, On};
use super::super::message::Drain;
use super::Provider;

/// How long calls have to end that were told to.
const CUT_OFF_TIME: Duration = Duration::from_secs(1);

/// A drain under way.
pub(super) struct Draining {
    pub(super) until: Moment,
    phase: Phase,
    jobs: usize,
    cut_off: usize,
    done: oneshot::Sender<DrainReport>,
}

/// How far a drain is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Grace,
    Over,
}

impl Provider {
    /// Ends what is left when the grace is over; reports when nothing is left.
    pub(super) fn finish_drain(&mut self, now: Moment) {
        let Some(draining) = &mut self.draining else { return };
        if draining.phase == Phase::Grace && draining.until <= now {
            draining.phase = Phase::Over;
            draining.until = now + CUT_OFF_TIME;
            draining.cut_off = self.in_flight;
            // Calls under way hear of it and end; their outcomes bring us back here.
            self.hub.cut_off.send_replace(true);
        }
        if draining.phase == Phase::Over {
            for job in self.queue.take_where(|_, _| true) {
                draining.cut_off += 1;
                job.end(Err(SendError::Draining));
            }
        }
        // A stream that nobody reads can't hear that it is to end.
        let waited_enough = draining.phase == Phase::Over && draining.until <= now;
        if !waited_enough && (!self.queue.is_empty() || self.in_flight > 0) {
            return;
        }
        if let Some(Draining { jobs, cut_off, done, .. }) = self.draining.take() {
            let report =
                DrainReport { finished: jobs.saturating_sub(cut_off) as u64, cut_off: cut_off as u64 };
            // Whoever asked may have gone; the drain is done all the same.
            let _ = done.send(report);
        }
    }
}

impl On<Drain> for Provider {
    fn on(&mut self, Drain { grace }: Drain, me: &mut Me<'_, Self>) -> oneshot::Receiver<DrainReport> {
        let (done, report) = oneshot::channel();
        drop(self.queue.take_where(|job, _| job.is_abandoned()));
        let jobs = self.queue.len() + self.in_flight;
        self.draining =
            Some(Draining { until: me.now() + grace, phase: Phase::Grace, jobs, cut_off: 0, done });
        self.turn(me);
        report
    }
}
