//! Where a row's line is in the spool: on the disk, so that memory stays flat for any number of rows.

use std::io;
use std::path::Path;

use super::scratch::{Entries, pair, unpair};
use crate::batch::output::journal::record::{LineRecord, RECORD_BYTES, Record};

/// A record and two offsets.
const PLACE_BYTES: usize = RECORD_BYTES + 16;

/// A line in the spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SpoolPlace {
    /// What the journal says of it.
    pub record: LineRecord,
    /// Where it begins in the spool.
    pub offset: u64,
    /// Where its line in the error file begins.
    pub error_offset: u64,
}

/// Lines by their number in the spool, by their row's line in this input, and by their row's name.
#[derive(Debug)]
pub(super) struct Index {
    places: Entries<PLACE_BYTES>,
    /// For the rows of this run: the number + 1.
    by_line: Entries<8>,
    /// For the rows of earlier runs: hash of the name, number + 1. Open addressing, never more than half full.
    by_id: Entries<16>,
    by_id_slots: u64,
    lines: u64,
    offset: u64,
    error_offset: u64,
}

impl Index {
    /// Its files are in `directory`. `lines_before` is how many lines earlier runs have left.
    pub(super) fn new(directory: &Path, lines_before: u64) -> io::Result<Self> {
        let by_id_slots = (lines_before * 2).max(1);
        let by_id = Entries::in_directory(directory)?;
        by_id.make_room(by_id_slots)?;
        Ok(Self {
            places: Entries::in_directory(directory)?,
            by_line: Entries::in_directory(directory)?,
            by_id,
            by_id_slots,
            lines: 0,
            offset: 0,
            error_offset: 0,
        })
    }

    /// How many lines the spool has.
    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes in a line of an earlier run.
    pub(super) fn add_before(&mut self, record: LineRecord) -> io::Result<()> {
        let number = self.add(record)?;
        let slot = self.slot_of(record.hash.id)?;
        self.by_id.put(slot, pair(record.hash.id, number + 1))
    }

    /// Takes in a line of this run.
    pub(super) fn add_now(&mut self, record: LineRecord) -> io::Result<()> {
        let number = self.add(record)?;
        self.by_line.put(record.line, (number + 1).to_le_bytes())
    }

    fn add(&mut self, record: LineRecord) -> io::Result<u64> {
        let mut place = [0; PLACE_BYTES];
        place[..RECORD_BYTES].copy_from_slice(&Record::Line(record).encode());
        place[RECORD_BYTES..].copy_from_slice(&pair(self.offset, self.error_offset));
        let number = self.lines;
        self.places.put(number, place)?;
        self.lines += 1;
        self.offset += u64::from(record.bytes);
        self.error_offset += u64::from(record.error_bytes);
        Ok(number)
    }

    /// The number of the line that the row on this line of the input was given in this run.
    pub(super) fn by_line(&mut self, line: u64) -> io::Result<Option<u64>> {
        let number = self.by_line.get(line)?.map_or(0, u64::from_le_bytes);
        Ok(number.checked_sub(1))
    }

    /// The number of the last line that a row of this name was given in an earlier run.
    pub(super) fn by_id(&mut self, id: u64) -> io::Result<Option<u64>> {
        let slot = self.slot_of(id)?;
        let (_, number) = self.by_id.get(slot)?.map_or((0, 0), unpair);
        Ok(number.checked_sub(1))
    }

    /// The slot of a name, or the free one where it belongs.
    fn slot_of(&mut self, id: u64) -> io::Result<u64> {
        let mut slot = id % self.by_id_slots;
        loop {
            let (found, number) = self.by_id.get(slot)?.map_or((0, 0), unpair);
            if number == 0 || found == id {
                return Ok(slot);
            }
            slot = (slot + 1) % self.by_id_slots;
        }
    }

    /// Where a line is.
    pub(super) fn place(&mut self, number: u64) -> io::Result<SpoolPlace> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the index of the spool is damaged");
        let bytes = self.places.get(number)?.ok_or_else(damaged)?;
        let record = bytes.first_chunk().and_then(Record::decode).ok_or_else(damaged)?;
        let Record::Line(record) = record else {
            return Err(damaged());
        };
        let (offset, error_offset) = unpair(*bytes.last_chunk().ok_or_else(damaged)?);
        Ok(SpoolPlace { record, offset, error_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::input::hash::RowHash;
    use crate::batch::output::journal::record::Kind;

    fn record(id: u64, line: u64) -> LineRecord {
        let hash = RowHash { id, content: 0 };
        LineRecord { hash, kind: Kind::Ok, line, bytes: 10, error_bytes: 2, sum: 0 }
    }

    #[test]
    fn lines_are_found_by_line_and_by_name() {
        let mut index = Index::new(&std::env::temp_dir(), 4).unwrap();
        // All of them fall on one slot of eight; the last line of a name counts.
        for id in [8, 16, 24, 8] {
            index.add_before(record(id, 1)).unwrap();
        }
        index.add_now(record(16, 3)).unwrap();
        assert_eq!([8, 16, 24, 32].map(|id| index.by_id(id).unwrap()), [Some(3), Some(1), Some(2), None]);
        assert_eq!([1, 3, 9].map(|line| index.by_line(line).unwrap()), [None, Some(4), None]);
        let place = index.place(4).unwrap();
        assert_eq!((place.record, place.offset, place.error_offset), (record(16, 3), 40, 8));
    }

    #[test]
    fn without_earlier_runs_no_name_is_known() {
        assert_eq!(Index::new(&std::env::temp_dir(), 0).unwrap().by_id(7).unwrap(), None);
    }
}
