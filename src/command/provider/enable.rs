//! `keywheel provider enable`

use super::switch::{self, Switch};
use super::tell::Reader;
use crate::config::Source;
use crate::exit::Exit;

/// Use a provider again
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The provider's id
    #[arg(value_name = "ID")]
    id: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        switch::provider(source, &self.id, Switch::On, Reader::of_flag(self.json))
    }
}
