//! From a path of fields to the line where it is written.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use toml_edit::{Document, Item, Key, Table, Value};

use super::problem::{Place, Problem};

/// One step down a tree.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Step {
    /// Into a table.
    Field(String),
    /// Into a list, from 0.
    Item(usize),
}

impl Step {
    /// The field's name, if it is one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Field(name) => Some(name),
            Self::Item(_) => None,
        }
    }
}

/// Which part of `pick = "fastest"` is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spot {
    /// `pick`
    Name,
    /// `"fastest"`; of a table its head.
    Value,
}

/// A file's text with the position of everything in it.
pub(super) struct FileMap<'a> {
    lines: Lines<'a>,
    map: Map<'a>,
}

/// Where things are.
enum Map<'a> {
    /// In TOML itself.
    Document(Document<&'a str>),
    /// In a text that the TOML was made from.
    Origins(HashMap<Vec<Step>, usize>),
}

impl<'a> FileMap<'a> {
    /// Reads `text` as TOML; `file` is how messages call it.
    ///
    /// # Errors
    /// The first breach of TOML's syntax. Nothing of the line is quoted: it may hold a secret.
    pub(super) fn parse(file: PathBuf, text: &'a str) -> Result<Self, Problem> {
        let lines = Lines::of(file, text);
        match Document::parse(text) {
            Ok(document) => Ok(Self { lines, map: Map::Document(document) }),
            Err(error) => {
                let start = error.span().map_or(text.len(), |span| span.start);
                Err(Problem::new(lines.place(start, ""), format!("not TOML: {}", error.message())))
            }
        }
    }

    /// A file whose `text` isn't TOML, with the byte offsets that the parts of its TOML come from.
    pub(super) fn converted(file: PathBuf, text: &'a str, origins: Vec<(Vec<Step>, usize)>) -> Self {
        Self { lines: Lines::of(file, text), map: Map::Origins(origins.into_iter().collect()) }
    }

    /// The place at a byte offset.
    pub(super) fn at(&self, offset: usize, field: &str) -> Place {
        self.lines.place(offset, field)
    }

    /// The file as a whole.
    pub(super) fn whole(&self) -> Place {
        Place::File(self.lines.file.clone())
    }

    /// Where `steps` lead, or `None` if the file doesn't hold it.
    pub(super) fn exactly(&self, steps: &[Step], spot: Spot, field: &str) -> Option<Place> {
        let (found, span) = self.descend(steps, spot);
        (found == steps.len()).then(|| self.lines.place(span.start, field))
    }

    /// Where `steps` lead, or the nearest thing around it that the file holds.
    pub(super) fn nearest(&self, steps: &[Step], spot: Spot, field: &str) -> Place {
        let (_, span) = self.descend(steps, spot);
        self.lines.place(span.start, field)
    }

    /// How many of `steps` the file has, and the last span on the way.
    fn descend(&self, steps: &[Step], spot: Spot) -> (usize, Range<usize>) {
        let document = match &self.map {
            Map::Document(document) => document,
            Map::Origins(origins) => {
                let known =
                    (1..=steps.len()).rev().find_map(|taken| Some((taken, *origins.get(&steps[..taken])?)));
                return known.map_or((0, 0..0), |(taken, offset)| (taken, offset..offset));
            }
        };
        let mut here = Here::Item(document.as_item());
        let mut span = 0..0;
        for (taken, step) in steps.iter().enumerate() {
            let next = match step {
                Step::Field(name) => here.field(name),
                Step::Item(index) => here.item(*index).map(|item| (None, item)),
            };
            let Some((key, value)) = next else { return (taken, span) };
            let key_span = key.and_then(Key::span);
            let value_span = value.span();
            let wanted = match spot {
                Spot::Name => key_span.or(value_span),
                Spot::Value => value_span.or(key_span),
            };
            span = wanted.unwrap_or(span);
            here = value;
        }
        (steps.len(), span)
    }
}

/// A place in a document: `toml_edit` keeps tables of arrays and values of arrays apart.
#[derive(Clone, Copy)]
enum Here<'d> {
    Item(&'d Item),
    Table(&'d Table),
    Value(&'d Value),
}

impl<'d> Here<'d> {
    fn field(self, name: &str) -> Option<(Option<&'d Key>, Self)> {
        let entry = match self {
            Self::Item(item) => item.as_table_like()?.get_key_value(name),
            Self::Table(table) => table.get_key_value(name),
            Self::Value(value) => value.as_inline_table()?.get_key_value(name),
        };
        entry.map(|(key, item)| (Some(key), Self::Item(item)))
    }

    fn item(self, index: usize) -> Option<Self> {
        let array = match self {
            Self::Item(Item::ArrayOfTables(tables)) => return tables.get(index).map(Self::Table),
            Self::Item(item) => item.as_array()?,
            Self::Value(value) => value.as_array()?,
            Self::Table(_) => return None,
        };
        array.get(index).map(Self::Value)
    }

    fn span(self) -> Option<Range<usize>> {
        match self {
            Self::Item(item) => item.span(),
            Self::Table(table) => table.span(),
            Self::Value(value) => value.span(),
        }
    }
}

/// A text's lines, for turning offsets into lines and columns.
struct Lines<'a> {
    file: PathBuf,
    text: &'a str,
    /// Byte offsets, found once: a file of 10,000 keys is asked often.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(file: PathBuf, text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, starts }
    }

    fn place(&self, offset: usize, field: &str) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place::Line { file: self.file.clone(), line, column, field: field.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
\"é\".pick = \"x\"
[[provider]]
id = \"a\"
limits = { rpm = 5 }
[[provider.key]]
";

    fn at(steps: &[Step], spot: Spot) -> String {
        let map = FileMap::parse("k.toml".into(), TEXT).expect("this is TOML");
        map.nearest(steps, spot, "f").to_string()
    }

    fn field(name: &str) -> Step {
        Step::Field(name.to_owned())
    }

    #[test]
    fn finds_names_values_and_heads() {
        assert_eq!(at(&[field("é"), field("pick")], Spot::Name), "k.toml:1:5: f");
        assert_eq!(at(&[field("é"), field("pick")], Spot::Value), "k.toml:1:12: f");
        let provider = [field("provider"), Step::Item(0)];
        assert_eq!(at(&provider, Spot::Value), "k.toml:2:1: f");
        let rpm = [&provider[..], &[field("limits"), field("rpm")]].concat();
        assert_eq!(at(&rpm, Spot::Value), "k.toml:4:18: f");
    }

    #[test]
    fn falls_back_to_what_is_around_it() {
        let key = [field("provider"), Step::Item(0), field("key"), Step::Item(0)];
        let secret = [&key[..], &[field("secret")]].concat();
        assert_eq!(at(&secret, Spot::Value), "k.toml:5:1: f");
        assert_eq!(at(&[field("nothing")], Spot::Name), "k.toml:1:1: f");
    }

    #[test]
    fn says_where_toml_is_broken_without_quoting_the_line() {
        let broken = "a = 1\nsecret = \"sk-canary\n";
        let problem = FileMap::parse("k.toml".into(), broken).err().expect("a string never ends");
        assert!(problem.to_string().starts_with("k.toml:2:"), "{problem}");
        assert!(!problem.to_string().contains("canary"), "{problem}");
    }
}
