//! `keywheel config check`: every mistake at once, or what a good configuration contains.

use std::path::PathBuf;

use serde::Serialize;

use super::contents::Contents;
use crate::command::stdout;
use crate::config::lookalike::hushed;
use crate::config::{self, ConfigError, Findings, Place, Problem, Source};
use crate::exit::Exit;
use crate::ui::screen::say;

/// Look for mistakes, and tell what the configuration contains
///
/// Everything is read as for a run: the file, variables and `--set` over it, and the secrets it refers to.
/// Nothing is called. Ends with 0 if there are no mistakes, else with 2; warnings change nothing of that.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Print one object of JSON: mistakes, warnings, contents
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Checks and tells.
    ///
    /// # Errors
    /// The mistakes, unless they were printed as JSON; or if nobody takes its output.
    pub fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let findings = config::check(source);
        let exit = if findings.config.is_some() { Exit::Done } else { Exit::Usage };
        if self.json {
            stdout::print_json(&Report::of(&findings))?;
            return Ok(exit);
        }
        for warning in &findings.warnings {
            say(&format!("warning: {warning}\n"));
        }
        let Some(config) = &findings.config else {
            return Err(ConfigError { problems: findings.problems }.into());
        };
        let file = findings.file.unwrap_or_default();
        let contents = Contents::of(config).words();
        stdout::print(&format!("{} is in order.\n\n{contents}", file.display()))?;
        Ok(exit)
    }
}

/// The form of `--json`.
#[derive(Serialize)]
struct Report {
    ok: bool,
    /// The file that was read, if one was found.
    file: Option<PathBuf>,
    problems: Vec<Entry>,
    warnings: Vec<Entry>,
    /// `null` if there are mistakes.
    contents: Option<Contents>,
}

impl Report {
    fn of(findings: &Findings) -> Self {
        Self {
            ok: findings.config.is_some(),
            file: findings.file.clone(),
            problems: findings.problems.iter().map(Entry::of).collect(),
            warnings: findings.warnings.iter().map(Entry::of).collect(),
            contents: findings.config.as_ref().map(Contents::of),
        }
    }
}

/// One mistake or warning. What its place lacks is `null`.
#[derive(Default, Serialize)]
pub(super) struct Entry {
    file: Option<PathBuf>,
    line: Option<usize>,
    column: Option<usize>,
    /// The path of the field in the file.
    field: Option<String>,
    /// The variable, if one is at fault.
    variable: Option<String>,
    /// The path that `--set` named, if that is at fault.
    flag: Option<String>,
    message: String,
    hint: Option<String>,
}

impl Entry {
    pub(super) fn of(problem: &Problem) -> Self {
        // As a problem's `Display` has it: a key may stand where a name is quoted.
        let quiet = |text: &String| hushed(text).into_owned();
        let hint = problem.hint.as_ref().map(quiet);
        let said = Self { message: quiet(&problem.message), hint, ..Self::default() };
        match &problem.place {
            Place::Nowhere => said,
            Place::File(file) => Self { file: Some(file.clone()), ..said },
            Place::Line { file, line, column, field } => Self {
                file: Some(file.clone()),
                line: Some(*line),
                column: Some(*column),
                field: Some(quiet(field)).filter(|field| !field.is_empty()),
                ..said
            },
            Place::Variable(name) => Self { variable: Some(quiet(name)), ..said },
            Place::Flag(path) => Self { flag: Some(quiet(path)), ..said },
        }
    }
}
