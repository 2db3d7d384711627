//! What an error body says, whichever shape its vendor chose.

use ::http::StatusCode;
use serde_json::Value;

use crate::dialect::hints::Dimension;
use crate::dialect::message;

/// The parts of an error that rules look at.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Said {
    /// For people. Where a router wraps another provider's error, both messages.
    pub(super) message: String,
    /// `code`, also if it was a number.
    pub(super) code: Option<String>,
    /// `type`.
    pub(super) kind: Option<String>,
    /// Finer marks beside the code: Azure's inner code; OpenRouter's reason, source of a limit,
    /// and kinds of moderation.
    pub(super) marks: Vec<String>,
    /// Whether it names a parameter of the request.
    pub(super) names_param: bool,
}

impl Said {
    /// Reads the body of an answer with a failing status.
    pub(super) fn in_body(status: StatusCode, body: &[u8]) -> Self {
        let mut said = serde_json::from_slice(body).map(|value| Self::in_value(&value)).unwrap_or_default();
        if said.message.is_empty() {
            said.message = message::of_plain_body(status, body).into_owned();
        }
        said
    }

    /// Reads an error of any of these shapes:
    ///
    /// - `{"error":{"message","type","param","code"}}`: OpenAI and most others,
    /// - `{"code":"…","error":"…"}`: xAI,
    /// - `{"object":"error","message","type","param","code"}`: Mistral; `{"message"}`: Cohere,
    /// - `{"detail":…}`: servers made with FastAPI,
    /// - `{"type":"error","code","message","param"}`: events of OpenAI's responses,
    /// - any of them in an array: Google's compatible endpoint.
    pub(super) fn in_value(value: &Value) -> Self {
        let top = value.get(0).unwrap_or(value);
        let error = match top.get("error") {
            Some(error) if error.is_object() => error,
            _ => top,
        };
        let message = [error.get("message"), error.get("error"), error.get("detail")];
        let mut said = Self {
            message: message
                .into_iter()
                .flatten()
                .map(text)
                .find(|text| !text.is_empty())
                .unwrap_or_default(),
            code: error.get("code").map(text).filter(|code| !code.is_empty()),
            kind: error.get("type").map(text).filter(|kind| !kind.is_empty()),
            marks: Vec::new(),
            names_param: error.get("param").is_some_and(is_truthy),
        };
        said.marks.extend(error.pointer("/innererror/code").map(text));
        if let Some(metadata) = error.get("metadata") {
            said.add_metadata(metadata);
        }
        said
    }

    /// OpenRouter's addition to an error.
    fn add_metadata(&mut self, metadata: &Value) {
        self.marks.extend(["reason", "limit_source"].iter().filter_map(|key| metadata.get(key)).map(text));
        let kinds = ["reasons", "flagged_input", "patterns"];
        self.marks
            .extend(kinds.iter().filter(|key| metadata.get(**key).is_some()).map(|key| (*key).to_owned()));
        if let Some(raw) = metadata.get("raw").map(text) {
            self.message = format!("{}: {raw}", self.message);
        }
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
fn text(value: &Value) -> String {
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
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_is_read() {
        let openai = json!({"error": {"message": "m", "type": "t", "param": "p", "code": "c"}});
        let mistral = json!({"object": "error", "message": "m", "type": "t", "param": null, "code": "3505"});
        let xai = json!({"code": "c", "error": "m"});
        let fast_api = json!({"detail": [{"msg": "field required"}]});
        let google = json!([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}]);
        let event = json!({"type": "error", "code": "c", "message": "m", "param": null});
        for (value, message, kind, code, names_param) in [
            (openai, "m", Some("t"), Some("c"), true),
            (mistral, "m", Some("t"), Some("3505"), false),
            (xai, "m", None, Some("c"), false),
            (fast_api, r#"[{"msg":"field required"}]"#, None, None, false),
            (google, "m", None, Some("400"), false),
            (event, "m", Some("error"), Some("c"), false),
            (json!({"error": "m"}), "m", None, None, false),
            (json!("m"), "", None, None, false),
        ] {
            let said = Said::in_value(&value);
            let read = (&*said.message, said.kind.as_deref(), said.code.as_deref(), said.names_param);
            assert_eq!(read, (message, kind, code, names_param), "{value}");
        }
    }

    #[test]
    fn a_body_without_a_message_still_says_something() {
        let said = |body: &[u8]| Said::in_body(StatusCode::BAD_GATEWAY, body).message;
        assert_eq!(said(b"<html>"), "Bad Gateway");
        assert_eq!(said(b"no healthy upstream"), "no healthy upstream");
        assert_eq!(said(b"{}"), "{}");
    }

    #[test]
    fn a_routers_metadata_gives_marks_and_the_other_providers_words() {
        let said = Said::in_value(&json!({"error": {"code": 402, "message": "m", "metadata":
            {"limit_source": "openrouter_key_limit", "raw": "r", "flagged_input": "x"}}}));
        assert_eq!(said.marks, ["openrouter_key_limit", "flagged_input"]);
        assert_eq!(said.message, "m: r");
        assert_eq!(said.status_inside(), Some(402));
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
