//! Answers of 200 that are none.

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;

use crate::outcome::{Fault, Reason};

/// Whether a successful body that isn't a JSON object should have been one.
///
/// Sound, files and server-sent events are no JSON and no fault, and 204 has no body by its definition.
pub(super) fn broken(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Fault> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let is_json = content_type.map(|kind| kind.to_ascii_lowercase().contains("json"));
    // Blank lines keep the connection alive while DeepSeek's queue is long.
    if body.trim_ascii().is_empty() {
        let needs_a_body = status != StatusCode::NO_CONTENT && is_json != Some(false);
        return needs_a_body.then(|| Fault::new(Reason::Cut, "the answer is empty"));
    }
    let is_whole = is_json != Some(true) || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    (!is_whole).then(|| Fault::new(Reason::Cut, "the answer breaks off inside its JSON"))
}
