//! What was counted, as a table: a line for each key, and one for all keys of a provider.

use std::cmp::Reverse;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use keywheel_actors::id::ProviderId;
use keywheel_actors::stats::{KeyStats, Latencies, StatsReport};
use keywheel_actors::store::Wall;
use keywheel_actors::unit::format_duration;

use super::number::count;
use super::style::{Colour, Style};

/// Reasons told in a cell; the others are counted together.
const REASONS_MAX: usize = 3;

/// Where there is nothing to tell.
const NOTHING: &str = "–";

const HEADER: [&str; 10] = [
    "key",
    "calls",
    "ok",
    "failed",
    "cancelled",
    "24 h",
    "tokens",
    "p50 / p90 / p99",
    "suspended",
    "failed by",
];

/// The table. `now` says which hours make the last day: a report of the durable state may be old.
pub fn table(report: &StatsReport, now: Wall, style: Style) -> String {
    if report.keys.is_empty() {
        return "nothing has been counted yet".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADER);
    for (provider, total) in report.providers() {
        let keys: Vec<_> = keys_of(report, &provider).collect();
        for (name, stats) in &keys {
            table.add_row(row(name.clone(), stats, now));
        }
        if keys.len() > 1 {
            table.add_row(row(format!("{provider}: all {}", keys.len()), &total, now));
        }
    }
    for column in table.column_iter_mut().skip(1).take(HEADER.len() - 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let text = table.trim_fmt();
    match text.split_once('\n') {
        Some((header, rows)) => format!("{}\n{rows}", style.paint(Colour::Grey, header)),
        None => text,
    }
}

fn keys_of<'a>(
    report: &'a StatsReport,
    provider: &'a ProviderId,
) -> impl Iterator<Item = (String, &'a KeyStats)> {
    let keys = report.keys.iter().filter(move |(id, _)| id.provider == *provider);
    keys.map(|(id, stats)| (id.to_string(), stats))
}

fn row(name: String, stats: &KeyStats, now: Wall) -> [String; HEADER.len()] {
    let mut last_day = stats.last_day.clone();
    last_day.forget(now);
    [
        name,
        count(stats.calls),
        count(stats.succeeded),
        count(stats.failures()),
        count(stats.cancelled),
        format!("{} ({} failed)", count(last_day.calls()), count(last_day.failures())),
        tokens(stats),
        latencies(stats),
        match stats.suspended_ms {
            0 => NOTHING.to_owned(),
            millis => format_duration(Duration::from_millis(millis)),
        },
        reasons(stats),
    ]
}

fn tokens(stats: &KeyStats) -> String {
    let tokens = stats.tokens;
    match (tokens.total_tokens(), tokens.cached_tokens) {
        (0, _) => NOTHING.to_owned(),
        (_, 0) => format!("{} in, {} out", count(tokens.input_tokens), count(tokens.output_tokens)),
        (_, cached) => format!(
            "{} in ({} cached), {} out",
            count(tokens.input_tokens),
            count(cached),
            count(tokens.output_tokens)
        ),
    }
}

/// Of whole calls, and of the first content where there were streams.
fn latencies(stats: &KeyStats) -> String {
    let figures = |latencies: &Latencies| {
        let found = latencies.percentiles();
        [found.p50, found.p90, found.p99].map(format_duration).join(" / ")
    };
    match (stats.took.count(), stats.first_content.count()) {
        (0, _) => NOTHING.to_owned(),
        (_, 0) => figures(&stats.took),
        _ => format!("{}, begun {}", figures(&stats.took), figures(&stats.first_content)),
    }
}

/// The most frequent ones first: `throttled 12, cut 3`.
fn reasons(stats: &KeyStats) -> String {
    let mut failed: Vec<_> = stats.failed.iter().map(|(reason, count)| (*reason, *count)).collect();
    failed.sort_by_key(|(reason, count)| (Reverse(*count), *reason));
    let (told, others) = failed.split_at(failed.len().min(REASONS_MAX));
    let mut parts: Vec<String> =
        told.iter().map(|(reason, calls)| format!("{reason} {}", count(*calls))).collect();
    if !others.is_empty() {
        parts.push(format!("others {}", count(others.iter().map(|(_, calls)| calls).sum())));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use keywheel_actors::id::KeyId;
    use keywheel_actors::outcome::{Reason, Usage};

    use super::*;

    fn key(provider: &str, key: &str) -> KeyId {
        KeyId { provider: provider.into(), key: key.into() }
    }

    fn stats() -> KeyStats {
        let mut stats = KeyStats {
            calls: 1_240,
            succeeded: 1_200,
            cancelled: 3,
            failed: [(Reason::Throttled, 30), (Reason::Cut, 5), (Reason::Stalled, 1), (Reason::TooLong, 1)]
                .into(),
            tokens: Usage { input_tokens: 12_000, output_tokens: 800, cached_tokens: 0 },
            suspended_ms: 65_000,
            ..KeyStats::default()
        };
        stats.took.record(Duration::from_millis(50));
        stats
    }

    /// The cells of each line, their padding apart.
    fn lines(report: &StatsReport, now: Wall) -> Vec<String> {
        let text = table(report, now, Style::Plain);
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_key_is_a_line_and_a_provider_with_several_keys_another() {
        let keys = [(key("p", "a"), stats()), (key("p", "b"), KeyStats::default()), (key("q", "c"), stats())];
        let report = StatsReport { keys: keys.into(), dead_letters: 0 };
        let figures = "1,240 1,200 37 3 0 (0 failed) 12,000 in, 800 out 50ms / 50ms / 50ms 1m 5s \
                       throttled 30, cut 5, stalled 1, others 1";
        assert_eq!(
            lines(&report, Wall(0)),
            [
                "key calls ok failed cancelled 24 h tokens p50 / p90 / p99 suspended failed by".to_owned(),
                format!("p/a {figures}"),
                "p/b 0 0 0 0 0 (0 failed) – – –".to_owned(),
                format!("p: all 2 {figures}"),
                format!("q/c {figures}"),
            ]
        );
    }

    #[test]
    fn streams_and_caches_are_told_where_there_are_some() {
        let mut stats = stats();
        stats.tokens.cached_tokens = 5;
        stats.first_content.record(Duration::from_millis(7));
        assert_eq!(tokens(&stats), "12,000 in (5 cached), 800 out");
        assert_eq!(latencies(&stats), "50ms / 50ms / 50ms, begun 7ms / 7ms / 7ms");
    }

    #[test]
    fn an_old_report_has_no_last_day() {
        let written = r#"{"calls":9,"last_day":{"480000":{"calls":9,"failed":{"cut":2}}}}"#;
        let stats: KeyStats = serde_json::from_str(written).unwrap();
        let report = StatsReport { keys: [(key("p", "a"), stats)].into(), dead_letters: 0 };
        let at = |hour: u64| Wall(hour * 3_600_000);
        assert!(lines(&report, at(480_023))[1].contains("9 (2 failed)"));
        assert!(lines(&report, at(480_024))[1].contains("0 (0 failed)"));
    }

    #[test]
    fn nothing_is_told_as_nothing() {
        assert_eq!(lines(&StatsReport::default(), Wall(0)), ["nothing has been counted yet"]);
    }
}
