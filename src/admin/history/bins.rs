//! Differences between looks at the board, by bins of ten seconds.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use keywheel_actors::board::{Board, KeyCounts, KeyView, ProviderView};
use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyId, ProviderId};

/// How long a bin is: fine enough to see a limit of a minute being met.
pub(super) const BIN: Duration = Duration::from_secs(10);

/// Closed bins that are kept: a quarter of an hour.
const BINS_MAX: usize = 90;

/// What a key did in one bin.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Work {
    pub(super) calls: u32,
    pub(super) succeeded: u32,
    pub(super) throttled: u32,
    pub(super) failed: u32,
}

/// What a provider did in one bin, and had when it ended.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Load {
    pub(super) queued: u32,
    pub(super) in_flight: u32,
    pub(super) fell_over: u32,
}

/// One bin. Whoever did nothing isn't in it.
#[derive(Clone, Default, Debug)]
pub(super) struct Bin {
    pub(super) from: Moment,
    pub(super) keys: HashMap<KeyId, Work>,
    pub(super) providers: HashMap<ProviderId, Load>,
}

/// What the board said.
#[derive(Clone, Default, Debug)]
pub(super) struct Look {
    pub(super) keys: Vec<(KeyId, KeyCounts)>,
    pub(super) providers: Vec<(ProviderId, ProviderView)>,
}

impl Look {
    pub(super) fn at(board: &Board) -> Self {
        let counts = |(id, view): (KeyId, KeyView)| (id, view.counts);
        Self { keys: board.keys().into_iter().map(counts).collect(), providers: board.providers() }
    }
}

/// The last bins.
#[derive(Debug, Default)]
pub(super) struct Bins {
    closed: VecDeque<Bin>,
    /// When the open bin began.
    from: Moment,
    /// What the board said then.
    keys: HashMap<KeyId, KeyCounts>,
    fell_over: HashMap<ProviderId, u64>,
}

impl Bins {
    /// The open bin ends with this look.
    pub(super) fn close(&mut self, now: Moment, look: &Look) {
        let bin = self.open(look);
        if self.closed.len() == BINS_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(bin);
        self.from = now;
        self.keys = look.keys.iter().cloned().collect();
        self.fell_over = look.providers.iter().map(|(id, view)| (id.clone(), view.fell_over)).collect();
    }

    /// The bins that began at `since` or later, the open one last, as it would be if it ended with this look.
    pub(super) fn since(&self, since: Moment, look: &Look) -> Vec<Bin> {
        let closed = self.closed.iter().filter(|bin| bin.from >= since).cloned();
        closed.chain([self.open(look)]).collect()
    }

    fn open(&self, look: &Look) -> Bin {
        let keys = look.keys.iter().map(|(id, now)| {
            let before = self.keys.get(id).copied().unwrap_or_default();
            (id.clone(), work(*now, before))
        });
        let providers = look.providers.iter().map(|(id, now)| {
            let before = self.fell_over.get(id).copied().unwrap_or_default();
            (id.clone(), load(now, before))
        });
        Bin {
            from: self.from,
            keys: keys.filter(|(_, work)| *work != Work::default()).collect(),
            providers: providers.filter(|(_, load)| *load != Load::default()).collect(),
        }
    }
}

fn work(now: KeyCounts, before: KeyCounts) -> Work {
    Work {
        calls: grown(now.calls, before.calls),
        succeeded: grown(now.succeeded, before.succeeded),
        throttled: grown(now.throttled, before.throttled),
        failed: grown(now.failed, before.failed),
    }
}

fn load(now: &ProviderView, fell_over_before: u64) -> Load {
    Load {
        queued: u32::try_from(now.queued).unwrap_or(u32::MAX),
        in_flight: u32::try_from(now.in_flight).unwrap_or(u32::MAX),
        fell_over: grown(now.fell_over, fell_over_before),
    }
}

/// A key that was removed and came back begins anew.
fn grown(now: u64, before: u64) -> u32 {
    u32::try_from(now.checked_sub(before).unwrap_or(now)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> KeyId {
        KeyId { provider: "p".into(), key: name.into() }
    }

    fn at(secs: u64) -> Moment {
        Moment::after_start(Duration::from_secs(secs))
    }

    fn look(calls: &[(&str, u64)], queued: usize, fell_over: u64) -> Look {
        let count = |(name, calls): &(&str, u64)| {
            (key(name), KeyCounts { calls: *calls, succeeded: calls / 2, ..KeyCounts::default() })
        };
        let provider = ProviderView { queued, fell_over, ..ProviderView::default() };
        Look { keys: calls.iter().map(count).collect(), providers: vec![("p".into(), provider)] }
    }

    #[test]
    fn a_bin_holds_what_was_added_since_the_last_one() {
        let mut bins = Bins::default();
        bins.close(at(10), &look(&[("a", 4), ("b", 0)], 3, 1));
        bins.close(at(20), &look(&[("a", 10), ("b", 0)], 0, 1));
        let told = bins.since(at(0), &look(&[("a", 10), ("b", 1)], 0, 6));
        let calls = |name| -> Vec<u32> {
            told.iter().map(|bin| bin.keys.get(&key(name)).copied().unwrap_or_default().calls).collect()
        };
        assert_eq!((calls("a"), calls("b")), (vec![4, 6, 0], vec![0, 0, 1]));
        assert_eq!(told[1].keys[&key("a")].succeeded, 3);
        assert!(!told[0].keys.contains_key(&key("b")), "idleness takes no room");
        let loads: Vec<_> = told.iter().map(|bin| bin.providers.get(&"p".into()).copied()).collect();
        let load = |queued, fell_over| Some(Load { queued, in_flight: 0, fell_over });
        assert_eq!(loads, [load(3, 1), None, load(0, 5)]);
        let begun: Vec<Moment> = bins.since(at(20), &Look::default()).iter().map(|bin| bin.from).collect();
        assert_eq!(begun, [at(20)]);
    }

    #[test]
    fn a_key_that_begins_anew_counts_from_zero() {
        let mut bins = Bins::default();
        bins.close(at(10), &look(&[("a", 100)], 0, 0));
        bins.close(at(20), &look(&[("a", 3)], 0, 0));
        assert_eq!(bins.since(at(10), &look(&[("a", 3)], 0, 0))[0].keys[&key("a")].calls, 3);
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept() {
        let mut bins = Bins::default();
        for number in 1..=1_000 {
            bins.close(at(10 * number), &look(&[("a", number)], 0, 0));
        }
        let told = bins.since(at(0), &look(&[("a", 1_000)], 0, 0));
        assert_eq!((told.len(), told[0].from, told[90].from), (91, at(9_100), at(10_000)));
    }
}
