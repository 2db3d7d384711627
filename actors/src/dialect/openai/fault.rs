//! From an answer to a fault: what was said, what the table makes of it, how long to stay away.

use std::time::SystemTime;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::said::{Said, is_truthy};
use super::{object, rules};
use crate::dialect::hints;
use crate::outcome::{Fault, Reason};

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
        let said = Said::in_body(status, body);
        fault_of(&said, Some(status.as_u16()), headers, now)
    };
    Some(fault.with_status(status.as_u16()))
}

/// What an error inside a stream means; `error` is the event's whole data, or the response in it.
pub(super) fn in_event(error: &Value) -> Fault {
    let said = Said::in_value(error);
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
                let said = serde_json::from_slice(body).map(|body| Said::in_value(&body)).unwrap_or_default();
                fault_of(&said, said.status_inside(), headers, now)
            })
        }
        None => broken(status, headers, body),
    }
}

/// Whether a successful body that isn't a JSON object should have been one.
///
/// Sound, files and server-sent events are no JSON and no fault, and 204 has no body by its definition.
fn broken(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Fault> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let is_json = content_type.map(|kind| kind.to_ascii_lowercase().contains("json"));
    // Blank lines keep the connection alive while DeepSeek's queue is long.
    if body.trim_ascii().is_empty() {
        let needs_a_body = status != StatusCode::NO_CONTENT && is_json != Some(false);
        return needs_a_body.then(|| Fault::new(Reason::Cut, "the answer is empty"));
    }
    let is_whole = is_json != Some(true) || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    (!is_whole).then(|| Fault::new(Reason::Cut, "the answer breaks off inside its JSON"))
}

fn fault_of(said: &Said, status: Option<u16>, headers: &HeaderMap, now: SystemTime) -> Fault {
    let (reason, scope) = rules::verdict(said, status);
    let rest = if matches!(reason, Reason::Throttled | Reason::QuotaUsedUp) {
        hints::throttle_rest(headers, now, said.dimension(), &said.message)
    } else {
        hints::retry_after(headers, now)
    };
    // Where there is no code the type is the next best word to search the vendor's pages for.
    let code = said.code.as_deref().or(said.kind.as_deref());
    Fault::new(reason, &said.message).reaching(scope).resting(rest).with_code(code)
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;
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
