//! Numbers as a report writes them, and axes that people can read.

use std::time::Duration;

use keywheel_actors::unit::format_duration;

/// A coordinate: a tenth of a pixel is enough.
pub(super) fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A duration for people, finer than [`format_duration`] where a run is short.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds < 0.000_999_5 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 0.099_95 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 0.999_5 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 9.995 => format!("{seconds:.2} s"),
        _ if seconds < 59.95 => format!("{seconds:.1} s"),
        _ => format_duration(duration),
    }
}

/// The same of a number of seconds.
pub(super) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A rate: `48.2`, `1,204`.
pub(super) fn per_second(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it isn't negative")]
    let whole = rate.round() as u64;
    if rate < 99.95 { format!("{rate:.1}") } else { crate::ui::number::count(whole) }
}

/// The distance of at most `count_max` marks on an axis up to `most`: 1, 2 or 5 of a power of ten.
pub(super) fn step(most: f64, count_max: f64) -> f64 {
    let least = (most / count_max).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(least.log10().floor());
    let [one, two, five] = [1.0, 2.0, 5.0].map(|times| times * power);
    if least <= one {
        one
    } else if least <= two {
        two
    } else if least <= five {
        five
    } else {
        10.0 * power
    }
}

/// The same for seconds: beyond a minute the marks are at minutes and hours.
pub(super) fn step_s(most_s: f64, count_max: f64) -> f64 {
    const STEPS: [f64; 13] = [
        15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 21_600.0, 43_200.0,
    ];
    let least = most_s / count_max;
    if least <= 10.0 {
        return step(most_s, count_max);
    }
    let days = || 86_400.0 * step(most_s / 86_400.0, count_max).max(1.0);
    STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_at_round_numbers() {
        for (most, expected) in [(50.0, 10.0), (61.0, 20.0), (4.2, 1.0), (1_300.0, 500.0), (0.7, 0.2)] {
            let step = step(most, 5.0);
            assert!((step - expected).abs() < 1e-9, "{most}: {step}");
        }
        for (most, expected) in
            [(1.74, 0.5), (29.0, 10.0), (290.0, 60.0), (3_600.0, 900.0), (200_000.0, 43_200.0)]
        {
            let step = step_s(most, 5.0);
            assert!((step - expected).abs() < 1e-9, "{most}: {step}");
        }
        assert!((step_s(900_000.0, 5.0) - 432_000.0 / 2.0).abs() > 1.0);
    }

    #[test]
    fn durations_have_the_digits_that_matter() {
        let told = [0.000_25, 0.012_34, 0.25, 1.742, 29.09, 247.0].map(seconds);
        assert_eq!(told, ["250 µs", "12.3 ms", "250 ms", "1.74 s", "29.1 s", "4m 7s"]);
        assert_eq!([coordinate(3.0), coordinate(7.14)], ["3", "7.1"]);
        assert_eq!([48.23, 1_204.4].map(per_second), ["48.2", "1,204"]);
    }
}
