//! The shape of Google's errors: a status, and details in any order.

use std::time::Duration;

use serde_json::Value;

use crate::dialect::hints::plausible;
use crate::dialect::said::{Said, text};
use crate::unit::parse_duration;

/// A quota of a day is named.
pub(super) const PER_DAY: &str = "quota_per_day";
/// A quota of a minute is named.
pub(super) const PER_MINUTE: &str = "quota_per_minute";
/// A quota of zero is named: the model isn't part of the project's tier.
pub(super) const ZERO: &str = "quota_zero";

/// Reads any of these:
///
/// - `{"error":{"code":429,"message","status","details":[…]}}`, also in an array, as unfinished streams have it,
/// - `{"error":{"code":"too_many_requests","message"}}`: the Interactions API.
///
/// The reason of its `ErrorInfo` is the code, the status the kind, and each kind of quota that a
/// `QuotaFailure` names a mark.
pub(in crate::dialect) fn in_value(value: &Value) -> Said {
    let error = error_in(value);
    let message = error.get("message").or_else(|| error.get("error")).map(text).unwrap_or_default();
    let reason = details(error).find_map(|detail| detail.get("reason")).map(text);
    let word = error.get("code").and_then(Value::as_str).map(str::to_owned);
    let mut marks: Vec<String> = violations(error).filter_map(mark_of).map(str::to_owned).collect();
    if names_a_limit_of_zero(&message) || violations(error).any(is_zero) {
        marks.push(ZERO.to_owned());
    }
    Said {
        message,
        code: reason.or(word),
        kind: error.get("status").map(text).filter(|status| !status.is_empty()),
        marks,
        names_param: false,
    }
}

/// The delay in an error's `RetryInfo`, such as `22s` or `22.5s`.
pub(super) fn retry_delay(value: &Value) -> Option<Duration> {
    let delay = details(error_in(value)).find_map(|detail| detail.get("retryDelay"))?;
    parse_duration(delay.as_str()?).and_then(plausible)
}

/// The HTTP status inside an error.
pub(super) fn status_in(value: &Value) -> Option<u16> {
    let code = error_in(value).get("code")?.as_u64()?;
    u16::try_from(code).ok().filter(|code| (400..600).contains(code))
}

fn error_in(value: &Value) -> &Value {
    let top = value.get(0).unwrap_or(value);
    top.get("error").filter(|error| error.is_object()).unwrap_or(top)
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error.get("details").and_then(Value::as_array).into_iter().flatten()
}

fn violations(error: &Value) -> impl Iterator<Item = &Value> {
    details(error).filter_map(|detail| detail.get("violations")?.as_array()).flatten()
}

fn mark_of(violation: &Value) -> Option<&'static str> {
    let quota = violation.get("quotaId")?.as_str()?;
    if quota.contains("PerDay") {
        Some(PER_DAY)
    } else if quota.contains("PerMinute") {
        Some(PER_MINUTE)
    } else {
        None
    }
}

fn is_zero(violation: &Value) -> bool {
    violation.get("quotaValue").map(text).is_some_and(|value| value == "0")
}

/// Whether the message says `limit: 0`, and not `limit: 0.5`.
fn names_a_limit_of_zero(message: &str) -> bool {
    message.match_indices("limit: 0").any(|(at, words)| {
        let mut behind = message[at + words.len()..].chars();
        match behind.next() {
            Some('.') => !behind.next().is_some_and(|c| c.is_ascii_digit()),
            Some(next) => !next.is_ascii_digit(),
            None => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn details_of_a_throttle() -> Vec<Value> {
        vec![
            json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
                {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"},
                {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}]}),
            json!({"@type": "type.googleapis.com/google.rpc.Help", "links": []}),
            json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22.5s"}),
            json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"}),
        ]
    }

    proptest! {
        #[test]
        fn details_may_come_in_any_order_and_the_error_in_an_array(
            details in Just(details_of_a_throttle()).prop_shuffle(),
            wrapped in any::<bool>(),
        ) {
            let error = json!({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}});
            let value = if wrapped { json!([error]) } else { error };
            let said = in_value(&value);
            prop_assert_eq!(said.code.as_deref(), Some("RATE_LIMIT_EXCEEDED"));
            prop_assert_eq!(said.kind.as_deref(), Some("RESOURCE_EXHAUSTED"));
            prop_assert_eq!(said.marks, [PER_MINUTE, PER_DAY]);
            prop_assert_eq!(retry_delay(&value), Some(Duration::from_millis(22_500)));
            prop_assert_eq!(status_in(&value), Some(429));
        }
    }

    #[test]
    fn a_limit_of_zero_is_told_in_two_places() {
        let marks = |error: Value| in_value(&json!({"error": error})).marks;
        assert_eq!(marks(json!({"message": "* Quota exceeded for metric: m, limit: 0, model: g"})), [ZERO]);
        assert_eq!(marks(json!({"message": "limit: 0"})), [ZERO]);
        assert_eq!(marks(json!({"message": "limit: 0."})), [ZERO]);
        assert_eq!(marks(json!({"message": "limit: 0.5"})), [""; 0]);
        assert_eq!(marks(json!({"message": "limit: 05"})), [""; 0]);
        assert_eq!(marks(json!({"details": [{"violations": [{"quotaValue": "0"}]}]})), [ZERO]);
    }

    #[test]
    fn the_interactions_api_says_its_code_in_words() {
        let value = json!({"error": {"code": "too_many_requests", "message": "m"}});
        assert_eq!(in_value(&value).code.as_deref(), Some("too_many_requests"));
        assert_eq!(status_in(&value), None);
        assert_eq!(in_value(&json!("m")), Said::default());
    }
}
