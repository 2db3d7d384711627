//! One line of input: what it asks for, or why it can't be asked.
//!
//! Source of the form: OpenAI's Batch API guide, "Prepare your batch file"
//! (<https://platform.openai.com/docs/guides/batch>).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method};
use keywheel_actors::id::Model;
use keywheel_actors::request::{Delivery, Request, X_REQUEST_ID};
use serde::Deserialize;
use serde_json::value::RawValue;

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
    /// The caller's name of it.
    pub custom_id: String,
    /// What it is known by to a later run.
    pub hash: RowHash,
    /// Path below a provider's base URL.
    pub path: String,
    /// The model that it asks for.
    pub model: Model,
    /// The body, byte for byte: a slice of the line.
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

/// A line as OpenAI's Batch API has it. Further fields are left alone.
#[derive(Deserialize)]
struct WrittenRow<'a> {
    custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// What we must know of a body; the rest is between caller and provider.
#[derive(Deserialize)]
struct BodyHead<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
}

impl Row {
    /// Reads one line.
    ///
    /// # Errors
    /// [`Rejected`] with the code [`INVALID_LINE`].
    pub(in crate::batch) fn parse(line: u64, bytes: &Bytes) -> Result<Self, Rejected> {
        let written: WrittenRow<'_> = serde_json::from_slice(bytes)
            .map_err(|error| Rejected::invalid(line, None, &format!("not a batch row: {error}")))?;
        match written.check(bytes) {
            Ok((path, model, body)) => {
                let custom_id = written.custom_id.unwrap_or_default();
                let hash = RowHash::of(&custom_id, &path, &body);
                Ok(Self { line, custom_id, hash, path, model, body })
            }
            Err(problem) => Err(Rejected::invalid(line, written.custom_id, &problem)),
        }
    }

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
        }
    }
}

impl WrittenRow<'_> {
    /// Path, model and body, or what is wrong with them.
    fn check(&self, line: &Bytes) -> Result<(String, Model, Bytes), String> {
        if self.custom_id.is_none() {
            return Err("`custom_id` is missing; hint: give each row a name of its own".to_owned());
        }
        if let Some(method) = self.method.as_deref().filter(|method| *method != "POST") {
            return Err(format!("`method` is `{method}`; hint: batch rows are `POST`"));
        }
        let Some(url) = &self.url else {
            return Err("`url` is missing; hint: such as `/v1/chat/completions`".to_owned());
        };
        if !url.starts_with('/') {
            return Err(format!(
                "`url` is `{url}`; hint: a path such as `/v1/chat/completions`, the host is the provider's"
            ));
        }
        let Some(body) = self.body else {
            return Err("`body` is missing; hint: the request as the provider takes it".to_owned());
        };
        let head: BodyHead<'_> =
            serde_json::from_str(body.get()).map_err(|error| format!("`body` is no request: {error}"))?;
        let Some(model) = head.model.filter(|model| !model.is_empty()) else {
            return Err("`body.model` is missing; hint: name the model that is to answer".to_owned());
        };
        if head.stream == Some(true) {
            return Err("`body.stream` is true; hint: leave it out, answers are written whole".to_owned());
        }
        Ok((below_base(url).to_owned(), Model::from(model.as_ref()), line.slice_ref(body.get().as_bytes())))
    }
}

/// The path below a provider's base URL, which ends with the version: `/v1/embeddings` → `/embeddings`.
fn below_base(url: &str) -> &str {
    match url.strip_prefix("/v1") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) | None => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &'static str) -> Result<Row, Rejected> {
        Row::parse(7, &Bytes::from_static(line.as_bytes()))
    }

    fn problem(line: &'static str) -> String {
        parse(line).unwrap_err().message
    }

    #[test]
    fn a_row_is_read_and_its_body_kept_byte_for_byte() {
        let row = parse(
            r#"{"custom_id":"r1","method":"POST","url":"/v1/chat/completions","body":{ "model" : "m", "n": 1.50 }}"#,
        )
        .unwrap();
        assert_eq!(row.line, 7);
        assert_eq!(row.custom_id, "r1");
        assert_eq!(row.path, "/chat/completions");
        assert_eq!(row.model, Model::from("m"));
        assert_eq!(&row.body[..], br#"{ "model" : "m", "n": 1.50 }"#);
    }

    #[test]
    fn a_request_carries_the_name_of_run_and_line() {
        let row = parse(r#"{"custom_id":"r1","url":"/v1/embeddings","body":{"model":"m"}}"#).unwrap();
        let request = row.request(&RunId::fixed("00c0ffee"));
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.path, "/embeddings");
        assert_eq!(request.headers["x-request-id"], "batch-00c0ffee-7");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.delivery, Delivery::Whole);
    }

    #[test]
    fn only_a_whole_version_segment_is_stripped() {
        for (url, path) in [
            ("/v1/chat/completions", "/chat/completions"),
            ("/chat/completions", "/chat/completions"),
            ("/v1beta/models", "/v1beta/models"),
            ("/v1", "/v1"),
        ] {
            assert_eq!(below_base(url), path);
        }
    }

    #[test]
    fn says_what_is_wrong_and_on_which_line() {
        let cases = [
            (r#"{"url":"/v1/x","body":{"model":"m"}}"#, "line 7: `custom_id` is missing"),
            (
                r#"{"custom_id":"a","method":"GET","url":"/v1/x","body":{"model":"m"}}"#,
                "line 7: `method` is `GET`",
            ),
            (r#"{"custom_id":"a","body":{"model":"m"}}"#, "line 7: `url` is missing"),
            (
                r#"{"custom_id":"a","url":"https://h/v1/x","body":{"model":"m"}}"#,
                "line 7: `url` is `https://h/v1/x`",
            ),
            (r#"{"custom_id":"a","url":"/v1/x"}"#, "line 7: `body` is missing"),
            (r#"{"custom_id":"a","url":"/v1/x","body":[1]}"#, "line 7: `body` is no request: "),
            (r#"{"custom_id":"a","url":"/v1/x","body":{}}"#, "line 7: `body.model` is missing"),
            (r#"{"custom_id":"a","url":"/v1/x","body":{"model":""}}"#, "line 7: `body.model` is missing"),
            (
                r#"{"custom_id":"a","url":"/v1/x","body":{"model":"m","stream":true}}"#,
                "line 7: `body.stream` is true; hint: leave it out, answers are written whole",
            ),
            ("not json", "line 7: not a batch row: "),
        ];
        for (line, start) in cases {
            let message = problem(line);
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn an_invalid_row_keeps_its_name_if_it_has_one() {
        let named = parse(r#"{"custom_id":"a","url":"/v1/x"}"#).unwrap_err();
        assert_eq!((named.custom_id.as_deref(), named.code), (Some("a"), "invalid_line"));
        assert_eq!(parse("{").unwrap_err().custom_id, None);
    }
}
