//! How far a run is: written by its threads, read by whoever draws.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use keywheel_actors::outcome::Usage;

use crate::batch::budget::so_far::Spending;
use crate::batch::run::stop::Stage;

/// Published counters. Each has one writer; they are for people and needn't agree to the row.
#[derive(Default, Debug)]
pub struct Progress {
    bytes_total: Option<u64>,
    bytes_read: AtomicU64,
    rows_read: AtomicU64,
    done_before: AtomicU64,
    duplicates_skipped: AtomicU64,
    input_over: AtomicBool,
    ok: AtomicU64,
    failed: AtomicU64,
    invalid: AtomicU64,
    retried: AtomicU64,
    under_way: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    cache_hits: AtomicU64,
    draining: AtomicBool,
    spending: Mutex<Option<Spending>>,
}

/// Rows, by how they ended.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RowCounts {
    /// Answered by a provider.
    pub ok: u64,
    /// Sent without success.
    pub failed: u64,
    /// Not sent: the line can't be understood, or its id isn't new.
    pub invalid: u64,
    /// Those that took more than one call, ok or failed.
    pub retried: u64,
}

impl RowCounts {
    /// Rows that have their output line.
    pub const fn answered(&self) -> u64 {
        self.ok + self.failed + self.invalid
    }
}

/// How many rows of the input this run has to answer: those that an earlier run has written are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Total {
    /// A pipe that is still open.
    Unknown,
    /// By the mean length of the rows so far and the length of the file.
    About(u64),
    /// It has been read to its end.
    Exactly(u64),
}

impl Total {
    /// With so many more.
    pub(in crate::batch) const fn and(self, more: u64) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::About(rows) => Self::About(rows + more),
            Self::Exactly(rows) => Self::Exactly(rows + more),
        }
    }

    /// The number, exact or not.
    pub(in crate::batch) const fn known(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::About(rows) | Self::Exactly(rows) => Some(rows),
        }
    }
}

impl Progress {
    /// At the start. `bytes_total` is the length of the input, if it is known.
    pub(in crate::batch) fn new(bytes_total: Option<u64>) -> Self {
        Self { bytes_total, ..Self::default() }
    }

    /// Rows read so far, empty lines excepted.
    pub(in crate::batch) fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Acquire)
    }

    /// Rows passed over so far because an earlier run has written them; they are not among those read.
    pub(in crate::batch) fn done_before(&self) -> u64 {
        self.done_before.load(Ordering::Acquire)
    }

    /// Rows passed over so far because their `custom_id` stood on an earlier line.
    pub(in crate::batch) fn duplicates_skipped(&self) -> u64 {
        self.duplicates_skipped.load(Ordering::Acquire)
    }

    /// Whether the input has been read to its end.
    pub(in crate::batch) fn input_over(&self) -> bool {
        self.input_over.load(Ordering::Acquire)
    }

    /// How many rows there are, as far as can be told.
    pub(in crate::batch) fn total(&self) -> Total {
        let rows = self.rows_read();
        if self.input_over() {
            return Total::Exactly(rows);
        }
        let read = self.bytes_read.load(Ordering::Relaxed);
        match self.bytes_total {
            Some(all) if read > 0 && all >= read => {
                let passed_over = self.done_before() + self.duplicates_skipped();
                let scaled = u128::from(rows + passed_over) * u128::from(all) / u128::from(read);
                Total::About(u64::try_from(scaled).unwrap_or(u64::MAX).saturating_sub(passed_over))
            }
            Some(_) | None => Total::Unknown,
        }
    }

    /// How much of the input has been read, from 0 to 1. `None` if its length isn't known.
    pub(in crate::batch) fn share_read(&self) -> Option<f64> {
        let all = self.bytes_total.filter(|all| *all > 0)?;
        Some(self.bytes_read.load(Ordering::Relaxed) as f64 / all as f64)
    }

    /// Rows that have ended.
    pub fn rows(&self) -> RowCounts {
        RowCounts {
            ok: self.ok.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            invalid: self.invalid.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
        }
    }

    /// Rows handed to the wheel and not yet answered.
    pub(in crate::batch) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Tokens of the rows that succeeded.
    pub(in crate::batch) fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens.load(Ordering::Relaxed),
            output_tokens: self.output_tokens.load(Ordering::Relaxed),
            cached_tokens: self.cached_tokens.load(Ordering::Relaxed),
        }
    }

    /// Rows answered from the cache, without a call.
    pub(in crate::batch) fn cache_hits(&self) -> u64 {
        self.cache_hits.load(Ordering::Relaxed)
    }

    /// What is spent. `None` if the configuration has no prices.
    pub(in crate::batch) fn spending(&self) -> Option<Spending> {
        self.spending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether new rows are still taken.
    pub(in crate::batch) fn stage(&self) -> Stage {
        if self.draining.load(Ordering::Relaxed) { Stage::Drain } else { Stage::Go }
    }

    /// The reader has taken so many bytes of the input in all.
    pub(in crate::batch) fn note_bytes_read(&self, bytes: u64) {
        self.bytes_read.store(bytes, Ordering::Relaxed);
    }

    /// The reader has found one more row.
    pub(in crate::batch) fn note_row(&self) {
        self.rows_read.fetch_add(1, Ordering::Release);
    }

    /// The reader has passed over a row that an earlier run has written.
    pub(in crate::batch) fn note_done_before(&self) {
        self.done_before.fetch_add(1, Ordering::Release);
    }

    /// The reader has passed over a row whose `custom_id` stood on an earlier line.
    pub(in crate::batch) fn note_duplicate_skipped(&self) {
        self.duplicates_skipped.fetch_add(1, Ordering::Release);
    }

    /// The reader has reached the end.
    pub(in crate::batch) fn note_input_over(&self) {
        self.input_over.store(true, Ordering::Release);
    }

    /// The loop stands here.
    pub(in crate::batch) fn note_rows(&self, rows: RowCounts, under_way: usize) {
        self.ok.store(rows.ok, Ordering::Relaxed);
        self.failed.store(rows.failed, Ordering::Relaxed);
        self.invalid.store(rows.invalid, Ordering::Relaxed);
        self.retried.store(rows.retried, Ordering::Relaxed);
        self.under_way.store(under_way as u64, Ordering::Relaxed);
    }

    /// So much is spent.
    pub(in crate::batch) fn note_spending(&self, spending: Spending) {
        *self.spending.lock().unwrap_or_else(PoisonError::into_inner) = Some(spending);
    }

    /// The rows that succeeded took so many tokens.
    pub(in crate::batch) fn note_usage(&self, usage: Usage) {
        self.input_tokens.store(usage.input_tokens, Ordering::Relaxed);
        self.output_tokens.store(usage.output_tokens, Ordering::Relaxed);
        self.cached_tokens.store(usage.cached_tokens, Ordering::Relaxed);
    }

    /// So many rows were answered from the cache.
    pub fn note_cache_hits(&self, rows: u64) {
        self.cache_hits.store(rows, Ordering::Relaxed);
    }

    /// The loop takes no new rows.
    pub(in crate::batch) fn note_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::budget::so_far::tests::spending;

    #[test]
    fn the_total_sharpens_as_the_input_is_read() {
        let progress = Progress::new(Some(1_000));
        assert_eq!(progress.total(), Total::Unknown);
        progress.note_bytes_read(100);
        progress.note_row();
        progress.note_row();
        assert_eq!(progress.total(), Total::About(20));
        progress.note_input_over();
        assert_eq!(progress.total(), Total::Exactly(2));
    }

    #[test]
    fn rows_of_an_earlier_run_are_no_part_of_the_total() {
        let progress = Progress::new(Some(1_000));
        progress.note_bytes_read(100);
        progress.note_done_before();
        progress.note_done_before();
        assert_eq!(progress.total(), Total::About(18));
        progress.note_row();
        progress.note_input_over();
        assert_eq!((progress.total(), progress.done_before()), (Total::Exactly(1), 2));
    }

    #[test]
    fn a_cost_is_unknown_until_somebody_reckons_it() {
        let progress = Progress::new(None);
        assert_eq!(progress.spending(), None);
        progress.note_spending(spending("0.25"));
        assert_eq!(progress.spending(), Some(spending("0.25")));
    }

    #[test]
    fn the_rows_of_a_pipe_are_unknown_until_it_closes() {
        let progress = Progress::new(None);
        progress.note_bytes_read(100);
        progress.note_row();
        assert_eq!(progress.total(), Total::Unknown);
        progress.note_input_over();
        assert_eq!(progress.total(), Total::Exactly(1));
    }
}
