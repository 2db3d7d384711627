//! A line of JSON for each request that has ended, written by a thread of its own: no request waits for a disk.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use keywheel_actors::clock::Clock;
use keywheel_actors::id::Model;
use keywheel_actors::store::Wall;
use serde::Serialize;

use super::log_file::{LogFile, Sink};
use super::{Ended, Ending};
use crate::reminder::Reminder;

/// Lines that wait for a slow disk. Those beyond are left out, and counted.
const WAITING_MAX: usize = 8_192;

/// Writes lines until it is finished.
#[derive(Debug)]
pub struct AccessLogger {
    lines: Mutex<Option<SyncSender<Vec<u8>>>>,
    left_out: Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A line, its fields in the order of reading.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    request_id: &'a str,
    trace_id: String,
    client: Option<&'a str>,
    peer: Option<IpAddr>,
    method: &'static str,
    path: &'a str,
    surface: &'static str,
    status: u16,
    ending: Ending,
    code: Option<&'a str>,
    model: Option<&'a str>,
    provider: Option<&'a str>,
    key: Option<&'a str>,
    served_model: Option<&'a str>,
    attempts: usize,
    fell_back: bool,
    streamed: bool,
    took_ms: f64,
    first_byte_ms: Option<f64>,
    waited_ms: f64,
    overhead_ms: f64,
    bytes_in: u64,
    bytes_out: u64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    cost: Option<String>,
}

impl AccessLogger {
    /// Writes to stderr.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn to_stderr() -> anyhow::Result<Self> {
        Self::start(io::stderr())
    }

    /// Writes to the end of a file, which only its owner may read.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn to_file(path: &Path) -> anyhow::Result<Self> {
        let file =
            LogFile::open(path).with_context(|| format!("can't open the access log {}", path.display()))?;
        Self::start(file)
    }

    fn start(out: impl Sink + Send + 'static) -> anyhow::Result<Self> {
        let (send, lines) = sync_channel(WAITING_MAX);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        let writer = thread::Builder::new()
            .name("keywheel-access".to_owned())
            .spawn(move || write(&lines, out, &counted))
            .context("can't start the access log")?;
        Ok(Self { lines: Mutex::new(Some(send)), left_out, writer: Mutex::new(Some(writer)) })
    }

    /// Has a line written.
    pub fn record(&self, ended: &Ended) {
        let mut line = serde_json::to_vec(&Line::of(ended)).unwrap_or_default();
        line.push(b'\n');
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = &*lines
            && let Err(TrySendError::Full(_)) = lines.try_send(line)
        {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what still waits.
    pub fn finish(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A writer that panicked has told so.
            let _ = writer.join();
        }
    }
}

fn write(lines: &Receiver<Vec<u8>>, out: impl Sink, left_out: &AtomicU64) {
    let mut journal = Journal::of(out);
    while let Ok(line) = lines.recv() {
        journal.left_out(left_out.swap(0, Ordering::Relaxed));
        journal.write(&line);
    }
    journal.close();
}

/// Where the lines go, and what it lacks.
struct Journal<W> {
    out: W,
    clock: Clock,
    /// Whether the last line was written in part: it mustn't spoil the next one, too.
    is_torn: bool,
    /// Lines that are missing and of which nobody has been told yet.
    missing: u64,
    reminder: Reminder,
}

impl<W: Sink> Journal<W> {
    fn of(out: W) -> Self {
        Self { out, clock: Clock::start(), is_torn: false, missing: 0, reminder: Reminder::default() }
    }

    fn left_out(&mut self, lines: u64) {
        self.missing += lines;
        if lines > 0 {
            self.complain("it is too slow");
        }
    }

    fn write(&mut self, line: &[u8]) {
        if let Err(error) = self.append(line) {
            self.missing += 1;
            self.complain(&error.to_string());
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.out.renew(self.clock.now())?;
        if self.is_torn {
            self.out.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.is_torn = !rest.is_empty();
        }
        Ok(())
    }

    fn complain(&mut self, why: &str) {
        if self.reminder.is_due(self.clock.now()) {
            let missing = std::mem::take(&mut self.missing);
            tracing::error!(missing, why, "lines are missing in the access log");
        }
    }

    fn close(mut self) {
        // Nothing of it is held back but by the system.
        let _ = self.out.flush();
        if self.missing > 0 {
            tracing::error!(missing = self.missing, "more lines are missing in the access log");
        }
    }
}

fn timestamp(at: Wall) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

impl<'a> Line<'a> {
    fn of(ended: &'a Ended) -> Self {
        let served = ended.served.as_ref();
        let millis = |duration: std::time::Duration| (duration.as_micros() as f64) / 1_000.0;
        Self {
            at: timestamp(ended.at),
            request_id: &ended.request_id,
            trace_id: ended.trace.trace(),
            client: ended.client.as_deref(),
            peer: ended.peer,
            method: ended.method,
            path: &ended.path,
            surface: ended.surface,
            status: ended.status,
            ending: ended.ending,
            code: ended.code.as_deref(),
            model: ended.model.as_ref().map(Model::as_str),
            provider: served.map(|place| place.provider.as_str()),
            key: served.map(|place| place.key.as_str()),
            served_model: served.map(|place| place.model.as_str()),
            attempts: ended.attempts.len(),
            fell_back: ended.fell_back,
            streamed: ended.streamed,
            took_ms: millis(ended.took),
            first_byte_ms: ended.first_byte.map(millis),
            waited_ms: millis(ended.waited),
            overhead_ms: millis(ended.overhead),
            bytes_in: ended.bytes_in,
            bytes_out: ended.bytes_out,
            input_tokens: ended.usage.map(|usage| usage.input_tokens),
            output_tokens: ended.usage.map(|usage| usage.output_tokens),
            cached_tokens: ended.usage.map(|usage| usage.cached_tokens),
            cost: ended.cost.map(|cost| cost.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Default)]
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= fits;
            self.written.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {}

    #[test]
    fn a_disk_that_was_full_spoils_one_line_and_each_missing_one_is_counted() {
        let mut journal = Journal::of(Disk { room: 12, ..Disk::default() });
        for number in 0..5 {
            journal.write(format!("line {number}\n").as_bytes());
        }
        assert_eq!(journal.missing, 3, "the first of four was told at once");
        journal.out.room = 100;
        journal.write(b"line 5\n");
        journal.left_out(2);
        assert_eq!(journal.missing, 5, "within a minute no more is told");
        assert_eq!(String::from_utf8_lossy(&journal.out.written), "line 0\nline \nline 5\n");
    }
}
