//! What a client says about its request beside the request itself.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use keywheel_actors::request::Priority;
use keywheel_actors::unit::parse_duration;

use super::headers::text;
use super::refusal::Refusal;
use crate::config::lookalike::hushed;

/// How long the answer may take: `30s`, `500ms`, or a number of seconds.
pub(super) const TIMEOUT: &str = "x-keywheel-timeout";
/// What the SDKs of OpenAI and Anthropic say of themselves: seconds until they give up on an answer in one piece.
const SDK_TIMEOUT: &str = "x-stainless-timeout";
/// The name of a request in logs; a client may bring its own.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// Longer names of requests are replaced: they go to logs and to providers.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The name of a request: the client's, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    text(headers, REQUEST_ID)
        .filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(is_plain))
        // A key may have been put in its place, and names are shown everywhere.
        .filter(|id| matches!(hushed(id), Cow::Borrowed(_)))
        .map_or_else(|| format!("req_{:032x}", fastrand::u128(..)), str::to_owned)
}

/// How long the client waits for the answer, as far as it says so.
///
/// # Errors
/// If its own header for that can't be understood. An SDK's is taken or left.
pub(super) fn timeout(headers: &HeaderMap, is_stream: bool) -> Result<Option<Duration>, Refusal> {
    if let Some(said) = headers.get(TIMEOUT) {
        let duration = said.to_str().ok().and_then(duration);
        return duration.map(Some).ok_or_else(|| {
            let message = format!("`{TIMEOUT}` is no duration; write `30s`, `500ms` or a number of seconds");
            Refusal::bad_request("invalid_timeout", message)
        });
    }
    // For a stream it is the time between two pieces.
    Ok(text(headers, SDK_TIMEOUT).filter(|_| !is_stream).and_then(duration))
}

/// The priority that the request is to have: `high`, `normal` or `low`.
pub(super) const PRIORITY: &str = "x-keywheel-priority";

/// The priority that the client wishes for.
///
/// # Errors
/// If it can't be understood.
pub(super) fn priority(headers: &HeaderMap) -> Result<Option<Priority>, Refusal> {
    let Some(said) = headers.get(PRIORITY) else { return Ok(None) };
    match said.as_bytes() {
        b"high" => Ok(Some(Priority::High)),
        b"normal" => Ok(Some(Priority::Normal)),
        b"low" => Ok(Some(Priority::Low)),
        _ => {
            let message = format!("`{PRIORITY}` is `high`, `normal` or `low`");
            Err(Refusal::bad_request("invalid_priority", message))
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = || text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parse_duration(text).or_else(seconds).filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        TestRequest::default().insert_header((name, value)).to_http_request().headers().clone()
    }

    #[test]
    fn a_client_may_name_its_request_as_long_as_the_name_is_one() {
        assert_eq!(request_id(&headers(REQUEST_ID, "row-7")), "row-7");
        for forged in ["a b", "a\"b", "é", "", "sk-proj-0123456789abcdef0123456789abcdef"] {
            assert!(request_id(&headers(REQUEST_ID, forged)).starts_with("req_"), "{forged}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn a_timeout_is_a_duration_or_seconds() {
        for (said, wanted) in [("30s", 30_000), ("500ms", 500), ("1.5", 1_500), (" 2 ", 2_000)] {
            let wanted = Duration::from_millis(wanted);
            assert_eq!(timeout(&headers(TIMEOUT, said), false), Ok(Some(wanted)), "{said}");
        }
        for said in ["soon", "0", "-1", "NaN", ""] {
            assert!(timeout(&headers(TIMEOUT, said), false).is_err(), "{said}");
        }
    }

    #[test]
    fn an_sdks_timeout_counts_for_whole_answers() {
        let headers = headers(SDK_TIMEOUT, "600.0");
        assert_eq!(timeout(&headers, false), Ok(Some(Duration::from_secs(600))));
        assert_eq!(timeout(&headers, true), Ok(None));
    }
}
