//! From an answer to a fault: what was said, what the table makes of it, how long to stay away.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::limits;
use super::rules::{RULES, SPEND_LIMIT};
use super::shape::in_value;
use crate::dialect::said::Said;
use crate::dialect::{calendar, hints, rule, success};
use crate::outcome::{Fault, Reason};

/// What a finished answer means; `None` is success.
pub(super) fn in_answer(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Option<Fault> {
    let fault = if status.is_success() {
        in_success(status, headers, body)?
    } else {
        let said = Said::in_body(status, body, in_value);
        let (reason, scope) = rule::verdict(RULES, &said, Some(status.as_u16()));
        let rest = if reason == Reason::Throttled {
            let gauges = limits::gauges(headers, now);
            hints::throttle_rest(headers, now, &gauges, said.dimension(), &said.message)
        } else if reason == Reason::MoneyGone {
            money_rest(&said, now)
        } else {
            hints::retry_after(headers, now)
        };
        fault_of(&said, reason).reaching(scope).resting(rest)
    };
    Some(fault.with_status(status.as_u16()))
}

/// What an error inside a stream means; `error` is the event's whole data.
pub(super) fn in_event(error: &Value) -> Fault {
    let said = in_value(error);
    let (reason, scope) = rule::verdict(RULES, &said, None);
    fault_of(&said, reason).reaching(scope).resting(hints::wait_in(&said.message))
}

/// A 200 with an error instead of a message, as gateways send it, or with nothing whole.
fn in_success(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Fault> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return success::broken(status, headers, body);
    };
    let is_error = value.get("type").and_then(Value::as_str) == Some("error");
    is_error.then(|| in_event(&value))
}

/// Until the day that the message names. A limit of the vendor's own lasts to the end of the month at most.
fn money_rest(said: &Said, now: SystemTime) -> Option<Duration> {
    let named = calendar::until_date_in(&said.message, now);
    let is_monthly = said.code.as_deref() == Some(SPEND_LIMIT);
    named.or_else(|| if is_monthly { calendar::until_next_month(now) } else { None })
}

fn fault_of(said: &Said, reason: Reason) -> Fault {
    // The finer word is what the vendor's pages are searched for.
    Fault::new(reason, &said.message).with_code(said.code.as_deref().or(said.kind.as_deref()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_body_panics_and_no_failing_status_succeeds(
            status in 100_u16..600,
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                "\\{\"error\":(\\{\"(type|message|details)\":[^}]{0,9}\\}|[0-9\\[\\]]{1,4})\\}".prop_map(String::into_bytes),
                "[0-9é -]{0,30}(access on|try again in)[0-9é,smh -]{0,40}".prop_map(String::into_bytes),
            ],
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            let found = in_answer(status, &HeaderMap::new(), &body, SystemTime::UNIX_EPOCH);
            prop_assert!(found.is_some() || status.is_success());
        }
    }
}
