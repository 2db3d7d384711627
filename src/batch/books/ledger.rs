//! What keys did in this run, as opposed to the life of the wheel.

use std::collections::BTreeMap;

use keywheel_actors::board::{Board, KeyCounts, KeyView};
use keywheel_actors::id::KeyId;

/// The board's counters as they stood when the run began.
#[derive(Clone, Debug, Default)]
pub(in crate::batch) struct Ledger {
    keys: BTreeMap<KeyId, KeyCounts>,
    fell_over: u64,
}

impl Ledger {
    /// Opens it with the counters of now.
    pub(in crate::batch) fn open(board: &Board) -> Self {
        Self {
            keys: board.keys().into_iter().map(|(id, view)| (id, view.counts)).collect(),
            fell_over: fell_over(board),
        }
    }

    /// The keys as they are now, with what they did since.
    pub(in crate::batch) fn keys(&self, board: &Board) -> Vec<(KeyId, KeyView)> {
        board.keys().into_iter().map(|(id, view)| self.gained(id, view)).collect()
    }

    /// Jobs that moved to another provider since.
    pub(in crate::batch) fn fell_over(&self, board: &Board) -> u64 {
        fell_over(board).saturating_sub(self.fell_over)
    }

    fn gained(&self, id: KeyId, view: KeyView) -> (KeyId, KeyView) {
        let before = self.keys.get(&id).copied().unwrap_or_default();
        let now = view.counts;
        let counts = KeyCounts {
            calls: now.calls.saturating_sub(before.calls),
            succeeded: now.succeeded.saturating_sub(before.succeeded),
            throttled: now.throttled.saturating_sub(before.throttled),
            failed: now.failed.saturating_sub(before.failed),
            cancelled: now.cancelled.saturating_sub(before.cancelled),
            tokens: now.tokens.saturating_sub(before.tokens),
        };
        (id, KeyView { counts, ..view })
    }
}

fn fell_over(board: &Board) -> u64 {
    board.providers().iter().map(|(_, view)| view.fell_over).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_the_run_is_not_of_the_run() {
        let id = KeyId { provider: "p".into(), key: "k".into() };
        let before = KeyCounts { calls: 10, succeeded: 7, throttled: 2, failed: 1, cancelled: 0, tokens: 90 };
        let ledger = Ledger { keys: BTreeMap::from([(id.clone(), before)]), fell_over: 0 };
        let now = KeyCounts { calls: 15, succeeded: 11, throttled: 2, failed: 1, cancelled: 1, tokens: 100 };
        let (_, view) = ledger.gained(id, KeyView { counts: now, ..KeyView::default() });
        let gained = KeyCounts { calls: 5, succeeded: 4, throttled: 0, failed: 0, cancelled: 1, tokens: 10 };
        assert_eq!(view.counts, gained);
    }
}
