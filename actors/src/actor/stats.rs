//! The Stats actor: counters, the failure log, and whoever watches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::Moment;
use crate::event::{Event, EventKind};
use crate::id::KeyId;
use crate::stats::{KeyStats, StatsReport};

use super::kernel::{Life, Me, On};
use super::message::{GetStats, Logging, Report, TakeChanged};

/// Failures of the last day are kept by the hour.
const HOUR: Duration = Duration::from_secs(3_600);
const HOURS_KEPT: u64 = 24;

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
    /// Failures by hour since the start, latest last.
    hours: VecDeque<(u64, u64)>,
}

impl Stats {
    pub(crate) fn new(
        watchers: broadcast::Sender<Event>,
        dead_letters: Arc<AtomicU64>,
        known: BTreeMap<KeyId, KeyStats>,
    ) -> Self {
        let known = known.into_iter().map(|(key, known)| (key, Counters { known, hours: VecDeque::new() }));
        Self { keys: known.collect(), watchers, dead_letters, changed: BTreeSet::new() }
    }

    fn count(&mut self, event: &Event) {
        match &event.kind {
            EventKind::CallFailed { key, fault, .. } => {
                let counters = self.keys.entry(key.clone()).or_default();
                *counters.known.failed.entry(fault.reason).or_default() += 1;
                counters.failed_at(event.at);
            }
            EventKind::KeyRestarted { key } => self.keys.entry(key.clone()).or_default().known.restarts += 1,
            EventKind::KeyChanged { .. }
            | EventKind::ProviderRested { .. }
            | EventKind::ProviderResumed { .. }
            | EventKind::ProviderRestarted { .. }
            | EventKind::ProviderLost { .. }
            | EventKind::FellBack { .. }
            | EventKind::StateNotKept { .. }
            | EventKind::StateKept => {}
        }
    }
}

impl Counters {
    fn failed_at(&mut self, at: Moment) {
        let hour = at.since_start().as_secs() / HOUR.as_secs();
        match self.hours.back_mut() {
            Some((latest, count)) if *latest == hour => *count += 1,
            Some(_) | None => self.hours.push_back((hour, 1)),
        }
        self.forget(hour);
    }

    fn forget(&mut self, hour: u64) {
        while self.hours.front().is_some_and(|(old, _)| old + HOURS_KEPT <= hour) {
            self.hours.pop_front();
        }
    }
}

fn log(event: &Event) {
    match &event.kind {
        EventKind::CallFailed { job, attempt, key, model, fault, decision, took } => {
            tracing::info!(%job, attempt, %key, %model, %fault, ?decision, ?took, "call failed");
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
        EventKind::FellBack { job, from, to, why } => tracing::debug!(%job, %from, %to, why, "fell back"),
    }
}

impl Life for Stats {
    type Relic = ();

    fn started(&mut self, _: &mut Me<'_, Self>) {}

    fn alarmed(&mut self, _: &mut Me<'_, Self>) {}

    fn relic(&mut self) {}
}

impl On<Report> for Stats {
    fn on(&mut self, report: Report, _: &mut Me<'_, Self>) {
        self.changed.extend(report.key.clone());
        if let Some(key) = report.key
            && report.succeeded > 0
        {
            self.keys.entry(key).or_default().known.succeeded += report.succeeded;
        }
        for event in report.events {
            self.count(&event);
            if report.log == Logging::On {
                log(&event);
            }
            // Nobody may be watching.
            let _ = self.watchers.send(event);
        }
    }
}

impl On<TakeChanged> for Stats {
    fn on(&mut self, _: TakeChanged, _: &mut Me<'_, Self>) -> BTreeMap<KeyId, KeyStats> {
        let changed = std::mem::take(&mut self.changed);
        let keys = changed.into_iter().filter_map(|key| {
            let known = self.keys.get(&key)?.known.clone();
            Some((key, known))
        });
        keys.collect()
    }
}

impl On<GetStats> for Stats {
    fn on(&mut self, _: GetStats, me: &mut Me<'_, Self>) -> StatsReport {
        let hour = me.now().since_start().as_secs() / HOUR.as_secs();
        let keys = self.keys.iter_mut().map(|(key, counters)| {
            counters.forget(hour);
            let failed_last_day = counters.hours.iter().map(|(_, count)| count).sum();
            (key.to_string(), KeyStats { failed_last_day, ..counters.known.clone() })
        });
        StatsReport { keys: keys.collect(), dead_letters: self.dead_letters.load(Ordering::Relaxed) }
    }
}
