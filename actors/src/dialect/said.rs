//! What an error says, whichever shape its vendor chose.

use ::http::StatusCode;
use serde_json::Value;

use super::hints::Dimension;
use super::message;

/// The parts of an error that rules look at.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Said {
    /// For people. Where a router wraps another provider's error, both messages.
    pub(super) message: String,
    /// The finest word for it: `code`, also if it was a number; Google's `reason`.
    pub(super) code: Option<String>,
    /// The word for its family: `type`, or Google's `status`.
    pub(super) kind: Option<String>,
    /// Finer marks beside the code: Azure's inner code; OpenRouter's reason, source of a limit,
    /// and kinds of moderation; what kinds of quota Google names.
    pub(super) marks: Vec<String>,
    /// Whether it names a parameter of the request.
    pub(super) names_param: bool,
}

impl Said {
    /// Reads the body of an answer with a failing status; `in_value` knows its vendor's shapes.
    pub(super) fn in_body(status: StatusCode, body: &[u8], in_value: fn(&Value) -> Self) -> Self {
        let mut said = serde_json::from_slice(body).map(|value| in_value(&value)).unwrap_or_default();
        if said.message.is_empty() {
            said.message = message::of_plain_body(status, body).into_owned();
        }
        said
    }

    /// The HTTP status that stands in the place of the code, as OpenRouter and vLLM put it
    /// inside answers that began with 200.
    pub(super) fn status_inside(&self) -> Option<u16> {
        self.code.as_ref()?.parse().ok().filter(|code| (400..600).contains(code))
    }

    /// The limit that was hit: what the type says, else what the message says, if it names one only.
    pub(super) fn dimension(&self) -> Option<Dimension> {
        match self.kind.as_deref() {
            Some("requests") => return Some(Dimension::Requests),
            Some("tokens") => return Some(Dimension::Tokens),
            _ => {}
        }
        let message = self.message.to_ascii_lowercase();
        let names = |phrases: [&str; 4]| phrases.iter().any(|phrase| message.contains(phrase));
        let requests = names(["(rpm)", "(rpd)", "requests per ", "call rate limit"]);
        let tokens = names(["(tpm)", "(tpd)", "tokens per ", "token rate limit"]);
        match (requests, tokens) {
            (true, false) => Some(Dimension::Requests),
            (false, true) => Some(Dimension::Tokens),
            (true, true) | (false, false) => None,
        }
    }

    /// Whether the message names a limit and a request that is larger: "Limit 30000, Requested 50000".
    pub(super) fn asks_more_than_limit(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        number_after(&message, "requested")
            .zip(number_after(&message, "limit"))
            .is_some_and(|(asked, limit)| asked > limit)
    }
}

/// What Python's `if error:` takes for an error, as the vendors' own SDKs ask.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A string as it is, null as nothing, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The first whole number that directly follows `word`; thousands may have commas.
fn number_after(text: &str, word: &str) -> Option<u64> {
    text.match_indices(word).find_map(|(at, _)| {
        let rest = text[at + word.len()..].trim_start_matches([' ', ':']);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
        rest[..end].replace(',', "").parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_message_still_says_something() {
        let said = |body: &[u8]| Said::in_body(StatusCode::BAD_GATEWAY, body, |_| Said::default()).message;
        assert_eq!(said(b"<html>"), "Bad Gateway");
        assert_eq!(said(b"no healthy upstream"), "no healthy upstream");
        assert_eq!(said(b"{}"), "{}");
    }

    #[test]
    fn limits_and_requests_are_compared() {
        let asks_more =
            |message: &str| Said { message: message.to_owned(), ..Said::default() }.asks_more_than_limit();
        assert!(asks_more("Rate limit reached on TPM: Limit 30,000, Requested 50,000."));
        assert!(asks_more("limit: 6000, used 0, requested: 6001"));
        assert!(!asks_more("Limit 30000, Used 29000, Requested 5000."));
        assert!(!asks_more("Limit 30000"));
        assert!(!asks_more("Limit, Requested"));
    }
}
