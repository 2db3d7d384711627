//! `keywheel provider keys stats`: what every key has done.

use keywheel_actors::clock::Clock;
use keywheel_actors::stats::StatsReport;
use keywheel_actors::store::Wall;
use serde::Serialize;

use super::choice::Choice;
use crate::admin::{Answered, Operator};
use crate::command::{engine, stdout};
use crate::config::{self, Source};
use crate::exit::Exit;
use crate::ui;
use crate::ui::style::Colour;

/// Show what every key has done: calls, successes, failures by reason, the last 24 hours, tokens, latencies, and how
/// long it was suspended.
///
/// Counters survive restarts. A running keywheel is asked; if none runs, this shows what was counted up to the
/// end of the last one, and says so.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,

    /// Print the counters as one JSON object
    #[arg(long)]
    json: bool,
}

/// The form of `--json`.
#[derive(Debug, Serialize)]
struct Told {
    source: Answered,
    stats: StatsReport,
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If the configuration has mistakes, or neither a running keywheel nor the state can be read.
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        let chosen = self.choice.keys(&outline)?;
        let (answered, mut stats) = Operator::of(&outline.home).stats()?;
        // Without a choice also those are told that the configuration has no more.
        if self.choice.is_narrow() {
            stats.keys.retain(|key, _| chosen.contains(key));
        }
        if self.json {
            stdout::print_json(&Told { source: answered, stats })?;
            return Ok(Exit::Done);
        }
        let style = engine::stdout_style(source);
        let from = match answered {
            Answered::Running { pid } => format!("live, from process {pid}"),
            Answered::Durable => "nothing runs; this is what was counted before".to_owned(),
        };
        let table = ui::stats_table::table(&stats, Wall::from(Clock::start().today()), style);
        stdout::print_line(&format!("{table}\n\n{}", style.paint(Colour::Grey, &from)))?;
        Ok(Exit::Done)
    }
}
