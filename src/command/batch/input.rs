//! Where the rows come from.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::batch::Input;
use crate::exit::UsageError;

use super::output::is_dash;

/// What is read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct InputArgs {
    /// The rows, one JSON object a line; `-` is stdin
    #[arg(value_name = "IN.jsonl")]
    input: PathBuf,
}

impl InputArgs {
    /// The file, for messages and comparisons.
    pub(super) fn path(&self) -> &Path {
        &self.input
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`UsageError`] if it can't be read.
    pub(super) fn open(&self) -> anyhow::Result<Input<Box<dyn BufRead + Send>>> {
        if is_dash(&self.input) {
            return Ok(Input { reader: Box::new(BufReader::new(io::stdin())), bytes_total: None });
        }
        let cant_read = |problem: &dyn std::fmt::Display| UsageError {
            problem: format!("can't read the rows from {}: {problem}", self.input.display()),
            hint: "give a JSONL file, or `-` for stdin".to_owned(),
        };
        let file = File::open(&self.input).map_err(|error| cant_read(&error))?;
        let kind = file.metadata().map_err(|error| cant_read(&error))?;
        if kind.is_dir() {
            return Err(cant_read(&"it is a directory").into());
        }
        let bytes_total = kind.is_file().then_some(kind.len());
        Ok(Input { reader: Box::new(BufReader::new(file)), bytes_total })
    }
}
