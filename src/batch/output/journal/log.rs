//! Lines that outlast the process: written together with their records, and certain within a second.
//!
//! Of a compressed OUT the last lines wait in a file of their own, plain, until they are enough for a member
//! or frame that compresses well; so also these lines outlast a kill as soon as they are there.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use super::record::{Ends, LineRecord, Record, sum_of};
use crate::batch::output::error_file::ErrorFile;
use crate::batch::output::line::Entry;
use crate::batch::output::pack::Packing;

/// Bytes gathered before they are written: few system calls, little to lose.
const GROUP_BYTES: usize = 128 * 1024;

/// Bytes that make a member or frame: the formats gain little beyond, and a power cut can cost no more.
const FRAME_BYTES: usize = 1024 * 1024;

/// A power cut costs what was written within it.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The files of a log.
#[derive(Debug)]
pub(in crate::batch::output) struct Files {
    /// Where the lines go.
    pub out: File,
    /// How.
    pub packing: Packing,
    /// Lines that wait to be compressed; `None` unless they are.
    pub tail: Option<File>,
    /// Rows that failed.
    pub errors: ErrorFile,
    /// What the journal's header and records are in.
    pub journal: File,
}

/// Lines with their journal.
pub(in crate::batch::output) struct Log {
    files: Files,
    ends: Ends,
    journal_bytes: u64,
    group: Group,
    /// What the tail's file holds.
    tail_text: Vec<u8>,
    is_synced: bool,
    synced_at: Instant,
}

/// What is written next.
#[derive(Default)]
struct Group {
    text: Vec<u8>,
    error_text: Vec<u8>,
    records: Vec<u8>,
    lines: u64,
}

impl Log {
    /// Goes on behind these ends. The files are cut to them.
    pub(in crate::batch::output) fn begin(
        mut files: Files,
        ends: Ends,
        journal_bytes: u64,
    ) -> io::Result<Self> {
        cut(&mut files.out, ends.out)?;
        cut(&mut files.journal, journal_bytes)?;
        files.errors.cut(ends.errors)?;
        let mut tail_text = Vec::new();
        if let Some(tail) = &mut files.tail {
            tail.set_len(ends.tail)?;
            tail.rewind()?;
            io::copy(tail, &mut tail_text)?;
        }
        let synced_at = Instant::now();
        Ok(Self {
            files,
            ends,
            journal_bytes,
            group: Group::default(),
            tail_text,
            is_synced: true,
            synced_at,
        })
    }

    /// Takes a row's lines.
    ///
    /// # Errors
    /// If a file takes nothing more, or a line is beyond 4 GiB.
    pub(in crate::batch::output) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let record = Record::Line(record_of(entry)?);
        self.group.text.extend_from_slice(&entry.text);
        self.group.error_text.extend_from_slice(&entry.error_text);
        self.group.records.extend_from_slice(&record.encode());
        self.group.lines += 1;
        Ok(())
    }

    /// Whether the group is large enough to be written.
    pub(in crate::batch::output) fn is_full(&self) -> bool {
        self.group.text.len() + self.group.error_text.len() >= GROUP_BYTES
    }

    /// Writes what was taken: once this returns, it outlasts a kill. Returns how many lines that were.
    ///
    /// # Errors
    /// If a file takes nothing more; the files are then as they were before.
    pub(in crate::batch::output) fn commit(&mut self) -> io::Result<u64> {
        let written = self.try_commit();
        if written.is_err() {
            self.restore();
        }
        written
    }

    fn try_commit(&mut self) -> io::Result<u64> {
        if self.group.lines > 0 {
            self.write_group()?;
        }
        if self.tail_text.len() >= FRAME_BYTES {
            self.pack_tail()?;
        }
        if !self.is_synced && self.synced_at.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        let lines = self.group.lines;
        self.group.lines = 0;
        Ok(lines)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut ends = self.ends;
        match &mut self.files.tail {
            None => {
                self.files.out.write_all(&self.group.text)?;
                ends.out += self.group.text.len() as u64;
            }
            Some(tail) => {
                tail.write_all(&self.group.text)?;
                ends.tail += self.group.text.len() as u64;
            }
        }
        self.files.errors.write(&self.group.error_text)?;
        ends.errors += self.group.error_text.len() as u64;
        let mut records = std::mem::take(&mut self.group.records);
        records.extend_from_slice(&Record::Commit(ends).encode());
        self.write_records(&records)?;
        self.ends = ends;
        if self.files.tail.is_some() {
            self.tail_text.extend_from_slice(&self.group.text);
        }
        self.group.text.clear();
        self.group.error_text.clear();
        self.is_synced = false;
        Ok(())
    }

    /// Compresses the lines that wait. Their plain copy goes when nothing can take the compressed one away.
    fn pack_tail(&mut self) -> io::Result<()> {
        let packed = self.files.packing.pack(&self.tail_text)?;
        self.files.out.write_all(&packed)?;
        self.files.out.sync_data()?;
        let ends = Ends { out: self.ends.out + packed.len() as u64, tail: 0, ..self.ends };
        self.write_records(&Record::Commit(ends).encode())?;
        self.files.journal.sync_data()?;
        self.ends = ends;
        self.tail_text.clear();
        if let Some(tail) = &mut self.files.tail {
            cut(tail, 0)?;
        }
        Ok(())
    }

    /// Makes certain what was committed.
    fn sync(&mut self) -> io::Result<()> {
        self.files.out.sync_data()?;
        self.files.errors.sync()?;
        if let Some(tail) = &self.files.tail {
            tail.sync_data()?;
        }
        // The mark may only reach the disk behind the commits that it speaks of.
        self.files.journal.sync_data()?;
        self.write_records(&Record::Synced.encode())?;
        self.is_synced = true;
        self.synced_at = Instant::now();
        Ok(())
    }

    /// Writes everything, compresses what waits, and makes it certain.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub(in crate::batch::output) fn settle(&mut self) -> io::Result<u64> {
        let lines = self.commit()?;
        let settled = self.try_settle();
        if settled.is_err() {
            self.restore();
        }
        settled.map(|()| lines)
    }

    fn try_settle(&mut self) -> io::Result<()> {
        // Also without a line: nothing at all isn't a compressed file.
        if self.files.tail.is_some() && (!self.tail_text.is_empty() || self.ends.out == 0) {
            self.pack_tail()?;
            self.is_synced = false;
        }
        if self.is_synced { Ok(()) } else { self.sync() }
    }

    /// No row has more than one line, and that is certain.
    pub(in crate::batch::output) fn note_tidy(&mut self) -> io::Result<()> {
        // Whoever has read the journal has moved its position.
        cut(&mut self.files.journal, self.journal_bytes)?;
        self.write_records(&Record::Tidy.encode())?;
        self.files.journal.sync_data()
    }

    /// The journal, to be read once everything is settled. Its position is shared.
    pub(in crate::batch::output) const fn journal(&self) -> &File {
        &self.files.journal
    }

    /// The files and their lengths, to be read once everything is settled.
    pub(in crate::batch::output) const fn parts(&mut self) -> (&mut Files, Ends) {
        (&mut self.files, self.ends)
    }

    fn write_records(&mut self, records: &[u8]) -> io::Result<()> {
        self.files.journal.write_all(records)?;
        self.journal_bytes += records.len() as u64;
        Ok(())
    }

    /// Takes away what was half written. The next start would do the same.
    fn restore(&mut self) {
        let _ = cut(&mut self.files.out, self.ends.out);
        let _ = cut(&mut self.files.journal, self.journal_bytes);
        let _ = self.files.errors.cut(self.ends.errors);
        if let Some(tail) = &mut self.files.tail {
            let _ = cut(tail, self.ends.tail);
        }
    }
}

/// The record of a row's lines.
pub(in crate::batch::output) fn record_of(entry: &Entry) -> io::Result<LineRecord> {
    let length = |text: &[u8]| {
        u32::try_from(text.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a line beyond 4 GiB"))
    };
    Ok(LineRecord {
        hash: entry.hash,
        kind: entry.kind,
        line: entry.line,
        bytes: length(&entry.text)?,
        error_bytes: length(&entry.error_text)?,
        sum: sum_of(&entry.text, &entry.error_text),
    })
}

/// Makes a file so long, and goes to its end.
pub(in crate::batch::output) fn cut(file: &mut File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    Ok(())
}
