//! What headers and messages say about limits and about waiting.
//!
//! Nothing here shortens what a provider said. What can't be meant (negative,
//! not a number, longer than ten years) is passed over as if it weren't there.

use std::time::{Duration, SystemTime};

use ::http::HeaderMap;

use crate::outcome::{Gauge, Gauges};
use crate::unit::parse_duration;

/// Ten years. Longer waits are something else misread: a Unix time taken for seconds is 50 years.
const WAIT_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// One of the quantities that providers limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dimension {
    /// Calls.
    Requests,
    /// Tokens.
    Tokens,
}

/// How long the headers ask to stay away.
///
/// In this order: `retry-after-ms` (OpenAI, Azure; fractions allowed), `retry-after` in seconds
/// (fractions allowed, as the SDKs do), `retry-after` as an HTTP date, where a date that has passed
/// means zero. Source: RFC 9110 §10.2.3; openai-python's `_base_client.py`.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let millis = text_of(headers, "retry-after-ms").and_then(number);
    if let Some(wait) = millis.and_then(|millis| wait_of_secs(millis / 1e3)) {
        return Some(wait);
    }
    let value = text_of(headers, "retry-after")?;
    if let Some(seconds) = number(value) {
        return wait_of_secs(seconds);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    plausible(date.duration_since(now).unwrap_or_default())
}

/// What `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` say.
///
/// Resets are Go-style durations (`6m0s`, `2m59.56s`); a bare number means seconds.
/// A dimension without a readable `remaining` is left out.
pub fn gauges(headers: &HeaderMap) -> Gauges {
    Gauges {
        requests: gauge(
            headers,
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
        ),
        tokens: gauge(
            headers,
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        ),
    }
}

/// How long to stay away after a throttle: the latest of what the provider said about the limit that was hit.
///
/// `gauges` are what the same headers tell in the provider's own way.
///
/// That is `retry-after`, the phrase in the message, and the resets of the exhausted dimensions; the
/// reset of a dimension that has something left says nothing about this refusal and doesn't count.
///
/// OpenAI's reset of a bucket means "until it is full again", which is later than "until one more
/// request fits". The later one is taken on purpose: it is never too early.
pub fn throttle_rest(
    headers: &HeaderMap,
    now: SystemTime,
    gauges: &Gauges,
    named: Option<Dimension>,
    message: &str,
) -> Option<Duration> {
    let reset = exhausted_reset(gauges, named);
    retry_after(headers, now).max(reset).max(wait_in(message))
}

/// The reset of the exhausted dimension; the later one if both are exhausted.
///
/// A dimension is exhausted if nothing is left of it, or if the error names it: a request for 5,000
/// tokens is refused while 3,000 are left.
pub fn exhausted_reset(gauges: &Gauges, named: Option<Dimension>) -> Option<Duration> {
    let reset_of = |gauge: Option<Gauge>, dimension| {
        gauge.filter(|gauge| gauge.remaining == 0 || named == Some(dimension))?.reset
    };
    reset_of(gauges.requests, Dimension::Requests).max(reset_of(gauges.tokens, Dimension::Tokens))
}

/// The wait that a message names: "try again in 1.2s", "in 6m0s", "retry after 23 seconds".
pub fn wait_in(message: &str) -> Option<Duration> {
    const OPENERS: [&str; 4] = ["try again in ", "retry after ", "retry in ", "try again after "];
    let message = message.to_ascii_lowercase();
    let start = OPENERS.iter().find_map(|opener| Some(message.find(opener)? + opener.len()))?;
    let mut words =
        message[start..].split_whitespace().map(|word| word.trim_end_matches(['.', ',', ';', ')']));
    let amount = words.next()?;
    if let Some(wait) = parse_duration(amount) {
        return plausible(wait);
    }
    let seconds_each = match words.next()? {
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    wait_of_secs(number(amount)? * seconds_each)
}

fn gauge(headers: &HeaderMap, [limit, remaining, reset]: [&str; 3]) -> Option<Gauge> {
    Some(Gauge {
        limit: text_of(headers, limit).and_then(|text| text.parse().ok()),
        remaining: text_of(headers, remaining)?.parse().ok()?,
        reset: text_of(headers, reset).and_then(reset_wait),
    })
}

fn reset_wait(text: &str) -> Option<Duration> {
    match number(text) {
        Some(seconds) => wait_of_secs(seconds),
        None => parse_duration(text).and_then(plausible),
    }
}

/// A header's text.
pub(super) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A plain decimal number: no sign, no exponent, no `inf`.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_plain.then(|| text.parse().ok())?
}

fn wait_of_secs(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().and_then(plausible)
}

/// `wait` unless it can't be meant.
pub(super) fn plausible(wait: Duration) -> Option<Duration> {
    (wait <= WAIT_MAX).then_some(wait)
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    /// From there to Thu, 01 Jan 2026 00:00:00 GMT.
    const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn millis(millis: impl Into<Option<u64>>) -> Option<Duration> {
        millis.into().map(Duration::from_millis)
    }

    #[test]
    fn retry_after_prefers_milliseconds_and_takes_all_three_forms() {
        let now = NOW + NEW_YEAR;
        for (pairs, wait) in [
            (
                &[("retry-after-ms", "1500.5"), ("retry-after", "7")][..],
                Some(Duration::from_micros(1_500_500)),
            ),
            (&[("retry-after", "7")], millis(7_000)),
            (&[("retry-after", "0.25")], millis(250)),
            (&[("retry-after", "0")], millis(0)),
            (&[("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT")], millis(90_000)),
            (&[("retry-after", "Wed, 31 Dec 2025 23:00:00 GMT")], millis(0)),
            // A day is a day: nothing is capped.
            (&[("retry-after", "86400")], millis(86_400_000)),
            (&[], None),
        ] {
            assert_eq!(retry_after(&headers(pairs), now), wait, "{pairs:?}");
        }
    }

    #[test]
    fn garbage_is_passed_over_for_the_next_best_hint() {
        let now = NOW + NEW_YEAR;
        for value in
            ["-1", "NaN", "inf", "1e3", "soon", "", "99999999999999999", "Thu, 01 Jan 2099 00:00:00 GMT"]
        {
            let both = headers(&[("retry-after-ms", value), ("retry-after", "2")]);
            assert_eq!(retry_after(&both, now), millis(2_000), "{value}");
            assert_eq!(retry_after(&headers(&[("retry-after", value)]), now), None, "{value}");
        }
    }

    #[test]
    fn gauges_read_go_durations_and_bare_seconds() {
        let read = gauges(&headers(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-remaining-tokens", "29000"),
            ("x-ratelimit-reset-tokens", "2.5"),
        ]));
        let requests = Gauge { limit: Some(500), remaining: 0, reset: millis(120) };
        let tokens = Gauge { limit: None, remaining: 29_000, reset: millis(2_500) };
        assert_eq!(read, Gauges { requests: Some(requests), tokens: Some(tokens) });
    }

    #[test]
    fn a_gauge_without_a_remainder_is_none_and_a_bad_reset_is_left_out() {
        let read = gauges(&headers(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "-1"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("x-ratelimit-reset-tokens", "1767225600"),
        ]));
        assert_eq!(read.requests, None);
        assert_eq!(read.tokens, Some(Gauge { limit: None, remaining: 7, reset: None }));
    }

    fn left(requests: u64, tokens: u64) -> HeaderMap {
        headers(&[
            ("x-ratelimit-remaining-requests", &requests.to_string()),
            ("x-ratelimit-reset-requests", "2s"),
            ("x-ratelimit-remaining-tokens", &tokens.to_string()),
            ("x-ratelimit-reset-tokens", "40s"),
        ])
    }

    #[test]
    fn the_exhausted_dimension_decides_and_never_the_other() {
        for (requests, tokens, named, reset) in [
            (0, 100, None, millis(2_000)),
            (9, 0, None, millis(40_000)),
            (0, 0, None, millis(40_000)),
            (9, 100, None, None),
            (9, 100, Some(Dimension::Tokens), millis(40_000)),
            (9, 100, Some(Dimension::Requests), millis(2_000)),
            (9, 0, Some(Dimension::Requests), millis(40_000)),
        ] {
            let gauges = gauges(&left(requests, tokens));
            assert_eq!(exhausted_reset(&gauges, named), reset, "{requests} {tokens} {named:?}");
        }
    }

    #[test]
    fn the_latest_word_on_the_exhausted_limit_holds() {
        let rest = |extra: &[(&'static str, &str)], message| {
            let mut all = left(0, 100);
            all.extend(headers(extra));
            throttle_rest(&all, NOW, &gauges(&all), None, message)
        };
        let bare = |message| throttle_rest(&HeaderMap::new(), NOW, &Gauges::default(), None, message);
        assert_eq!(rest(&[("retry-after", "1")], ""), millis(2_000));
        assert_eq!(rest(&[("retry-after", "30")], ""), millis(30_000));
        assert_eq!(rest(&[], "Please try again in 6m0s."), millis(360_000));
        assert_eq!(bare("try again in 1.2s"), millis(1_200));
        assert_eq!(bare("too fast"), None);
    }

    #[test]
    fn messages_name_waits_in_two_forms() {
        for (message, wait) in [
            ("Limit 3, Used 3. Please try again in 1.2s. Visit https://…", millis(1_200)),
            ("Please try again in 6m0s.", millis(360_000)),
            ("Please Try Again In 120ms", millis(120)),
            ("Please retry after 23 seconds.", millis(23_000)),
            ("try again in 2 hours (limit)", millis(7_200_000)),
            ("try again in a while", None),
            ("try again in 5", None),
            ("try again in ", None),
            ("try again in 999999999999h", None),
            ("", None),
        ] {
            assert_eq!(wait_in(message), wait, "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_header_and_no_message_panics(value in "\\PC*", digits in "[0-9.smh]{0,400}") {
            for text in [value, digits] {
                let _ = wait_in(&format!("try again in {text}"));
                let Ok(header) = HeaderValue::from_bytes(text.as_bytes()) else { continue };
                let names = ["retry-after", "retry-after-ms", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
                let all: HeaderMap =
                    names.iter().map(|name| (HeaderName::from_static(name), header.clone())).collect();
                let rest = throttle_rest(&all, NOW, &gauges(&all), Some(Dimension::Tokens), "");
                prop_assert!(rest.is_none_or(|rest| rest <= WAIT_MAX));
            }
        }
    }
}
