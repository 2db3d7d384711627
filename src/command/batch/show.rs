//! What of a run is shown, to whom.

use std::io::{self, Write as _};

use anyhow::Context as _;

use crate::batch::{Summary, report};
use crate::command::engine;
use crate::ui::screen::{Screen, say};
use crate::ui::style::Style;

use super::output::OutputArgs;

/// What is shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Print the summary as one line of JSON, the last on stdout (on stderr if OUT is `-`)
    #[arg(long)]
    pub(super) json: bool,

    /// Show neither progress nor the summary for people
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Print the progress as one JSON object a second on stderr, in place of everything for people
    #[arg(long)]
    json_progress: bool,
}

impl ShowArgs {
    /// Where the progress goes.
    pub(super) fn screen(&self, style: Style) -> Screen {
        if self.json_progress {
            return Screen::Json;
        }
        if self.quiet { Screen::Quiet } else { engine::screen(style) }
    }

    /// Tells what a run came to.
    ///
    /// # Errors
    /// If stdout takes nothing.
    pub(super) fn tell(&self, summary: &Summary, output: &OutputArgs, style: Style) -> anyhow::Result<()> {
        // Whoever reads JSON from stderr would stumble over a text.
        if !self.quiet && !self.json_progress {
            say(&report(summary, style));
        }
        if self.json {
            let line = serde_json::to_string(summary).context("can't encode the summary")?;
            if output.is_stdout() {
                say(&line);
            } else {
                writeln!(io::stdout(), "{line}").context("can't print the summary")?;
            }
        }
        Ok(())
    }
}
