//! How much of an input has been read, in bytes as they lie on the disk.
//!
//! The meter stands below the decoder of a packed file, so that the share of the file that is done is right
//! whatever the packing saves.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The count, shared by whoever reads and whoever tells.
#[derive(Clone, Default, Debug)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A reader whose bytes are counted as they are used, not as they are buffered.
#[derive(Debug)]
pub(super) struct Metered<R> {
    reader: R,
    meter: Meter,
}

impl<R> Metered<R> {
    pub(super) fn new(reader: R, meter: Meter) -> Self {
        Self { reader, meter }
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(bytes)?;
        self.meter.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.meter.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
