//! OUT in the order of the input.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use super::feed::{FeedReader, OrderFeed, Placed, feed};
use super::index::Index;
use crate::batch::output::journal::log::{Log, record_of};
use crate::batch::output::journal::record::LineRecord;
use crate::batch::output::journal::rewrite::{Packer, Rewrite};
use crate::batch::output::journal::superseded::{Bits, superseded};
use crate::batch::output::line::Entry;
use crate::batch::output::paths::Paths;
use crate::batch::output::sink::Sink;

/// Where lines go in their order.
pub(in crate::batch::output) enum Emission {
    /// To OUT, with a new error file and a new journal, which take their places at the end.
    File { new: Rewrite, paths: Paths },
    /// To stdout, or to something else that nobody can go on with.
    Stream(Packer<Box<dyn Write + Send>>),
}

/// Lines that wait for those before them.
pub(in crate::batch::output) struct Ordered {
    log: Log,
    /// The spool, to be read while the log writes it.
    spool: File,
    index: Index,
    feed: FeedReader,
    /// Of lines in the log's group.
    waiting: Vec<LineRecord>,
    emitted: Bits,
    emission: Emission,
    text: Vec<u8>,
}

impl Ordered {
    /// `log` writes what `spool` reads. The feed is for the reader of the input.
    pub(in crate::batch::output) fn begin(
        log: Log,
        spool: File,
        lines_before: u64,
        directory: &Path,
        emission: Emission,
    ) -> io::Result<(Self, OrderFeed)> {
        let index = Index::new(directory, lines_before)?;
        let (told, feed) = feed(directory)?;
        let (waiting, emitted, text) = (Vec::new(), Bits::default(), Vec::new());
        Ok((Self { log, spool, index, feed, waiting, emitted, emission, text }, told))
    }

    /// Takes in a line of an earlier run.
    pub(in crate::batch::output) fn add_before(&mut self, record: LineRecord) -> io::Result<()> {
        self.index.add_before(record)
    }

    /// Lets out every line whose turn it is.
    fn advance(&mut self) -> io::Result<()> {
        while let Some(row) = self.feed.peek()? {
            let number = match row.state {
                Placed::Runs => self.index.by_line(row.line)?,
                Placed::Done => self.index.by_id(row.id)?,
            };
            let Some(number) = number else {
                break;
            };
            self.emit(number)?;
            self.feed.pass();
        }
        match &mut self.emission {
            Emission::File { new, .. } => new.flush(),
            Emission::Stream(packer) => packer.flush(),
        }
    }

    /// Lets out what is left: the run is over, and rows without a line won't get one.
    fn emit_rest(&mut self) -> io::Result<()> {
        while let Some(row) = self.feed.peek()? {
            let number = match self.index.by_line(row.line)? {
                Some(number) => Some(number),
                // Also of a row that should have run again: it keeps the line that it has.
                None => self.index.by_id(row.id)?,
            };
            if let Some(number) = number {
                self.emit(number)?;
            }
            self.feed.pass();
        }
        let lines = self.index.lines();
        if self.emitted.count() == lines {
            return Ok(());
        }
        let superseded = superseded(self.log.journal(), lines)?;
        // Rows that this input doesn't have, or that weren't reached.
        for number in 0..lines {
            if !superseded.contains(number) {
                self.emit(number)?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, number: u64) -> io::Result<()> {
        if self.emitted.contains(number) {
            return Ok(());
        }
        let place = self.index.place(number)?;
        read_at(&mut self.spool, place.offset, place.record.bytes, &mut self.text)?;
        match &mut self.emission {
            Emission::Stream(packer) => packer.add(&self.text)?,
            Emission::File { new, paths } => {
                let mut error_text = Vec::new();
                if place.record.error_bytes > 0 {
                    let mut errors = File::open(&paths.errors)?;
                    read_at(&mut errors, place.error_offset, place.record.error_bytes, &mut error_text)?;
                }
                new.add(&place.record, &self.text, &error_text)?;
            }
        }
        self.emitted.insert(number);
        Ok(())
    }
}

impl Sink for Ordered {
    fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.waiting.push(record_of(entry)?);
        self.log.add(entry)
    }

    fn is_full(&self) -> bool {
        self.log.is_full()
    }

    fn commit(&mut self) -> io::Result<u64> {
        let lines = self.log.commit()?;
        for record in std::mem::take(&mut self.waiting) {
            self.index.add_now(record)?;
        }
        self.advance()?;
        Ok(lines)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.commit()?;
        self.log.settle()?;
        self.emit_rest()?;
        match &mut self.emission {
            Emission::Stream(packer) => packer.finish().map(drop),
            Emission::File { new, paths } => {
                // The lock on the new journal is held until it is in its place.
                new.finish()?;
                paths.commit()
            }
        }
    }
}

fn read_at(file: &mut File, offset: u64, bytes: u32, text: &mut Vec<u8>) -> io::Result<()> {
    text.resize(bytes as usize, 0);
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(text)
}
