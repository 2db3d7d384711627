//! `keywheel config init`: a first configuration.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::starter::{self, Starter};
use super::write::{self, Existing};
use crate::command::stdout;
use crate::config::{PRESETS, Preset, Source};
use crate::exit::{Exit, UsageError};

/// Where it is written unless `--config` or a path says otherwise: where it is looked for first.
const USUAL_PATH: &str = "keywheel.toml";

/// Write a first configuration, with comments on everything else
///
/// Each preset becomes a provider whose key is read from the variable that the vendor's own tools read, such as
/// `OPENAI_API_KEY`. Only you can read the file.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to write it [default: what --config names, else keywheel.toml]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// A provider to begin with; may be given several times [default: openai]
    #[arg(long, value_name = "NAME", value_parser = preset_names())]
    preset: Vec<String>,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// Print one object of JSON: the path and the variables to set
    #[arg(long)]
    json: bool,
}

fn preset_names() -> clap::builder::PossibleValuesParser {
    PRESETS.map(|preset| preset.name).into()
}

/// The form of `--json`.
#[derive(Serialize)]
struct Written {
    path: PathBuf,
    providers: Vec<&'static str>,
    /// The variables that hold the keys.
    variables: Vec<String>,
}

impl Args {
    /// Writes the file.
    ///
    /// # Errors
    /// If it is there already, or can't be written.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let path = self.path.or_else(|| source.file.clone()).unwrap_or_else(|| USUAL_PATH.into());
        let providers: Vec<_> = presets(&self.preset).into_iter().map(Starter::of).collect();
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let text = starter::text(&providers);
        match write::write(&source.working_dir.join(&path), &text, existing) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(UsageError {
                    problem: format!("{} is there already", path.display()),
                    hint: "name another path, or replace it with --force".to_owned(),
                }
                .into());
            }
            written => written.with_context(|| format!("can't write {}", path.display()))?,
        }
        let written = Written {
            path,
            providers: providers.iter().map(Starter::name).collect(),
            variables: providers.into_iter().filter_map(|provider| provider.variable).collect(),
        };
        if self.json {
            stdout::print_json(&written)?;
        } else {
            stdout::print(&next_steps(&written))?;
        }
        Ok(Exit::Done)
    }
}

/// The presets of these names, each once; without a name the one that most people have a key of.
fn presets(names: &[String]) -> Vec<Preset> {
    let mut chosen: Vec<Preset> = Vec::new();
    for name in names {
        let preset = PRESETS.iter().find(|preset| preset.name == name);
        chosen.extend(preset.filter(|preset| !chosen.contains(preset)));
    }
    if chosen.is_empty() { PRESETS[..1].to_vec() } else { chosen }
}

fn next_steps(written: &Written) -> String {
    let flag = if written.path.as_os_str() == USUAL_PATH {
        String::new()
    } else {
        format!(" --config {}", written.path.display())
    };
    let exports = written
        .variables
        .iter()
        .fold(String::new(), |text, variable| text + &format!("  export {variable}=…\n"));
    format!(
        "Wrote {} with {}.\n\nNext:\n{exports}  keywheel config check{flag}\n  \
         keywheel batch IN.jsonl -o OUT.jsonl{flag}   # answers every row of a file\n  \
         keywheel serve{flag}                         # a gateway on http://127.0.0.1:8080\n",
        written.path.display(),
        written.providers.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_is_taken_once_in_the_order_given() {
        let names = ["groq", "openai", "groq"].map(str::to_owned);
        let chosen: Vec<_> = presets(&names).iter().map(|preset| preset.name).collect();
        assert_eq!(chosen, ["groq", "openai"]);
        assert_eq!(presets(&[])[0].name, "openai");
    }
}
