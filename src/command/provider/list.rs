//! `keywheel provider list`

use keywheel_actors::spec::Pick;
use serde::Serialize;

use super::tell::{self, Mark};
use crate::command::ending::warn;
use crate::command::{engine, stdout};
use crate::config::{self, ProviderOutline, Source};
use crate::exit::Exit;

/// List the providers of the configuration
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// A provider as it is listed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    id: String,
    enabled: bool,
    preset: Option<&'static str>,
    dialect: Option<&'static str>,
    base_url: Option<String>,
    pick: &'static str,
    keys: usize,
    keys_enabled: usize,
    models: std::collections::BTreeMap<String, String>,
}

impl Row {
    /// Of a provider as written.
    pub(super) fn of(provider: &ProviderOutline) -> Self {
        let name = |(name, pick): &(&'static str, Pick)| (*pick == provider.pick).then_some(*name);
        Self {
            id: provider.id.as_str().to_owned(),
            enabled: provider.enabled,
            preset: provider.preset,
            dialect: provider.dialect,
            base_url: provider.base_url.clone(),
            pick: Pick::ALL.iter().find_map(name).unwrap_or_default(),
            keys: provider.keys.len(),
            keys_enabled: provider.keys.iter().filter(|key| key.enabled).count(),
            models: provider.models.iter().map(|(ours, its)| (ours.to_string(), its.to_string())).collect(),
        }
    }

    fn keys(&self) -> String {
        if self.keys == self.keys_enabled {
            return self.keys.to_string();
        }
        format!("{} of {}", self.keys_enabled, self.keys)
    }
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a std::path::Path,
    providers: &'a [Row],
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        warn(&outline.warnings);
        let rows: Vec<Row> = outline.providers.iter().map(Row::of).collect();
        if self.json {
            stdout::print_json(&Report { file: &outline.path, providers: &rows })?;
            return Ok(Exit::Done);
        }
        if rows.is_empty() {
            stdout::print_line("There is no provider yet: `keywheel provider add openai` adds one.")?;
            return Ok(Exit::Done);
        }
        let cells = rows.iter().map(|row| {
            let mark = if row.enabled { Mark::On } else { Mark::Off };
            let kind = row.preset.or(row.dialect).unwrap_or_default().to_owned();
            let state = if row.enabled { String::new() } else { "disabled".to_owned() };
            let url = row.base_url.clone().unwrap_or_default();
            (mark, [row.id.clone(), kind, url, row.keys(), row.pick.to_owned(), state])
        });
        let head = ["provider", "kind", "address", "keys", "pick", "state"];
        stdout::print_line(&tell::table(head, &cells.collect::<Vec<_>>(), engine::stdout_style(source)))?;
        Ok(Exit::Done)
    }
}
