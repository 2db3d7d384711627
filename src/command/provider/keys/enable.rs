//! `keywheel provider keys enable`

use super::super::switch::{self, Switch};
use super::super::tell::Reader;
use crate::config::Source;
use crate::exit::Exit;

/// Use a key again, whatever it was disabled for
///
/// A running keywheel hears of it before the configuration is changed, so it holds at once.
#[derive(Clone, Debug, clap::Args)]
pub(in super::super) struct Args {
    /// The provider of the key
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// The key: its name, PROVIDER/NAME, or the beginning of its fingerprint
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(in super::super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let reader = Reader::of_flag(self.json);
        switch::key(source, self.provider.as_deref(), &self.key, Switch::On, reader)
    }
}
