//! A summary as people read it.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use keywheel_actors::unit::format_duration;

use super::summary::{Ending, KeySummary, Summary};
use crate::batch::budget::{CostSummary, ModelCost};
use crate::ui::number::{count, percent};
use crate::ui::style::{Colour, Style};

/// The whole report: the keys first, so that the verdict stands last, above the prompt.
pub fn report(summary: &Summary, style: Style) -> String {
    let mut lines = Vec::new();
    if !summary.keys.is_empty() {
        lines.push(key_table(&summary.keys));
        lines.push(String::new());
    }
    lines.push(verdict(summary, style));
    lines.extend(before(summary));
    lines.extend(skipped(summary));
    lines.extend(quota(summary));
    lines.push(calls(summary));
    if summary.tokens.input + summary.tokens.output > 0 {
        lines.push(tokens(summary));
    }
    lines.extend(cache(summary, style));
    lines.extend(summary.cost.as_ref().map(cost));
    if !summary.errors.is_empty() {
        lines.push(errors(summary));
    }
    lines.extend(summary.errors_file.as_ref().map(|file| format!("failed  rows are in {file}")));
    lines.extend(ending(summary, style));
    lines.join("\n")
}

fn verdict(summary: &Summary, style: Style) -> String {
    let bad = summary.failed + summary.invalid;
    let colour = if bad == 0 { Colour::Green } else { Colour::Red };
    let ok = style.paint(Colour::Green, &format!("{} ok", count(summary.ok)));
    let bad =
        style.paint(colour, &format!("{} failed, {} invalid", count(summary.failed), count(summary.invalid)));
    let lost = match summary.lost {
        0 => "none lost".to_owned(),
        lost => style.paint(Colour::Red, &format!("{} LOST", count(lost))),
    };
    format!("rows    {} in {}: {ok}, {bad}, {lost}", count(summary.rows), seconds(summary.makespan_s))
}

/// Nothing in a first run.
fn before(summary: &Summary) -> Option<String> {
    let done = (summary.done_before > 0).then_some(summary.done_before)?;
    Some(format!("before  {} rows had their line already", count(done)))
}

/// Nothing if every row had an id of its own.
fn skipped(summary: &Summary) -> Option<String> {
    let skipped = (summary.duplicates_skipped > 0).then_some(summary.duplicates_skipped)?;
    Some(format!("skipped {} rows whose id stood on an earlier line", count(skipped)))
}

/// Nothing if no time passed to measure by.
fn quota(summary: &Summary) -> Option<String> {
    let Some(ideal) = summary.ideal_makespan_s else {
        return Some("quota   unknown: not every key that served declares its limits".to_owned());
    };
    let used = summary.utilisation?;
    Some(format!("quota   {} used: {} at best within the declared limits", percent(used, 1), seconds(ideal)))
}

fn calls(summary: &Summary) -> String {
    let mut parts = vec![format!(
        "calls   {}: {} throttled, {} on dead keys, {} failed by the provider",
        count(summary.calls),
        count(summary.throttled_calls),
        count(summary.dead_key_calls),
        count(summary.provider_fault_calls),
    )];
    parts.extend(summary.waste.map(|waste| format!("waste {waste:.3} a row")));
    parts.push(format!("{} rows retried", count(summary.retried_rows)));
    if summary.fell_over > 0 {
        parts.push(format!("{} moved to another provider", count(summary.fell_over)));
    }
    parts.join("; ")
}

fn tokens(summary: &Summary) -> String {
    let tokens = &summary.tokens;
    format!(
        "tokens  {} in ({} cached), {} out",
        count(tokens.input),
        count(tokens.cached),
        count(tokens.output)
    )
}

/// Nothing without a cache.
fn cache(summary: &Summary, style: Style) -> Option<String> {
    let cache = summary.cache.as_ref()?;
    let rows = count(summary.cached_rows);
    let mut parts =
        vec![format!("cache   {rows} rows without a call of their own, {} kept", count(cache.stored))];
    if cache.unreadable > 0 {
        parts.push(format!("{} entries unreadable", count(cache.unreadable)));
    }
    let fault = cache.fault.as_ref().map(|fault| format!("nothing more can be kept: {fault}"));
    parts.extend(fault.map(|fault| style.paint(Colour::Red, &fault)));
    Some(parts.join("; "))
}

fn cost(cost: &CostSummary) -> String {
    let at_least = if cost.unknown_calls > 0 { "at least " } else { "" };
    let mut text = format!("cost    {at_least}{} {}", cost.spent.rounded(), cost.currency);
    if cost.unknown_calls > 0 {
        let _ = write!(text, "; {} calls of unknown cost", count(cost.unknown_calls));
    }
    if let [_, _, ..] = &cost.by_model[..] {
        let of = |model: &ModelCost| {
            let cost = model.cost.map_or_else(|| "unknown".to_owned(), |cost| cost.rounded().to_string());
            format!("{}/{} {cost}", model.provider, model.model)
        };
        let parts: Vec<String> = cost.by_model.iter().map(of).collect();
        let _ = write!(text, "; {}", parts.join(", "));
    }
    text
}

fn errors(summary: &Summary) -> String {
    let mut codes: Vec<_> = summary.errors.iter().collect();
    codes.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    let codes: Vec<String> =
        codes.into_iter().map(|(code, rows)| format!("{code} {}", count(*rows))).collect();
    format!("errors  {}", codes.join(", "))
}

/// Why the run isn't complete; nothing if it is.
fn ending(summary: &Summary, style: Style) -> Option<String> {
    let at_least = if summary.input_read_whole { "" } else { "at least " };
    let not_run = format!("{at_least}{} rows were not run", count(summary.not_run));
    let fault = summary.fault.as_deref().unwrap_or("unknown");
    let text = match summary.ending {
        Ending::Complete => return None,
        Ending::Interrupted => format!("interrupted: {not_run}"),
        Ending::BudgetSpent => format!("stopped by --max-cost: {not_run}"),
        Ending::MaxRowsTaken => format!("stopped by --max-rows: {not_run}"),
        Ending::DeadlineOver => format!("stopped by --deadline: {not_run}"),
        Ending::PriceMissing => format!("stopped: {fault}; {not_run}"),
        Ending::ReadFailed => format!("the input broke off: {fault}; the rows before it are answered"),
        Ending::WriteFailed => format!("the output can't be written: {fault}; {not_run}"),
    };
    Some(style.paint(Colour::Red, &text))
}

fn key_table(keys: &[KeySummary]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["key", "status", "calls", "ok", "throttled", "failed", "tokens"]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for key in keys {
        table.add_row([
            format!("{}/{}", key.provider, key.key),
            match key.why {
                Some(why) => format!("{}: {why}", key.status.as_str()),
                None => key.status.as_str().to_owned(),
            },
            count(key.calls),
            count(key.succeeded),
            count(key.throttled),
            count(key.failed),
            count(key.tokens),
        ]);
    }
    table.trim_fmt()
}

fn seconds(seconds: f64) -> String {
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::sample;
    use super::*;
    use crate::batch::answer::CacheSummary;

    #[test]
    fn says_what_became_of_rows_quota_calls_and_keys() {
        assert_eq!(
            report(&sample(), Style::Plain),
            [
                " key       status                    calls  ok  throttled  failed  tokens",
                " local/k0  active                      105  97          3       5  15,400",
                " local/k1  disabled: bad_credential      1   0          0       1       0",
                "",
                "rows    100 in 10.0s: 97 ok, 2 failed, 1 invalid, none lost",
                "quota   95.0% used: 9.5s at best within the declared limits",
                "calls   106: 3 throttled, 1 on dead keys, 4 failed by the provider; waste 0.041 a row; 5 rows retried",
                "tokens  12,000 in (500 cached), 3,400 out",
                "errors  invalid_line 1, server_error 1, too_long 1",
                "failed  rows are in out.errors.jsonl",
            ]
            .join("\n")
        );
    }

    #[test]
    fn says_what_stopped_a_run() {
        let last = |summary: &Summary| report(summary, Style::Plain).lines().last().unwrap().to_owned();
        let stopped =
            Summary { ending: Ending::Interrupted, not_run: 1_200, input_read_whole: false, ..sample() };
        assert_eq!(last(&stopped), "interrupted: at least 1,200 rows were not run");
        let full = Summary {
            ending: Ending::WriteFailed,
            fault: Some("no storage space".to_owned()),
            not_run: 7,
            ..sample()
        };
        assert_eq!(last(&full), "the output can't be written: no storage space; 7 rows were not run");
        let torn = Summary { ending: Ending::ReadFailed, fault: Some("unplugged".to_owned()), ..sample() };
        assert_eq!(last(&torn), "the input broke off: unplugged; the rows before it are answered");
    }

    #[test]
    fn a_cache_tells_what_it_did_and_what_stopped_it() {
        let line = |unreadable, fault: Option<&str>| {
            let cache = CacheSummary { stored: 60, unreadable, fault: fault.map(str::to_owned) };
            let summary = Summary { cached_rows: 37, cache: Some(cache), ..sample() };
            let report = report(&summary, Style::Plain);
            report.lines().find(|line| line.starts_with("cache")).unwrap().to_owned()
        };
        assert_eq!(line(0, None), "cache   37 rows without a call of their own, 60 kept");
        assert_eq!(
            line(2, Some("no storage space")),
            "cache   37 rows without a call of their own, 60 kept; 2 entries unreadable; \
             nothing more can be kept: no storage space"
        );
    }

    #[test]
    fn lost_rows_and_unknown_limits_are_not_passed_over() {
        let summary = Summary {
            lost: 2,
            ideal_makespan_s: None,
            utilisation: None,
            keys: Vec::new(),
            fell_over: 3,
            ..sample()
        };
        let report = report(&summary, Style::Coloured);
        assert!(report.contains("\u{1b}[31m2 LOST\u{1b}[0m"), "{report}");
        assert!(report.contains("\nquota   unknown: "), "{report}");
        assert!(report.contains("; 3 moved to another provider\n"), "{report}");
    }
}
