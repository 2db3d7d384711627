//! Tables with a header, as RFC 4180 has them: a cell in quotes may hold line breaks.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};
use std::str;

use bytes::Bytes;
use csv::ByteRecord;

use super::form::Separator;
use super::parse::{CUSTOM_ID, MODEL, PROMPT, Parser, nameless};
use super::reading::Reading;
use super::records::Records;
use super::row::{Rejected, Row};
use super::template::Filling;
use crate::exit::UsageError;

/// A table, row by row.
pub(super) struct Table {
    records: Records,
    columns: Columns,
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
        let mut records = Records::new(reader, separator);
        let header = records.next_record().map_err(|error| error.to_string());
        let header = header.and_then(|line| match line {
            Some(_) => cells(&records.record).map_err(str::to_owned),
            None => Err("it is empty".to_owned()),
        });
        let names = header.map_err(|problem| UsageError {
            problem: format!("can't read the header of {name}: {problem}"),
            hint: "a table is UTF-8, its first row names the columns".to_owned(),
        })?;
        let names = names.into_iter().map(|name| name.trim().to_owned()).collect();
        let columns = Columns::new(names, reading)?;
        Ok(Self { records, columns })
    }

    /// The next row; `None` at the end.
    pub(super) fn next_row(&mut self, parser: &Parser) -> io::Result<Option<Result<Row, Rejected>>> {
        let Some(line) = self.records.next_record()? else {
            return Ok(None);
        };
        let row = self.columns.row(line, &self.records.record, parser);
        Ok(Some(row.map_err(|rejected| rejected.of_line(self.raw()))))
    }

    /// The line of the next row, and its name, if it can be read.
    pub(super) fn next_name(&mut self) -> io::Result<Option<(u64, Option<Cow<'_, str>>)>> {
        let Some(line) = self.records.next_record()? else {
            return Ok(None);
        };
        let name = match self.columns.id {
            Some(column) => {
                let cell = self.records.record.get(column).and_then(|cell| str::from_utf8(cell).ok());
                cell.filter(|name| !name.is_empty()).map(Cow::Borrowed)
            }
            None => Some(Cow::Owned(nameless(line))),
        };
        Ok(Some((line, name)))
    }

    /// The row that was read last, as it stands in the table.
    pub(super) fn raw(&self) -> Bytes {
        Bytes::copy_from_slice(&self.records.raw)
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
        let cells = cells(record).map_err(invalid)?;
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

fn cells(record: &ByteRecord) -> Result<Vec<&str>, &'static str> {
    let cells: Result<_, _> = record.iter().map(str::from_utf8).collect();
    cells.map_err(|_| "not UTF-8; hint: save the table as UTF-8")
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("columns", &self.columns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use keywheel_actors::id::Model;

    use super::*;
    use crate::batch::input::form::Form;
    use crate::batch::input::lines::LINE_BYTES_MAX;
    use crate::batch::input::reading::TableReading;
    use crate::batch::input::template::Template;

    fn reading() -> Reading {
        Reading { form: Some(Form::Csv), model: Some(Model::from("M")), ..Reading::default() }
    }

    fn templated(text: &str) -> Reading {
        Reading { template: Some(Template::parse(text, None).unwrap()), ..reading() }
    }

    /// What becomes of a table's rows: `LINE ID BODY`, or the problem and the raw row.
    fn read(reading: Reading, text: &str) -> Result<Vec<String>, UsageError> {
        let mut table = Table::open(Box::new(Cursor::new(text.to_owned())), &reading, "t.csv")?;
        let parser = Parser::new(reading);
        let mut told = Vec::new();
        while let Some(row) = table.next_row(&parser).unwrap() {
            told.push(match row {
                Ok(row) => {
                    format!("{} {} {}", row.line, row.custom_id, str::from_utf8(&row.body).unwrap())
                }
                Err(rejected) => {
                    format!("{} [{}]", rejected.message, String::from_utf8_lossy(&rejected.raw))
                }
            });
        }
        Ok(told)
    }

    #[test]
    fn a_cell_in_quotes_may_hold_anything() {
        let text = "\u{feff}custom_id,q\r\na,\"one\ntwo, \"\"three\"\"\"\r\nb,four\r\n\r\nc,ä\n";
        let reading = templated(r#"{"model":"m","q":"{{q}}"}"#);
        assert_eq!(
            read(reading, text).unwrap(),
            [
                r#"2 a {"model":"m","q":"one\ntwo, \"three\""}"#,
                r#"4 b {"model":"m","q":"four"}"#,
                r#"6 c {"model":"m","q":"ä"}"#,
            ]
        );
    }

    #[test]
    fn columns_are_chosen_by_name() {
        let table = TableReading {
            separator: Separator::Tab,
            prompt_column: Some("question".to_owned()),
            id_column: Some("key".to_owned()),
        };
        let text = "question\tkey\tmodel\nwhy\tk1\t\nhow\tk2\tm2\n";
        assert_eq!(
            read(Reading { table, ..reading() }, text).unwrap(),
            [
                r#"2 k1 {"model":"M","messages":[{"role":"user","content":"why"}]}"#,
                r#"3 k2 {"model":"m2","messages":[{"role":"user","content":"how"}]}"#,
            ]
        );
    }

    #[test]
    fn rows_without_a_name_have_the_line_that_they_begin_on() {
        let told = read(reading(), "prompt\n\"a\nb\"\nc\n").unwrap();
        let begins: Vec<&str> = told.iter().map(|told| &told[..8]).collect();
        assert_eq!(begins, ["2 line-2", "4 line-4"]);
    }

    #[test]
    fn a_bad_row_costs_only_itself() {
        let text = b"custom_id,prompt\na,b,c\n,b\nb,\xff\nc,\"d, e\",f\n";
        let text = String::from_utf8_lossy(text).replace('\u{fffd}', "?");
        assert_eq!(
            read(templated(r#"{"model":"m","n":{{prompt}}}"#), &(text + "d,7\n")).unwrap(),
            [
                "line 2: 3 cells, but the header has 2; hint: cells with separators or line breaks go in \
                 quotes [a,b,c]",
                "line 3: the cell of `custom_id` is empty; hint: give each row a name of its own [,b]",
                "line 4: `prompt` is no JSON value; hint: in the template put quotes round `{{prompt}}` [b,?]",
                "line 5: 3 cells, but the header has 2; hint: cells with separators or line breaks go in \
                 quotes [c,\"d, e\",f]",
                r#"6 d {"model":"m","n":7}"#,
            ]
        );
    }

    #[test]
    fn what_the_header_lacks_is_told_at_once() {
        let problem = |reading, text: &str| {
            let UsageError { problem, hint } = read(reading, text).unwrap_err();
            format!("{problem}; {hint}")
        };
        let named = |prompt_column: Option<&str>, id_column: Option<&str>| {
            let (prompt_column, id_column) = (prompt_column.map(str::to_owned), id_column.map(str::to_owned));
            let table = TableReading { separator: Separator::Comma, prompt_column, id_column };
            Reading { table, ..reading() }
        };
        assert_eq!(
            problem(named(Some("q"), None), "a,b\n"),
            "the table has no column `q`, which --column names; it has `a`, `b`"
        );
        assert_eq!(
            problem(named(None, Some("k")), "prompt\n"),
            "the table has no column `k`, which --id-column names; it has `prompt`"
        );
        assert_eq!(
            problem(reading(), "a,b\n"),
            "nothing stands for `prompt` in the request of a row; name its column with --column; there are \
             `a`, `b`"
        );
        assert_eq!(
            problem(Reading { model: None, ..reading() }, "prompt\n"),
            "nothing stands for `model` in the request of a row; name the model that is to answer with --model"
        );
        assert_eq!(
            problem(templated(r#"{"model":"m","q":"{{q}}"}"#), "a\n"),
            "nothing stands for `q` in the request of a row; placeholders of a template are columns; there \
             are `a`"
        );
    }

    #[test]
    fn a_quote_left_open_does_not_swallow_the_input() {
        let endless = io::repeat(b'x').take(LINE_BYTES_MAX * 2);
        let reader = io::BufReader::new(Cursor::new("prompt\n\"").chain(endless));
        let mut table = Table::open(Box::new(reader), &reading(), "t.csv").unwrap();
        let error = table.next_row(&Parser::new(reading())).unwrap_err();
        assert!(error.to_string().contains("is a quote left open?"), "{error}");
    }
}
