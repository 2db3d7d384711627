//! Results go to stdout, and a reader who went away is told of as an error.

use std::io::{self, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Prints `text` as it is.
///
/// # Errors
/// If nobody takes it.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to standard output")
}

/// Prints `text` and ends the line.
///
/// # Errors
/// If nobody takes it.
pub fn print_line(text: &str) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}

/// Prints `value` as one line of JSON.
///
/// # Errors
/// If nobody takes it.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(value).context("can't write JSON")?;
    print_line(&line)
}

/// Prints `value` as JSON over several lines, for files and for people.
///
/// # Errors
/// If nobody takes it.
pub fn print_json_lines(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("can't write JSON")?;
    print_line(&text)
}
