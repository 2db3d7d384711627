//! How far a run is, as text: a few lines for a terminal, one for a pipe.

use std::time::Duration;

use keywheel_actors::outcome::Usage;
use keywheel_actors::unit::format_duration;

use super::progress::{RowCounts, Total};
use crate::batch::budget::so_far::{CostSoFar, Spending};
use crate::batch::run::stop::Stage;
use crate::ui::bar::bar;
use crate::ui::fit::{Part, cut, fit};
use crate::ui::number::{count, percent, rate, short};
use crate::ui::style::{Colour, Style};

/// Cells of the shortest bar that still shows something.
const BAR_CELLS_MIN: usize = 8;

/// Cells of the longest bar: half a percent each is as much as an eye can follow.
const BAR_CELLS_MAX: usize = 100;

/// A run at one moment.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::batch) struct Face {
    /// Rows that have ended in this run.
    pub rows: RowCounts,
    /// Rows that an earlier run has answered.
    pub done_before: u64,
    /// Rows of `rows` that were answered without a call.
    pub from_cache: u64,
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
    /// Tokens of the rows that succeeded.
    pub usage: Usage,
    /// Tokens a second, lately.
    pub tokens_per_second: f64,
    /// Dollars spent so far.
    pub spending: Option<Spending>,
    /// Time left.
    pub eta: Option<Duration>,
    /// Whether new rows are still taken.
    pub stage: Stage,
}

impl Face {
    /// For a terminal of `width` cells, above the lines of the keys.
    pub(in crate::batch) fn block(&self, style: Style, width: usize) -> Vec<String> {
        let mut lines = vec![self.bar_line(style, width), fit(&self.rate_parts(), width, style)];
        lines.push(fit(&self.row_parts(), width, style));
        let tokens = self.token_parts();
        if !tokens.is_empty() {
            lines.push(fit(&tokens, width, style));
        }
        lines.extend(self.stopping().map(|text| style.paint(Colour::Yellow, &cut(&text, width))));
        lines
    }

    /// For a pipe. `keys` says how many keys are in which state.
    pub(in crate::batch) fn line(&self, keys: &str) -> String {
        let mut text = format!("batch: {}, {}", self.done_text(), self.pace());
        let mut add = |part: String| {
            text.push_str(", ");
            text.push_str(&part);
        };
        if let Some(eta) = self.eta {
            add(format!("ETA {}", format_duration(eta)));
        }
        add(format!("{} ok", count(self.rows.ok)));
        add(format!("{} failed", count(self.rows.failed + self.rows.invalid)));
        add(format!("{} retried", count(self.rows.retried)));
        add(format!("{} throttled", count(self.throttled_calls)));
        if self.done_before > 0 {
            add(format!("{} done before", count(self.done_before)));
        }
        if self.from_cache > 0 {
            add(format!("{} from the cache", count(self.from_cache)));
        }
        if self.usage.total_tokens() > 0 {
            add(format!(
                "tokens: {} in, {} out",
                count(self.usage.input_tokens),
                count(self.usage.output_tokens)
            ));
        }
        if let Some(cost) = self.cost() {
            add(format!("cost: {cost}"));
        }
        add(format!("keys: {keys}"));
        if let Some(stopping) = self.stopping() {
            text.push_str("; ");
            text.push_str(&stopping);
        }
        text
    }

    /// Rows that have their line, from this run or an earlier one.
    pub(in crate::batch) fn done(&self) -> u64 {
        self.done_before + self.rows.answered()
    }

    /// Rows that still have to be sent or answered, if their number is known.
    pub(in crate::batch) fn left(&self) -> Option<u64> {
        Some(self.total.known()?.saturating_sub(self.done()))
    }

    /// What the run has cost, and will have cost if its rows go on as they were.
    pub(in crate::batch) fn cost(&self) -> Option<CostSoFar> {
        Some(self.spending.clone()?.so_far(self.rows, self.left()))
    }

    /// The bar takes the room that its numbers leave.
    fn bar_line(&self, style: Style, width: usize) -> String {
        let mut parts = vec![Part::plain(self.done_text())];
        if let Some(eta) = self.eta {
            parts.push(Part::plain(format!("ETA {}", format_duration(eta))));
        }
        let Some(total) = self.total.known() else {
            return fit(&parts, width, style);
        };
        let cells: usize = parts.iter().map(|part| part.cells() + 2).sum();
        let bar_cells = width.saturating_sub(cells).clamp(BAR_CELLS_MIN, BAR_CELLS_MAX);
        parts.insert(0, Part::coloured(Colour::Green, bar(share(self.done(), total), bar_cells)));
        fit(&parts, width, style)
    }

    fn rate_parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::plain(format!("rate    {}", self.pace()))];
        if let Some(permitted) = self.permitted_per_second.filter(|permitted| *permitted > 0.0) {
            parts
                .push(Part::coloured(Colour::Grey, format!("({})", percent(self.per_second / permitted, 0))));
        }
        parts.push(Part::plain(format!("{} under way", count(self.under_way))));
        parts
    }

    fn row_parts(&self) -> Vec<Part> {
        let failed = self.rows.failed + self.rows.invalid;
        let failed_text = format!("{} failed", count(failed));
        let mut parts = vec![
            Part::plain(format!("rows    {} ok", count(self.rows.ok))),
            if failed > 0 { Part::coloured(Colour::Red, failed_text) } else { Part::plain(failed_text) },
            Part::plain(format!("{} retried", count(self.rows.retried))),
            Part::plain(format!("{} throttled", count(self.throttled_calls))),
        ];
        if self.done_before > 0 {
            parts.push(Part::plain(format!("{} done before", count(self.done_before))));
        }
        if self.from_cache > 0 {
            parts.push(Part::plain(format!("{} from the cache", count(self.from_cache))));
        }
        parts
    }

    /// Nothing before the first row that tells its tokens or has a price.
    fn token_parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.usage.total_tokens() > 0 {
            parts.push(Part::plain(format!(
                "tokens  {} in, {} out",
                short(self.usage.input_tokens),
                short(self.usage.output_tokens)
            )));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it isn't negative")]
            let per_second = self.tokens_per_second as u64;
            parts.push(Part::plain(format!("{}/s", short(per_second))));
        }
        if let Some(cost) = self.cost() {
            let name = if parts.is_empty() { "cost    " } else { "cost " };
            parts.push(Part::plain(format!("{name}{cost}")));
        }
        parts
    }

    fn done_text(&self) -> String {
        let done = self.done();
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
pub(in crate::batch) mod tests {
    use super::*;
    use crate::batch::budget::so_far::tests::spending;

    /// Two fifths of a run.
    pub(in crate::batch) fn sample() -> Face {
        Face {
            rows: RowCounts { ok: 1_190, failed: 9, invalid: 1, retried: 12 },
            done_before: 0,
            from_cache: 0,
            total: Total::About(3_000),
            under_way: 2_048,
            throttled_calls: 31,
            per_second: 48.23,
            permitted_per_second: Some(50.0),
            usage: Usage { input_tokens: 1_204_331, output_tokens: 240_111, cached_tokens: 0 },
            tokens_per_second: 9_812.4,
            spending: Some(spending("1.20")),
            eta: Some(Duration::from_secs(36)),
            stage: Stage::Go,
        }
    }

    fn resumed() -> Face {
        Face { done_before: 600, from_cache: 20, total: Total::Exactly(3_000), ..sample() }
    }

    #[test]
    fn eighty_columns_look_good() {
        assert_eq!(
            sample().block(Style::Plain, 80),
            [
                "━━━━━━━━━━━━━━━━╸────────────────────────  1,200 of ~3,000 rows (40%)  ETA 36.0s",
                "rate    48.2/s of 50.0/s permitted  (96%)  2,048 under way",
                "rows    1,190 ok  10 failed  12 retried  31 throttled",
                "tokens  1.20M in, 240k out  9.81k/s  cost 1.20 → ~3.01 USD",
            ]
        );
        assert_eq!(
            resumed().block(Style::Plain, 80)[2],
            "rows    1,190 ok  10 failed  12 retried  31 throttled  600 done before"
        );
    }

    #[test]
    fn longer_lines_use_the_room_and_shorter_ones_leave_out_the_least() {
        assert_eq!(
            resumed().block(Style::Plain, 120),
            [
                "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────────────────  1,800 of 3,000 rows (60%)  ETA 36.0s",
                "rate    48.2/s of 50.0/s permitted  (96%)  2,048 under way",
                "rows    1,190 ok  10 failed  12 retried  31 throttled  600 done before  20 from the cache",
                "tokens  1.20M in, 240k out  9.81k/s  cost 1.20 → ~2.41 USD",
            ]
        );
        assert_eq!(
            sample().block(Style::Plain, 60),
            [
                "━━━━━━━━╸────────────  1,200 of ~3,000 rows (40%)  ETA 36.0s",
                "rate    48.2/s of 50.0/s permitted  (96%)  2,048 under way",
                "rows    1,190 ok  10 failed  12 retried  31 throttled",
                "tokens  1.20M in, 240k out  9.81k/s  cost 1.20 → ~3.01 USD",
            ]
        );
        for width in 40..=200 {
            let block = resumed().block(Style::Plain, width);
            assert!(block.iter().all(|line| line.chars().count() <= width), "{width}: {block:#?}");
        }
    }

    #[test]
    fn a_pipe_gets_one_line() {
        assert_eq!(
            Face { usage: Usage::default(), spending: None, ..sample() }.line("9 active, 1 rate_limited"),
            "batch: 1,200 of ~3,000 rows (40%), 48.2/s of 50.0/s permitted, ETA 36.0s, 1,190 ok, 10 failed, \
             12 retried, 31 throttled, keys: 9 active, 1 rate_limited"
        );
        assert_eq!(
            resumed().line("10 active"),
            "batch: 1,800 of 3,000 rows (60%), 48.2/s of 50.0/s permitted, ETA 36.0s, 1,190 ok, 10 failed, \
             12 retried, 31 throttled, 600 done before, 20 from the cache, tokens: 1,204,331 in, 240,111 out, \
             cost: 1.20 → ~2.41 USD, keys: 10 active"
        );
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let unknown = Face {
            total: Total::Unknown,
            permitted_per_second: None,
            usage: Usage::default(),
            spending: None,
            eta: None,
            ..sample()
        };
        assert_eq!(
            unknown.block(Style::Plain, 80),
            [
                "1,200 rows",
                "rate    48.2/s  2,048 under way",
                "rows    1,190 ok  10 failed  12 retried  31 throttled"
            ]
        );
        let priced = Face { spending: Some(spending("0.004")), ..unknown };
        assert_eq!(priced.block(Style::Plain, 80)[3], "cost    0.0040 USD");
        let stuck = Face { eta: None, ..sample() };
        assert!(stuck.block(Style::Plain, 80)[0].ends_with("  1,200 of ~3,000 rows (40%)"));
    }

    #[test]
    fn says_that_it_drains_and_how_to_leave() {
        let draining = Face { stage: Stage::Drain, under_way: 7, ..sample() };
        let said = "no new rows, waiting for 7 under way; Ctrl-C again leaves them";
        assert_eq!(draining.block(Style::Plain, 80)[4], said);
        assert!(draining.line("1 active").ends_with(said));
    }

    #[test]
    fn failures_are_red() {
        let third = &sample().block(Style::Coloured, 80)[2];
        assert!(third.contains("\u{1b}[31m10 failed\u{1b}[0m"), "{third}");
        let none = Face { rows: RowCounts { ok: 1, ..RowCounts::default() }, ..sample() };
        assert!(none.block(Style::Coloured, 80)[2].contains("  0 failed  "));
    }
}
