//! The same complaints in the words of Anthropic and of Gemini.
//!
//! Sources: <https://docs.anthropic.com/en/api/errors>, <https://ai.google.dev/gemini-api/docs/troubleshooting>, and
//! bodies as both send them.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::complaint::{Cause, Complaint};
use super::tongue::Tongue;

/// Anthropic's own status of a provider without capacity.
const ANTHROPIC_OVERLOADED: u16 = 529;

impl Complaint {
    /// Status and body in those words.
    pub(crate) fn told(&self, tongue: Tongue) -> (StatusCode, Bytes) {
        match tongue {
            Tongue::OpenAi => (self.status, self.body().into()),
            Tongue::Anthropic => self.anthropics(),
            Tongue::Gemini => self.geminis(),
        }
    }

    /// The event that tells of an error in the middle of a stream.
    pub(crate) fn event(&self, is_named: Named, tongue: Tongue) -> Bytes {
        let body = match is_named {
            Named::Response => {
                json!({"type": "error", "code": "server_error", "message": self.message, "param": null, "sequence_number": 0})
                    .to_string()
                    .into()
            }
            Named::No | Named::Message => self.told(tongue).1,
        };
        let name: &[u8] = match is_named {
            Named::Response | Named::Message => b"event: error\n",
            Named::No => b"",
        };
        [name, b"data: ", &body, b"\n\n"].concat().into()
    }

    fn anthropics(&self) -> (StatusCode, Bytes) {
        let (status, kind, message) = match self.cause {
            Cause::BadKey => (401, "authentication_error", "invalid x-api-key"),
            Cause::MoneyGone => (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to \
                 upgrade or purchase credits.",
            ),
            Cause::Disabled => (403, "permission_error", "This organization has been disabled."),
            Cause::Throttled => (
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit. Please try again later.",
            ),
            Cause::TooLarge => (400, "invalid_request_error", &*self.message),
            Cause::UnknownModel => (404, "not_found_error", &*self.message),
            Cause::BadRequest => (self.status.as_u16(), "invalid_request_error", &*self.message),
            Cause::ServerError => (500, "api_error", "Internal server error"),
            Cause::Overloaded => (ANTHROPIC_OVERLOADED, "overloaded_error", "Overloaded"),
        };
        let body = json!({"type": "error", "error": {"type": kind, "message": message}});
        (status_of(status), body.to_string().into())
    }

    fn geminis(&self) -> (StatusCode, Bytes) {
        let (code, status, message) = match self.cause {
            Cause::BadKey => (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
            Cause::MoneyGone => (
                429,
                "RESOURCE_EXHAUSTED",
                "Your prepayment credits are depleted. Please go to AI Studio to manage your billing.",
            ),
            Cause::Disabled => {
                (403, "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:…' has been suspended.")
            }
            Cause::Throttled => (429, "RESOURCE_EXHAUSTED", QUOTA_EXCEEDED),
            Cause::TooLarge => (400, "INVALID_ARGUMENT", &*self.message),
            Cause::UnknownModel => (404, "NOT_FOUND", &*self.message),
            Cause::BadRequest => (self.status.as_u16(), "INVALID_ARGUMENT", &*self.message),
            Cause::ServerError => (500, "INTERNAL", "An internal error has occurred."),
            Cause::Overloaded => (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        };
        let body = json!({
            "error": {"code": code, "message": message, "status": status, "details": self.geminis_details()},
        });
        (status_of(code), body.to_string().into())
    }

    fn geminis_details(&self) -> Vec<Value> {
        let reason = |reason: &str| json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"});
        match self.cause {
            Cause::BadKey => vec![reason("API_KEY_INVALID")],
            Cause::Disabled => vec![reason("CONSUMER_SUSPENDED")],
            Cause::Throttled => {
                let retry = self.wait.map(|wait| {
                    let delay = format!("{}s", wait.as_secs_f64());
                    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
                });
                let quota = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
                    {"quotaMetric": "generativelanguage.googleapis.com/generate_content_paid_tier_requests",
                     "quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}
                ]});
                std::iter::once(quota).chain(retry).collect()
            }
            Cause::MoneyGone
            | Cause::TooLarge
            | Cause::UnknownModel
            | Cause::BadRequest
            | Cause::ServerError
            | Cause::Overloaded => Vec::new(),
        }
    }
}

/// What Gemini says of a limit that is used up.
const QUOTA_EXCEEDED: &str = "You exceeded your current quota, please check your plan and billing details.";

/// Whether a stream's events have names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    No,
    /// As OpenAI's responses.
    Response,
    /// As Anthropic's messages.
    Message,
}

fn status_of(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
