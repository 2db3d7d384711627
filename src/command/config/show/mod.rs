//! `keywheel config show`: what the configuration comes to, and where each value is from.

mod json;
mod toml;

use std::io::{self, IsTerminal as _};

use crate::command::stdout;
use crate::config::{self, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::style::Style;

/// Show every field with its effective value and where that is from
///
/// The file, the variables and `--set` over it, what presets and levels further out say, and the defaults.
/// Secrets are masked, or shown as the reference that is written.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this field or section, such as `rotation.pick` or `provider.openai.key.team-a`
    #[arg(value_name = "PATH.OF.FIELD")]
    path: Option<String>,
    /// Print JSON: each value as {"value", "origin"}
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Reads and prints.
    ///
    /// # Errors
    /// The configuration's mistakes, a path that leads nowhere, or if nobody takes its output.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let resolved = config::show(source)?;
        let shown = match &self.path {
            Some(path) => resolved
                .top
                .at(path)
                .map_err(|error| UsageError { problem: error.problem, hint: error.hint })?,
            None => &resolved.top,
        };
        if self.json {
            stdout::print_json_lines(&json::of(shown))?;
        } else {
            stdout::print(&toml::of(shown, style(source)))?;
        }
        Ok(Exit::Done)
    }
}

fn style(source: &Source) -> Style {
    let no_color = source.environment.iter().find(|(name, _)| name == "NO_COLOR");
    Style::choose(io::stdout().is_terminal(), no_color.map(|(_, value)| value.as_str()))
}
