//! `keywheel config schema`: what editors need to complete and check as one types.

use crate::command::stdout;
use crate::config;
use crate::exit::Exit;

/// Print a JSON schema of keywheel.toml, for editors
///
/// With Taplo or Even Better TOML: `keywheel config schema > keywheel.schema.json`, and as the first line of
/// keywheel.toml `#:schema ./keywheel.schema.json`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Prints it.
    ///
    /// # Errors
    /// If nobody takes its output.
    pub fn run(self) -> anyhow::Result<Exit> {
        stdout::print_json_lines(&config::schema())?;
        Ok(Exit::Done)
    }
}
