//! What the reader tells of the input's order: row after row, whether it is run or has its line already.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scratch::{Entries, pair, shared, unpair};
use crate::batch::input::hash::RowHash;

/// Rows are known by their line, and there are fewer than 2⁶³ of those.
const DONE: u64 = 1 << 63;

/// A row in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Placing {
    /// Its line in the input.
    pub line: u64,
    /// The hash of its name.
    pub id: u64,
    /// Whether it is run.
    pub state: Placed,
}

/// Whether a row is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Placed {
    /// It is.
    Runs,
    /// It has its line from an earlier run.
    Done,
}

/// The reader's end.
#[derive(Debug)]
pub(in crate::batch) struct OrderFeed {
    entries: Entries<16>,
    count: Arc<AtomicU64>,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct FeedReader {
    entries: Entries<16>,
    count: Arc<AtomicU64>,
    next: u64,
}

/// A feed in `directory`. It takes sixteen bytes a row.
pub(super) fn feed(directory: &Path) -> io::Result<(OrderFeed, FeedReader)> {
    let (written, read) = shared(directory)?;
    let count = Arc::new(AtomicU64::new(0));
    let reader = FeedReader { entries: Entries::of(read), count: Arc::clone(&count), next: 0 };
    Ok((OrderFeed { entries: Entries::of(written), count }, reader))
}

impl OrderFeed {
    /// The next row of the input.
    ///
    /// # Errors
    /// If the disk takes nothing more.
    pub(in crate::batch) fn note(&mut self, line: u64, hash: RowHash, state: Placed) -> io::Result<()> {
        let mark = match state {
            Placed::Runs => 0,
            Placed::Done => DONE,
        };
        let number = self.count.load(Ordering::Relaxed);
        self.entries.put(number, pair(line | mark, hash.id))?;
        self.count.store(number + 1, Ordering::Release);
        Ok(())
    }
}

impl FeedReader {
    /// The next row, which stays the next until [`FeedReader::pass`]; `None` if there is none yet.
    pub(super) fn peek(&mut self) -> io::Result<Option<Placing>> {
        if self.next == self.count.load(Ordering::Acquire) {
            return Ok(None);
        }
        let (line, id) = unpair(self.entries.get(self.next)?.ok_or(io::ErrorKind::UnexpectedEof)?);
        let state = if line & DONE == 0 { Placed::Runs } else { Placed::Done };
        Ok(Some(Placing { line: line & !DONE, id, state }))
    }

    pub(super) const fn pass(&mut self) {
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_in_order() {
        let (mut feed, mut reader) = feed(&std::env::temp_dir()).unwrap();
        assert_eq!(reader.peek().unwrap(), None);
        let hash = RowHash { id: u64::MAX, content: 0 };
        feed.note(3, hash, Placed::Done).unwrap();
        feed.note(5, hash, Placed::Runs).unwrap();
        assert_eq!(reader.peek().unwrap(), Some(Placing { line: 3, id: u64::MAX, state: Placed::Done }));
        reader.pass();
        assert_eq!(reader.peek().unwrap(), Some(Placing { line: 5, id: u64::MAX, state: Placed::Runs }));
        reader.pass();
        assert_eq!(reader.peek().unwrap(), None);
    }
}
