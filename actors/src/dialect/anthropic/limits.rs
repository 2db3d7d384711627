//! What Anthropic's headers say about limits.

use std::cmp::Reverse;
use std::time::SystemTime;

use ::http::HeaderMap;

use crate::dialect::calendar;
use crate::dialect::hints::text_of;
use crate::outcome::{Gauge, Gauges};

/// The kinds of tokens that have limits of their own.
const TOKENS: [&str; 3] = ["tokens", "input-tokens", "output-tokens"];

/// What `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` say.
///
/// Resets are moments (RFC 3339), so it takes `now` to make waits of them. Of the kinds of tokens the
/// scarcest one counts: it is the one that throttles next. Source: docs.anthropic.com, "Rate limits".
pub(super) fn gauges(headers: &HeaderMap, now: SystemTime) -> Gauges {
    let tokens = TOKENS.iter().filter_map(|kind| gauge(headers, kind, now));
    Gauges {
        requests: gauge(headers, "requests", now),
        tokens: tokens.min_by_key(|gauge| (gauge.remaining, Reverse(gauge.reset))),
    }
}

fn gauge(headers: &HeaderMap, kind: &str, now: SystemTime) -> Option<Gauge> {
    let part = |part: &str| text_of(headers, &format!("anthropic-ratelimit-{kind}-{part}"));
    Some(Gauge {
        limit: part("limit").and_then(|text| text.parse().ok()),
        remaining: part("remaining")?.parse().ok()?,
        reset: part("reset").and_then(|text| calendar::until_timestamp(text, now)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::{HeaderName, HeaderValue};

    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Gauges {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        gauges(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    #[test]
    fn the_scarcest_kind_of_tokens_counts() {
        let read = read(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
            ("anthropic-ratelimit-tokens-limit", "60000"),
            ("anthropic-ratelimit-tokens-remaining", "50000"),
            ("anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:02Z"),
            ("anthropic-ratelimit-output-tokens-limit", "10000"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:30Z"),
        ]);
        let requests = Gauge { limit: Some(50), remaining: 49, reset: Some(Duration::from_secs(1)) };
        let tokens = Gauge { limit: Some(10_000), remaining: 0, reset: Some(Duration::from_secs(30)) };
        assert_eq!(read, Gauges { requests: Some(requests), tokens: Some(tokens) });
    }

    #[test]
    fn of_two_that_are_used_up_the_later_reset_counts() {
        let read = read(&[
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:40Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:30Z"),
        ]);
        assert_eq!(read.tokens.and_then(|tokens| tokens.reset), Some(Duration::from_secs(40)));
        assert_eq!(read.requests, None);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let read = read(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-tokens-remaining", "7"),
            ("anthropic-ratelimit-tokens-reset", "soon"),
        ]);
        let tokens = Gauge { limit: None, remaining: 7, reset: None };
        assert_eq!(read, Gauges { requests: None, tokens: Some(tokens) });
    }
}
