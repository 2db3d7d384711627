//! `keywheel provider test`: asks whether providers can be reached and serve a key.

use super::tell::Reader;
use super::tested::{self, Desk};
use crate::check;
use crate::config::Source;
use crate::exit::Exit;

/// Test providers with a call that costs nothing; exit code 3 if one serves no key
///
/// The keys of a provider are tried in turn until one is served. `keywheel provider keys test` tries them all.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The providers [default: all that are enabled]
    #[arg(value_name = "ID")]
    providers: Vec<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Tests and tells.
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let desk = Desk::open(source)?;
        let named: Vec<_> = self.providers.iter().map(|id| desk.provider(id)).collect::<Result<_, _>>()?;
        let providers = if named.is_empty() { desk.config.wheel.providers.iter().collect() } else { named };
        desk.tell_missing(|key| providers.iter().any(|provider| provider.id == key.provider));
        let tests = desk.run(providers.len(), async |upstream, progress| {
            check::each_provider(upstream, &providers, &desk.config.validity, progress).await
        })?;
        tested::tell(&tests, 0, source, Reader::of_flag(self.json))
    }
}
