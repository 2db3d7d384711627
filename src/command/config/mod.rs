//! `keywheel config`: write a configuration, check it, see what it comes to.

pub mod check;
mod contents;
pub mod init;
pub mod migrate;
mod migration;
pub mod schema;
pub mod show;
mod starter;
mod write;

use crate::config::Source;
use crate::exit::Exit;

/// Write a configuration, check it, see what it comes to
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    Init(init::Args),
    Check(check::Args),
    Show(show::Args),
    Migrate(migrate::Args),
    Schema(schema::Args),
}

impl Args {
    /// Does what the inner verb says.
    ///
    /// # Errors
    /// Those of the inner verb.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Init(args) => args.run(source),
            Verb::Check(args) => args.run(source),
            Verb::Show(args) => args.run(source),
            Verb::Migrate(args) => args.run(source),
            Verb::Schema(args) => args.run(),
        }
    }
}
