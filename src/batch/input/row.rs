//! One row of input: what it asks for, or why it can't be asked.

use std::fmt;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};
use keywheel_actors::id::Model;
use keywheel_actors::request::{Delivery, Request, X_REQUEST_ID};

use super::hash::RowHash;
use crate::config::lookalike::hushed;

/// The code of a line that can't be sent.
pub(in crate::batch) const INVALID_LINE: &str = "invalid_line";

/// The code of a line whose `custom_id` stood on an earlier line.
pub(in crate::batch) const DUPLICATE_CUSTOM_ID: &str = "duplicate_custom_id";

/// A run's name in request ids: eight hexadecimal digits, new for each run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunId(String);

impl RunId {
    /// A new one.
    pub fn random() -> Self {
        Self(format!("{:08x}", fastrand::u32(..)))
    }

    /// This one, for runs that must repeat.
    pub fn fixed(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The id of the request for `line`: `batch-<run>-<line>`.
    pub fn request_id(&self, line: u64) -> String {
        format!("batch-{self}-{line}")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A row that can be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Row {
    /// Its line in the input, from 1.
    pub line: u64,
    /// The caller's name of it, or else `line-` and its line.
    pub custom_id: String,
    /// What it is known by to a later run.
    pub hash: RowHash,
    /// Path below a provider's base URL.
    pub path: String,
    /// The model that it asks for.
    pub model: Model,
    /// The body: a slice of the line, byte for byte, unless the line only holds what goes into one.
    pub body: Bytes,
}

/// A row that isn't sent, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Rejected {
    /// Its line in the input, from 1.
    pub line: u64,
    /// The caller's name of it, if it could be read.
    pub custom_id: Option<String>,
    /// [`INVALID_LINE`] or [`DUPLICATE_CUSTOM_ID`].
    pub code: &'static str,
    /// What is wrong, with the line's number and a hint.
    pub message: String,
    /// The line as it stands in the input; of one that is too long, the beginning.
    pub raw: Bytes,
    /// What it is known by to a later run: its place and its text, for it may have no name.
    pub hash: RowHash,
}

impl Rejected {
    /// A line that can't be sent.
    pub(in crate::batch) fn invalid(line: u64, custom_id: Option<String>, problem: &str) -> Self {
        Self::because(INVALID_LINE, line, custom_id, problem)
    }

    /// A line whose `custom_id` stood on an earlier one.
    pub(in crate::batch) fn duplicate(line: u64, custom_id: String) -> Self {
        let problem = "`custom_id` stands on an earlier line; hint: answers are told apart by it alone";
        Self::because(DUPLICATE_CUSTOM_ID, line, Some(custom_id), problem)
    }

    fn because(code: &'static str, line: u64, custom_id: Option<String>, problem: &str) -> Self {
        let message = format!("line {line}: {}", hushed(problem));
        Self { line, custom_id, code, message, raw: Bytes::new(), hash: RowHash::of_rejected(line, b"") }
    }

    /// The same, with the text of the line.
    pub(in crate::batch) fn of_line(self, raw: Bytes) -> Self {
        Self { hash: RowHash::of_rejected(self.line, &raw), raw, ..self }
    }
}

impl Row {
    /// The request that this row asks for, named so that our ledger and the provider's can be joined.
    pub(in crate::batch) fn request(&self, run: &RunId) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::try_from(run.request_id(self.line)) {
            headers.insert(X_REQUEST_ID, id);
        }
        Request {
            method: Method::POST,
            path: self.path.clone(),
            headers,
            body: self.body.clone(),
            model: self.model.clone(),
            delivery: Delivery::Whole,
            to: keywheel_actors::request::Destination::Routed,
            upload: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_the_name_of_run_and_line() {
        let row = Row {
            line: 7,
            custom_id: "r1".to_owned(),
            hash: RowHash::default(),
            path: "/embeddings".to_owned(),
            model: "m".into(),
            body: Bytes::from_static(b"{}"),
        };
        let request = row.request(&RunId::fixed("00c0ffee"));
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.path, "/embeddings");
        assert_eq!(request.headers["x-request-id"], "batch-00c0ffee-7");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.delivery, Delivery::Whole);
    }

    #[test]
    fn a_rejected_line_is_known_by_its_place_and_its_text() {
        let rejected = |line, raw| Rejected::invalid(line, None, "no").of_line(Bytes::from_static(raw));
        assert_eq!(rejected(1, b"{").hash, rejected(1, b"{").hash);
        assert_ne!(rejected(1, b"{").hash.id, rejected(2, b"{").hash.id);
        assert_ne!(rejected(1, b"{").hash.content, rejected(1, b"[").hash.content);
    }
}
