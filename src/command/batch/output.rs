//! Where the answers go.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::UsageError;

use super::input::InputArgs;

/// What is written.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Where the answers go; `-` is stdout
    #[arg(short, long, value_name = "OUT.jsonl")]
    output: PathBuf,

    /// Replace OUT.jsonl if it exists
    #[arg(long)]
    pub(super) force: bool,
}

impl OutputArgs {
    /// Whether the answers go to stdout.
    pub(super) fn is_stdout(&self) -> bool {
        is_dash(&self.output)
    }

    /// Opens the output before the run, so that a wrong path costs no calls.
    pub(super) fn open(&self, input: &InputArgs) -> anyhow::Result<Box<dyn Write + Send>> {
        if is_dash(&self.output) {
            return Ok(Box::new(io::stdout()));
        }
        if is_same_file(input.path(), &self.output) {
            let problem = format!("{} is the input as well as the output", self.output.display());
            let hint = "choose another name with --output".to_owned();
            return Err(UsageError { problem, hint }.into());
        }
        let mut options = OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        match options.open(&self.output) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let problem = format!("{} exists already", self.output.display());
                let hint = "choose another name with --output, or replace it with --force".to_owned();
                Err(UsageError { problem, hint }.into())
            }
            Err(error) => {
                let problem = format!("can't write to {}: {error}", self.output.display());
                let hint = "check that the directory exists and may be written".to_owned();
                Err(UsageError { problem, hint }.into())
            }
        }
    }
}

/// Whether a path stands for stdin or stdout.
pub(super) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

/// Whether both paths lead to one file that exists.
fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), _) => false,
    }
}
