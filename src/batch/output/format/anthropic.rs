//! Anthropic's form.
//!
//! Source: Anthropic's Message Batches reference, "Retrieve Message Batch Results"
//! (<https://docs.anthropic.com/en/api/retrieving-message-batch-results>).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::batch::output::line::{OutputLine, Response, RowError, WrittenBody, json_line};

#[derive(Serialize)]
struct Written<'a> {
    custom_id: Option<&'a str>,
    result: Ended<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Ended<'a> {
    Succeeded { message: Option<WrittenBody<'a>> },
    Errored { error: Said<'a> },
}

/// The provider's own words, or ours in their form.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Theirs(&'a RawValue),
    Ours(ErrorBody<'a>),
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    r#type: &'static str,
    error: ErrorDetail<'a>,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

/// What must stand in a provider's error for it to be Anthropic's.
#[derive(Deserialize)]
struct TheirError<'a> {
    r#type: &'a str,
    #[serde(borrow, rename = "error")]
    _error: &'a RawValue,
}

pub(super) fn line(line: &OutputLine) -> serde_json::Result<Vec<u8>> {
    let result = match &line.error {
        None => Ended::Succeeded { message: line.response.as_ref().map(Response::written) },
        Some(error) => Ended::Errored { error: said(line.response.as_ref(), error) },
    };
    json_line(&Written { custom_id: line.custom_id.as_deref(), result })
}

fn said<'a>(response: Option<&'a Response>, error: &'a RowError) -> Said<'a> {
    let theirs = response.filter(|response| {
        serde_json::from_slice::<TheirError<'_>>(&response.body).is_ok_and(|body| body.r#type == "error")
    });
    match theirs.and_then(|response| serde_json::from_slice(&response.body).ok()) {
        Some(body) => Said::Theirs(body),
        None => Said::Ours(ErrorBody {
            r#type: "error",
            error: ErrorDetail { r#type: error.code, message: &error.message },
        }),
    }
}
