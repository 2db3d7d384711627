//! Ends streams whose time is over, whether or not somebody asks for their next piece.
//!
//! A stream is only as lively as its reader: a caller that stopped reading
//! would hold a key's credit and a connection beyond every deadline. One task
//! for all streams of a wheel sleeps until the first of their deadlines; most
//! streams end long before, and never hear of it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, Moment};

/// What can be ended from outside.
pub(crate) trait Closes: Send + Sync {
    /// Ends it, if it hasn't ended.
    fn close(&self, why: Why);
}

/// Why something is ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// It may take no longer.
    TimeIsOver,
    /// The grace of a drain is over.
    Drained,
}

/// The place of a stream among the others: when it ends at the latest, and its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Entry {
    last: Moment,
    number: u64,
}

/// Knows of every stream in a caller's hands when it must have ended.
pub(crate) struct ClosingTime {
    open: Mutex<Open>,
    /// Rings when somebody must leave sooner than all others.
    sooner: Notify,
    /// Turns true when nobody may stay.
    cut_off: watch::Sender<bool>,
    /// The wheel's own: a caller's may end before the streams of others do.
    runtime: Handle,
}

#[derive(Default)]
struct Open {
    streams: BTreeMap<Entry, Arc<dyn Closes>>,
    entered: u64,
    watched: Watched,
}

/// Until when a task sleeps that then looks who must leave.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Watched {
    /// There is none.
    #[default]
    No,
    /// Who must leave later needn't wake it, even if all others have left.
    Until(Moment),
}

impl ClosingTime {
    pub(crate) fn new(cut_off: watch::Sender<bool>, runtime: Handle) -> Self {
        Self { open: Mutex::default(), sooner: Notify::new(), cut_off, runtime }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins that must end then at the latest.
    pub(crate) fn enter(self: &Arc<Self>, last: Moment, stream: Arc<dyn Closes>, clock: Clock) -> Entry {
        let mut open = self.lock();
        open.entered += 1;
        let entry = Entry { last, number: open.entered };
        open.streams.insert(entry, stream);
        match open.watched {
            Watched::No => {
                open.watched = Watched::Until(last);
                drop(self.runtime.spawn(Arc::clone(self).watch(clock)));
            }
            Watched::Until(then) if last < then => self.sooner.notify_one(),
            Watched::Until(_) => {}
        }
        entry
    }

    /// A stream has ended.
    pub(crate) fn leave(&self, entry: &Entry) {
        self.lock().streams.remove(entry);
    }

    /// Sleeps and ends streams for as long as there is one.
    async fn watch(self: Arc<Self>, clock: Clock) {
        let mut cut_off = self.cut_off.subscribe();
        while let Some(next) = self.next() {
            let time_is_over = pin!(tokio::time::sleep_until(clock.instant(next)));
            let sooner = pin!(self.sooner.notified());
            // The sender lives as long as this.
            let drained = pin!(cut_off.wait_for(|cut| *cut));
            let why = match select(drained, select(time_is_over, sooner)).await {
                Either::Left(_) => Why::Drained,
                Either::Right(_) => Why::TimeIsOver,
            };
            for stream in self.take(why, clock.now()) {
                stream.close(why);
            }
        }
    }

    /// Those that must leave now.
    fn take(&self, why: Why, now: Moment) -> impl Iterator<Item = Arc<dyn Closes>> + use<> {
        let mut open = self.lock();
        let stay = match why {
            Why::TimeIsOver => open.streams.split_off(&Entry { last: now, number: u64::MAX }),
            Why::Drained => BTreeMap::new(),
        };
        std::mem::replace(&mut open.streams, stay).into_values()
    }

    /// When the next one must leave. `None`: there is none, and nobody watches any more.
    fn next(&self) -> Option<Moment> {
        let mut open = self.lock();
        let next = open.streams.first_key_value().map(|(first, _)| first.last);
        open.watched = next.map_or(Watched::No, Watched::Until);
        next
    }
}
