//! One line for people.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use keywheel_actors::event::Decision;
use keywheel_actors::outcome::Scope;
use keywheel_actors::unit::format_duration;

use super::record::{Entry, Failed, Record, Until};
use crate::ui::style::{Colour, Style};

/// The line for a record, with times as they are in `zone`.
pub fn show(record: &Record, zone: &TimeZone, style: Style) -> String {
    let time = style.paint(Colour::Grey, &local(record.at, zone, "%Y-%m-%d %H:%M:%S%.3f"));
    match &record.entry {
        Entry::CallFailed(failed) => format!("{time} {}", show_failed(failed, record.at, zone, style)),
        Entry::Dropped { count } => {
            let gap =
                format!("{count} events are missing here: they came too fast, or the disk refused them");
            format!("{time} {}", style.paint(Colour::Red, &gap))
        }
    }
}

fn show_failed(failed: &Failed, at: Timestamp, zone: &TimeZone, style: Style) -> String {
    let mut words = vec![
        style.paint(colour(failed.scope), &format!("{:<14}", failed.reason)),
        format!("{}/{}", failed.provider, failed.key),
        printable(&failed.model),
    ];
    words.extend(failed.status.map(|status| status.to_string()));
    words.extend(failed.code.as_deref().map(printable));
    let took = format_duration(Duration::from_millis(failed.took_ms));
    words.push(format!("after {took} → {}", fate(failed.decision)));
    let rest = failed.until.map(|until| rest(until, failed.scope, at, zone)).unwrap_or_default();
    let message = if failed.message.is_empty() { "" } else { ": " };
    format!("{}{rest}{message}{}", words.join(" "), printable(&failed.message))
}

fn rest(until: Until, scope: Scope, at: Timestamp, zone: &TimeZone) -> String {
    let until = match until {
        Until::Never => "somebody enables it".to_owned(),
        Until::At(until) => {
            let day = |at: Timestamp| at.to_zoned(zone.clone()).date();
            let form = if day(until) == day(at) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
            local(until, zone, form)
        }
    };
    format!(", {} rests until {until}", payer(scope))
}

fn local(at: Timestamp, zone: &TimeZone, form: &str) -> String {
    at.to_zoned(zone.clone()).strftime(form).to_string()
}

/// Who has to do something about it: the operator, time, or the caller.
const fn colour(scope: Scope) -> Colour {
    match scope {
        Scope::Key | Scope::Group => Colour::Red,
        Scope::Lane | Scope::Provider => Colour::Yellow,
        Scope::Request | Scope::Us => Colour::Grey,
    }
}

const fn payer(scope: Scope) -> &'static str {
    match scope {
        Scope::Key => "the key",
        Scope::Group => "its quota group",
        Scope::Lane => "the model on this key",
        Scope::Provider | Scope::Request | Scope::Us => "the provider",
    }
}

const fn fate(decision: Decision) -> &'static str {
    match decision {
        Decision::Rotate => "tried again",
        Decision::FallBack => "fell back",
        Decision::Return => "gave up",
    }
}

/// Words of a provider could steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::failed;
    use super::*;

    fn shown(change: impl FnOnce(&mut Failed)) -> String {
        let mut record = failed("2026-01-02T03:04:05.678Z");
        let Entry::CallFailed(failed) = &mut record.entry else { panic!("a failure") };
        change(failed);
        show(&record, &TimeZone::UTC, Style::Plain)
    }

    #[test]
    fn a_failure_is_one_readable_line() {
        assert_eq!(
            shown(|_| ()),
            "2026-01-02 03:04:05.678 throttled      openai/team-a gpt-4o-mini 429 rate_limit_exceeded \
             after 123ms → tried again, the model on this key rests until 03:04:35: too fast"
        );
        let bare = shown(|failed| {
            (failed.status, failed.code, failed.until) = (None, None, None);
            (failed.decision, failed.message) = (Decision::Return, "".into());
        });
        assert_eq!(
            bare,
            "2026-01-02 03:04:05.678 throttled      openai/team-a gpt-4o-mini after 123ms → gave up"
        );
        assert!(shown(|failed| failed.until = Some(Until::Never)).contains("until somebody enables it"));
        let far = shown(|failed| failed.until = Some(Until::At("2026-01-03T00:00:00Z".parse().unwrap())));
        assert!(far.contains("rests until 2026-01-03 00:00:00"), "{far}");
    }

    #[test]
    fn times_are_those_of_the_reader() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let line = show(&failed("2026-01-02T23:04:05Z"), &zone, Style::Plain);
        assert!(line.starts_with("2026-01-03 01:04:05.000 "), "{line}");
    }

    #[test]
    fn a_message_can_t_steer_the_terminal() {
        let line = shown(|failed| failed.message = "\u{1b}[2Jgone\r\nnext".into());
        assert!(line.ends_with(":  [2Jgone  next"), "{line:?}");
    }

    #[test]
    fn colours_tell_who_has_to_act() {
        let line = show(&failed("2026-01-02T03:04:05Z"), &TimeZone::UTC, Style::Coloured);
        assert!(line.contains("\u{1b}[33mthrottled"), "{line:?}");
    }

    #[test]
    fn a_gap_is_told() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let gap = Record { at, entry: Entry::Dropped { count: 12 } };
        assert!(show(&gap, &TimeZone::UTC, Style::Plain).contains("12 events are missing here"));
    }
}
