//! The last failures, in memory.

use std::collections::VecDeque;

use super::report::FailuresReport;
use crate::admin::event::{EventReport, What};

/// As many as a person reads. The log has them all.
const FAILURES_MAX: usize = 100;

/// The last failures.
#[derive(Debug, Default)]
pub(super) struct Recent {
    failures: VecDeque<EventReport>,
    total: u64,
    lost: u64,
}

impl Recent {
    pub(super) fn note(&mut self, event: EventReport) {
        match event.what {
            What::CallFailed(_) => {
                if self.failures.len() == FAILURES_MAX {
                    self.failures.pop_front();
                }
                self.failures.push_back(event);
                self.total += 1;
            }
            What::Lost { count } => self.lost += count,
            What::KeyChanged(_)
            | What::KeyRestarted { .. }
            | What::ProviderRested { .. }
            | What::ProviderResumed { .. }
            | What::ProviderRestarted { .. }
            | What::ProviderLost { .. }
            | What::Reloaded { .. }
            | What::FellBack { .. }
            | What::StateNotKept { .. }
            | What::StateKept
            | What::Draining => {}
        }
    }

    pub(super) fn report(&self) -> FailuresReport {
        FailuresReport {
            total: self.total,
            lost: self.lost,
            failures: self.failures.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::event::Decision;
    use keywheel_actors::outcome::{Reason, Scope};
    use keywheel_actors::store::Wall;

    use super::*;
    use crate::admin::event::FailureReport;

    fn failed(job: u64) -> EventReport {
        let failure = FailureReport {
            job,
            request_id: None,
            attempt: 1,
            provider: "p".to_owned(),
            key: "k".to_owned(),
            fingerprint: "0123456789ab".parse().unwrap(),
            model: "m".to_owned(),
            reason: Reason::Cut,
            scope: Scope::Provider,
            status: None,
            code: None,
            hint_ms: None,
            decision: Decision::Rotate,
            rests: false,
            until: None,
            took_ms: 1,
            message: String::new(),
        };
        EventReport { at: Wall(job), what: What::CallFailed(Box::new(failure)) }
    }

    #[test]
    fn the_last_hundred_are_kept_and_all_are_counted() {
        let mut recent = Recent::default();
        (0..250).for_each(|job| recent.note(failed(job)));
        recent.note(EventReport { at: Wall(1), what: What::StateKept });
        recent.note(EventReport { at: Wall(2), what: What::Lost { count: 7 } });
        let report = recent.report();
        assert_eq!((report.total, report.lost, report.failures.len()), (250, 7, 100));
        assert_eq!((report.failures[0].at, report.failures[99].at), (Wall(150), Wall(249)));
    }
}
