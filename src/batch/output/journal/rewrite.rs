//! New files with the lines of old ones, in any order: OUT, the error file and their journal.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};

use super::header::Header;
use super::record::{Ends, LineRecord, Record};
use crate::batch::output::order::Order;
use crate::batch::output::pack::Packing;
use crate::batch::output::paths::Paths;

/// Bytes of a member or frame.
const FRAME_BYTES: usize = 1024 * 1024;

/// The lines of OUT on their way, compressed if they are to be.
pub(in crate::batch::output) struct Packer<W> {
    sink: W,
    packing: Packing,
    waiting: Vec<u8>,
    /// Bytes that the lines had.
    bytes: u64,
    /// Bytes that they have now.
    packed_bytes: u64,
}

impl<W: Write> Packer<W> {
    pub(in crate::batch::output) const fn new(sink: W, packing: Packing) -> Self {
        Self { sink, packing, waiting: Vec::new(), bytes: 0, packed_bytes: 0 }
    }

    /// Takes a line.
    pub(in crate::batch::output) fn add(&mut self, text: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(text);
        self.bytes += text.len() as u64;
        if self.waiting.len() >= FRAME_BYTES { self.pack() } else { Ok(()) }
    }

    /// Writes what waits, unless compressing so little would be a waste.
    pub(in crate::batch::output) fn flush(&mut self) -> io::Result<()> {
        match self.packing {
            Packing::Plain => {
                self.pack()?;
                self.sink.flush()
            }
            Packing::Gzip | Packing::Zstd => Ok(()),
        }
    }

    fn pack(&mut self) -> io::Result<()> {
        let packed = match self.packing {
            Packing::Plain => std::mem::take(&mut self.waiting),
            Packing::Gzip | Packing::Zstd => self.packing.pack(&self.waiting)?,
        };
        self.sink.write_all(&packed)?;
        self.packed_bytes += packed.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Writes everything.
    pub(in crate::batch::output) fn finish(&mut self) -> io::Result<&W> {
        // Also without a line: nothing at all isn't a compressed file.
        if !self.waiting.is_empty() || self.packed_bytes == 0 {
            self.pack()?;
        }
        self.sink.flush()?;
        Ok(&self.sink)
    }
}

/// New files.
pub(in crate::batch::output) struct Rewrite {
    out: Packer<File>,
    errors: BufWriter<File>,
    journal: BufWriter<File>,
    order: Order,
    ends: Ends,
}

impl Rewrite {
    /// Begins them beside the old ones; OUT's are written to `out`.
    pub(in crate::batch::output) fn begin(
        out: File,
        packing: Packing,
        header: Header,
        paths: &Paths,
    ) -> io::Result<Self> {
        let errors = BufWriter::new(File::create(paths.next_errors())?);
        let journal = paths.unfinished_journal();
        let journal = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(journal)?;
        // It will stand where the old one stands, and nobody else may take it meanwhile.
        journal.try_lock()?;
        let mut journal = BufWriter::new(journal);
        journal.write_all(&header.encode())?;
        Ok(Self {
            out: Packer::new(out, packing),
            errors,
            journal,
            order: header.order,
            ends: Ends::default(),
        })
    }

    /// Takes a row's lines.
    pub(in crate::batch::output) fn add(
        &mut self,
        record: &LineRecord,
        text: &[u8],
        error_text: &[u8],
    ) -> io::Result<()> {
        self.out.add(text)?;
        self.errors.write_all(error_text)?;
        self.ends.errors += error_text.len() as u64;
        self.journal.write_all(&Record::Line(*record).encode())
    }

    /// Lets OUT's readers see what was added.
    pub(in crate::batch::output) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Makes certain what was added. The new journal stays locked until this is dropped.
    pub(in crate::batch::output) fn finish(&mut self) -> io::Result<()> {
        self.out.finish()?.sync_data()?;
        self.errors.flush()?;
        self.errors.get_ref().sync_data()?;
        self.ends.out = match self.order {
            Order::Completion => self.out.packed_bytes,
            // The next run goes on with the lines before they were compressed.
            Order::Input => self.out.bytes,
        };
        for record in [Record::Commit(self.ends), Record::Synced, Record::Tidy] {
            self.journal.write_all(&record.encode())?;
        }
        self.journal.flush()?;
        self.journal.get_ref().sync_data()
    }
}
