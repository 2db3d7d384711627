//! `keywheel provider keys status`: what every key is doing, live or as it was left.

use super::choice::Choice;
use crate::admin::Operator;
use crate::command::{engine, stdout};
use crate::config::{self, Source};
use crate::exit::Exit;
use crate::ui;

/// Show what every key is doing: its status, what blocks it (the key, its group, one model, the provider), and
/// until when.
///
/// A running keywheel with the same configuration is asked; if none runs, this shows what the last one left, and
/// says so.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    choice: Choice,

    /// Print the status as one JSON object; dates are milliseconds since 1970
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If the configuration has mistakes, or neither a running keywheel nor the state can be read.
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        let chosen = self.choice.keys(&outline)?;
        let mut report = Operator::of(&outline.home).status(&outline)?;
        let is_chosen = |provider: &str, name: &str| {
            chosen.iter().any(|id| id.provider.as_str() == provider && id.key.as_str() == name)
        };
        for provider in &mut report.providers {
            let id = provider.id.clone();
            provider.keys.retain(|key| is_chosen(&id, &key.name));
        }
        if self.choice.is_narrow() {
            report.providers.retain(|provider| !provider.keys.is_empty());
        }
        if self.json {
            stdout::print_json(&report)?;
        } else {
            stdout::print_line(&ui::status::text(&report, engine::stdout_style(source)))?;
        }
        Ok(Exit::Done)
    }
}
