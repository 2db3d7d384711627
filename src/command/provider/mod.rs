//! `keywheel provider`: looking after providers and their keys.

mod add;
mod confirm;
mod disable;
mod enable;
mod flags;
mod keys;
mod list;
mod remove;
mod select;
mod switch;
mod tell;
mod test;
mod tested;

use crate::config::Source;
use crate::exit::Exit;

/// Look after providers and their keys: list, add, change, remove, test
///
/// What changes is the configuration file, with its comments and its formatting kept. A running keywheel with
/// the same configuration takes the change over at once.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    List(list::Args),
    Add(add::Args),
    Remove(remove::Args),
    Enable(enable::Args),
    Disable(disable::Args),
    Test(test::Args),
    Keys(keys::Args),
}

impl Args {
    /// Does what the verb says.
    ///
    /// # Errors
    /// Whatever keeps it from being done.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::List(args) => args.run(source),
            Verb::Add(args) => args.run(source),
            Verb::Remove(args) => args.run(source),
            Verb::Enable(args) => args.run(source),
            Verb::Disable(args) => args.run(source),
            Verb::Test(args) => args.run(source),
            Verb::Keys(args) => args.run(source),
        }
    }
}
