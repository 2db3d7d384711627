//! Names that more than one row has, found before anything is sent.
//!
//! A look through the names alone takes a fraction of a second for a gigabyte, and a run that fails over its
//! last row would have cost real money.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::hash::RowHash;
use super::parse::nameless;
use super::rows::Rows;
use super::seen::{Seen, Sighting};
use super::source::Input;

/// So many are told; whoever mends these finds the others.
const DUPLICATES_TOLD_MAX: usize = 10;

/// How often it is told how far the look is, in bytes of the input.
const TOLD_EVERY_BYTES: u64 = 16 * 1024 * 1024;

/// A name that more than one row has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicate {
    /// The name.
    pub custom_id: String,
    /// The line of the first row of that name.
    pub first: u64,
    /// The line of the second.
    pub second: u64,
}

/// The first names that stand on a second line, at most ten, in the order of these lines.
///
/// `open` opens the same input again: a name is known by its hash in the first look, by itself in a second
/// one that is only needed if there are any. `told` hears how many bytes have been read.
///
/// # Errors
/// If the input can't be read.
pub fn duplicates<E: From<io::Error>>(
    open: impl Fn() -> Result<Input, E>,
    mut told: impl FnMut(u64),
) -> Result<Vec<Duplicate>, E> {
    let suspects = suspects(open()?.into_rows(), &mut told)?;
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let mut first_lines: HashMap<&str, Option<u64>> =
        suspects.iter().map(|(custom_id, _)| (custom_id.as_str(), None)).collect();
    let mut unknown = first_lines.len();
    let mut rows = open()?.into_rows();
    while unknown > 0
        && let Some((line, name)) = rows.next_name()?
    {
        let first =
            name.as_deref().and_then(|name| first_lines.get_mut(name)).filter(|first| first.is_none());
        if let Some(first) = first {
            *first = Some(line);
            unknown -= 1;
        }
    }
    let found = suspects.iter().filter_map(|(custom_id, second)| {
        let first = first_lines.get(custom_id.as_str()).copied().flatten()?;
        // Another name with the same hash makes a suspect, but no duplicate.
        (first < *second).then(|| Duplicate { custom_id: custom_id.clone(), first, second: *second })
    });
    Ok(found.collect())
}

/// Names whose hash was met before, with their lines.
fn suspects(mut rows: Rows, told: &mut impl FnMut(u64)) -> io::Result<Vec<(String, u64)>> {
    let mut seen = Seen::new();
    let mut suspects: Vec<(String, u64)> = Vec::new();
    let meter = rows.meter();
    let mut told_at = 0;
    while let Some((line, name)) = rows.next_name()? {
        if meter.bytes() >= told_at + TOLD_EVERY_BYTES {
            told_at = meter.bytes();
            told(told_at);
        }
        let Some(name) = name else { continue };
        let is_suspect = seen.note(RowHash::of_name(&name)) == Sighting::Again;
        if is_suspect && suspects.iter().all(|(known, _)| *known != *name) {
            suspects.push((name.into_owned(), line));
            if suspects.len() == DUPLICATES_TOLD_MAX {
                break;
            }
        }
    }
    Ok(suspects)
}

/// The name that a line gives its row; of a line that can't be read, nothing.
pub(super) fn name_of(line: u64, text: &[u8]) -> Option<Cow<'_, str>> {
    if let Some(name) = leading_name(text) {
        return Some(Cow::Borrowed(name));
    }
    if text.starts_with(b"\"") {
        return Some(Cow::Owned(nameless(line)));
    }
    let named: Named<'_> = serde_json::from_slice(text).ok()?;
    Some(named.custom_id.unwrap_or_else(|| Cow::Owned(nameless(line))))
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    custom_id: Option<Cow<'a, str>>,
}

/// The name, where it is the first member and has no escapes: then the rest need not be parsed.
fn leading_name(text: &[u8]) -> Option<&str> {
    let text = text.strip_prefix(b"{")?.trim_ascii_start();
    let text = text.strip_prefix(br#""custom_id""#)?.trim_ascii_start();
    let text = text.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    (text[end] == b'"').then(|| std::str::from_utf8(&text[..end]).ok())?
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn found(text: &str) -> Vec<(String, u64, u64)> {
        let open = || Ok::<_, io::Error>(Input::new(Cursor::new(text.to_owned()), None));
        let found = duplicates(open, |_| ()).unwrap();
        found.into_iter().map(|found| (found.custom_id, found.first, found.second)).collect()
    }

    #[test]
    fn both_lines_are_named() {
        let text = r#"{"custom_id":"a"}
            {"x":{"custom_id":"a"},"custom_id":"b"}

            { "custom_id" : "a", "body": {} }
            {"custom_id":"\u0061"}
            {"body":{},"custom_id":"b"}
            not json"#;
        assert_eq!(found(text), [("a".to_owned(), 1, 4), ("b".to_owned(), 2, 6)]);
    }

    #[test]
    fn rows_without_a_name_have_their_lines() {
        assert_eq!(found("\"x\"\n\"x\"\n{\"prompt\":\"x\"}\n{\"prompt\":\"x\"}"), []);
        assert_eq!(found("\"x\"\n{\"custom_id\":\"line-1\"}"), [("line-1".to_owned(), 1, 2)]);
    }

    #[test]
    fn only_the_first_ten_are_told() {
        let text: Vec<String> = (0..40).map(|row| format!(r#"{{"custom_id":"{}"}}"#, row % 20)).collect();
        let found = found(&text.join("\n"));
        assert_eq!(found.len(), 10);
        assert_eq!(found[9], ("9".to_owned(), 10, 30));
    }

    #[test]
    fn a_name_is_read_as_the_parser_reads_it() {
        for (text, name) in [
            (r#"{"custom_id":"a"}"#, Some("a")),
            (r#"{"custom_id":"ä\"b"}"#, Some("ä\"b")),
            (r#"{"b":1,"custom_id":"a"}"#, Some("a")),
            (r#"{"custom_ids":"a"}"#, Some("line-7")),
            (r#"{"custom_id":5}"#, None),
            (r#"{"b":1,"custom_id":"a""#, None),
        ] {
            assert_eq!(name_of(7, text.as_bytes()).as_deref(), name, "{text}");
        }
    }
}
