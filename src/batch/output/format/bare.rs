//! Forms without an envelope: the answer's body, or its words.

use serde::Serialize;

use crate::batch::answer::text::text_of;
use crate::batch::output::line::{OutputLine, Response, RowError, json_line};

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a RowError,
    custom_id: Option<&'a str>,
}

/// The body alone. An answer that was good for the provider, but not for the row, isn't shown as one.
pub(super) fn body(line: &OutputLine) -> serde_json::Result<Vec<u8>> {
    match (&line.error, &line.response) {
        (Some(error), response) if !response.as_ref().is_some_and(Response::is_refusal) => {
            json_line(&Failure { error, custom_id: line.custom_id.as_deref() })
        }
        (_, response) => json_line(&response.as_ref().map(Response::written)),
    }
}

/// The words alone, on one line.
pub(super) fn text(line: &OutputLine) -> Vec<u8> {
    let answer = line.response.as_ref().filter(|_| line.error.is_none());
    let words = answer.and_then(|response| text_of(&response.body)).unwrap_or_default();
    let mut text = String::with_capacity(words.len() + 1);
    for letter in words.chars() {
        match letter {
            '\\' => text.push_str(r"\\"),
            '\n' => text.push_str(r"\n"),
            '\r' => text.push_str(r"\r"),
            other => text.push(other),
        }
    }
    text.push('\n');
    text.into_bytes()
}
