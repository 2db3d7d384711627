//! Where the answers go.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::batch::{
    DoneBefore, ERROR_FILE, Ending, Existing, Format, Order, Output, OutputSpec, Resumed, Retry, Summary,
    errors_beside,
};
use crate::exit::UsageError;
use crate::ui::number::count;
use crate::ui::screen::say;

use super::input::InputArgs;

/// What is written.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Where the answers go; `-` is stdout, `.gz` and `.zst` are compressed
    ///
    /// The same command again goes on where the last run ended, however that was: rows that have their line in
    /// OUT are passed over, unless they have changed. `OUT.journal` tells which they are. What goes to stdout
    /// can't be gone on with.
    #[arg(short, long, value_name = "OUT.jsonl")]
    output: PathBuf,

    /// The form of OUT's lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    output_format: Format,

    /// The order of OUT's lines
    #[arg(long, value_enum, default_value_t)]
    order: Order,

    /// Where rows that failed go as well, ready to be run again [default: OUT.errors.jsonl, none for stdout]
    ///
    /// The file is only made if a row fails. It is itself input for another run.
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,

    /// Run rows again that failed in an earlier run for a reason that may pass
    #[arg(long, conflicts_with = "force")]
    retry_failed: bool,

    /// Begin afresh: replace OUT, its error file and its journal
    #[arg(long)]
    pub(super) force: bool,
}

impl OutputArgs {
    /// The file, for messages and comparisons.
    pub(super) fn path(&self) -> &Path {
        &self.output
    }

    /// Whether the answers go to stdout.
    pub(super) fn is_stdout(&self) -> bool {
        is_dash(&self.output)
    }

    /// Where the rows that failed go.
    pub(super) fn errors(&self) -> Option<PathBuf> {
        let is_file = !self.is_stdout();
        self.errors.clone().or_else(|| is_file.then(|| errors_beside(&self.output)))
    }

    /// Opens the output before the run, so that a wrong path costs no calls.
    ///
    /// # Errors
    /// [`UsageError`] if it can't be written, is the input or the configuration, or is a stranger's.
    pub(super) fn open(&self, input: &InputArgs, config: Option<&Path>) -> anyhow::Result<Output> {
        let errors = self.errors();
        let written =
            [(Some(&self.output), "the output", "--output"), (errors.as_ref(), "the error file", "--errors")];
        for (path, name, flag) in written {
            let Some(path) = path else { continue };
            if is_same_file(input.path(), path) {
                let problem = format!("{} is the input as well as {name}", path.display());
                let hint = "give the input another name, or the output with --output".to_owned();
                return Err(UsageError { problem, hint }.into());
            }
            if config.is_some_and(|config| is_same_file(config, path)) {
                let problem = format!("{} is the configuration as well as {name}", path.display());
                let hint = format!("choose another name with {flag}");
                return Err(UsageError { problem, hint }.into());
            }
        }
        let own = self.spec().files();
        let twice = own.iter().filter(|(_, what)| *what != ERROR_FILE);
        let mut twice =
            twice.filter(|(path, _)| errors.as_ref().is_some_and(|errors| is_same_file(path, errors)));
        if let Some((path, what)) = twice.next_back() {
            let problem = format!("{} is {what} as well as the error file", path.display());
            let hint = "choose another name with --errors".to_owned();
            return Err(UsageError { problem, hint }.into());
        }
        Output::open(&self.spec())
    }

    /// Every file that a run may write, with what it is.
    pub(super) fn files(&self) -> Vec<(PathBuf, &'static str)> {
        self.spec().files()
    }

    /// What earlier runs have done; nothing is touched.
    ///
    /// # Errors
    /// If the journal can't be read.
    pub(super) fn done_before(&self) -> anyhow::Result<DoneBefore> {
        DoneBefore::of(&self.spec())
            .with_context(|| format!("can't read what is done of {}", self.output.display()))
    }

    fn spec(&self) -> OutputSpec {
        let retry = if self.retry_failed { Retry::WhatMayPass } else { Retry::Nothing };
        OutputSpec {
            path: (!self.is_stdout()).then(|| self.output.clone()),
            errors: self.errors.clone(),
            format: self.output_format,
            order: self.order,
            existing: if self.force { Existing::Replace } else { Existing::GoOn(retry) },
        }
    }

    /// How the rest is run, after a run that ended early; nothing if it is complete, or can't be gone on with.
    pub(super) fn way_on(&self, summary: &Summary, words: impl Iterator<Item = OsString>) -> Option<String> {
        let first = match summary.ending {
            Ending::Complete => return None,
            Ending::WriteFailed => "free some space, or mend what broke, and go on with",
            Ending::ReadFailed => "mend the input, and go on with",
            Ending::Interrupted | Ending::MaxRowsTaken => "go on with",
            Ending::BudgetSpent => "with a larger --max-cost, go on with",
            Ending::DeadlineOver => "with a later --deadline, go on with",
            Ending::PriceMissing => "say the price, and go on with",
        };
        (!self.is_stdout()).then(|| format!("  hint: {first}: {}", command_again(words)))
    }

    /// Tells what earlier runs have left.
    pub(super) fn tell_resumed(&self, resumed: Resumed) {
        let Resumed { done, may_pass, is_repaired, gone } = resumed;
        let repaired = match (gone, is_repaired) {
            (0, false) => String::new(),
            (0, true) => "; what the last run was writing when it was cut off is repaired".to_owned(),
            (gone, _) => format!("; {} lines that it had are gone, their rows run again", count(gone)),
        };
        say(&format!("goes on with {}: {} rows are done{repaired}", self.output.display(), count(done)));
        if may_pass > 0 {
            let rows = count(may_pass);
            if self.retry_failed {
                say(&format!("{rows} rows that failed for a reason that may pass run again"));
            } else {
                say(&format!(
                    "{rows} of them failed for a reason that may pass\n  hint: --retry-failed runs them again"
                ));
            }
        }
    }
}

/// A command as a shell takes it, without what would begin afresh.
fn command_again(words: impl Iterator<Item = OsString>) -> String {
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .filter(|word| word != "--force")
        .map(|word| if word.is_empty() || word.contains(needs_quotes) { quoted(&word) } else { word })
        .collect();
    words.join(" ")
}

fn needs_quotes(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && !"-_./:=,@%+".contains(letter)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Whether a path stands for stdin or stdout.
pub(super) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

/// Whether both paths lead to one file, be it there or not.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    place(one).is_some_and(|place_of_one| Some(place_of_one) == place(other))
}

/// Where a path leads. What doesn't exist yet is told by its directory and its name; stdin and stdout are no place.
fn place(path: &Path) -> Option<PathBuf> {
    if is_dash(path) {
        return None;
    }
    let not_yet = || {
        let home = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let home = fs::canonicalize(home.unwrap_or_else(|| Path::new("."))).ok()?;
        Some(home.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(not_yet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_known_by_all_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there");
        fs::write(&there, "").unwrap();
        for name in ["there", "not-yet"] {
            let roundabout = dir.path().join(".").join(name);
            assert!(is_same_file(&dir.path().join(name), &roundabout), "{name}");
        }
        assert!(!is_same_file(&there, &dir.path().join("not-yet")));
        assert!(!is_same_file(Path::new("/no/such/a"), Path::new("/no/such/a")), "neither can be written");
    }

    #[test]
    fn the_command_that_goes_on_never_begins_afresh() {
        let words =
            ["keywheel", "batch", "my rows.jsonl", "-o", "it's.jsonl", "--force", "--order=input", ""];
        assert_eq!(
            command_again(words.into_iter().map(OsString::from)),
            r"keywheel batch 'my rows.jsonl' -o 'it'\''s.jsonl' --order=input ''"
        );
    }
}
