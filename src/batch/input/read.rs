//! The thread that reads and parses the input.
//!
//! It stays a bounded number of rows ahead of the loop, so an input of any
//! length takes the memory of a few hundred rows.

use std::io::{self, BufRead, Read as _};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::hash::RowHash;
use super::row::{Rejected, Row};
use super::seen::{Seen, Sighting};
use crate::batch::show::progress::Progress;

/// Rows that the reader may be ahead: enough to hide a slow disk, little beside the window.
const ROWS_AHEAD_MAX: usize = 256;

/// A longer line is refused. Providers take requests of at most some 32 MiB (images in base64).
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is to be read.
#[derive(Debug)]
pub struct Input<R> {
    /// Where it comes from.
    pub reader: R,
    /// Its length, if it is known.
    pub bytes_total: Option<u64>,
}

/// What the reader made of one line.
pub(in crate::batch) type ReadRow = Result<Row, Rejected>;

/// Starts the reader. After the last row, or an error, the channel closes.
///
/// # Errors
/// If no thread can be had.
pub(in crate::batch) fn spawn<R>(
    input: Input<R>,
    seen: Seen,
    progress: Arc<Progress>,
) -> io::Result<mpsc::Receiver<io::Result<ReadRow>>>
where
    R: BufRead + Send + 'static,
{
    let (rows, taken) = mpsc::channel(ROWS_AHEAD_MAX);
    thread::Builder::new().name("batch-read".to_owned()).spawn(move || {
        let mut lines = Lines::new(input.reader, seen, LINE_BYTES_MAX);
        loop {
            let read = lines.next_row(&progress).transpose();
            let Some(read) = read else {
                progress.note_input_over();
                return;
            };
            let is_last = read.is_err();
            // A loop that takes no more rows has let go of its end: nobody is left to read for.
            if rows.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(taken)
}

/// The lines of an input, one after another.
struct Lines<R> {
    reader: R,
    line_bytes_max: u64,
    line: u64,
    seen: Seen,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R, seen: Seen, line_bytes_max: u64) -> Self {
        Self { reader, line_bytes_max, line: 0, seen }
    }

    /// The next row; empty lines are passed over. `None` at the end.
    fn next_row(&mut self, progress: &Progress) -> io::Result<Option<ReadRow>> {
        loop {
            let mut bytes = Vec::new();
            let taken = self
                .reader
                .by_ref()
                .take(self.line_bytes_max.saturating_add(1))
                .read_until(b'\n', &mut bytes)?;
            if taken == 0 {
                return Ok(None);
            }
            self.line += 1;
            progress.note_bytes(taken as u64);
            let is_cut = taken as u64 > self.line_bytes_max && bytes.last() != Some(&b'\n');
            if is_cut {
                progress.note_bytes(skip_line(&mut self.reader)?);
                progress.note_row();
                return Ok(Some(Err(self.too_long())));
            }
            let line = Bytes::from(bytes);
            let text = line.slice_ref(trimmed(&line));
            if text.is_empty() {
                continue;
            }
            match self.sift(&text) {
                Some(row) => {
                    progress.note_row();
                    return Ok(Some(row));
                }
                None => progress.note_done_before(),
            }
        }
    }

    /// The row on this line, unless an earlier run has written it.
    fn sift(&mut self, text: &Bytes) -> Option<ReadRow> {
        let rejected = match Row::parse(self.line, text) {
            Ok(row) => match self.seen.note(row.hash) {
                Sighting::First | Sighting::Changed => return Some(Ok(row)),
                Sighting::Done => return None,
                Sighting::Again => Rejected::duplicate(self.line, row.custom_id),
            },
            Err(Rejected { custom_id: Some(custom_id), .. }) if self.is_met(&custom_id) => {
                Rejected::duplicate(self.line, custom_id)
            }
            Err(rejected) => rejected,
        };
        let rejected = rejected.of_line(text.clone());
        match self.seen.note(rejected.hash) {
            Sighting::Done => None,
            Sighting::First | Sighting::Again | Sighting::Changed => Some(Err(rejected)),
        }
    }

    /// Notes the name of a row that can't be sent: a later row of that name is refused as well.
    fn is_met(&mut self, custom_id: &str) -> bool {
        self.seen.note(RowHash::of(custom_id, "", b"")) == Sighting::Again
    }

    fn too_long(&self) -> Rejected {
        Rejected::invalid(self.line, None, &format!("longer than {} bytes", self.line_bytes_max))
    }
}

/// Drops the rest of a line, without holding it. Returns its length in bytes.
fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    reader.skip_until(b'\n').map(|skipped| skipped as u64)
}

/// The line without its end, without white space around it, and without the byte order mark that some
/// editors put before the first.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> String {
        format!(r#"{{"custom_id":"{id}","url":"/v1/x","body":{{"model":"m"}}}}"#)
    }

    fn input<R>(reader: R) -> Input<R> {
        Input { reader, bytes_total: None }
    }

    /// What becomes of an input: `line id` for rows, `line code` for rejected ones.
    fn read(text: &str, line_bytes_max: u64) -> (Vec<String>, Progress) {
        let progress = Progress::new(None);
        let mut lines = Lines::new(text.as_bytes(), Seen::new(), line_bytes_max);
        let mut found = Vec::new();
        while let Some(row) = lines.next_row(&progress).unwrap() {
            found.push(match row {
                Ok(row) => format!("{} {}", row.line, row.custom_id),
                Err(rejected) => format!("{} {}", rejected.line, rejected.code),
            });
        }
        (found, progress)
    }

    #[test]
    fn empty_lines_are_passed_over_but_counted_in_line_numbers() {
        let text = format!("\u{feff}{}\r\n\n  \t\n{}", row("a"), row("b"));
        let (found, progress) = read(&text, LINE_BYTES_MAX);
        assert_eq!(found, ["1 a", "4 b"]);
        assert_eq!(progress.rows_read(), 2);
    }

    #[test]
    fn a_broken_line_costs_only_itself() {
        let (found, _) = read(&format!("{}\n{{\n{}\n", row("a"), row("b")), LINE_BYTES_MAX);
        assert_eq!(found, ["1 a", "2 invalid_line", "3 b"]);
    }

    #[test]
    fn the_second_row_of_a_name_is_refused() {
        let (found, _) = read(&format!("{}\n{}\n{}\n", row("a"), row("a"), row("b")), LINE_BYTES_MAX);
        assert_eq!(found, ["1 a", "2 duplicate_custom_id", "3 b"]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_and_not_held() {
        let fits = row("a");
        let text = format!("{}\n{}\n{fits}\n{fits}", fits, row(&"x".repeat(10_000)));
        let (found, progress) = read(&text, fits.len() as u64);
        assert_eq!(found, ["1 a", "2 invalid_line", "3 duplicate_custom_id", "4 duplicate_custom_id"]);
        assert_eq!(progress.rows_read(), 4);
    }

    #[test]
    fn the_thread_ends_with_the_input_and_with_its_reader() {
        let progress = Arc::new(Progress::new(None));
        let text = format!("{}\n{}\n", row("a"), row("b"));
        let mut rows = spawn(input(io::Cursor::new(text)), Seen::new(), Arc::clone(&progress)).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.blocking_recv() {
            found.push(row.unwrap().unwrap().custom_id);
        }
        assert_eq!(found, ["a", "b"]);
        assert!(progress.input_over());
    }

    #[test]
    fn an_error_of_the_input_comes_after_the_rows_before_it() {
        struct Unplugged;
        impl io::Read for Unplugged {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let reader = io::BufReader::new(io::Cursor::new(row("a") + "\n").chain(Unplugged));
        let progress = Arc::new(Progress::new(None));
        let mut rows = spawn(input(reader), Seen::new(), Arc::clone(&progress)).unwrap();
        assert_eq!(rows.blocking_recv().unwrap().unwrap().unwrap().custom_id, "a");
        assert_eq!(rows.blocking_recv().unwrap().unwrap_err().to_string(), "unplugged");
        assert!(rows.blocking_recv().is_none());
        assert!(!progress.input_over());
    }
}
