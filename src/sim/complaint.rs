//! Error answers, word for word as OpenAI gives them.
//!
//! Sources: <https://platform.openai.com/docs/guides/error-codes> and messages as the API sends them.

use std::time::Duration;

use hyper::StatusCode;
use keywheel_actors::spec::Dimension;

use super::account::Refusal;
use super::answer::write_json_string;
use super::headers::go_duration;

/// Shorter keys are echoed whole, as OpenAI does: whoever prints such a message leaks them.
const MASKED_KEY_CHARS_MIN: usize = 12;

/// An error object and its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Complaint {
    pub(crate) status: StatusCode,
    pub(crate) cause: Cause,
    /// After how long the call may come again, if that is known and callers are to be told.
    pub(crate) wait: Option<Duration>,
    kind: &'static str,
    code: Option<&'static str>,
    pub(crate) message: String,
}

/// What a complaint is about, whoever words it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    BadKey,
    MoneyGone,
    Disabled,
    Throttled,
    TooLarge,
    UnknownModel,
    BadRequest,
    ServerError,
    Overloaded,
}

impl Complaint {
    /// The body: `{"error":{…}}`.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(160 + self.message.len());
        body.extend_from_slice(br#"{"error":{"message":"#);
        write_json_string(&mut body, &self.message);
        body.extend_from_slice(br#","type":"#);
        write_json_string(&mut body, self.kind);
        body.extend_from_slice(br#","param":null,"code":"#);
        match self.code {
            Some(code) => write_json_string(&mut body, code),
            None => body.extend_from_slice(b"null"),
        }
        body.extend_from_slice(b"}}");
        body
    }

    pub(crate) fn no_key() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            cause: Cause::BadKey,
            wait: None,
            kind: "invalid_request_error",
            code: None,
            message:
                "You didn't provide an API key. You need to provide your API key in an Authorization header \
                      using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                    .to_owned(),
        }
    }

    pub(crate) fn bad_key(secret: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            cause: Cause::BadKey,
            wait: None,
            kind: "invalid_request_error",
            code: Some("invalid_api_key"),
            message: format!(
                "Incorrect API key provided: {}. You can find your API key at \
                 https://platform.openai.com/account/api-keys.",
                masked(secret)
            ),
        }
    }

    pub(crate) fn money_gone() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            cause: Cause::MoneyGone,
            wait: None,
            kind: "insufficient_quota",
            code: Some("insufficient_quota"),
            message: "You exceeded your current quota, please check your plan and billing details. For more \
                      information on this error, read the docs: \
                      https://platform.openai.com/docs/guides/error-codes/api-errors."
                .to_owned(),
        }
    }

    pub(crate) fn disabled() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            cause: Cause::Disabled,
            wait: None,
            kind: "access_terminated",
            code: Some("access_terminated"),
            message:
                "Your access was terminated due to violation of our policies, please check your email for \
                      more information. If you believe this is in error and would like to appeal, please \
                      contact us through our help center at help.openai.com."
                    .to_owned(),
        }
    }

    /// A limit is used up; `wait` is left out of the message if callers aren't to be told.
    pub(crate) fn throttled(model: &str, refusal: &Refusal, wait: Option<Duration>) -> Self {
        let Refusal { limit_name, dimension, limit, used, requested, until } = refusal;
        let hint = wait.map_or(String::new(), |wait| format!(" Please try again in {}.", go_duration(wait)));
        let message = match until {
            Some(_) => format!(
                "Rate limit reached for {model} in organization org-sim on {limit_name}: Limit {limit}, Used \
                 {used}, Requested {requested}.{hint} Visit https://platform.openai.com/account/rate-limits to \
                 learn more."
            ),
            None => format!(
                "Request too large for {model} in organization org-sim on {limit_name}: Limit {limit}, \
                 Requested {requested}. The input or output tokens must be reduced in order to run \
                 successfully. Visit https://platform.openai.com/account/rate-limits to learn more."
            ),
        };
        let kind = match dimension {
            Dimension::Requests => "requests",
            Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens => "tokens",
        };
        let cause = if until.is_some() { Cause::Throttled } else { Cause::TooLarge };
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, cause, wait, kind, code: Some("rate_limit_exceeded"), message }
    }

    pub(crate) fn unknown_model(model: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            cause: Cause::UnknownModel,
            wait: None,
            kind: "invalid_request_error",
            code: Some("model_not_found"),
            message: format!("The model `{model}` does not exist or you do not have access to it."),
        }
    }

    pub(crate) fn bad_body(error: &serde_json::Error) -> Self {
        let message = match error.classify() {
            serde_json::error::Category::Data => format!("Invalid request body: {error}."),
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => format!(
                "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload, but \
                 what was sent was not valid JSON: {error}."
            ),
        };
        Self { message, ..Self::bad_request(StatusCode::BAD_REQUEST) }
    }

    pub(crate) fn body_too_large(bytes_max: usize) -> Self {
        Self {
            message: format!("The request body is longer than {bytes_max} bytes."),
            ..Self::bad_request(StatusCode::PAYLOAD_TOO_LARGE)
        }
    }

    pub(crate) fn unknown_path(method: &str, path: &str) -> Self {
        Self { message: format!("Invalid URL ({method} {path})"), ..Self::bad_request(StatusCode::NOT_FOUND) }
    }

    pub(crate) fn wrong_method(method: &str, path: &str) -> Self {
        Self {
            message: format!("Not allowed to {method} on {path}."),
            ..Self::bad_request(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    fn bad_request(status: StatusCode) -> Self {
        let (cause, kind) = (Cause::BadRequest, "invalid_request_error");
        Self { status, cause, wait: None, kind, code: None, message: String::new() }
    }

    pub(crate) fn server_error() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            cause: Cause::ServerError,
            wait: None,
            kind: "server_error",
            code: None,
            message: "The server had an error while processing your request. Sorry about that!".to_owned(),
        }
    }

    pub(crate) fn overloaded() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            cause: Cause::Overloaded,
            wait: None,
            kind: "service_unavailable_error",
            code: Some("server_is_overloaded"),
            message:
                "The server is currently overloaded with other requests. Sorry about that! You can retry \
                      your request, or contact us through our help center at help.openai.com if the error \
                      persists."
                    .to_owned(),
        }
    }
}

/// A key as OpenAI echoes it: its first and last four characters.
fn masked(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    if chars.len() < MASKED_KEY_CHARS_MIN {
        return secret.to_owned();
    }
    let (head, tail) = (&chars[..4], &chars[chars.len() - 4..]);
    head.iter().copied().chain("*".repeat(chars.len() - 8).chars()).chain(tail.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn error(complaint: &Complaint) -> Value {
        serde_json::from_slice::<Value>(&complaint.body()).unwrap()["error"].take()
    }

    #[test]
    fn a_throttle_names_limit_use_and_wait() {
        let refusal = Refusal {
            limit_name: "requests per min (RPM)".to_owned(),
            dimension: Dimension::Requests,
            limit: 3,
            used: 3,
            requested: 1,
            until: Some(keywheel_actors::clock::Moment::ZERO),
        };
        let told = Complaint::throttled("gpt-4o-mini", &refusal, Some(Duration::from_millis(1_200)));
        assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            error(&told),
            json!({
                "message": "Rate limit reached for gpt-4o-mini in organization org-sim on requests per min \
                            (RPM): Limit 3, Used 3, Requested 1. Please try again in 1.2s. Visit \
                            https://platform.openai.com/account/rate-limits to learn more.",
                "type": "requests",
                "param": null,
                "code": "rate_limit_exceeded",
            })
        );
        let silent = error(&Complaint::throttled("gpt-4o-mini", &refusal, None));
        assert!(!silent["message"].as_str().unwrap().contains("try again"));
    }

    #[test]
    fn money_is_a_429_of_its_own_kind() {
        let complaint = Complaint::money_gone();
        assert_eq!(complaint.status, StatusCode::TOO_MANY_REQUESTS);
        let error = error(&complaint);
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("insufficient_quota"), &json!("insufficient_quota"))
        );
    }

    #[test]
    fn a_bad_key_is_echoed_as_openai_does() {
        let said = |secret| error(&Complaint::bad_key(secret))["message"].as_str().unwrap().to_owned();
        assert!(said("sk-0").starts_with("Incorrect API key provided: sk-0. "));
        assert!(said("sk-abcdefgh1234").starts_with("Incorrect API key provided: sk-a*******1234. "));
    }

    #[test]
    fn names_from_outside_are_escaped() {
        let complaint = Complaint::unknown_model("a\"b");
        assert_eq!(
            error(&complaint)["message"],
            "The model `a\"b` does not exist or you do not have access to it."
        );
    }
}
