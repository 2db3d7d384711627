//! Where lines can go.

use std::io::{self, Write};

use super::error_file::ErrorFile;
use super::journal::compact::compact;
use super::journal::header::Header;
use super::journal::log::Log;
use super::journal::superseded::superseded;
use super::line::Entry;
use super::paths::Paths;

/// Bytes gathered before they are written: few system calls, little to lose.
const GROUP_BYTES: usize = 128 * 1024;

/// Takes lines, in groups.
pub(super) trait Sink: Send {
    /// Takes a row's lines into the group.
    fn add(&mut self, entry: &Entry) -> io::Result<()>;

    /// Whether the group should be written.
    fn is_full(&self) -> bool;

    /// Writes the group. Returns how many lines that were. Called with an empty group when a while has passed.
    fn commit(&mut self) -> io::Result<u64>;

    /// Sets in order what was committed: nothing more comes.
    fn finish(&mut self) -> io::Result<()>;
}

/// What can only be written to, such as stdout: nobody can go on with it.
pub(super) struct Stream<W> {
    out: W,
    errors: ErrorFile,
    text: Vec<u8>,
    error_text: Vec<u8>,
    lines: u64,
}

impl<W: Write + Send> Stream<W> {
    pub(super) const fn new(out: W, errors: ErrorFile) -> Self {
        Self { out, errors, text: Vec::new(), error_text: Vec::new(), lines: 0 }
    }
}

impl<W: Write + Send> Sink for Stream<W> {
    fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.text.extend_from_slice(&entry.text);
        self.error_text.extend_from_slice(&entry.error_text);
        self.lines += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.text.len() + self.error_text.len() >= GROUP_BYTES
    }

    fn commit(&mut self) -> io::Result<u64> {
        self.out.write_all(&self.text)?;
        self.out.flush()?;
        self.errors.write(&self.error_text)?;
        self.text.clear();
        self.error_text.clear();
        Ok(std::mem::take(&mut self.lines))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.commit().map(drop)
    }
}

/// OUT with its journal, in order of completion.
pub(super) struct Journaled {
    pub(super) log: Log,
    pub(super) header: Header,
    pub(super) paths: Paths,
    /// Lines in OUT, those of earlier runs included.
    pub(super) lines: u64,
    /// Whether a row may have more than one of them.
    pub(super) repeats: Repeats,
}

/// Whether a row may have more than one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeats {
    /// It can't: no earlier run has written lines.
    Never,
    /// Not until one is written: earlier runs have left one each.
    NotYet,
    /// It may.
    Perhaps,
}

impl Sink for Journaled {
    fn add(&mut self, entry: &Entry) -> io::Result<()> {
        if self.repeats == Repeats::NotYet {
            self.repeats = Repeats::Perhaps;
        }
        self.log.add(entry)
    }

    fn is_full(&self) -> bool {
        self.log.is_full()
    }

    fn commit(&mut self) -> io::Result<u64> {
        let lines = self.log.commit()?;
        self.lines += lines;
        Ok(lines)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.lines += self.log.settle()?;
        if self.repeats == Repeats::Perhaps {
            let superseded = superseded(self.log.journal(), self.lines)?;
            if superseded.count() > 0 {
                let (files, ends) = self.log.parts();
                return compact(files, ends, &superseded, self.header, &self.paths);
            }
        }
        self.log.note_tidy()
    }
}
