//! `keywheel provider keys import`

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::super::select;
use super::super::tell::Reader;
use super::intake::Place;
use super::table::{self, Duplicates};
use crate::command::ending::Ending;
use crate::config::{self, Editor, KeyFields, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::screen::say;

/// As large as a configuration may be.
const INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bad lines that are told; the rest is counted.
const BAD_LINES_TOLD_MAX: usize = 50;

/// Add many keys at once: all of them, or none
///
/// The input has one secret a line; or it is CSV, its first line naming the columns: `secret`, and any of `name`,
/// `quota_group`, `weight`, `rps`, `rpm`, `rpd`, `tpm`, `tpd`, `itpm`, `itpd`, `otpm`, `otpd`, `burst`,
/// `concurrency`, `models`. A secret may be a reference, `env:NAME` or `file:PATH`. Empty lines, and those that begin with `#`, are passed over.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keywheel provider keys import --provider openai --file keys.csv
  vault-export | keywheel provider keys import --provider openai --skip-duplicates")]
pub(in super::super) struct Args {
    /// The provider to add them to; may be left out if there is only one
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Where they are [default: stdin]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Pass over secrets that are there already, or twice in the input
    #[arg(long)]
    skip_duplicates: bool,
    /// Write the secrets into the configuration instead of a file each in keys/
    #[arg(long)]
    inline: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Imported {
    provider: String,
    added: usize,
    skipped: usize,
}

impl Args {
    pub(in super::super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let outline = config::outline(source)?;
        let id = select::provider(&outline, self.provider.as_deref())?.id.to_string();
        let text = self.read(source)?;

        let mut editor = Editor::open(source)?;
        let outline = editor.outline()?;
        let provider = select::provider(&outline, Some(&id))?;
        let duplicates = if self.skip_duplicates { Duplicates::Skip } else { Duplicates::Refuse };
        let place = if self.inline { Place::Inline } else { Place::Stored };
        let read = table::read(&text, provider, source, duplicates);
        if !read.bad.is_empty() {
            return Err(refusal(&read.bad).into());
        }
        if read.keys.is_empty() {
            let problem = "there is no key to add in the input".to_owned();
            let hint = "write one secret a line, or CSV with a column `secret`".to_owned();
            if read.skipped == 0 {
                return Err(UsageError { problem, hint }.into());
            }
        }
        for warning in &read.warnings {
            say(&format!("warning: {warning}"));
        }
        let keys: Vec<(String, KeyFields)> = read.keys.into_iter().map(|row| row.into_key(place)).collect();
        let (added, skipped) = (keys.len(), read.skipped);
        editor.add_keys(&id, &keys)?;
        let saved = editor.save()?;
        let passed_over = match skipped {
            0 => String::new(),
            skipped => format!(" {skipped} duplicates were passed over."),
        };
        let sentence = format!("Added {added} keys to {id}.{passed_over}");
        let what = Imported { provider: id, added, skipped };
        Ending { action: "imported", what, sentence, saved, reader: Reader::of_flag(self.json) }.tell()
    }

    fn read(&self, source: &Source) -> anyhow::Result<String> {
        let what = self.file.as_ref().map_or("stdin".to_owned(), |path| path.display().to_string());
        let from: Box<dyn Read> = match &self.file {
            Some(path) => {
                let file = File::open(source.working_dir.join(path));
                Box::new(file.map_err(|error| UsageError {
                    problem: format!("can't read {what}: {error}"),
                    hint: "--file names the keys to import".to_owned(),
                })?)
            }
            None => Box::new(io::stdin()),
        };
        let mut text = String::new();
        let bytes = from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
        let bytes = bytes.with_context(|| format!("can't read {what}"))? as u64;
        if bytes > INPUT_BYTES_MAX {
            let problem = format!("{what} is larger than {INPUT_BYTES_MAX} bytes");
            return Err(UsageError { problem, hint: "import it in parts".to_owned() }.into());
        }
        Ok(text)
    }
}

fn refusal(bad: &[(u64, String)]) -> UsageError {
    let told =
        bad.iter().take(BAD_LINES_TOLD_MAX).map(|(line, problem)| format!("\n  line {line}: {problem}"));
    let told: String = told.collect();
    let more = match bad.len().saturating_sub(BAD_LINES_TOLD_MAX) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    let lines = if bad.len() == 1 { "1 bad line".to_owned() } else { format!("{} bad lines", bad.len()) };
    let hint = "mend them and import again; --skip-duplicates passes over keys that are there already";
    UsageError {
        problem: format!("the input has {lines}, so nothing was added{told}{more}"),
        hint: hint.to_owned(),
    }
}
