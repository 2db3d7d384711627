//! What became of a row, ready to be written in any form.

use std::borrow::Cow;

use bytes::Bytes;
use keywheel_actors::error::SendError;
use keywheel_actors::{Answer, AnswerBody};
use serde::Serialize;
use serde_json::value::RawValue;

use super::format::Format;
use super::journal::record::Kind;
use crate::batch::answer::{Answered, RowFault, Told};
use crate::batch::input::hash::RowHash;
use crate::batch::input::row::{Rejected, Row, RunId};

/// The code of an answer that came as a stream although it was wanted whole.
const UNEXPECTED_STREAM: &str = "unexpected_stream";

/// What became of a row, ready to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct OutputLine {
    /// Our name of the line: `batch_req_<run>_<line>`.
    pub(super) id: String,
    /// The row's name, if it could be read.
    pub(super) custom_id: Option<String>,
    /// Its line in the input.
    pub(super) line: u64,
    /// What a later run knows it by.
    pub(super) hash: RowHash,
    /// How it ended.
    pub(super) kind: Kind,
    /// What the provider answered.
    pub(super) response: Option<Response>,
    /// Why it failed.
    pub(super) error: Option<RowError>,
    /// What is needed to ask again.
    pub(super) asked: Asked,
}

/// A provider's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Response {
    pub(super) status_code: u16,
    pub(super) request_id: String,
    pub(super) body: Bytes,
}

/// Why a row failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(in crate::batch) struct RowError {
    /// A short word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// What a row asked for, as far as its line in the error file needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// It was answered: nobody asks again.
    Settled,
    /// A request: its path below the base URL, and its body.
    Request(String, Bytes),
    /// Something that can't be sent: the line as it was read.
    Unreadable(Bytes),
}

/// A row's lines, encoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Entry {
    /// What a later run knows the row by.
    pub hash: RowHash,
    /// Its line in the input.
    pub line: u64,
    /// How it ended.
    pub kind: Kind,
    /// Its line in OUT, with the line break.
    pub text: Vec<u8>,
    /// Its line in the error file, with the line break; empty if it didn't fail.
    pub error_text: Vec<u8>,
}

impl OutputLine {
    /// A row that was not sent.
    pub(in crate::batch) fn rejected(run: &RunId, rejected: Rejected) -> Self {
        Self {
            id: line_id(run, rejected.line),
            custom_id: rejected.custom_id,
            line: rejected.line,
            hash: rejected.hash,
            kind: Kind::Rejected,
            response: None,
            error: Some(RowError { code: rejected.code, message: rejected.message }),
            asked: Asked::Unreadable(rejected.raw),
        }
    }

    /// A row that was sent, and what came of it.
    pub(in crate::batch) fn answered(run: &RunId, row: Row, answered: Answered) -> Self {
        let sent_id = run.request_id(row.line);
        let (kind, response, error) = match answered.result {
            Ok(Answer { status, headers, body: AnswerBody::Whole(body), .. }) => {
                (Kind::Ok, Some(Response::of(Told { status, headers, body }, sent_id)), None)
            }
            Ok(Answer { body: AnswerBody::Stream(_), .. }) => {
                let message = "the answer came as a stream, which a line can't hold".to_owned();
                (Kind::MayPass, None, Some(RowError { code: UNEXPECTED_STREAM, message }))
            }
            Err(fault) => {
                // What the provider refuses it will refuse again; everything else is worth another try.
                let is_refused = matches!(fault, RowFault::Sent(SendError::Refused(_)));
                let kind = if is_refused { Kind::Failed } else { Kind::MayPass };
                let row_error = RowError { code: fault.code(), message: fault.to_string() };
                (kind, fault.into_told().map(|told| Response::of(told, sent_id)), Some(row_error))
            }
        };
        let asked = match kind {
            Kind::Ok => Asked::Settled,
            Kind::Failed | Kind::MayPass | Kind::Rejected => Asked::Request(row.path, row.body),
        };
        let id = line_id(run, row.line);
        let custom_id = Some(row.custom_id);
        Self { id, custom_id, line: row.line, hash: row.hash, kind, response, error, asked }
    }

    /// Why the row failed; `None` if it didn't.
    pub(in crate::batch) fn error(&self) -> Option<&RowError> {
        self.error.as_ref()
    }

    /// The row's lines.
    ///
    /// # Errors
    /// None that these types can cause; the encoder has an error type all the same.
    pub(in crate::batch) fn encode(&self, format: Format) -> serde_json::Result<Entry> {
        let text = format.line(self)?;
        let error_text = super::format::errors::line(self)?;
        Ok(Entry { hash: self.hash, line: self.line, kind: self.kind, text, error_text })
    }
}

impl Response {
    fn of(told: Told, sent_id: String) -> Self {
        let named = told.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let request_id = named.map_or(sent_id, str::to_owned);
        Self { status_code: told.status.as_u16(), request_id, body: told.body }
    }

    /// Whether the provider itself says that something went wrong.
    pub(super) fn is_refusal(&self) -> bool {
        self.status_code >= 400
    }

    pub(super) fn written(&self) -> WrittenBody<'_> {
        WrittenBody::of(&self.body)
    }
}

/// A body stays as the provider wrote it; one that isn't JSON becomes a string.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WrittenBody<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

impl<'a> WrittenBody<'a> {
    pub(super) fn of(body: &'a [u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Text(String::from_utf8_lossy(body)),
        }
    }
}

/// `value` as JSON on a line of its own.
pub(super) fn json_line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    // Inside JSON a raw line break can only be white space between tokens: strings have it escaped.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Ok(line)
}

fn line_id(run: &RunId, line: u64) -> String {
    format!("batch_req_{run}_{line}")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use hyper::{HeaderMap, StatusCode};
    use keywheel_actors::error::RefusedAnswer;
    use keywheel_actors::outcome::{Fault, Reason, Served};

    use super::*;

    fn row() -> Row {
        Row {
            line: 3,
            custom_id: "r\"3".to_owned(),
            hash: RowHash::default(),
            path: "/x".to_owned(),
            model: "m".into(),
            body: Bytes::new(),
        }
    }

    fn answer(body: &'static str) -> Answer {
        Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: AnswerBody::Whole(Bytes::from_static(body.as_bytes())),
            served: Served { provider: "p".into(), fell_back: false, attempts: Vec::new() },
            usage: None,
        }
    }

    fn written(result: Result<Answer, SendError>) -> String {
        let line = OutputLine::answered(&RunId::fixed("r"), row(), Answered::by_wheel(result));
        String::from_utf8(line.encode(Format::OpenAi).unwrap().text).unwrap()
    }

    #[test]
    fn an_answer_stays_as_the_provider_wrote_it_on_one_line() {
        assert_eq!(
            written(Ok(answer("{\n  \"n\": 1.50,\r\n  \"s\": \"a\\nb\" }"))),
            concat!(
                r#"{"id":"batch_req_r_3","custom_id":"r\"3","response":{"status_code":200,"#,
                r#""request_id":"batch-r-3","body":{   "n": 1.50,    "s": "a\nb" }},"error":null}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_providers_request_id_comes_before_ours() {
        let mut told = answer("{}");
        told.headers.insert("x-request-id", HeaderValue::from_static("req_77"));
        assert!(written(Ok(told)).contains(r#""request_id":"req_77","body":{}}"#));
    }

    #[test]
    fn a_body_that_is_no_json_becomes_a_string() {
        assert!(written(Ok(answer("<p>\nhi"))).contains(r#""body":"<p>\nhi"}"#));
        assert!(written(Ok(answer(""))).contains(r#""body":""}"#));
    }

    #[test]
    fn a_refusal_keeps_the_providers_response_beside_the_error() {
        let refused = RefusedAnswer {
            fault: Fault::new(Reason::TooLong, "too many tokens").with_status(400),
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::new(),
            body: Bytes::from_static(br#"{"error":{"code":"context_length_exceeded"}}"#),
            attempts: Vec::new(),
        };
        assert_eq!(
            written(Err(SendError::Refused(Box::new(refused)))),
            concat!(
                r#"{"id":"batch_req_r_3","custom_id":"r\"3","response":{"status_code":400,"#,
                r#""request_id":"batch-r-3","body":{"error":{"code":"context_length_exceeded"}}},"#,
                r#""error":{"code":"too_long","message":"the provider refuses this request: "#,
                r#"too_long (HTTP 400): too many tokens"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn other_failures_have_no_response() {
        assert_eq!(
            written(Err(SendError::Lost)),
            concat!(
                r#"{"id":"batch_req_r_3","custom_id":"r\"3","response":null,"#,
                r#""error":{"code":"lost","message":"the job was lost inside the wheel"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_line_that_could_not_be_read_has_no_name() {
        let line = OutputLine::rejected(&RunId::fixed("r"), Rejected::invalid(9, None, "not a batch row"));
        assert_eq!(
            String::from_utf8(line.encode(Format::OpenAi).unwrap().text).unwrap(),
            concat!(
                r#"{"id":"batch_req_r_9","custom_id":null,"response":null,"#,
                r#""error":{"code":"invalid_line","message":"line 9: not a batch row"}}"#,
                "\n"
            )
        );
    }
}
