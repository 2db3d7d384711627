//! Moments of the calendar that providers name or mean: dates, months, and midnight in California.

use std::time::{Duration, SystemTime};

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::hints::plausible;

/// Until the moment that `text` names in the form of RFC 3339; zero if it has passed.
pub(super) fn until_timestamp(text: &str, now: SystemTime) -> Option<Duration> {
    until(text.parse().ok()?, now)
}

/// Until the date in a message such as "You will regain access on 2026-10-01 at 00:00 UTC".
pub(super) fn until_date_in(message: &str, now: SystemTime) -> Option<Duration> {
    /// As long as `2026-10-01`.
    const DATE_BYTES: usize = 10;
    let dates =
        message.as_bytes().windows(DATE_BYTES).filter(|window| window[4] == b'-' && window[7] == b'-');
    let date: Date =
        dates.filter_map(|window| str::from_utf8(window).ok()).find_map(|text| text.parse().ok())?;
    until(start_of(date, TimeZone::UTC)?.timestamp(), now)
}

/// Until the first of the next month, 00:00 UTC.
pub(super) fn until_next_month(now: SystemTime) -> Option<Duration> {
    let today = Zoned::new(Timestamp::try_from(now).ok()?, TimeZone::UTC).date();
    let first = today.first_of_month().checked_add(1.month()).ok()?;
    until(start_of(first, TimeZone::UTC)?.timestamp(), now)
}

/// Until the next midnight in California, where Google's days of quota begin.
///
/// Source: ai.google.dev, "Rate limits": requests per day reset at midnight Pacific time.
pub(super) fn until_midnight_in_california(now: SystemTime) -> Option<Duration> {
    // Without a database of zones: winter time, which in summer is an hour late and never too early.
    let zone = TimeZone::get("America/Los_Angeles").unwrap_or_else(|_| TimeZone::fixed(Offset::constant(-8)));
    let today = Zoned::new(Timestamp::try_from(now).ok()?, zone.clone()).date();
    until(start_of(today.tomorrow().ok()?, zone)?.timestamp(), now)
}

fn start_of(date: Date, zone: TimeZone) -> Option<Zoned> {
    date.to_zoned(zone).ok()
}

fn until(moment: Timestamp, now: SystemTime) -> Option<Duration> {
    let moment = SystemTime::from(moment);
    plausible(moment.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        SystemTime::from(text.parse::<Timestamp>().unwrap())
    }

    const fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3_600)
    }

    #[test]
    fn dates_of_messages_begin_at_midnight_utc() {
        let now = at("2026-09-30T22:00:00Z");
        assert_eq!(until_date_in("You will regain access on 2026-10-01 at 00:00 UTC.", now), Some(hours(2)));
        assert_eq!(until_date_in("since 2026-09-01", now), Some(Duration::ZERO));
        for message in ["", "on 2026-13-01", "claude-3-5-sonnet-20241022", "in 9999-12-31", "é2026-1é-01"] {
            assert_eq!(until_date_in(message, now), None, "{message}");
        }
    }

    #[test]
    fn timestamps_may_have_any_offset() {
        let now = at("2026-09-05T21:30:00Z");
        for (text, wait) in [
            ("2026-09-05T21:31:00Z", Some(Duration::from_secs(60))),
            ("2026-09-05T23:31:00+02:00", Some(Duration::from_secs(60))),
            ("2026-09-05T21:00:00Z", Some(Duration::ZERO)),
            ("2026-09-05", None),
            ("60", None),
        ] {
            assert_eq!(until_timestamp(text, now), wait, "{text}");
        }
    }

    #[test]
    fn a_month_ends_at_its_end() {
        assert_eq!(until_next_month(at("2026-02-28T20:00:00Z")), Some(hours(4)));
        assert_eq!(until_next_month(at("2026-12-31T23:00:00Z")), Some(hours(1)));
        assert_eq!(until_next_month(at("2026-02-01T00:00:00Z")), Some(hours(28 * 24)));
    }

    /// The clocks go forward on 8 March and back on 1 November 2026.
    #[test]
    fn googles_day_follows_the_clocks_of_california() {
        for (now, wait) in [
            ("2026-01-01T00:00:00Z", hours(8)),
            ("2026-07-01T00:00:00Z", hours(7)),
            ("2026-07-01T07:00:00Z", hours(24)),
            ("2026-03-08T08:00:00Z", hours(23)),
            ("2026-11-01T07:00:00Z", hours(25)),
        ] {
            assert_eq!(until_midnight_in_california(at(now)), Some(wait), "{now}");
        }
    }
}
