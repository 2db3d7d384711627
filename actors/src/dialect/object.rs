//! Reads a few fields out of a JSON object and passes over the rest.

use serde::Deserialize;

/// The fields of `T`, if `body` is a JSON object. Serde alone would take an array for one, by position.
pub(super) fn fields_of<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    body.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(body).ok())?
}
