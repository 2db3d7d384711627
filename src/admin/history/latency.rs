//! How long calls took of late: the differences between what Stats says now and said some minutes ago.
//!
//! Stats answers with a copy of all it has, which is no small thing for thousands of keys. So it is asked only when
//! somebody wants to know, and not for every one of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::stats::{Latencies, StatsReport};

/// Whoever asks again within this hears the same.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// How often a mark is kept, and how old the one may be that the figures begin at.
const MARK_EVERY: Duration = Duration::from_secs(300);
const MARK_AGE_MAX: Duration = Duration::from_secs(900);

/// With more keys marks would take tens of megabytes; then only providers have figures.
const KEYS_MAX: usize = 1_000;

/// The figures of one moment.
#[derive(Clone, Debug, Default)]
struct Mark {
    at: Moment,
    keys: BTreeMap<KeyId, Latencies>,
    providers: BTreeMap<ProviderId, Latencies>,
}

impl Mark {
    fn of(at: Moment, stats: StatsReport) -> Self {
        let providers = stats.providers().into_iter().map(|(id, stats)| (id, stats.took)).collect();
        let keys = if stats.keys.len() > KEYS_MAX { BTreeMap::new() } else { stats.keys };
        Self { at, keys: keys.into_iter().map(|(id, stats)| (id, stats.took)).collect(), providers }
    }
}

/// Median and 95th percentile, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Figures {
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
}

/// The figures of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Oldest first; there is always one from [`Late::begin`] on.
    marks: VecDeque<Mark>,
    now: Mark,
}

impl Late {
    /// What Stats said at the beginning: what an earlier process did is none of the last minutes'.
    pub(super) fn begin(at: Moment, stats: StatsReport) -> Self {
        let mark = Mark::of(at, stats);
        Self { marks: VecDeque::from([mark.clone()]), now: mark }
    }

    /// Whether Stats should be asked.
    pub(super) fn is_stale(&self, now: Moment) -> bool {
        now.since(self.now.at) >= FRESH_FOR
    }

    /// What Stats says now.
    pub(super) fn note(&mut self, now: Moment, stats: StatsReport) {
        self.now = Mark::of(now, stats);
        if self.marks.back().is_none_or(|last| now.since(last.at) >= MARK_EVERY) {
            self.marks.push_back(self.now.clone());
        }
        // The newest of those that are too old serves until another one is old enough to tell something.
        while self.marks.len() > 2 && now.since(self.marks[0].at) > MARK_AGE_MAX {
            self.marks.pop_front();
        }
    }

    /// Since when the figures are.
    pub(super) fn since(&self) -> Moment {
        self.marks.front().map(|mark| mark.at).unwrap_or_default()
    }

    pub(super) fn of_key(&self, key: &KeyId) -> Option<Figures> {
        figures(self.now.keys.get(key)?, self.marks.front().and_then(|mark| mark.keys.get(key)))
    }

    pub(super) fn of_provider(&self, provider: &ProviderId) -> Option<Figures> {
        let before = self.marks.front().and_then(|mark| mark.providers.get(provider));
        figures(self.now.providers.get(provider)?, before)
    }
}

fn figures(now: &Latencies, before: Option<&Latencies>) -> Option<Figures> {
    let late = before.map_or_else(|| now.clone(), |before| now.since(before));
    let millis = |percent| late.percentile(percent).as_secs_f64() * 1_000.0;
    (late.count() > 0).then(|| Figures { p50_ms: millis(50), p95_ms: millis(95) })
}

#[cfg(test)]
mod tests {
    use keywheel_actors::stats::KeyStats;

    use super::*;

    fn key() -> KeyId {
        KeyId { provider: "p".into(), key: "a".into() }
    }

    fn at(secs: u64) -> Moment {
        Moment::after_start(Duration::from_secs(secs))
    }

    /// Calls that took so many milliseconds each.
    fn stats(took_ms: &[u64]) -> StatsReport {
        let mut stats = KeyStats::default();
        for millis in took_ms {
            stats.took.record(Duration::from_millis(*millis));
        }
        StatsReport { keys: [(key(), stats)].into(), dead_letters: 0 }
    }

    #[test]
    fn what_an_earlier_process_did_does_not_count() {
        let mut late = Late::begin(at(0), stats(&[1_000, 1_000]));
        assert_eq!((late.of_key(&key()), late.since()), (None, at(0)));
        late.note(at(5), stats(&[1_000, 1_000, 10]));
        let figures = late.of_key(&key()).unwrap();
        assert!((10.0..10.4).contains(&figures.p50_ms), "{figures:?}");
        assert_eq!(late.of_provider(&"p".into()), Some(figures));
        assert!(!late.is_stale(at(6)) && late.is_stale(at(7)));
    }

    #[test]
    fn figures_begin_at_most_a_quarter_of_an_hour_ago_while_somebody_looks() {
        let mut late = Late::begin(at(0), stats(&[]));
        for minute in 0..60 {
            late.note(at(60 * minute), stats(&[]));
        }
        assert!((600..=900).contains(&at(3_540).since(late.since()).as_secs()), "{:?}", late.since());
        assert!(late.marks.len() <= 5);
    }

    #[test]
    fn of_thousands_of_keys_only_providers_have_figures() {
        let mut many = stats(&[5]);
        for number in 0..KEYS_MAX {
            let key = KeyId { provider: "p".into(), key: format!("k{number}").into() };
            many.keys.insert(key, KeyStats::default());
        }
        let mut late = Late::begin(at(0), stats(&[]));
        late.note(at(10), many);
        assert_eq!(late.of_key(&key()), None);
        assert!(late.of_provider(&"p".into()).is_some());
    }
}
