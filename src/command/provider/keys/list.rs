//! `keywheel provider keys list`

use std::path::Path;

use serde::Serialize;

use super::super::select;
use super::super::tell;
use super::row::{HEAD, Row};
use crate::command::ending::warn;
use crate::command::{engine, stdout};
use crate::config::{self, Source};
use crate::exit::Exit;
use crate::ui::screen::say;

/// List the keys of the configuration
///
/// Secrets are masked. ● is a key that may be used, ○ one that is disabled, ? one whose secret can't be had in
/// this shell, which says nothing about a keywheel that runs elsewhere.
#[derive(Clone, Debug, clap::Args)]
pub(in super::super) struct Args {
    /// The keys of this provider only
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    keys: &'a [Row],
}

impl Args {
    pub(in super::super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        warn(&outline.warnings);
        let providers = match &self.provider {
            Some(id) => std::slice::from_ref(select::provider(&outline, Some(id))?),
            None => &outline.providers[..],
        };
        let fingerprints = select::fingerprints(&outline.home);
        let rows: Vec<Row> = providers
            .iter()
            .flat_map(|provider| provider.keys.iter().map(move |key| (provider, key)))
            .map(|(provider, key)| Row::of(provider, key, fingerprints.as_ref()))
            .collect();
        if self.json {
            stdout::print_json(&Report { file: &outline.path, keys: &rows })?;
        } else if rows.is_empty() {
            stdout::print_line("There is no key yet: `keywheel provider keys add` adds one.")?;
        } else {
            let cells: Vec<_> = rows.iter().map(|row| (row.mark(), row.cells())).collect();
            stdout::print_line(&tell::table(HEAD, &cells, engine::stdout_style(source)))?;
            for row in &rows {
                if let Some(reason) = &row.unavailable {
                    say(&format!("{}/{}: {reason}", row.provider, row.key));
                }
            }
        }
        Ok(Exit::Done)
    }
}
