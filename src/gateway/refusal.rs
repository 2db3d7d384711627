//! What a client is told when it gets no answer: in the words of its own API.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use keywheel_actors::board::Cause;
use keywheel_actors::dialect::Api;
use keywheel_actors::error::{Obstacle, SendError};
use keywheel_actors::outcome::{Fault, Reason};
use serde_json::{Value, json};

use super::surface::Events;
use crate::clients::Refused;

/// SDKs obey it above every other sign: `false` keeps them from multiplying what can't succeed.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The same as `retry-after`, to the millisecond; SDKs read it first.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// A client of OpenAI's or Anthropic's own SDK waits at most this long; told more, one of them comes at once.
///
/// Source: `anthropic-sdk-python`'s `_calculate_retry_timeout` (60 s); `openai-python`'s allows 120 s.
const RETRY_WORTHWHILE_MAX: Duration = Duration::from_secs(60);

/// Why a client gets no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// A short word for programs.
    pub(super) code: String,
    pub(super) message: String,
    pub(super) retry: Retry,
}

/// Whether the same request may succeed later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retry {
    /// Then.
    After(Duration),
    /// Perhaps at once: as the client usually does.
    AsUsual,
    /// Not without a change.
    Pointless,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), retry: Retry::Pointless }
    }

    pub(super) fn retrying(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Nothing will ever come of it as it stands.
    pub(super) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// What a job's error means for the client. A provider's own refusal is not among them, unless no client can
    /// do anything about it.
    pub(super) fn of(error: &SendError) -> Self {
        let code = error.code();
        let message = error.to_string();
        let (status, retry) = match error {
            SendError::Refused(refused) => return Self::of_fault(&refused.fault),
            SendError::Exhausted { last, .. } => return Self::of_fault(last),
            SendError::Unavailable { obstacle, retry_after, why, .. } => {
                let status = status_of(*obstacle);
                let is_missing = status == StatusCode::NOT_FOUND;
                let message = if is_missing {
                    format!("the model doesn't exist, or no key here may use it: {why}")
                } else {
                    message
                };
                let retry = retry_after.filter(|_| !is_missing).map_or(Retry::Pointless, Retry::After);
                let code = if is_missing { "model_not_found" } else { code };
                return Self::new(status, code, message).retrying(retry);
            }
            SendError::DeadlineOver { .. } => (StatusCode::GATEWAY_TIMEOUT, Retry::Pointless),
            SendError::NoRoute { .. } => (StatusCode::NOT_FOUND, Retry::Pointless),
            SendError::QueueFull { retry_after, .. } => {
                (StatusCode::TOO_MANY_REQUESTS, Retry::After(*retry_after))
            }
            SendError::Draining => (StatusCode::SERVICE_UNAVAILABLE, Retry::After(DRAINED_AFTER)),
            SendError::Lost => (StatusCode::BAD_GATEWAY, Retry::AsUsual),
        };
        let code = if matches!(error, SendError::NoRoute { .. }) { "model_not_found" } else { code };
        Self::new(status, code, message).retrying(retry)
    }

    /// What a limit of the client itself means for it.
    pub(super) fn of_client(refused: Refused) -> Self {
        let retry = refused.retry_after.map_or(Retry::Pointless, Retry::After);
        let code = format!("client_limit_{}", refused.limit);
        Self { status: StatusCode::TOO_MANY_REQUESTS, code, message: refused.message, retry }
    }

    /// A provider's fault that no further key or provider could mend.
    fn of_fault(fault: &Fault) -> Self {
        let (status, retry) = match fault.reason {
            Reason::Throttled | Reason::QuotaUsedUp | Reason::SlowDown => {
                (StatusCode::TOO_MANY_REQUESTS, fault.rest.map_or(Retry::AsUsual, Retry::After))
            }
            Reason::Stalled => (StatusCode::GATEWAY_TIMEOUT, Retry::AsUsual),
            Reason::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Retry::AsUsual),
            Reason::ServerError | Reason::Unreachable | Reason::Cut => {
                (StatusCode::BAD_GATEWAY, Retry::AsUsual)
            }
            Reason::BadCredential
            | Reason::AccountBanned
            | Reason::MoneyGone
            | Reason::RegionDenied
            | Reason::ModelDenied
            | Reason::Unclassified => (StatusCode::BAD_GATEWAY, Retry::Pointless),
            Reason::ModelGone => (StatusCode::NOT_FOUND, Retry::Pointless),
            Reason::TooLong | Reason::NeverFits | Reason::PolicyRefused | Reason::CallerMistake => {
                (StatusCode::BAD_REQUEST, Retry::Pointless)
            }
            Reason::CallerGone | Reason::DeadlineOver => (StatusCode::GATEWAY_TIMEOUT, Retry::Pointless),
            Reason::Stopped => (StatusCode::SERVICE_UNAVAILABLE, Retry::After(DRAINED_AFTER)),
        };
        Self::new(status, fault.reason.as_str(), fault.to_string()).retrying(retry)
    }

    /// The response, in the words of that API.
    pub(super) fn respond(&self, api: Api) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/json"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Retry::After(after) = self.retry {
            let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
            response.insert_header((RETRY_AFTER_MS, millis.to_string()));
            response.insert_header((header::RETRY_AFTER, millis.div_ceil(1_000).to_string()));
        }
        let is_worthwhile = match self.retry {
            Retry::After(after) => after <= RETRY_WORTHWHILE_MAX,
            Retry::AsUsual => true,
            Retry::Pointless => false,
        };
        if !is_worthwhile {
            response.insert_header((X_SHOULD_RETRY, HeaderValue::from_static("false")));
        }
        response.body(body(api, self.status.as_u16(), &self.code, &self.message).to_string())
    }
}

/// What it means for a client that nobody can serve it.
const fn status_of(obstacle: Obstacle) -> StatusCode {
    match obstacle {
        Obstacle::NoSuchModel | Obstacle::Keys(Cause::Fault(Reason::ModelDenied | Reason::ModelGone)) => {
            StatusCode::NOT_FOUND
        }
        Obstacle::Keys(Cause::Fault(Reason::Throttled | Reason::QuotaUsedUp | Reason::SlowDown)) => {
            StatusCode::TOO_MANY_REQUESTS
        }
        // Dead, out of money or not from here: only who runs this can change it.
        Obstacle::Keys(Cause::Fault(_)) => StatusCode::BAD_GATEWAY,
        Obstacle::Keys(Cause::Operator | Cause::Configuration) | Obstacle::Provider => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Another gateway, or this one anew, takes over within so long.
const DRAINED_AFTER: Duration = Duration::from_secs(1);

/// An error as that API writes it.
fn body(api: Api, status: u16, code: &str, message: &str) -> Value {
    match api {
        Api::OpenAi => json!({"error": error_of_openai(status, code, message)}),
        Api::Anthropic => {
            json!({"type": "error", "error": {"type": anthropics_type(status), "message": message}})
        }
        Api::Gemini => {
            let status_word = geminis_status(status);
            json!({"error": {"code": status, "message": message, "status": status_word}})
        }
    }
}

fn error_of_openai(status: u16, code: &str, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    json!({"message": message, "type": kind, "param": null, "code": code})
}

const fn anthropics_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        _ => "api_error",
    }
}

const fn geminis_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        400..=499 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

/// The event that ends a broken stream. `None` where nothing but the broken connection can tell.
pub(super) fn last_event(events: Events, code: &str, message: &str) -> Option<String> {
    const BROKEN: u16 = 502;
    Some(match events {
        Events::Chunks => format!("data: {}\n\n", body(Api::OpenAi, BROKEN, code, message)),
        Events::Responses => {
            let error = json!({"type": "error", "code": code, "message": message, "param": null, "sequence_number": 0});
            format!("event: error\ndata: {error}\n\n")
        }
        Events::Messages => {
            format!("event: error\ndata: {}\n\n", body(Api::Anthropic, BROKEN, code, message))
        }
        Events::Generations => format!("data: {}\n\n", body(Api::Gemini, 503, code, message)),
        Events::None => return None,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::body::{MessageBody as _, to_bytes};

    use super::*;

    fn header<'r>(response: &'r HttpResponse, name: &str) -> Option<&'r str> {
        response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    #[tokio::test]
    async fn a_refusal_speaks_as_its_client_does() {
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "unavailable", "all rest")
            .retrying(Retry::After(Duration::from_millis(1_500)));
        for (api, wanted) in [
            (
                Api::OpenAi,
                r#"{"error":{"code":"unavailable","message":"all rest","param":null,"type":"rate_limit_error"}}"#,
            ),
            (Api::Anthropic, r#"{"error":{"message":"all rest","type":"rate_limit_error"},"type":"error"}"#),
            (Api::Gemini, r#"{"error":{"code":429,"message":"all rest","status":"RESOURCE_EXHAUSTED"}}"#),
        ] {
            let response = refusal.respond(api);
            assert_eq!(header(&response, "retry-after"), Some("2"));
            assert_eq!(header(&response, "retry-after-ms"), Some("1500"));
            assert_eq!(header(&response, "x-should-retry"), None);
            let body = to_bytes(response.into_body().boxed()).await.expect("a whole body");
            let (body, wanted): (Value, Value) =
                (serde_json::from_slice(&body).expect("JSON"), serde_json::from_str(wanted).expect("JSON"));
            assert_eq!(body, wanted);
        }
    }

    #[test]
    fn a_model_that_nobody_has_is_no_matter_of_waiting() {
        let denied = SendError::Unavailable {
            why: "of 1 keys of `p`: 1 failed (model_denied)".to_owned(),
            obstacle: Obstacle::Keys(Cause::Fault(Reason::ModelDenied)),
            retry_after: Some(Duration::from_secs(86_400)),
            attempts: Vec::new(),
        };
        let refusal = Refusal::of(&denied);
        assert_eq!((refusal.status, refusal.code.as_str()), (StatusCode::NOT_FOUND, "model_not_found"));
        let told =
            "the model doesn't exist, or no key here may use it: of 1 keys of `p`: 1 failed (model_denied)";
        assert_eq!(refusal.message, told);
        assert_eq!(header(&refusal.respond(Api::OpenAi), "retry-after"), None);
    }

    #[test]
    fn who_would_come_back_for_nothing_is_told_so() {
        let far = SendError::Unavailable {
            why: "resting".to_owned(),
            obstacle: Obstacle::Keys(Cause::Fault(Reason::Throttled)),
            retry_after: Some(Duration::from_secs(3_600)),
            attempts: Vec::new(),
        };
        let response = Refusal::of(&far).respond(Api::OpenAi);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(&response, "retry-after"), Some("3600"));
        assert_eq!(header(&response, "x-should-retry"), Some("false"));

        let dead = SendError::Unavailable {
            why: "dead".to_owned(),
            obstacle: Obstacle::Keys(Cause::Fault(Reason::BadCredential)),
            retry_after: None,
            attempts: Vec::new(),
        };
        let response = Refusal::of(&dead).respond(Api::OpenAi);
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "never the provider's 401");
        assert_eq!(header(&response, "x-should-retry"), Some("false"));
    }

    #[test]
    fn what_stands_in_the_way_tells_the_status() {
        let keys = |reason| Obstacle::Keys(Cause::Fault(reason));
        for (obstacle, status) in [
            (Obstacle::NoSuchModel, 404),
            (keys(Reason::ModelDenied), 404),
            (keys(Reason::Throttled), 429),
            (keys(Reason::QuotaUsedUp), 429),
            (keys(Reason::MoneyGone), 502),
            (Obstacle::Keys(Cause::Operator), 503),
            (Obstacle::Provider, 503),
        ] {
            assert_eq!(status_of(obstacle).as_u16(), status, "{obstacle:?}");
        }
    }

    #[test]
    fn dead_credentials_are_the_gateways_trouble() {
        let fault = Fault::new(Reason::BadCredential, "no").with_status(401);
        let refusal = Refusal::of(&SendError::Exhausted { last: Box::new(fault), attempts: Vec::new() });
        assert_eq!((refusal.status, refusal.retry), (StatusCode::BAD_GATEWAY, Retry::Pointless));
    }

    #[test]
    fn a_broken_stream_ends_with_an_error_that_its_reader_knows() {
        assert_eq!(
            last_event(Events::Messages, "cut", "gone"),
            Some("event: error\ndata: {\"error\":{\"message\":\"gone\",\"type\":\"api_error\"},\"type\":\"error\"}\n\n".to_owned())
        );
        assert!(
            last_event(Events::Chunks, "cut", "gone")
                .is_some_and(|event| event.starts_with("data: {\"error\""))
        );
        assert_eq!(last_event(Events::None, "cut", "gone"), None);
    }
}
