//! A status as people read it: what works, what is blocked, by what, and until when.

use std::ops::Range;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use keywheel_actors::board::KeyState;
use keywheel_actors::outcome::{Reason, Scope};
use keywheel_actors::store::Wall;
use keywheel_actors::unit::format_duration;

use super::keys::mark;
use super::number;
use super::style::{Colour, Style};
use crate::admin::{KeyReport, ProviderReport, ProviderState, Source, StatusReport};

/// Longer messages have their whole text in `--json`.
const MESSAGE_CHARS_MAX: usize = 60;

/// The whole status: providers with their keys, and where it comes from.
pub fn text(report: &StatusReport, style: Style) -> String {
    let mut blocks: Vec<String> =
        report.providers.iter().map(|provider| of_provider(provider, report, style)).collect();
    blocks.push(style.paint(Colour::Grey, &source(report)));
    if let Some(why) = &report.not_durable {
        blocks.push(
            style.paint(Colour::Red, &format!("what happens isn't kept, a restart will forget it: {why}")),
        );
    }
    blocks.join("\n\n")
}

fn of_provider(provider: &ProviderReport, report: &StatusReport, style: Style) -> String {
    let at = report.at;
    let state = match (provider.state, provider.until) {
        (ProviderState::Active, _) => style.paint(Colour::Green, "active"),
        (ProviderState::Resting, until) => {
            style.paint(Colour::Red, &format!("rests as a whole{}", left(until, at)))
        }
        (ProviderState::Disabled, _) => style.paint(Colour::Grey, "disabled"),
    };
    let mut head = format!("{}  {state}", provider.id);
    if provider.queued + provider.in_flight > 0 {
        head = format!("{head}  {} under way, {} waiting", provider.in_flight, provider.queued);
    }
    if provider.fell_over > 0 {
        head = format!("{head}, {} moved on", number::count(provider.fell_over));
    }
    if provider.keys.is_empty() {
        return head;
    }
    format!("{head}\n{}", key_table(&provider.keys, report, style))
}

/// The columns of a report, and from which to which they hold numbers. What is left of a process that has ended tells
/// nothing of calls.
const fn columns(source: &Source) -> (&'static [&'static str], Range<usize>) {
    match source {
        Source::Live { .. } => (
            &["", "key", "secret", "fingerprint", "status", "blocked", "in flight", "calls", "ok", "why"],
            6..9,
        ),
        Source::Durable { .. } => (&["", "key", "secret", "fingerprint", "status", "blocked", "why"], 6..6),
    }
}

fn key_table(keys: &[KeyReport], report: &StatusReport, style: Style) -> String {
    let (head, numbers) = columns(&report.source);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head);
    for column in numbers.clone() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for key in keys {
        let in_flight = match key.concurrency {
            Some(most) => format!("{}/{most}", key.in_flight),
            None => String::new(),
        };
        let counted = [in_flight, number::count(key.counts.calls), number::count(key.counts.succeeded)];
        let cells = [
            mark(key.status).0.to_owned(),
            name(key),
            key.masked.clone().unwrap_or_else(|| "not here".to_owned()),
            key.fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default(),
            key.status.as_str().to_owned(),
            key.scope
                .map(|scope| format!("{}{}", level(scope), left(key.until, report.at)))
                .unwrap_or_default(),
        ];
        let counted = counted.into_iter().take(numbers.len());
        table.add_row(cells.into_iter().chain(counted).chain([why(key)]));
    }
    let lines = table.to_string();
    let mut lines = lines.lines();
    let head = lines.next().map(|line| style.paint(Colour::Grey, line.trim_end())).into_iter();
    let rows = keys.iter().zip(lines).map(|(key, line)| {
        let (mark, colour) = mark(key.status);
        line.trim_end().replacen(mark, &style.paint(colour, mark), 1)
    });
    head.chain(rows).collect::<Vec<_>>().join("\n")
}

fn name(key: &KeyReport) -> String {
    match &key.quota_group {
        Some(group) => format!("{} ({group})", key.name),
        None => key.name.clone(),
    }
}

/// What is blocked.
const fn level(scope: Scope) -> &'static str {
    match scope {
        Scope::Key => "the key",
        Scope::Group => "its group",
        Scope::Lane => "one model",
        Scope::Provider => "the provider",
        Scope::Request | Scope::Us => "",
    }
}

fn why(key: &KeyReport) -> String {
    // A throttled key is `rate_limited`; that goes without saying.
    let cause = key.cause.as_deref().filter(|cause| *cause != Reason::Throttled.as_str());
    let message = key.message.as_deref().map(|message| match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    });
    match (cause, message) {
        (Some(cause), Some(message)) if key.status != KeyState::Active => format!("{cause}: {message}"),
        (Some(cause), None) => cause.to_owned(),
        (Some(_) | None, message) => message.unwrap_or_default(),
    }
}

/// ` for 12.3s`, or nothing.
fn left(until: Option<Wall>, at: Wall) -> String {
    until.map_or_else(String::new, |until| format!(" for {}", ago(until, at)))
}

/// The time between two dates, the later one first.
fn ago(later: Wall, earlier: Wall) -> String {
    format_duration(Duration::from_millis(later.0.saturating_sub(earlier.0)))
}

fn source(report: &StatusReport) -> String {
    match &report.source {
        Source::Live { pid, verb, since, dashboard } => {
            let dashboard =
                dashboard.as_ref().map_or_else(String::new, |url| format!(", dashboard at {url}"));
            let time = ago(report.at, *since);
            format!("live: `keywheel {verb}` (process {pid}) has been running for {time}{dashboard}")
        }
        Source::Durable { saved: Some(saved) } => {
            format!("nothing runs; this is what was kept {} ago", ago(report.at, *saved))
        }
        Source::Durable { saved: None } => "nothing runs, and nothing was kept yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::board::KeyCounts;

    use super::*;

    fn key(name: &str, status: KeyState, scope: Option<Scope>, until: Option<Wall>) -> KeyReport {
        KeyReport {
            name: name.to_owned(),
            fingerprint: None,
            masked: Some("sk-…ghij".to_owned()),
            quota_group: (name == "b").then(|| "org-1".to_owned()),
            status,
            cause: (status == KeyState::Disabled).then(|| "configuration".to_owned()),
            scope,
            until,
            message: None,
            in_flight: 3,
            concurrency: Some(10),
            permitted_per_second: None,
            counts: KeyCounts { calls: 1_200, succeeded: 1_100, ..KeyCounts::default() },
        }
    }

    fn report(source: Source) -> StatusReport {
        let keys = vec![
            key("a", KeyState::Active, None, None),
            key("b", KeyState::RateLimited, Some(Scope::Group), Some(Wall(72_300))),
            key("c", KeyState::Disabled, Some(Scope::Key), None),
        ];
        let provider = ProviderReport {
            id: "p".to_owned(),
            state: ProviderState::Resting,
            until: Some(Wall(64_000)),
            queued: 2,
            in_flight: 6,
            fell_over: 1_000,
            keys,
        };
        StatusReport { source, at: Wall(60_000), not_durable: None, providers: vec![provider] }
    }

    #[test]
    fn a_running_keywheel_tells_what_is_blocked_for_how_long_and_what_it_did() {
        let source = Source::Live {
            pid: 7,
            verb: "batch".to_owned(),
            since: Wall(0),
            dashboard: Some("http://127.0.0.1:9090/".to_owned()),
        };
        let expected = "\
p  rests as a whole for 4.0s  6 under way, 2 waiting, 1,000 moved on
    key        secret    fingerprint  status        blocked              in flight  calls     ok  why
 ●  a          sk-…ghij               active                                  3/10  1,200  1,100
 ◐  b (org-1)  sk-…ghij               rate_limited  its group for 12.3s       3/10  1,200  1,100
 ✗  c          sk-…ghij               disabled      the key                   3/10  1,200  1,100  configuration

live: `keywheel batch` (process 7) has been running for 1m, dashboard at http://127.0.0.1:9090/";
        assert_eq!(text(&report(source), Style::Plain), expected);
    }

    #[test]
    fn what_is_left_of_one_tells_of_no_calls() {
        let text = text(&report(Source::Durable { saved: Some(Wall(58_000)) }), Style::Plain);
        assert!(!text.contains("1,200") && !text.contains("in flight"), "{text}");
        assert!(text.ends_with("nothing runs; this is what was kept 2.0s ago"), "{text}");
    }
}
