//! `keywheel provider keys`: looking after the keys of a provider.

mod add;
mod choice;
mod disable;
mod enable;
mod foreign;
mod import;
pub(super) mod intake;
mod list;
pub(super) mod newcomer;
mod remove;
mod reset;
mod row;
mod set;
mod stats;
mod status;
mod table;
mod test;

use crate::config::Source;
use crate::exit::Exit;

/// Look after the keys: list, add, import, change, remove, test, watch, rest, reset
///
/// A secret is never shown: a key goes by its name, or by the beginning of its fingerprint.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    List(list::Args),
    Add(add::Args),
    Import(import::Args),
    Set(set::Args),
    Remove(remove::Args),
    Enable(enable::Args),
    Disable(disable::Args),
    Status(status::Args),
    Stats(stats::Args),
    Reset(reset::Reset),
    Rest(reset::Rest),
    Test(test::Args),
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::List(args) => args.run(source),
            Verb::Add(args) => args.run(source),
            Verb::Import(args) => args.run(source),
            Verb::Set(args) => args.run(source),
            Verb::Remove(args) => args.run(source),
            Verb::Enable(args) => args.run(source),
            Verb::Disable(args) => args.run(source),
            Verb::Status(args) => args.run(source),
            Verb::Stats(args) => args.run(source),
            Verb::Reset(args) => args.run(source),
            Verb::Rest(args) => args.run(source),
            Verb::Test(args) => args.run(source),
        }
    }
}
