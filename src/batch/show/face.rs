//! How far a run is, as text: a few lines for a terminal, one for a pipe.

use std::time::Duration;

use keywheel_actors::unit::format_duration;

use super::progress::{RowCounts, Total};
use crate::batch::run::stop::Stage;
use crate::ui::bar::bar;
use crate::ui::number::{count, percent, rate};
use crate::ui::style::{Colour, Style};

/// Characters of the bar.
const BAR_CELLS: usize = 32;

/// A run at one moment.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::batch) struct Face {
    /// Rows that have ended.
    pub rows: RowCounts,
    /// Rows there are.
    pub total: Total,
    /// Rows handed to the wheel and not yet answered.
    pub under_way: u64,
    /// Calls rejected as too fast, or beyond a quota.
    pub throttled_calls: u64,
    /// Rows ended a second, lately.
    pub per_second: f64,
    /// Calls a second that the keys' limits permit.
    pub permitted_per_second: Option<f64>,
    /// Whether new rows are still taken.
    pub stage: Stage,
}

impl Face {
    /// For a terminal, above the lines of the keys.
    pub(in crate::batch) fn block(&self, style: Style) -> Vec<String> {
        let done = self.rows.answered();
        let first = match self.known_total() {
            Some(total) => {
                let share = share(done, total);
                let bar = style.paint(Colour::Green, &bar(share, BAR_CELLS));
                format!("{bar} {}{}", self.done(), self.eta_text(", "))
            }
            None => self.done(),
        };
        let failed = format!("{} failed", count(self.rows.failed + self.rows.invalid));
        let failed =
            if self.rows.failed + self.rows.invalid > 0 { style.paint(Colour::Red, &failed) } else { failed };
        let second = format!(
            "{}, {} ok, {failed}, {} retried, {} throttled, {} under way",
            self.pace(),
            count(self.rows.ok),
            count(self.rows.retried),
            count(self.throttled_calls),
            count(self.under_way),
        );
        let mut lines = vec![first, second];
        lines.extend(self.stopping().map(|text| style.paint(Colour::Yellow, &text)));
        lines
    }

    /// For a pipe. `keys` says how many keys are in which state.
    pub(in crate::batch) fn line(&self, keys: &str) -> String {
        let mut text = format!(
            "batch: {}, {}{}, {} ok, {} failed, {} retried, {} throttled, keys: {keys}",
            self.done(),
            self.pace(),
            self.eta_text(", "),
            count(self.rows.ok),
            count(self.rows.failed + self.rows.invalid),
            count(self.rows.retried),
            count(self.throttled_calls),
        );
        if let Some(stopping) = self.stopping() {
            text.push_str("; ");
            text.push_str(&stopping);
        }
        text
    }

    /// Time left: by the quota where it is known, since that bounds the run; else by the pace so far.
    fn eta(&self) -> Option<Duration> {
        let left = self.known_total()?.saturating_sub(self.rows.answered());
        let per_second = self.permitted_per_second.unwrap_or(self.per_second);
        if left == 0 || per_second <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(left as f64 / per_second).ok()
    }

    fn known_total(&self) -> Option<u64> {
        match self.total {
            Total::Unknown => None,
            Total::About(rows) | Total::Exactly(rows) => Some(rows),
        }
    }

    fn done(&self) -> String {
        let done = self.rows.answered();
        let of = |about: &str, total: u64| {
            format!("{} of {about}{} rows ({})", count(done), count(total), percent(share(done, total), 0))
        };
        match self.total {
            Total::Unknown => format!("{} rows", count(done)),
            Total::About(total) => of("~", total),
            Total::Exactly(total) => of("", total),
        }
    }

    fn pace(&self) -> String {
        match self.permitted_per_second {
            Some(permitted) => format!("{} of {} permitted", rate(self.per_second), rate(permitted)),
            None => rate(self.per_second),
        }
    }

    fn eta_text(&self, before: &str) -> String {
        self.eta().map_or_else(String::new, |eta| format!("{before}ETA {}", format_duration(eta)))
    }

    fn stopping(&self) -> Option<String> {
        match self.stage {
            Stage::Go => None,
            Stage::Drain | Stage::Leave => Some(format!(
                "no new rows, waiting for {} under way; Ctrl-C again leaves them",
                count(self.under_way)
            )),
        }
    }
}

fn share(done: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { done as f64 / total as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face() -> Face {
        Face {
            rows: RowCounts { ok: 1_190, failed: 9, invalid: 1, retried: 12 },
            total: Total::About(3_000),
            under_way: 2_048,
            throttled_calls: 31,
            per_second: 48.23,
            permitted_per_second: Some(50.0),
            stage: Stage::Go,
        }
    }

    #[test]
    fn a_block_has_a_bar_and_the_counts() {
        assert_eq!(
            face().block(Style::Plain),
            [
                "━━━━━━━━━━━━━─────────────────── 1,200 of ~3,000 rows (40%), ETA 36.0s",
                "48.2/s of 50.0/s permitted, 1,190 ok, 10 failed, 12 retried, 31 throttled, 2,048 under way",
            ]
        );
    }

    #[test]
    fn a_pipe_gets_one_line() {
        assert_eq!(
            face().line("9 active, 1 rate_limited"),
            "batch: 1,200 of ~3,000 rows (40%), 48.2/s of 50.0/s permitted, ETA 36.0s, 1,190 ok, 10 failed, \
             12 retried, 31 throttled, keys: 9 active, 1 rate_limited"
        );
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let unknown = Face { total: Total::Unknown, permitted_per_second: None, ..face() };
        assert_eq!(
            unknown.block(Style::Plain),
            ["1,200 rows", "48.2/s, 1,190 ok, 10 failed, 12 retried, 31 throttled, 2,048 under way"]
        );
        let exact =
            Face { total: Total::Exactly(3_600), permitted_per_second: None, per_second: 40.0, ..face() };
        assert!(exact.block(Style::Plain)[0].ends_with(" 1,200 of 3,600 rows (33%), ETA 1m"));
        let stuck = Face { per_second: 0.0, ..exact };
        assert!(stuck.block(Style::Plain)[0].ends_with(" 1,200 of 3,600 rows (33%)"));
    }

    #[test]
    fn says_that_it_drains_and_how_to_leave() {
        let draining = Face { stage: Stage::Drain, under_way: 7, ..face() };
        let said = "no new rows, waiting for 7 under way; Ctrl-C again leaves them";
        assert_eq!(draining.block(Style::Plain)[2], said);
        assert!(draining.line("1 active").ends_with(said));
    }

    #[test]
    fn failures_are_red() {
        let second = &face().block(Style::Coloured)[1];
        assert!(second.contains("\u{1b}[31m10 failed\u{1b}[0m"), "{second}");
        let none = Face { rows: RowCounts { ok: 1, ..RowCounts::default() }, ..face() };
        assert!(none.block(Style::Coloured)[1].contains(", 0 failed,"));
    }
}
