//! How limits are told in headers.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::account::{Gauge, Gauges};
use super::spec::HeaderStyle;
use super::tongue::Tongue;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Of requests and of tokens.
const OPENAIS: [GaugeNames; 2] = [
    GaugeNames {
        limit: HeaderName::from_static("x-ratelimit-limit-requests"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
        reset: HeaderName::from_static("x-ratelimit-reset-requests"),
    },
    GaugeNames {
        limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
        reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
    },
];
const ANTHROPICS: [GaugeNames; 2] = [
    GaugeNames {
        limit: HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        remaining: HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        reset: HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    },
    GaugeNames {
        limit: HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        remaining: HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        reset: HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    },
];

struct GaugeNames {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

/// Adds what is left of the limits. Gemini tells nothing of that.
pub(crate) fn tell_gauges(headers: &mut HeaderMap, tongue: Tongue, gauges: &Gauges, wall_now: SystemTime) {
    let names = match tongue {
        Tongue::OpenAi => OPENAIS,
        Tongue::Anthropic => ANTHROPICS,
        Tongue::Gemini => return,
    };
    for (gauge, names) in [gauges.requests, gauges.tokens].into_iter().zip(names) {
        let Some(Gauge { limit, remaining, reset }) = gauge else { continue };
        headers.insert(names.limit, HeaderValue::from(limit));
        headers.insert(names.remaining, HeaderValue::from(remaining));
        let reset = match tongue {
            Tongue::OpenAi | Tongue::Gemini => go_duration(reset),
            Tongue::Anthropic => date(wall_now + reset),
        };
        insert_text(headers, names.reset, &reset);
    }
}

/// As RFC 3339 has it, to the next whole second.
fn date(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at + Duration::from_nanos(999_999_999))
        .ok()
        .and_then(|at| jiff::Timestamp::from_second(at.as_second()).ok())
        .map_or_else(String::new, |at| at.to_string())
}

/// Adds how long to stay away. Times are rounded up: whoever obeys is never refused for coming too early.
pub(crate) fn tell_wait(headers: &mut HeaderMap, style: HeaderStyle, wait: Duration, wall_now: SystemTime) {
    match style {
        HeaderStyle::OpenAi => {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(wait)));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis_up(wait)));
        }
        HeaderStyle::RetryAfter => {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(wait)));
        }
        HeaderStyle::HttpDate => {
            // A date has no fractions, so it names the next whole second.
            let date = wall_now + wait + Duration::from_nanos(999_999_999);
            insert_text(headers, RETRY_AFTER, &httpdate::fmt_http_date(date));
        }
        HeaderStyle::None => {}
    }
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn seconds_up(duration: Duration) -> u64 {
    millis_up(duration).div_ceil(1_000)
}

/// A duration as Go prints it, rounded up to milliseconds: `120ms`, `1.2s`, `6m0s`, `1h2m3s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let all_millis = millis_up(duration);
    if all_millis == 0 {
        return "0s".to_owned();
    }
    if all_millis < 1_000 {
        return format!("{all_millis}ms");
    }
    let (all_seconds, millis) = (all_millis / 1_000, all_millis % 1_000);
    let (hours, minutes, seconds) = (all_seconds / 3_600, all_seconds / 60 % 60, all_seconds % 60);
    let mut text = String::with_capacity(16);
    // Writing into a string can't fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if all_seconds >= 60 {
        let _ = write!(text, "{minutes}m");
    }
    let _ = write!(text, "{seconds}");
    if millis > 0 {
        let fraction = format!(".{millis:03}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (duration, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(1), "1ms"),
            (millis(120), "120ms"),
            (millis(999) + Duration::from_nanos(1), "1s"),
            (millis(1_200), "1.2s"),
            (millis(59_560), "59.56s"),
            (millis(60_000), "1m0s"),
            (millis(360_000), "6m0s"),
            (millis(3_723_005), "1h2m3.005s"),
            (millis(3_600_000), "1h0m0s"),
            (millis(86_400_000), "24h0m0s"),
        ] {
            assert_eq!(go_duration(duration), text);
        }
    }

    #[test]
    fn every_style_tells_the_wait_in_its_way_and_never_too_short() {
        let wall = SystemTime::UNIX_EPOCH + millis(784_111_777_000);
        let told = |style| {
            let mut headers = HeaderMap::new();
            tell_wait(&mut headers, style, millis(1_200), wall);
            let mut told: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            told.sort();
            told
        };
        assert_eq!(told(HeaderStyle::OpenAi), ["retry-after-ms: 1200", "retry-after: 2"]);
        assert_eq!(told(HeaderStyle::RetryAfter), ["retry-after: 2"]);
        assert_eq!(told(HeaderStyle::HttpDate), ["retry-after: Sun, 06 Nov 1994 08:49:39 GMT"]);
        assert_eq!(told(HeaderStyle::None), [""; 0]);
    }

    #[test]
    fn gauges_of_limits_that_are_not_there_are_left_out() {
        let mut headers = HeaderMap::new();
        let gauge = Gauge { limit: 300, remaining: 4, reset: millis(200) };
        let gauges = Gauges { requests: Some(gauge), tokens: None };
        tell_gauges(&mut headers, Tongue::OpenAi, &gauges, SystemTime::UNIX_EPOCH);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["x-ratelimit-limit-requests"], "300");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "4");
        assert_eq!(headers["x-ratelimit-reset-requests"], "200ms");
    }

    #[test]
    fn anthropics_gauges_name_dates_and_gemini_has_none() {
        let told = |tongue| {
            let mut headers = HeaderMap::new();
            let gauge = Gauge { limit: 300, remaining: 4, reset: millis(200) };
            let gauges = Gauges { requests: None, tokens: Some(gauge) };
            tell_gauges(&mut headers, tongue, &gauges, SystemTime::UNIX_EPOCH + millis(784_111_777_000));
            headers
        };
        assert_eq!(told(Tongue::Anthropic)["anthropic-ratelimit-tokens-reset"], "1994-11-06T08:49:38Z");
        assert_eq!(told(Tongue::Gemini).len(), 0);
    }
}
