//! Durations as people write and read them: `250ms`, `1m30s`, `24h`.

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Reads a duration of one or more numbers with units, such as `1h2m3.5s`; days are `d`.
///
/// The form is Go's `time.ParseDuration` without signs, which OpenAI's rate-limit headers use too.
/// `None` for anything else, a bare number included.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..letters];
        rest = &rest[letters..];
        let factor = match unit {
            "d" => 86_400.0,
            _ => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        seconds += number * factor;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Writes a duration for people, with at most two units: `12ms`, `3.2s`, `1m 5s`, `2d 3h`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        return format!("{:.0}ms", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    let whole = (duration + Duration::from_millis(500)).as_secs();
    let (big, big_unit, small, small_unit) = match whole {
        0..3_600 => (whole / 60, 'm', whole % 60, 's'),
        3_600..86_400 => (whole / 3_600, 'h', whole % 3_600 / 60, 'm'),
        _ => (whole / 86_400, 'd', whole % 86_400 / 3_600, 'h'),
    };
    let mut text = format!("{big}{big_unit}");
    if small > 0 {
        let _ = write!(text, " {small}{small_unit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_and_go_write() {
        for (text, millis) in [
            ("1s", 1_000),
            ("6m0s", 360_000),
            ("100ms", 100),
            ("1h2m3s", 3_723_000),
            ("2m59.56s", 179_560),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1..2s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn writes_two_units_at_most() {
        for (millis, text) in [
            (12, "12ms"),
            (3_240, "3.2s"),
            (59_960, "1m"),
            (65_000, "1m 5s"),
            (7_260_000, "2h 1m"),
            (183_600_000, "2d 3h"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }
}
