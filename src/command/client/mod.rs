//! `keywheel client`: who may call the gateway.

mod list;
mod new;
mod remove;

use crate::config::Source;
use crate::exit::Exit;

/// Look after who may call the gateway: make tokens, list, remove
///
/// A token is shown once, when it is made; the configuration holds its hash. A running keywheel with the same
/// configuration takes a change over at once.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    New(new::Args),
    List(list::Args),
    Remove(remove::Args),
}

impl Args {
    /// Does what the verb says.
    ///
    /// # Errors
    /// Whatever keeps it from being done.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::New(args) => args.run(source),
            Verb::List(args) => args.run(source),
            Verb::Remove(args) => args.run(source),
        }
    }
}
