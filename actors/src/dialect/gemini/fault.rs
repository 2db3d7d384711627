//! From an answer to a fault: what was said, what the table makes of it, how long to stay away.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::rules::RULES;
use super::shape;
use crate::dialect::said::{Said, is_truthy};
use crate::dialect::{calendar, hints, rule, success};
use crate::outcome::{Fault, Reason};

/// Fields of a finished generation that are none of the answer.
const BESIDE_THE_ANSWER: [&str; 5] =
    ["createTime", "modelVersion", "promptFeedback", "responseId", "usageMetadata"];

/// What a finished answer means; `None` is success.
pub(super) fn in_answer(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Option<Fault> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let fault = match value {
        Some(value) if status.is_success() => in_success(&value)?,
        None if status.is_success() => success::broken(status, headers, body)?,
        value => {
            let said = Said::in_body(status, body, shape::in_value);
            let delay = value.as_ref().and_then(shape::retry_delay).max(hints::retry_after(headers, now));
            fault_of(&said, Some(status.as_u16()), delay)
        }
    };
    // The delay beside a day's quota is one of seconds, and would be wrong.
    let is_daily = fault.reason == Reason::QuotaUsedUp;
    let midnight = if is_daily { calendar::until_midnight_in_california(now) } else { None };
    let rest = fault.rest.max(midnight);
    Some(fault.resting(rest).with_status(status.as_u16()))
}

/// What an error inside a stream or a 200 means; `error` is the whole event or body.
pub(super) fn in_event(error: &Value) -> Fault {
    fault_of(&shape::in_value(error), shape::status_in(error), shape::retry_delay(error))
}

/// The prompt was refused for what it says: a generation that tells why and has no candidates.
pub(super) fn refusal_in(generation: &Value) -> Option<Fault> {
    let reason = generation.pointer("/promptFeedback/blockReason")?.as_str()?;
    let message = format!("the prompt was blocked: {reason}");
    Some(Fault::new(Reason::PolicyRefused, message).with_code(Some(reason)))
}

/// 200 is not success: an error may stand in it, a refusal, or nothing at all.
fn in_success(value: &Value) -> Option<Fault> {
    let top = value.get(0).unwrap_or(value);
    if top.get("error").is_some_and(is_truthy) {
        return Some(in_event(value));
    }
    refusal_in(value).or_else(|| {
        let is_beside = |(name, value): (&String, &Value)| {
            BESIDE_THE_ANSWER.contains(&name.as_str()) || name == "candidates" && !is_truthy(value)
        };
        let is_empty = value.as_object()?.iter().all(is_beside);
        is_empty.then(|| Fault::new(Reason::Cut, "the answer holds no candidate"))
    })
}

fn fault_of(said: &Said, status: Option<u16>, delay: Option<Duration>) -> Fault {
    let (reason, scope) = rule::verdict(RULES, said, status);
    // The finer word is what the vendor's pages are searched for.
    let code = said.code.as_deref().or(said.kind.as_deref());
    // A model that a tier doesn't hold is refused with the delay of a throttle beside it.
    let rest = if reason == Reason::ModelDenied { None } else { delay.max(hints::wait_in(&said.message)) };
    Fault::new(reason, &said.message).reaching(scope).resting(rest).with_code(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(status: u16, body: &[u8]) -> Option<Fault> {
        let status = StatusCode::from_u16(status).unwrap();
        in_answer(status, &HeaderMap::new(), body, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn answers_without_candidates_are_empty_unless_they_are_of_another_kind() {
        for body in [r#"{"usageMetadata":{},"modelVersion":"g"}"#, r#"{"candidates":[]}"#, "{}", ""] {
            assert_eq!(found(200, body.as_bytes()).map(|fault| fault.reason), Some(Reason::Cut), "{body}");
        }
        for body in [
            r#"{"candidates":[{}]}"#,
            r#"{"embedding":{}}"#,
            r#"{"totalTokens":3}"#,
            r#"{"models":[]}"#,
            "[{}]",
        ] {
            assert_eq!(found(200, body.as_bytes()), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics_and_no_failing_status_succeeds(
            status in 100_u16..600,
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                "\\[?\\{\"error\":(\\{\"(code|message|details|status)\":[^}]{0,9}\\}|[0-9\\[\\]]{1,4})\\}".prop_map(String::into_bytes),
                "\\{\"error\":\\{\"details\":\\[\\{\"retryDelay\":\"[0-9.smh]{0,9}\"\\}\\]\\}\\}".prop_map(String::into_bytes),
            ],
        ) {
            prop_assert!(found(status, &body).is_some() || (200..300).contains(&status));
        }
    }
}
