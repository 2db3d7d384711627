//! Looks at a running wheel, and tells what it has seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use keywheel_actors::Wheel;
use keywheel_actors::clock::Moment;
use keywheel_actors::event::{Event, EventKind};
use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::store::Wall;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::bins::{BIN, Bin, Bins, Look};
use super::latency::{Figures, Late};
use super::recent::Recent;
use super::report::{FailuresReport, HistoryReport, KeyHistory, ProviderHistory};
use crate::admin::event::EventReport;

/// What is remembered of the last minutes.
#[derive(Debug, Default)]
pub(in crate::admin) struct Recorder {
    bins: Mutex<Bins>,
    recent: Mutex<Recent>,
    /// Held while Stats is asked, so that it is asked once for many who want to know.
    late: tokio::sync::Mutex<Late>,
}

impl Recorder {
    /// Looks until it is dropped or the wheel is gone.
    pub(in crate::admin) async fn watch(&self, wheel: &Wheel, mut events: broadcast::Receiver<Event>) {
        let clock = wheel.clock();
        if let Ok(stats) = wheel.stats().await {
            *self.late.lock().await = Late::begin(clock.now(), stats);
        }
        // Bins are counted from the start of the wheel.
        let begun = clock.now().since_start().as_secs() / BIN.as_secs();
        let first = clock.instant(Moment::after_start(BIN * (u32::try_from(begun).unwrap_or(0) + 1)));
        let mut tick = interval_at(first.max(Instant::now()), BIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = tick.tick() => locked(&self.bins).close(clock.now(), &Look::at(wheel.board())),
                event = events.recv() => match event {
                    Ok(event @ Event { kind: EventKind::CallFailed { .. }, .. }) => {
                        locked(&self.recent).note(EventReport::of(&event, clock));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(count)) => locked(&self.recent).note(EventReport::lost(count, clock)),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// The last failures.
    pub(in crate::admin) fn failures(&self) -> FailuresReport {
        locked(&self.recent).report()
    }

    /// The last minutes, from the bins on that began at `since`.
    pub(in crate::admin) async fn history(&self, wheel: &Wheel, since: Wall) -> HistoryReport {
        let clock = wheel.clock();
        let now = clock.now();
        let mut late = self.late.lock().await;
        if late.is_stale(now)
            && let Ok(stats) = wheel.stats().await
        {
            late.note(now, stats);
        }
        let look = Look::at(wheel.board());
        let today = Wall::from(clock.today());
        let ago = std::time::Duration::from_millis(today.0.saturating_sub(since.0));
        let bins = locked(&self.bins).since(now - ago, &look);
        let dated = |moment: Moment| Wall::from(clock.wall(moment));
        HistoryReport {
            at: today,
            bin_ms: u64::try_from(BIN.as_millis()).unwrap_or(u64::MAX),
            latency_since: dated(late.since()),
            providers: look
                .providers
                .iter()
                .map(|(id, _)| of_provider(id, &bins, late.of_provider(id)))
                .collect(),
            keys: look.keys.iter().map(|(id, _)| of_key(id, &bins, late.of_key(id))).collect(),
            bins: bins.iter().map(|bin| dated(bin.from)).collect(),
        }
    }
}

fn of_key(id: &KeyId, bins: &[Bin], figures: Option<Figures>) -> KeyHistory {
    let work: Vec<_> = bins.iter().map(|bin| bin.keys.get(id).copied().unwrap_or_default()).collect();
    KeyHistory {
        provider: id.provider.to_string(),
        key: id.key.to_string(),
        calls: work.iter().map(|work| work.calls).collect(),
        succeeded: work.iter().map(|work| work.succeeded).collect(),
        throttled: work.iter().map(|work| work.throttled).collect(),
        failed: work.iter().map(|work| work.failed).collect(),
        p50_ms: figures.map(|figures| figures.p50_ms),
        p95_ms: figures.map(|figures| figures.p95_ms),
    }
}

fn of_provider(id: &ProviderId, bins: &[Bin], figures: Option<Figures>) -> ProviderHistory {
    let load: Vec<_> = bins.iter().map(|bin| bin.providers.get(id).copied().unwrap_or_default()).collect();
    ProviderHistory {
        provider: id.to_string(),
        queued: load.iter().map(|load| load.queued).collect(),
        in_flight: load.iter().map(|load| load.in_flight).collect(),
        fell_over: load.iter().map(|load| load.fell_over).collect(),
        p50_ms: figures.map(|figures| figures.p50_ms),
        p95_ms: figures.map(|figures| figures.p95_ms),
    }
}

/// What is counted is whole after each step; a panic elsewhere leaves it as good as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
