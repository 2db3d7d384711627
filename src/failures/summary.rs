//! How many failures, by reason and by key.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use keywheel_actors::outcome::Reason;
use serde::Serialize;

use super::record::{Entry, Record};
use crate::ui::number;

/// Counts of failures.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Calls that failed.
    pub failures: u64,
    /// Events that the log lost.
    pub missing: u64,
    /// When the first of them happened.
    pub first: Option<Timestamp>,
    /// When the last of them happened.
    pub last: Option<Timestamp>,
    /// By reason.
    pub by_reason: BTreeMap<Reason, u64>,
    /// By key (`provider/key`) and reason.
    pub by_key: BTreeMap<String, BTreeMap<Reason, u64>>,
}

impl Summary {
    /// Counts one line.
    pub fn count(&mut self, record: &Record) {
        match &record.entry {
            Entry::CallFailed(failed) => {
                self.failures += 1;
                self.first.get_or_insert(record.at);
                self.last = Some(record.at);
                *self.by_reason.entry(failed.reason).or_default() += 1;
                let key = self.by_key.entry(format!("{}/{}", failed.provider, failed.key)).or_default();
                *key.entry(failed.reason).or_default() += 1;
            }
            Entry::Dropped { count } => self.missing += count,
        }
    }

    /// A table for people: the keys that fail most first.
    pub fn table(&self) -> String {
        let mut rows: Vec<(&str, &Reason, u64)> = Vec::new();
        for (key, reasons) in &self.by_key {
            rows.extend(reasons.iter().map(|(reason, count)| (key.as_str(), reason, *count)));
        }
        rows.sort_by_key(|(key, reason, count)| (std::cmp::Reverse(*count), *key, **reason));
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["failures", "reason", "key"]);
        for (key, reason, count) in rows {
            table.add_row([number::count(count), reason.to_string(), key.to_owned()]);
        }
        for (reason, count) in &self.by_reason {
            table.add_row([number::count(*count), reason.to_string(), "all keys".to_owned()]);
        }
        table.add_row([number::count(self.failures), "all reasons".to_owned(), "all keys".to_owned()]);
        if let Some(column) = table.column_mut(0) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::failed;
    use super::*;

    fn summary() -> Summary {
        let mut summary = Summary::default();
        let dates = ["2026-01-02T01:00:00Z", "2026-01-02T02:00:00Z", "2026-01-02T03:00:00Z"];
        for (date, (key, reason)) in dates.into_iter().zip([
            ("team-a", Reason::Cut),
            ("team-b", Reason::Throttled),
            ("team-b", Reason::Throttled),
        ]) {
            let mut record = failed(date);
            let Entry::CallFailed(failed) = &mut record.entry else { panic!("a failure") };
            (failed.key, failed.reason) = (key.into(), reason);
            summary.count(&record);
        }
        summary.count(&Record { at: Timestamp::MAX, entry: Entry::Dropped { count: 9 } });
        summary
    }

    #[test]
    fn failures_are_counted_by_reason_and_key() {
        assert_eq!(
            serde_json::to_value(summary()).unwrap(),
            serde_json::json!({
                "failures": 3,
                "missing": 9,
                "first": "2026-01-02T01:00:00Z",
                "last": "2026-01-02T03:00:00Z",
                "by_reason": {"throttled": 2, "cut": 1},
                "by_key": {"openai/team-a": {"cut": 1}, "openai/team-b": {"throttled": 2}},
            })
        );
    }

    #[test]
    fn the_table_begins_with_what_fails_most() {
        let table = summary().table();
        let rows: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "failures reason key",
            "2 throttled openai/team-b",
            "1 cut openai/team-a",
            "2 throttled all keys",
            "1 cut all keys",
            "3 all reasons all keys",
        ];
        assert_eq!(rows, expected);
    }
}
