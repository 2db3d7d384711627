//! From an answer to a fault: what was said, what the table makes of it, how long to stay away.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::rules::RULES;
use super::shape::in_value;
use crate::dialect::said::{Said, is_truthy};
use crate::dialect::{calendar, hints, object, rule, success};
use crate::outcome::{Fault, Reason};

/// Azure may take so long to find a deployment that was just made.
const DEPLOYMENT_DELAY: Duration = Duration::from_secs(300);

/// What a finished answer means; `None` is success.
pub(super) fn in_answer(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Option<Fault> {
    let fault = if status.is_success() {
        in_success(status, headers, body, now)?
    } else {
        let said = Said::in_body(status, body, in_value);
        fault_of(&said, Some(status.as_u16()), headers, now)
    };
    let is_monthly = fault.reason == Reason::QuotaUsedUp && says_month(&fault.message);
    let month = if is_monthly { calendar::until_next_month(now) } else { None };
    let rest = fault.rest.max(month);
    Some(fault.resting(rest).with_status(status.as_u16()))
}

/// What an error inside a stream means; `error` is the event's whole data, or the response in it.
pub(super) fn in_event(error: &Value) -> Fault {
    let said = in_value(error);
    // The headers went by long ago, and without them there is no date to compare with.
    fault_of(&said, said.status_inside(), &HeaderMap::new(), SystemTime::UNIX_EPOCH)
}

/// 200 is not success: routers put the error of another provider into such a body, and a finished
/// response of OpenAI's may have failed.
fn in_success(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Option<Fault> {
    /// Only the error; all else is passed over in one go.
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }

    match object::fields_of::<Top<'_>>(body) {
        Some(Top { error: None }) => None,
        Some(Top { error: Some(error) }) => {
            let error: Value = serde_json::from_str(error.get()).ok()?;
            is_truthy(&error).then(|| {
                let said = serde_json::from_slice(body).map(|body| in_value(&body)).unwrap_or_default();
                fault_of(&said, said.status_inside(), headers, now)
            })
        }
        None => success::broken(status, headers, body),
    }
}

/// Whether the quota is one of a calendar month: Cohere's of a trial key.
fn says_month(message: &str) -> bool {
    ["per month", "/ month"].iter().any(|phrase| message.contains(phrase))
}

fn fault_of(said: &Said, status: Option<u16>, headers: &HeaderMap, now: SystemTime) -> Fault {
    let (reason, scope) = rule::verdict(RULES, said, status);
    // Where there is no code the type is the next best word to search the vendor's pages for.
    let code = said.code.as_deref().or(said.kind.as_deref());
    let rest = if matches!(reason, Reason::Throttled | Reason::QuotaUsedUp) {
        hints::throttle_rest(headers, now, &hints::gauges(headers), said.dimension(), &said.message)
    } else {
        hints::retry_after(headers, now)
    };
    let rest = if code == Some("DeploymentNotFound") { rest.or(Some(DEPLOYMENT_DELAY)) } else { rest };
    Fault::new(reason, &said.message).reaching(scope).resting(rest).with_code(code)
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;
    use ::http::header::CONTENT_TYPE;
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = "application/json; charset=utf-8";

    fn reason(status: u16, content_type: Option<&'static str>, body: &[u8]) -> Option<Reason> {
        let headers =
            content_type.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))).into_iter().collect();
        let status = StatusCode::from_u16(status).unwrap();
        in_answer(status, &headers, body, SystemTime::UNIX_EPOCH).map(|fault| fault.reason)
    }

    #[test]
    fn an_empty_or_broken_answer_was_cut_where_json_is_due() {
        for (status, content_type, body, wanted) in [
            (200, Some(JSON), &b""[..], Some(Reason::Cut)),
            (200, Some(JSON), b"\n\n", Some(Reason::Cut)),
            (200, None, b"", Some(Reason::Cut)),
            (200, Some(JSON), b"{\"choices\":[", Some(Reason::Cut)),
            (200, Some(JSON), b"[{\"error\":1}]", None),
            (200, None, b"plain words", None),
            (200, Some("audio/mpeg"), b"", None),
            (200, Some("audio/mpeg"), b"\xff\xfb", None),
            (204, None, b"", None),
        ] {
            assert_eq!(reason(status, content_type, body), wanted, "{content_type:?} {body:?}");
        }
    }

    #[test]
    fn an_error_that_is_null_or_empty_is_none() {
        for body in
            ["{\"error\":null}", "{\"error\":{}}", "{\"error\":\"\"}", "{\"error\":false}", "{\"id\":1}"]
        {
            assert_eq!(reason(200, Some(JSON), body.as_bytes()), None, "{body}");
        }
        assert_eq!(reason(200, Some(JSON), b"{\"error\":\"x\"}"), Some(Reason::ServerError));
    }

    proptest! {
        #[test]
        fn no_body_panics_and_no_failing_status_succeeds(
            status in 100_u16..600,
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..400),
                "\\{\"error\":(\\{\"(code|message|metadata|param)\":[^}]{0,9}\\}|[0-9\\[\\]]{1,4})\\}".prop_map(String::into_bytes),
                "[0-9é, ]{0,300}(limit|requested|try again in)[0-9é,smh ]{0,90}".prop_map(String::into_bytes),
            ],
        ) {
            let found = reason(status, None, &body);
            prop_assert!(found.is_some() || (200..300).contains(&status));
        }
    }
}
