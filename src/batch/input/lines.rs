//! An input's lines, one after another.

use std::io::{self, BufRead, Read as _};

use bytes::Bytes;

/// A longer line is refused. Providers take requests of at most some 32 MiB (images in base64).
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// So much of a line that is too long is kept, for people to know it again.
const LONG_LINE_BYTES_KEPT: usize = 1024;

/// The lines of an input.
pub(super) struct Lines<R> {
    reader: R,
    line_bytes_max: u64,
    number: u64,
}

/// A line that isn't empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// From 1; empty lines count.
    pub number: u64,
    /// Without its end and white space around it.
    pub text: Bytes,
    /// Whether that is all of it.
    pub extent: Extent,
}

/// How much of a line is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Its beginning; the rest was beyond the limit and was dropped.
    Cut,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, line_bytes_max: u64) -> Self {
        Self { reader, line_bytes_max, number: 0 }
    }

    /// The next line that isn't empty; `None` at the end.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let limit = self.line_bytes_max.saturating_add(1);
            let taken = self.reader.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
            if taken == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_cut = taken as u64 > self.line_bytes_max && bytes.last() != Some(&b'\n');
            if is_cut {
                self.reader.skip_until(b'\n')?;
                let text = Bytes::copy_from_slice(&bytes[..bytes.len().min(LONG_LINE_BYTES_KEPT)]);
                return Ok(Some(Line { number: self.number, text, extent: Extent::Cut }));
            }
            let line = Bytes::from(bytes);
            let text = line.slice_ref(trimmed(&line));
            if !text.is_empty() {
                return Ok(Some(Line { number: self.number, text, extent: Extent::Whole }));
            }
        }
    }

    /// The longest line that is taken.
    pub(super) fn line_bytes_max(&self) -> u64 {
        self.line_bytes_max
    }
}

/// The line without its end, without white space around it, and without the byte order mark that some
/// editors put before the first.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, line_bytes_max: u64) -> Vec<(u64, String, Extent)> {
        let mut lines = Lines::new(text.as_bytes(), line_bytes_max);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push((line.number, String::from_utf8(line.text.to_vec()).unwrap(), line.extent));
        }
        found
    }

    #[test]
    fn empty_lines_are_passed_over_but_counted() {
        assert_eq!(
            lines("\u{feff} a\r\n\n  \t\nb", LINE_BYTES_MAX),
            [(1, "a".to_owned(), Extent::Whole), (4, "b".to_owned(), Extent::Whole)]
        );
    }

    #[test]
    fn a_line_beyond_the_limit_is_dropped_but_for_its_beginning() {
        let text = format!("abc\n{}\nabc", "x".repeat(5_000));
        assert_eq!(
            lines(&text, 3),
            [
                (1, "abc".to_owned(), Extent::Whole),
                (2, "xxxx".to_owned(), Extent::Cut),
                (3, "abc".to_owned(), Extent::Whole)
            ]
        );
        assert_eq!(lines(&text, 4_000)[1].1.len(), 1_024);
    }
}
