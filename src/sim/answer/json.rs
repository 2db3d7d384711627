//! JSON written by hand: answers are too many for a tree of values each.

use std::io::Write as _;

use super::super::account::Cost;

/// Writes formatted text.
pub(super) fn write_all(body: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory can't fail.
    let _ = body.write_fmt(text);
}

/// `text` as a JSON string, in its quotes.
pub(crate) fn write_json_string(body: &mut Vec<u8>, text: &str) {
    // Writing a string into memory can't fail.
    let _ = serde_json::to_writer(body, text);
}

/// `text` as a JSON string of its own.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Usage as chat completions and completions tell it.
pub(super) fn write_usage(body: &mut Vec<u8>, used: Cost) {
    let Cost { prompt, answer: completion } = used;
    let total = prompt + completion;
    write_all(
        body,
        format_args!(
            r#""usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#
        ),
    );
}
