//! What happened in a running keywheel, a line each.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use keywheel_actors::board::KeyState;
use keywheel_actors::event::Decision;
use keywheel_actors::store::Wall;
use keywheel_actors::unit::format_duration;

use super::style::{Colour, Style};
use crate::admin::{Changes, EventReport, FailureReport, KeyChange, What};

/// The line for an event, with its time as it is in `zone`.
pub fn line(event: &EventReport, zone: &TimeZone, style: Style) -> String {
    let time = style.paint(Colour::Grey, &local(event.at, zone, "%H:%M:%S%.3f"));
    let (colour, text) = tell(&event.what, event.at);
    // What a provider said must not lead a terminal.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{time}  {}", style.paint(colour, &text))
}

fn tell(what: &What, now: Wall) -> (Colour, String) {
    match what {
        What::CallFailed(failure) => tell_failure(failure, now),
        What::KeyChanged(change) => tell_key(change, now),
        What::KeyRestarted { provider, key } => {
            (Colour::Yellow, format!("{provider}/{key}: its actor crashed and was started again"))
        }
        What::ProviderRested { provider, until, why } => {
            (Colour::Red, format!("{provider} rests as a whole{}: {why}", rest(*until, now)))
        }
        What::ProviderResumed { provider } => (Colour::Green, format!("{provider} serves again")),
        What::ProviderRestarted { provider } => {
            (Colour::Yellow, format!("{provider}: its actor crashed and was started again"))
        }
        What::ProviderLost { provider } => {
            (Colour::Red, format!("{provider}: its actor crashed too often and was given up"))
        }
        What::Reloaded { providers, keys } => {
            let changes =
                [("provider", providers), ("key", keys)].into_iter().flat_map(|(kind, of)| told(kind, of));
            let changes: Vec<String> = changes.collect();
            let changes =
                if changes.is_empty() { "nothing has changed".to_owned() } else { changes.join(", ") };
            (Colour::Green, format!("the configuration was read again: {changes}"))
        }
        What::FellBack { job, from, to, why } => {
            (Colour::Yellow, format!("job-{job} fell back from {from} to {to}: {why}"))
        }
        What::StateNotKept { why } => (Colour::Red, format!("what happens isn't kept: {why}")),
        What::StateKept => (Colour::Green, "what happens is kept again".to_owned()),
        What::Draining => (Colour::Grey, "it takes nothing new and is about to end".to_owned()),
        What::Lost { count } => (Colour::Red, format!("{count} events are missing here: they came too fast")),
    }
}

fn tell_failure(failure: &FailureReport, now: Wall) -> (Colour, String) {
    let FailureReport { provider, key, model, reason, scope, decision, message, .. } = failure;
    let status = failure.status.map_or_else(String::new, |status| format!(" ({status})"));
    let fate = match decision {
        Decision::Rotate => "tried again",
        Decision::FallBack => "fell back",
        Decision::Return => "gave up",
    };
    let rests = if failure.rests {
        format!(", {} rests{}", scope.as_str(), rest(failure.until, now))
    } else {
        String::new()
    };
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    (Colour::Red, format!("{provider}/{key} {model} {reason}{status}, {fate}{rests}{message}"))
}

fn tell_key(change: &KeyChange, now: Wall) -> (Colour, String) {
    let KeyChange { provider, key, status, cause, until, .. } = change;
    let colour = match status {
        KeyState::Active => Colour::Green,
        KeyState::RateLimited => Colour::Yellow,
        KeyState::Failed | KeyState::Disabled => Colour::Red,
    };
    let until = if *status == KeyState::Active { String::new() } else { rest(*until, now) };
    let cause = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    (colour, format!("{provider}/{key} is {}{until}{cause}", status.as_str()))
}

fn rest(until: Option<Wall>, now: Wall) -> String {
    match until {
        Some(until) => {
            format!(" for {}", format_duration(Duration::from_millis(until.0.saturating_sub(now.0))))
        }
        None => " until somebody acts".to_owned(),
    }
}

fn told(kind: &str, changes: &Changes) -> Vec<String> {
    let Changes { added, removed, changed } = changes;
    let all = [("added", added), ("removed", removed), ("changed", changed)];
    all.into_iter()
        .flat_map(|(how, names)| names.iter().map(move |name| format!("{how} {kind} {name}")))
        .collect()
}

fn local(at: Wall, zone: &TimeZone, form: &str) -> String {
    let at = Timestamp::try_from(SystemTime::from(at)).unwrap_or(Timestamp::MAX);
    at.to_zoned(zone.clone()).strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use keywheel_actors::outcome::{Reason, Scope};

    use super::*;

    fn shown(what: What) -> String {
        line(&EventReport { at: Wall(3_661_500), what }, &TimeZone::UTC, Style::Plain)
    }

    #[test]
    fn a_failure_is_told_with_what_follows_and_without_control_characters() {
        let failure = FailureReport {
            job: 7,
            request_id: None,
            attempt: 1,
            provider: "openai".to_owned(),
            key: "team-a".to_owned(),
            fingerprint: "0123456789ab".parse().unwrap(),
            model: "m".to_owned(),
            reason: Reason::Throttled,
            scope: Scope::Lane,
            status: Some(429),
            code: None,
            hint_ms: None,
            decision: Decision::Rotate,
            rests: true,
            until: Some(Wall(3_663_500)),
            took_ms: 12,
            message: "too\u{1b}[31m fast".to_owned(),
        };
        assert_eq!(
            shown(What::CallFailed(Box::new(failure))),
            "01:01:01.500  openai/team-a m throttled (429), tried again, lane rests for 2.0s: too [31m fast"
        );
    }

    #[test]
    fn keys_and_reloads_are_told() {
        let change = KeyChange {
            provider: "p".to_owned(),
            key: "k".to_owned(),
            status: KeyState::Disabled,
            cause: Some("operator".to_owned()),
            scope: Some(Scope::Key),
            until: None,
            message: None,
        };
        assert_eq!(
            shown(What::KeyChanged(Box::new(change.clone()))),
            "01:01:01.500  p/k is disabled until somebody acts: operator"
        );
        let active = KeyChange { status: KeyState::Active, cause: None, scope: None, ..change };
        assert_eq!(shown(What::KeyChanged(Box::new(active))), "01:01:01.500  p/k is active");
        let keys = Changes { added: vec!["p/n".to_owned()], ..Changes::default() };
        assert_eq!(
            shown(What::Reloaded { providers: Changes::default(), keys }),
            "01:01:01.500  the configuration was read again: added key p/n"
        );
    }
}
