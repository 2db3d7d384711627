//! The thread that writes the output.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::oneshot;

use crate::batch::output::line::OutputLine;

/// Lines that may wait for a slow disk; beyond it the loop waits too.
const LINES_WAITING_MAX: usize = 256;

/// Bytes gathered before they are written: few system calls, little to lose.
const BUFFER_BYTES: usize = 128 * 1024;

/// A killed run has on disk what it had a second ago.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The run's end of the writer.
#[derive(Debug)]
pub(in crate::batch) struct Writer {
    /// Takes lines; closed when writing has failed.
    pub lines: mpsc::Sender<OutputLine>,
    /// Lines that the output has taken for good.
    pub written: Arc<AtomicU64>,
    /// Tells how writing went, once `lines` is dropped or has failed.
    pub end: oneshot::Receiver<io::Result<()>>,
}

/// Starts the writer.
///
/// # Errors
/// If no thread can be had.
pub(in crate::batch) fn spawn(output: impl Write + Send + 'static) -> io::Result<Writer> {
    let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
    let (tell, end) = oneshot::channel();
    let written = Arc::new(AtomicU64::new(0));
    let out = LineBuffer::new(output, Arc::clone(&written));
    thread::Builder::new().name("batch-write".to_owned()).spawn(move || {
        // A run that left without waiting doesn't listen any more.
        let _ = tell.send(write_all(waiting, out));
    })?;
    Ok(Writer { lines, written, end })
}

/// Writes what comes until the channel closes.
fn write_all(mut waiting: mpsc::Receiver<OutputLine>, mut out: LineBuffer<impl Write>) -> io::Result<()> {
    loop {
        let line = match waiting.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Empty) => {
                // Nothing else to do: a good time to put everything down.
                out.flush()?;
                match waiting.blocking_recv() {
                    Some(line) => line,
                    None => return Ok(()),
                }
            }
            Err(TryRecvError::Disconnected) => return out.flush(),
        };
        out.add(&line)?;
    }
}

/// A buffer that is only ever emptied between lines, and counts those that are out of it.
struct LineBuffer<W: Write> {
    buffer: BufWriter<W>,
    added: u64,
    written: Arc<AtomicU64>,
    flushed_at: Instant,
}

impl<W: Write> LineBuffer<W> {
    fn new(output: W, written: Arc<AtomicU64>) -> Self {
        let buffer = BufWriter::with_capacity(BUFFER_BYTES, output);
        Self { buffer, added: 0, written, flushed_at: Instant::now() }
    }

    fn add(&mut self, line: &OutputLine) -> io::Result<()> {
        // In one piece: what doesn't fit behind the lines before goes out after them, not torn.
        self.buffer.write_all(&line.encode()?)?;
        self.added += 1;
        if self.flushed_at.elapsed() >= FLUSH_EVERY { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()?;
        self.written.store(self.added, Ordering::Release);
        self.flushed_at = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::batch::input::row::{Rejected, RunId};

    /// A file that others can look into, and that may be full.
    #[derive(Clone, Default)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        bytes_max: Option<usize>,
    }

    impl Disk {
        fn text(&self) -> String {
            String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut held = self.bytes.lock().unwrap();
            if self.bytes_max.is_some_and(|max| held.len() + bytes.len() > max) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            held.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(number: u64) -> OutputLine {
        OutputLine::rejected(&RunId::fixed("r"), Rejected::invalid(number, None, "no"))
    }

    #[test]
    fn what_was_handed_over_is_written_at_the_end() {
        let disk = Disk::default();
        let Writer { lines, written, end } = spawn(disk.clone()).unwrap();
        for number in 0..1_000 {
            lines.blocking_send(line(number)).unwrap();
        }
        drop(lines);
        end.blocking_recv().unwrap().unwrap();
        assert_eq!(written.load(Ordering::Acquire), 1_000);
        assert_eq!(disk.text().lines().count(), 1_000);
    }

    #[test]
    fn a_full_disk_closes_the_channel_and_is_told() {
        let length = line(1).encode().unwrap().len();
        let disk = Disk { bytes_max: Some(2 * length), ..Disk::default() };
        let Writer { lines, written, end } = spawn(disk.clone()).unwrap();
        while lines.blocking_send(line(1)).is_ok() {}
        let error = end.blocking_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.text().lines().count() as u64, written.load(Ordering::Acquire));
    }
}
