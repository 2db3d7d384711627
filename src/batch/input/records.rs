//! The records of a table, with the lines that they begin on and the text that they were.
//!
//! The parser itself tells neither: its line numbers are off behind a CRLF and behind empty lines.

use std::io::{self, BufRead, Read};

use csv::ByteRecord;

use super::lines::LINE_BYTES_MAX;

/// The records, one after another; empty lines are passed over.
pub(super) struct Records {
    reader: csv::Reader<Kept>,
    /// Bytes up to the end of the last record.
    bytes: u64,
    /// Lines up to there.
    lines: u64,
    /// The record that was read last.
    pub record: ByteRecord,
    /// Its text, without its end.
    pub raw: Vec<u8>,
}

impl Records {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, separator: u8) -> Self {
        let kept = Kept { reader, bytes: Vec::new() };
        let mut builder = csv::ReaderBuilder::new();
        let reader = builder.delimiter(separator).flexible(true).has_headers(false).from_reader(kept);
        Self { reader, bytes: 0, lines: 0, record: ByteRecord::new(), raw: Vec::new() }
    }

    /// Reads a record. Returns the line that it begins on, from 1; `None` at the end.
    pub(super) fn next_record(&mut self) -> io::Result<Option<u64>> {
        if !self.reader.read_byte_record(&mut self.record)? {
            return Ok(None);
        }
        let end = self.reader.position().byte();
        let length = usize::try_from(end - self.bytes).map_err(io::Error::other)?;
        self.bytes = end;
        self.raw.clear();
        self.raw.extend(self.reader.get_mut().bytes.drain(..length));
        let begin = self.raw.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
        let line = self.lines + line_ends(&self.raw[..begin]) + 1;
        self.lines += line_ends(&self.raw);
        self.raw.drain(..begin);
        while let Some(b'\r' | b'\n') = self.raw.last() {
            self.raw.pop();
        }
        Ok(Some(line))
    }
}

fn line_ends(text: &[u8]) -> u64 {
    text.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// A reader that keeps what it gave until it belongs to a record, and that gives no more than a record may
/// have: a quote that is never closed would swallow the whole input.
struct Kept {
    reader: Box<dyn BufRead + Send>,
    bytes: Vec<u8>,
}

impl Read for Kept {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.bytes.len() as u64 > LINE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "a row is longer than {LINE_BYTES_MAX} bytes; hint: is a quote left open?"
            )));
        }
        let read = self.reader.read(bytes)?;
        self.bytes.extend_from_slice(&bytes[..read]);
        Ok(read)
    }
}
