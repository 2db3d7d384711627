//! OpenAI's form.
//!
//! Source: OpenAI's Batch API reference, "The request output object"
//! (<https://platform.openai.com/docs/api-reference/batch/request-output>).

use serde::Serialize;

use crate::batch::output::line::{OutputLine, Response, RowError, WrittenBody, json_line};

#[derive(Serialize)]
struct Written<'a> {
    id: &'a str,
    custom_id: Option<&'a str>,
    response: Option<WrittenResponse<'a>>,
    error: Option<&'a RowError>,
}

#[derive(Serialize)]
struct WrittenResponse<'a> {
    status_code: u16,
    request_id: &'a str,
    body: WrittenBody<'a>,
}

pub(super) fn line(line: &OutputLine) -> serde_json::Result<Vec<u8>> {
    json_line(&Written {
        id: &line.id,
        custom_id: line.custom_id.as_deref(),
        response: line.response.as_ref().map(WrittenResponse::of),
        error: line.error.as_ref(),
    })
}

impl<'a> WrittenResponse<'a> {
    fn of(response: &'a Response) -> Self {
        Self { status_code: response.status_code, request_id: &response.request_id, body: response.written() }
    }
}
