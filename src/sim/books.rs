//! The books as they are kept: cheap to write on every call, put in order when read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use keywheel_actors::clock::Moment;

use super::ledger::Outcome;

/// Calls whose request id is kept: about 140 MB with ids of 36 bytes.
pub(crate) const REQUESTS_MAX: usize = 2_000_000;

/// Longer request ids are kept up to here.
pub(crate) const REQUEST_ID_BYTES_MAX: usize = 128;

/// The counts of one key.
#[derive(Debug)]
pub(crate) struct Tally {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    accepted: AtomicU64,
    tokens: AtomicU64,
    first_ms: AtomicU64,
    last_ms: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            outcomes: [const { AtomicU64::new(0) }; Outcome::ALL.len()],
            accepted: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            first_ms: AtomicU64::new(u64::MAX),
            last_ms: AtomicU64::new(0),
        }
    }
}

impl Tally {
    pub(crate) fn note(&self, now: Moment, outcome: Outcome) {
        let now_ms = millis(now);
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        self.first_ms.fetch_min(now_ms, Relaxed);
        self.last_ms.fetch_max(now_ms, Relaxed);
    }

    pub(crate) fn note_accepted(&self, tokens: u64) {
        self.accepted.fetch_add(1, Relaxed);
        self.tokens.fetch_add(tokens, Relaxed);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Relaxed)
    }

    pub(crate) fn outcomes(&self) -> BTreeMap<Outcome, u64> {
        let count = |outcome: &Outcome| self.outcomes[*outcome as usize].load(Relaxed);
        Outcome::ALL.into_iter().map(|outcome| (outcome, count(&outcome))).filter(|(_, n)| *n > 0).collect()
    }

    /// First and last call, in ms since the start.
    pub(crate) fn span_ms(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.first_ms.load(Relaxed), self.last_ms.load(Relaxed));
        (first != u64::MAX).then_some((first, last))
    }
}

/// What happened to each request id, one line a call.
#[derive(Debug)]
pub(crate) struct RequestLog {
    lines_max: usize,
    lines: Vec<Line>,
    /// All ids behind one another, so that a line needs no allocation of its own.
    ids: Vec<u8>,
    forgotten: u64,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    id_end: usize,
    at_ms: u64,
    /// The key's place. `None` for a stranger.
    pub(crate) key: Option<u32>,
    pub(crate) outcome: Outcome,
}

impl Line {
    pub(crate) fn at_ms(&self) -> u64 {
        self.at_ms
    }
}

impl RequestLog {
    pub(crate) fn new(lines_max: usize) -> Self {
        Self { lines_max, lines: Vec::new(), ids: Vec::new(), forgotten: 0 }
    }

    pub(crate) fn note(&mut self, now: Moment, id: &[u8], key: Option<u32>, outcome: Outcome) {
        if self.lines.len() == self.lines_max {
            self.forgotten += 1;
            return;
        }
        self.ids.extend_from_slice(&id[..id.len().min(REQUEST_ID_BYTES_MAX)]);
        self.lines.push(Line { id_end: self.ids.len(), at_ms: millis(now), key, outcome });
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All lines with their ids, oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Cow<'_, str>, &Line)> {
        let mut id_start = 0;
        self.lines.iter().map(move |line| {
            let id = String::from_utf8_lossy(&self.ids[id_start..line.id_end]);
            id_start = line.id_end;
            (id, line)
        })
    }
}

/// Whole milliseconds since the start.
pub(crate) fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_tally_counts_by_outcome_and_keeps_first_and_last() {
        let tally = Tally::default();
        assert_eq!((tally.span_ms(), tally.outcomes()), (None, BTreeMap::new()));
        tally.note(at(5), Outcome::Served);
        tally.note_accepted(12);
        tally.note(at(9), Outcome::Throttled);
        tally.note(at(7), Outcome::Served);
        tally.note_accepted(30);
        assert_eq!(tally.span_ms(), Some((5, 9)));
        assert_eq!(tally.outcomes(), BTreeMap::from([(Outcome::Served, 2), (Outcome::Throttled, 1)]));
        assert_eq!((tally.accepted(), tally.tokens()), (2, 42));
    }

    #[test]
    fn the_log_keeps_its_limit_and_says_what_it_forgot() {
        let mut log = RequestLog::new(2);
        let too_long = [b'x'; REQUEST_ID_BYTES_MAX + 1];
        log.note(at(1), b"a", Some(3), Outcome::Throttled);
        log.note(at(2), &too_long, None, Outcome::BadKey);
        log.note(at(3), b"a", Some(4), Outcome::Served);
        let lines: Vec<_> =
            log.lines().map(|(id, line)| (id.into_owned(), line.at_ms(), line.key, line.outcome)).collect();
        assert_eq!(
            lines,
            [
                ("a".to_owned(), 1, Some(3), Outcome::Throttled),
                ("x".repeat(REQUEST_ID_BYTES_MAX), 2, None, Outcome::BadKey),
            ]
        );
        assert_eq!(log.forgotten(), 1);
    }
}
