//! What earlier runs have done, looked up without touching anything: for a run that is only talked about.

use std::fs::File;
use std::io;

use super::journal::read::Records;
use super::open::{Existing, OutputSpec, Retry, remember_line};
use super::paths::Paths;
use crate::batch::input::seen::Seen;

/// The rows that have their line.
#[derive(Debug)]
pub struct DoneBefore {
    /// Their hashes.
    pub(in crate::batch) seen: Seen,
}

impl DoneBefore {
    /// None: it would be the first run.
    pub(in crate::batch) fn nothing() -> Self {
        Self { seen: Seen::new() }
    }

    /// What a run to `spec` would find. What a crash has torn is not repaired, so a few rows more may turn out to
    /// be done than will.
    ///
    /// # Errors
    /// If the journal is there and can't be read.
    pub fn of(spec: &OutputSpec) -> io::Result<Self> {
        let (Some(out), Existing::GoOn(retry)) = (&spec.path, spec.existing) else {
            return Ok(Self::nothing());
        };
        let paths = Paths::of(out, spec.errors.as_deref());
        let journal = match File::open(paths.journal()) {
            Ok(journal) if paths.out.exists() => journal,
            Ok(_) => return Ok(Self::nothing()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::nothing()),
            Err(error) => return Err(error),
        };
        Ok(Self { seen: read(&journal, retry)? })
    }
}

fn read(journal: &File, retry: Retry) -> io::Result<Seen> {
    let mut seen = Seen::remembering();
    let mut records = Records::of(journal)?;
    while let Some(line) = records.next_line()? {
        remember_line(&line, retry, &mut seen);
    }
    Ok(seen)
}
