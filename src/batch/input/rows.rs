//! The rows of an input, whatever it looks like.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};

use bytes::Bytes;

use super::duplicates::name_of;
use super::lines::{Extent, LINE_BYTES_MAX, Line, Lines};
use super::meter::Meter;
use super::parse::Parser;
use super::reading::{OnDuplicate, Reading};
use super::row::{Rejected, Row};
use super::table::Table;
use crate::exit::UsageError;

/// What the reader made of one row.
pub(in crate::batch) type ReadRow = Result<Row, Rejected>;

/// The rows, one after another. It ends with the input, or with the first error of it.
#[derive(Debug)]
pub(in crate::batch) struct Rows {
    source: Source,
    parser: Parser,
    meter: Meter,
    on_duplicate: OnDuplicate,
    /// The line that was read last; of a table nothing.
    line: Bytes,
    name: Option<String>,
}

enum Source {
    Lines(Lines<Box<dyn BufRead + Send>>),
    Table(Box<Table>),
}

impl Rows {
    pub(super) fn of_lines(reader: Box<dyn BufRead + Send>, meter: Meter, reading: Reading) -> Self {
        Self::new(Source::Lines(Lines::new(reader, LINE_BYTES_MAX)), meter, reading)
    }

    pub(super) fn of_table(
        reader: Box<dyn BufRead + Send>,
        meter: Meter,
        reading: Reading,
        name: &str,
    ) -> Result<Self, UsageError> {
        Ok(Self::new(Source::Table(Box::new(Table::open(reader, &reading, name)?)), meter, reading))
    }

    fn new(source: Source, meter: Meter, reading: Reading) -> Self {
        let on_duplicate = reading.on_duplicate;
        Self { source, parser: Parser::new(reading), meter, on_duplicate, line: Bytes::new(), name: None }
    }

    /// The same, with a name for errors.
    pub(super) fn named(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Counts the bytes read so far, as they lie on the disk.
    pub(super) fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// What is to become of duplicates; here they are all in.
    pub(in crate::batch) fn on_duplicate(&self) -> OnDuplicate {
        self.on_duplicate
    }

    /// The row that was read last, as it stands in the input.
    pub(super) fn raw(&self) -> Bytes {
        match &self.source {
            Source::Lines(_) => self.line.clone(),
            Source::Table(table) => table.raw(),
        }
    }

    /// The line of the next row and its name, if it can be read, with no more parsing than that takes.
    pub(super) fn next_name(&mut self) -> io::Result<Option<(u64, Option<Cow<'_, str>>)>> {
        match &mut self.source {
            Source::Table(table) => table.next_name(),
            Source::Lines(lines) => {
                let Some(Line { number, text, extent }) = lines.next_line()? else {
                    return Ok(None);
                };
                self.line = text;
                Ok(Some(match extent {
                    Extent::Whole => (number, name_of(number, &self.line)),
                    Extent::Cut => (number, None),
                }))
            }
        }
    }

    fn next_row(&mut self) -> io::Result<Option<ReadRow>> {
        let lines = match &mut self.source {
            Source::Lines(lines) => lines,
            Source::Table(table) => return table.next_row(&self.parser),
        };
        let Some(Line { number, text, extent }) = lines.next_line()? else {
            return Ok(None);
        };
        let row = match extent {
            Extent::Whole => self.parser.line(number, &text),
            Extent::Cut => {
                let problem = format!("longer than {} bytes", lines.line_bytes_max());
                Err(Rejected::invalid(number, None, &problem))
            }
        };
        self.line = text;
        Ok(Some(row.map_err(|rejected| rejected.of_line(self.line.clone()))))
    }
}

impl Iterator for Rows {
    type Item = io::Result<ReadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_row().map_err(|error| match &self.name {
            Some(name) => io::Error::new(error.kind(), format!("{name}: {error}")),
            None => error,
        });
        next.transpose()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(_) => f.write_str("Lines"),
            Self::Table(table) => table.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
