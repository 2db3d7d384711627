//! A journal's records, one after another.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};

use super::record::{LineRecord, RECORD_BYTES, Record};

/// Records read at once.
const BUFFER_BYTES: usize = RECORD_BYTES * 1_024;

/// Reads records until one isn't whole.
pub(in crate::batch::output) struct Records {
    reader: BufReader<File>,
}

impl Records {
    /// From behind the header of `journal`, whose position is shared.
    pub(in crate::batch::output) fn of(journal: &File) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, journal.try_clone()?);
        reader.seek(SeekFrom::Start(RECORD_BYTES as u64))?;
        Ok(Self { reader })
    }

    /// The next one; `None` behind the last that is whole.
    pub(in crate::batch::output) fn next_record(&mut self) -> io::Result<Option<Record>> {
        let mut bytes = [0; RECORD_BYTES];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => Ok(Record::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next line's; marks are passed over.
    pub(in crate::batch::output) fn next_line(&mut self) -> io::Result<Option<LineRecord>> {
        while let Some(record) = self.next_record()? {
            match record {
                Record::Line(line) => return Ok(Some(line)),
                Record::Commit(_) | Record::Synced | Record::Tidy => {}
            }
        }
        Ok(None)
    }
}
