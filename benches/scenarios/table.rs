//! The results for people.

use comfy_table::{ContentArrangement, Table, presets};

use crate::measure::Measured;

/// One line for each scenario.
pub(crate) fn of(results: &[Measured]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "scenario",
            "rows",
            "makespan",
            "ideal",
            "utilisation",
            "by rows alone",
            "waste",
            "lost",
            "calls on dead keys",
            "target",
            "verdict",
        ]);
    for result in results {
        table.add_row([
            result.scenario.to_owned(),
            result.rows.to_string(),
            format!("{:.2} s", result.makespan_s),
            format!("{:.2} s", result.ideal_s),
            percent(result.utilisation),
            percent(result.utilisation_by_rows_alone),
            format!("{:.4}", result.waste),
            result.lost.to_string(),
            dead_keys(result),
            result.target.clone(),
            verdict(result),
        ]);
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn dead_keys(result: &Measured) -> String {
    if result.dead_key_calls.is_empty() {
        return "none dead".to_owned();
    }
    let keys: Vec<_> = result.dead_key_calls.iter().map(|(key, calls)| format!("{key}: {calls}")).collect();
    keys.join(", ")
}

fn verdict(result: &Measured) -> String {
    match (result.target.as_str(), result.misses.as_slice()) {
        ("none", _) => "shown only".to_owned(),
        (_, []) => "met".to_owned(),
        (_, misses) => format!("MISSED: {}", misses.join("; ")),
    }
}
