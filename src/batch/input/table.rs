//! Tables with a header, as RFC 4180 has them: a cell in quotes may hold line breaks.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::str;

use bytes::Bytes;
use csv::ByteRecord;

use super::form::Separator;
use super::lines::LINE_BYTES_MAX;
use super::parse::{CUSTOM_ID, MODEL, PROMPT, Parser, nameless};
use super::reading::Reading;
use super::row::{Rejected, Row};
use super::template::Filling;
use crate::exit::UsageError;

/// A table, row by row.
pub(super) struct Table {
    reader: csv::Reader<Bounded>,
    columns: Columns,
    record: ByteRecord,
}

/// What the header says.
#[derive(Debug)]
struct Columns {
    names: Vec<String>,
    prompt: Option<usize>,
    id: Option<usize>,
}

impl Table {
    /// Reads the header.
    ///
    /// # Errors
    /// If it can't be read, or if a column that is asked for isn't there.
    pub(super) fn open(
        reader: Box<dyn BufRead + Send>,
        reading: &Reading,
        name: &str,
    ) -> Result<Self, UsageError> {
        let separator = match reading.table.separator {
            Separator::Comma => b',',
            Separator::Tab => b'\t',
        };
        let bounded = Bounded { reader, bytes_left: LINE_BYTES_MAX };
        let mut reader = csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(bounded);
        let names = reader.headers().map_err(|error| UsageError {
            problem: format!("can't read the header of {name}: {error}"),
            hint: "a table is UTF-8, its first row names the columns".to_owned(),
        })?;
        let names = names.iter().map(|name| name.trim().to_owned()).collect();
        let columns = Columns::new(names, reading)?;
        Ok(Self { reader, columns, record: ByteRecord::new() })
    }

    /// The next row; `None` at the end.
    pub(super) fn next_row(&mut self, parser: &Parser) -> io::Result<Option<Result<Row, Rejected>>> {
        let Some(line) = self.next_record()? else {
            return Ok(None);
        };
        let row = self.columns.row(line, &self.record, parser);
        Ok(Some(row.map_err(|rejected| rejected.of_line(self.raw()))))
    }

    /// The line of the next row, and its name, if it can be read.
    pub(super) fn next_name(&mut self) -> io::Result<Option<(u64, Option<Cow<'_, str>>)>> {
        let Some(line) = self.next_record()? else {
            return Ok(None);
        };
        let name = match self.columns.id {
            Some(column) => {
                let cell = self.record.get(column).and_then(|cell| str::from_utf8(cell).ok());
                cell.filter(|name| !name.is_empty()).map(Cow::Borrowed)
            }
            None => Some(Cow::Owned(nameless(line))),
        };
        Ok(Some((line, name)))
    }

    /// Reads a record. Returns the line that it begins on; `None` at the end.
    fn next_record(&mut self) -> io::Result<Option<u64>> {
        self.reader.get_mut().bytes_left = LINE_BYTES_MAX;
        let is_there = self.reader.read_byte_record(&mut self.record)?;
        Ok(is_there.then(|| self.record.position().map_or(0, csv::Position::line)))
    }

    /// The row that was read last, as a line of a table.
    pub(super) fn raw(&self) -> Bytes {
        written(&self.record)
    }
}

impl Columns {
    fn new(names: Vec<String>, reading: &Reading) -> Result<Self, UsageError> {
        let place = |name: &str| names.iter().position(|own| own == name);
        let wanted = |name: &Option<String>, flag: &str| match name {
            Some(name) => place(name).map(Some).ok_or_else(|| UsageError {
                problem: format!("the table has no column `{name}`, which {flag} names"),
                hint: format!("it has {}", listed(&names)),
            }),
            None => Ok(None),
        };
        let prompt = wanted(&reading.table.prompt_column, "--column")?.or_else(|| place(PROMPT));
        let id = wanted(&reading.table.id_column, "--id-column")?.or_else(|| place(CUSTOM_ID));
        let template = reading.template.clone().unwrap_or_default();
        let is_known = |name: &str| match name {
            PROMPT => prompt.is_some(),
            MODEL => reading.model.is_some() || place(MODEL).is_some(),
            _ => place(name).is_some(),
        };
        let unknown = template.names().find(|name| !is_known(name)).map(str::to_owned);
        match unknown {
            None => Ok(Self { names, prompt, id }),
            Some(name) => Err(UsageError {
                problem: format!("nothing stands for `{name}` in the request of a row"),
                hint: match name.as_str() {
                    PROMPT => format!("name its column with --column; there are {}", listed(&names)),
                    MODEL => "name the model that is to answer with --model".to_owned(),
                    _ => format!("placeholders of a template are columns; there are {}", listed(&names)),
                },
            }),
        }
    }

    fn row(&self, line: u64, record: &ByteRecord, parser: &Parser) -> Result<Row, Rejected> {
        let invalid = |problem: &str| Rejected::invalid(line, None, problem);
        if record.len() != self.names.len() {
            return Err(invalid(&format!(
                "{} cells, but the header has {}; hint: cells with separators or line breaks go in quotes",
                record.len(),
                self.names.len()
            )));
        }
        let cells: Vec<&str> = record
            .iter()
            .map(str::from_utf8)
            .collect::<Result<_, _>>()
            .map_err(|_| invalid("not UTF-8; hint: save the table as UTF-8"))?;
        let custom_id = match self.id {
            Some(column) if cells[column].is_empty() => {
                return Err(invalid(&format!(
                    "the cell of `{}` is empty; hint: give each row a name of its own",
                    self.names[column]
                )));
            }
            Some(column) => Some(cells[column].to_owned()),
            None => None,
        };
        parser.filled(line, custom_id, |name| {
            let column = match name {
                PROMPT => self.prompt,
                _ => self.names.iter().position(|own| own == name),
            };
            let cell = cells[column?];
            // An empty cell of `model` is filled by --model.
            (name != MODEL || !cell.is_empty()).then(|| Filling::Text(cell.into()))
        })
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A record as a line of a table, without its end.
fn written(record: &ByteRecord) -> Bytes {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // A vector takes everything.
    let _ = writer.write_byte_record(record);
    let mut line = writer.into_inner().unwrap_or_default();
    line.truncate(line.trim_ascii_end().len());
    Bytes::from(line)
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A reader that gives so many bytes and no more: a quote that is never closed would swallow the whole input.
struct Bounded {
    reader: Box<dyn BufRead + Send>,
    bytes_left: u64,
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(bytes)?;
        self.bytes_left = self.bytes_left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "a row is longer than {LINE_BYTES_MAX} bytes; hint: is a quote left open?"
            ))
        })?;
        Ok(read)
    }
}
