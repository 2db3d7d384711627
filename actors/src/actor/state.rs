//! The State actor: the single writer of what outlives the process.
//!
//! It collects what changes while a save is under way, so a thousand changes
//! at once cost one sync of the disk. A disk that fails is told loudly and
//! tried again; nothing ever waits for it but those who asked to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::clock::Clock;
use crate::event::{Event, EventKind};
use crate::store::{Changes, Memory, Presence, Store, Wall};
use crate::wheel::{Keeping, Kept};

use super::kernel::{Life, Me, On, Ref};
use super::message::{CloseState, Finish, GetStats, Logging, Persist, Report, Saved, TakeChanged};
use super::stats::Stats;

/// How often the counters are kept, and with them the word that the process lives.
pub(crate) const SEEN_EVERY: Duration = Duration::from_secs(5);

/// Hears whether what it asked to be kept is.
pub(crate) type Told = Box<dyn FnOnce(Kept) + Send>;

/// Writes to the store, one save at a time.
pub(crate) struct State {
    store: Arc<dyn Store>,
    clock: Clock,
    stats: Ref<Stats>,
    /// What is known to be remembered, saved or not: for keys that come back by a reload.
    memory: Arc<Mutex<Memory>>,
    keeping: watch::Sender<Keeping>,
    /// What isn't saved yet, and who waits for it.
    pending: Changes,
    waiting: Vec<Told>,
    phase: Phase,
    closed: Option<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Saving,
    /// The last save failed; the alarm tries again.
    Failing,
}

impl State {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        stats: Ref<Stats>,
        memory: Arc<Mutex<Memory>>,
        keeping: watch::Sender<Keeping>,
    ) -> Self {
        Self {
            store,
            clock,
            stats,
            memory,
            keeping,
            pending: Changes::default(),
            waiting: Vec::new(),
            phase: Phase::Idle,
            closed: None,
        }
    }

    fn present(&self, closed: bool) -> Presence {
        Presence { seen: Wall::from(self.clock.today()), closed }
    }

    /// Begins a save unless one is under way.
    fn save(&mut self, me: &Me<'_, Self>) {
        if self.phase == Phase::Saving || self.pending.is_empty() {
            return;
        }
        self.phase = Phase::Saving;
        let (store, myself) = (Arc::clone(&self.store), me.address());
        let (changes, told) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.waiting));
        tokio::task::spawn_blocking(move || {
            let failure = store.save(&changes).err().map(|error| (error.to_string(), Box::new(changes)));
            // If the actor is gone the wheel has stopped, and nobody waits any more.
            let _ = myself.tell(Saved { failure, told });
        });
    }

    fn judge(&mut self, failure: Option<&str>) {
        let before = self.keeping.borrow().clone();
        let kept = match failure {
            None => Keeping::Durably,
            Some(why) => Keeping::Failing { why: why.into() },
        };
        if before == kept {
            return;
        }
        self.keeping.send_replace(kept);
        let kind = match failure {
            Some(why) => EventKind::StateNotKept { why: why.to_owned() },
            // At the start nothing was wrong.
            None if before == Keeping::Durably => return,
            None => EventKind::StateKept,
        };
        let events = vec![Event { at: self.clock.now(), kind }];
        // Without Stats nobody watches.
        let _ = self.stats.tell(Report { events, log: Logging::On });
    }

    fn ask_for_counters(&self, me: &Me<'_, Self>) {
        let (asked, myself) = (self.stats.ask(TakeChanged), me.address());
        tokio::spawn(async move {
            let Some(changed) = asked.await else { return };
            let stats = changed.into_iter().map(|(key, stats)| (key, Some(stats))).collect();
            // If the actor is gone the wheel has stopped.
            let _ = myself.tell(Persist { changes: Changes { stats, ..Changes::default() }, told: None });
        });
    }

    fn finish(&mut self) {
        if self.phase != Phase::Saving
            && let Some(closed) = self.closed.take()
        {
            // Whoever closed it may have stopped waiting.
            let _ = closed.send(());
        }
    }
}

impl Life for State {
    type Relic = ();

    fn started(&mut self, me: &mut Me<'_, Self>) {
        // From here on an end without a word is a crash.
        self.pending.presence = Some(self.present(false));
        self.save(me);
        me.alarm_at(me.now() + SEEN_EVERY);
    }

    fn alarmed(&mut self, me: &mut Me<'_, Self>) {
        self.ask_for_counters(me);
        self.save(me);
        me.alarm_at(me.now() + SEEN_EVERY);
    }

    fn relic(&mut self) {}
}

impl On<Persist> for State {
    fn on(&mut self, Persist { changes, told }: Persist, me: &mut Me<'_, Self>) {
        if changes.is_empty() {
            return;
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).apply(&changes);
        self.pending.then(changes);
        let closed = self.pending.presence.is_some_and(|seen| seen.closed);
        self.pending.presence = Some(self.present(closed));
        self.waiting.extend(told);
        // A disk that failed is tried again now only if somebody waits for it.
        if self.phase != Phase::Failing || !self.waiting.is_empty() {
            self.save(me);
        }
    }
}

impl On<Saved> for State {
    fn on(&mut self, Saved { failure, told }: Saved, me: &mut Me<'_, Self>) {
        self.judge(failure.as_ref().map(|(why, _)| why.as_str()));
        let kept = match failure {
            None => {
                self.phase = Phase::Idle;
                Kept::Durably
            }
            Some((why, changes)) => {
                self.phase = Phase::Failing;
                let newer = std::mem::replace(&mut self.pending, *changes);
                self.pending.then(newer);
                Kept::InMemory { why: why.into() }
            }
        };
        for told in told {
            told(kept.clone());
        }
        if self.phase == Phase::Idle || !self.waiting.is_empty() {
            self.save(me);
        }
        self.finish();
    }
}

impl On<CloseState> for State {
    fn on(&mut self, _: CloseState, me: &mut Me<'_, Self>) -> oneshot::Receiver<()> {
        let (done, closed) = oneshot::channel();
        // All of them: of keys that rest, the time grows without any change.
        let (asked, myself) = (self.stats.ask(GetStats), me.address());
        tokio::spawn(async move {
            let stats = asked.await.unwrap_or_default();
            let stats = stats.keys.into_iter().map(|(key, stats)| (key, Some(stats))).collect();
            let last = Changes { stats, ..Changes::default() };
            // If the actor is gone there is nothing left to close.
            let _ = myself.tell(Finish { last, done });
        });
        closed
    }
}

impl On<Finish> for State {
    fn on(&mut self, Finish { last, done }: Finish, me: &mut Me<'_, Self>) {
        // Not before the last word is here: a save that ends meanwhile isn't the end.
        self.closed = Some(done);
        self.pending.then(last);
        self.pending.presence = Some(self.present(true));
        self.save(me);
        self.finish();
    }
}
