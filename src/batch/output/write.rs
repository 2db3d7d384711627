//! The thread that writes the output.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::format::Format;
use super::line::OutputLine;
use super::sink::Sink;

/// Lines that may wait for a slow disk; beyond it the loop waits too.
const LINES_WAITING_MAX: usize = 256;

/// When nothing comes, what was written is made certain after so long.
const IDLE: Duration = Duration::from_secs(1);

/// A line, and its row's place in the window, which is free again when the line outlasts a kill.
#[derive(Debug)]
pub(in crate::batch) struct Placed {
    /// What is written.
    pub line: OutputLine,
    /// The row's place.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The run's end of the writer.
#[derive(Debug)]
pub(in crate::batch) struct Writer {
    /// Takes lines; closed when writing has failed.
    pub lines: mpsc::Sender<Placed>,
    /// Lines that the output has taken for good.
    pub written: Arc<AtomicU64>,
    /// Tells how writing went, once `lines` is dropped or has failed.
    pub end: oneshot::Receiver<io::Result<()>>,
}

/// Starts the writer.
///
/// # Errors
/// If no thread can be had.
pub(super) fn spawn(sink: Box<dyn Sink>, format: Format) -> io::Result<Writer> {
    let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
    let (tell, end) = oneshot::channel();
    let written = Arc::new(AtomicU64::new(0));
    let thread = Thread { sink, format, places: Vec::new(), written: Arc::clone(&written) };
    // Only for the time: a channel has no deadline of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    thread::Builder::new().name("batch-write".to_owned()).spawn(move || {
        // A run that left without waiting doesn't listen any more.
        let _ = tell.send(runtime.block_on(thread.write_all(waiting)));
    })?;
    Ok(Writer { lines, written, end })
}

struct Thread {
    sink: Box<dyn Sink>,
    format: Format,
    /// Those of the lines in the sink's group.
    places: Vec<OwnedSemaphorePermit>,
    written: Arc<AtomicU64>,
}

impl Thread {
    /// Writes what comes until the channel closes.
    async fn write_all(mut self, mut waiting: mpsc::Receiver<Placed>) -> io::Result<()> {
        loop {
            let placed = match waiting.try_recv() {
                Ok(placed) => placed,
                Err(TryRecvError::Empty) => {
                    // Nothing else to do: a good time to put everything down.
                    self.commit()?;
                    match tokio::time::timeout(IDLE, waiting.recv()).await {
                        Ok(Some(placed)) => placed,
                        Ok(None) => break,
                        Err(_idle) => continue,
                    }
                }
                Err(TryRecvError::Disconnected) => break,
            };
            self.sink.add(&placed.line.encode(self.format)?)?;
            self.places.extend(placed.place);
            if self.sink.is_full() {
                self.commit()?;
            }
        }
        // Setting things in order may take a while: who can't wait must know that nothing is missing.
        self.commit()?;
        self.sink.finish()
    }

    fn commit(&mut self) -> io::Result<()> {
        let lines = self.sink.commit()?;
        self.written.fetch_add(lines, Ordering::Release);
        self.places.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::batch::input::row::{Rejected, RunId};
    use crate::batch::output::error_file::ErrorFile;
    use crate::batch::output::sink::Stream;

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

    fn started(disk: &Disk) -> Writer {
        spawn(Box::new(Stream::new(disk.clone(), ErrorFile::none())), Format::OpenAi).unwrap()
    }

    fn line(number: u64) -> Placed {
        let line = OutputLine::rejected(&RunId::fixed("r"), Rejected::invalid(number, None, "no"));
        Placed { line, place: None }
    }

    #[test]
    fn what_was_handed_over_is_written_at_the_end() {
        let disk = Disk::default();
        let Writer { lines, written, end } = started(&disk);
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
        let length = line(1).line.encode(Format::OpenAi).unwrap().text.len();
        let disk = Disk { bytes_max: Some(2 * length), ..Disk::default() };
        let Writer { lines, written, end } = started(&disk);
        while lines.blocking_send(line(1)).is_ok() {}
        let error = end.blocking_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.text().lines().count() as u64, written.load(Ordering::Acquire));
    }
}
