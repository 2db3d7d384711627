//! The Stats actor: counters, the failure log, and whoever watches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::board::KeyState;
use crate::clock::Moment;
use crate::event::{Event, EventKind};
use crate::id::KeyId;
use crate::outcome::{Scope, Usage};
use crate::reload::ReloadReport;
use crate::request::Delivery;
use crate::stats::{KeyStats, StatsReport};
use crate::store::Wall;

use super::kernel::{Life, Me, On};
use super::message::{End, GetStats, Logging, Outcome, Report, TakeChanged, Tallied};

/// A key reports calls in batches of this many: one message each would cost more than a call's rest.
const TALLY_CALLS_MAX: usize = 64;

/// Counts what the others report.
pub(crate) struct Stats {
    keys: BTreeMap<KeyId, Counters>,
    watchers: broadcast::Sender<Event>,
    dead_letters: Arc<AtomicU64>,
    /// Whose counters changed since State last asked.
    changed: BTreeSet<KeyId>,
}

#[derive(Default)]
struct Counters {
    known: KeyStats,
    /// Since when it hasn't been active.
    suspended_since: Option<Moment>,
}

/// Calls of a key that ended without failing, not yet reported.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    served: Vec<Lap>,
    cancelled: usize,
    tokens: Usage,
}

/// How long a call took that succeeded.
#[derive(Clone, Copy, Debug)]
struct Lap {
    took: Duration,
    /// Of a stream only.
    first_content: Option<Duration>,
}

impl Tally {
    /// Notes a call, unless it failed: that will be an event.
    pub(crate) fn note(&mut self, outcome: &Outcome) {
        match outcome.end {
            End::Served { .. } => {
                let first_content = match outcome.made.delivery {
                    Delivery::Stream => outcome.first_content,
                    Delivery::Whole | Delivery::Passed => None,
                };
                self.served.push(Lap { took: outcome.took, first_content });
                self.tokens += outcome.usage.unwrap_or_default();
            }
            End::Cancelled => self.cancelled += 1,
            End::Failed { .. } => {}
        }
    }

    /// Whether it is time to report, for a key with so many calls under way.
    pub(crate) fn is_due(&self, in_flight: u32) -> bool {
        let calls = self.served.len() + self.cancelled;
        calls >= TALLY_CALLS_MAX || (in_flight == 0 && calls > 0)
    }
}

impl Stats {
    /// Goes on from what is `known` of earlier processes.
    pub(crate) fn new(
        watchers: broadcast::Sender<Event>,
        dead_letters: Arc<AtomicU64>,
        known: BTreeMap<KeyId, KeyStats>,
    ) -> Self {
        let counters = |known| Counters { known, suspended_since: None };
        let keys = known.into_iter().map(|(key, known)| (key, counters(known))).collect();
        Self { keys, watchers, dead_letters, changed: BTreeSet::new() }
    }

    fn count(&mut self, event: &Event, now: Wall) {
        match &event.kind {
            EventKind::CallFailed { key, fault, .. } => {
                let known = &mut self.counters(key).known;
                match fault.scope {
                    Scope::Us => {
                        known.cancelled += 1;
                        known.note_calls(1, now);
                    }
                    Scope::Key | Scope::Group | Scope::Lane | Scope::Provider | Scope::Request => {
                        known.note_failure(fault.reason, now);
                    }
                }
            }
            EventKind::KeyChanged { key, status } => {
                let counters = self.counters(key);
                match status.state {
                    KeyState::Active => counters.resume(event.at),
                    KeyState::RateLimited | KeyState::Failed | KeyState::Disabled => {
                        counters.suspended_since.get_or_insert(event.at);
                    }
                }
            }
            EventKind::KeyRestarted { key } => self.counters(key).known.restarts += 1,
            EventKind::Reloaded { report } => {
                for key in &report.keys.removed {
                    // Who isn't there any more doesn't rest.
                    self.counters(key).resume(event.at);
                }
            }
            EventKind::ProviderRested { .. }
            | EventKind::ProviderResumed { .. }
            | EventKind::ProviderRestarted { .. }
            | EventKind::ProviderLost { .. }
            | EventKind::FellBack { .. }
            | EventKind::StateNotKept { .. }
            | EventKind::StateKept => {}
        }
    }

    /// A key's counters, about to change.
    fn counters(&mut self, key: &KeyId) -> &mut Counters {
        self.changed.insert(key.clone());
        self.keys.entry(key.clone()).or_default()
    }
}

impl Counters {
    fn resume(&mut self, at: Moment) {
        if let Some(since) = self.suspended_since.take() {
            self.known.suspended_ms += millis(at.since(since));
        }
    }

    fn report(&mut self, now: Moment, today: Wall) -> KeyStats {
        self.known.last_day.forget(today);
        let still = self.suspended_since.map_or(Duration::ZERO, |since| now.since(since));
        KeyStats { suspended_ms: self.known.suspended_ms + millis(still), ..self.known.clone() }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn log(event: &Event) {
    match &event.kind {
        EventKind::CallFailed { job, request_id, attempt, key, model, fault, decision, took, .. } => {
            let request_id = request_id.as_deref();
            tracing::info!(%job, request_id, attempt, %key, %model, %fault, ?decision, ?took, "call failed");
        }
        EventKind::KeyChanged { key, status } => {
            let why = status.why.as_ref();
            let (cause, until) = (why.map(|why| why.cause), why.and_then(|why| why.until));
            tracing::info!(%key, status = status.state.as_str(), ?cause, ?until, "key changed");
        }
        EventKind::KeyRestarted { key } => tracing::warn!(%key, "key restarted"),
        EventKind::ProviderRested { provider, until, why } => {
            tracing::warn!(%provider, ?until, why, "provider rests");
        }
        EventKind::ProviderResumed { provider } => tracing::info!(%provider, "provider resumed"),
        EventKind::ProviderRestarted { provider } => tracing::warn!(%provider, "provider restarted"),
        EventKind::ProviderLost { provider } => tracing::error!(%provider, "provider given up"),
        EventKind::StateNotKept { why } => {
            tracing::error!(why, "the state isn't kept: a restart will forget what happens from now on");
        }
        EventKind::StateKept => tracing::info!("the state is kept again"),
        EventKind::Reloaded { report: ReloadReport { providers, keys } } => {
            tracing::info!(?providers, ?keys, "configuration reloaded");
        }
        EventKind::FellBack { job, from, to, why } => tracing::debug!(%job, %from, %to, why, "fell back"),
    }
}

impl Life for Stats {
    type Relic = ();

    fn started(&mut self, _: &mut Me<'_, Self>) {}

    fn alarmed(&mut self, _: &mut Me<'_, Self>) {}

    fn relic(&mut self) {}
}

impl On<Tallied> for Stats {
    fn on(&mut self, Tallied { key, calls }: Tallied, me: &mut Me<'_, Self>) {
        let now = me.wall().into();
        let known = &mut self.counters(&key).known;
        known.succeeded += calls.served.len() as u64;
        known.cancelled += calls.cancelled as u64;
        known.note_calls((calls.served.len() + calls.cancelled) as u64, now);
        known.tokens += calls.tokens;
        for lap in &calls.served {
            known.took.record(lap.took);
            if let Some(first_content) = lap.first_content {
                known.first_content.record(first_content);
            }
        }
    }
}

impl On<Report> for Stats {
    fn on(&mut self, report: Report, me: &mut Me<'_, Self>) {
        let now = me.wall().into();
        for event in report.events {
            self.count(&event, now);
            if report.log == Logging::On {
                log(&event);
            }
            // Nobody may be watching.
            let _ = self.watchers.send(event);
        }
    }
}

impl On<TakeChanged> for Stats {
    fn on(&mut self, _: TakeChanged, me: &mut Me<'_, Self>) -> BTreeMap<KeyId, KeyStats> {
        let (now, today) = (me.now(), me.wall().into());
        let changed = std::mem::take(&mut self.changed);
        let keys = changed.into_iter().filter_map(|key| {
            let report = self.keys.get_mut(&key)?.report(now, today);
            Some((key, report))
        });
        keys.collect()
    }
}

impl On<GetStats> for Stats {
    fn on(&mut self, _: GetStats, me: &mut Me<'_, Self>) -> StatsReport {
        let (now, today) = (me.now(), me.wall().into());
        let keys = self.keys.iter_mut().map(|(key, counters)| (key.clone(), counters.report(now, today)));
        StatsReport { keys: keys.collect(), dead_letters: self.dead_letters.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::super::kernel;
    use super::*;
    use crate::clock::Clock;
    use crate::outcome::Reason;

    #[test]
    fn it_goes_on_from_what_is_known() {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        kernel::block_on(runtime, |_| async {
            let key = KeyId { provider: "p".into(), key: "k".into() };
            let mut known = KeyStats { succeeded: 5, suspended_ms: 7, restarts: 1, ..KeyStats::default() };
            known.note_failure(Reason::Cut, Wall(0));
            let stats = Stats::new(
                broadcast::channel(1).0,
                Arc::default(),
                BTreeMap::from([(key.clone(), known.clone())]),
            );
            let stats = kernel::spawn_child(stats, Clock::start(), Box::new(|_| {}));
            assert!(
                stats
                    .tell(Tallied { key: key.clone(), calls: Tally { cancelled: 2, ..Tally::default() } })
                    .is_ok()
            );
            let report = stats.ask(GetStats).await.unwrap().key(&key);
            assert_eq!((report.calls, report.succeeded, report.cancelled, report.failures()), (3, 5, 2, 1));
            assert_eq!((report.suspended_ms, report.restarts), (7, 1));
            assert_eq!(report.last_day.calls(), 2, "a day of 1970 is over");
        });
    }
}
