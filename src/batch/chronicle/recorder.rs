//! Where the parts of a run write their chronicle, if one is wanted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keywheel_actors::clock::Moment;

use super::flow::RowEnd;
use super::record::Chronicle;
use crate::batch::answer::Answered;

/// A chronicle that is being written, or none. Cheap to clone.
///
/// The loop and the watch are two tasks of one run; they meet here for a microsecond at a time.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<Arc<Mutex<Chronicle>>>);

impl Recorder {
    /// Writes one.
    pub fn on() -> Self {
        Self(Some(Arc::new(Mutex::new(Chronicle::begin(Moment::ZERO)))))
    }

    /// Whether anything is written.
    pub(in crate::batch) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The run starts now.
    pub(in crate::batch) fn begin(&self, now: Moment) {
        self.write(|chronicle| *chronicle = Chronicle::begin(now));
    }

    /// A row came back.
    pub(in crate::batch) fn note(&self, answered: &Answered) {
        let end = if answered.result.is_ok() { RowEnd::Ok } else { RowEnd::Failed };
        self.write(|chronicle| {
            chronicle.note_row(&answered.attempts, end);
            for (call, usage) in answered.paid() {
                if let Some(call) = call {
                    chronicle.note_usage(call, *usage);
                }
            }
        });
    }

    /// Writes something down.
    pub(in crate::batch) fn write(&self, write: impl FnOnce(&mut Chronicle)) {
        if let Some(chronicle) = &self.0 {
            write(&mut lock(chronicle));
        }
    }

    /// What is written.
    pub fn chronicle(&self) -> Option<Chronicle> {
        self.0.as_ref().map(|chronicle| lock(chronicle).clone())
    }
}

/// A writer that crashed has told of it; what it wrote before is still worth reading.
fn lock(chronicle: &Mutex<Chronicle>) -> MutexGuard<'_, Chronicle> {
    chronicle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use keywheel_actors::error::SendError;

    use super::*;

    #[test]
    fn nothing_is_written_unless_somebody_wants_to_read_it() {
        let lost = Answered::by_wheel(Err(SendError::Lost));
        let off = Recorder::default();
        off.note(&lost);
        assert!(!off.is_on() && off.chronicle().is_none());
        let on = Recorder::on();
        on.begin(Moment::ZERO);
        on.note(&lost);
        assert_eq!(on.chronicle().map(|chronicle| chronicle.work().total().calls()), Some(0));
    }
}
