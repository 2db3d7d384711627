//! The error file: every row that failed, in a form that can be run again.

use std::borrow::Cow;

use serde::Serialize;

use crate::batch::output::line::{Asked, OutputLine, RowError, WrittenBody, json_line};

#[derive(Serialize)]
struct FailedRequest<'a> {
    custom_id: Option<&'a str>,
    method: &'static str,
    url: &'a str,
    body: WrittenBody<'a>,
    error: WrittenError<'a>,
}

#[derive(Serialize)]
struct BadLine<'a> {
    custom_id: Option<&'a str>,
    line: u64,
    error: WrittenError<'a>,
    input: Cow<'a, str>,
}

#[derive(Serialize)]
struct WrittenError<'a> {
    code: &'static str,
    message: &'a str,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
}

impl<'a> WrittenError<'a> {
    fn of(error: &'a RowError, line: &OutputLine) -> Self {
        let status_code = line.response.as_ref().map(|response| response.status_code);
        Self { code: error.code, message: &error.message, line: line.line, status_code }
    }
}

/// The line for the error file, with the line break; empty for a row that was answered.
pub(in crate::batch::output) fn line(line: &OutputLine) -> serde_json::Result<Vec<u8>> {
    let Some(error) = &line.error else {
        return Ok(Vec::new());
    };
    let custom_id = line.custom_id.as_deref();
    let error = WrittenError::of(error, line);
    match &line.asked {
        Asked::Request(url, body) => {
            json_line(&FailedRequest { custom_id, method: "POST", url, body: WrittenBody::of(body), error })
        }
        Asked::Unreadable(text) => {
            json_line(&BadLine { custom_id, line: line.line, error, input: String::from_utf8_lossy(text) })
        }
        Asked::Settled => Ok(Vec::new()),
    }
}
