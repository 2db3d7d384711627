//! What an output is refused for, in words that say what to do.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::batch::input::hash::RowHash;
use crate::batch::output::journal::header::Header;
use crate::batch::output::journal::recover::RecoverError;
use crate::batch::output::paths::Paths;
use crate::exit::UsageError;

/// Takes the lock on a journal, until the process ends.
pub(super) fn lock(journal: &File, paths: &Paths) -> anyhow::Result<()> {
    match journal.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(UsageError {
            problem: format!("another keywheel is writing {}", paths.out.display()),
            hint: "wait for its end, or choose another name with --output".to_owned(),
        }
        .into()),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("can't lock {}", paths.journal().display()))
        }
    }
}

/// Nothing may be replaced or cleared away under the hands of a run: the journal that is there, locked.
pub(super) fn refuse_locked(paths: &Paths) -> anyhow::Result<Option<File>> {
    match File::open(paths.journal()) {
        Ok(journal) => lock(&journal, paths).map(|()| Some(journal)),
        // Without a journal nobody writes.
        Err(_) => Ok(None),
    }
}

/// Refuses a file that no journal of ours tells of, unless there is nothing in it.
pub(super) fn refuse_strange(path: &Path, flag: &str) -> anyhow::Result<()> {
    if !has_text(path) {
        return Ok(());
    }
    let problem = format!("{} exists already", path.display());
    let hint = format!("choose another name with {flag}, or replace it with --force");
    Err(UsageError { problem, hint }.into())
}

/// Refuses a path whose directory isn't there: an error file is only made when a row fails, perhaps hours later.
pub(super) fn refuse_homeless(path: &Path) -> anyhow::Result<()> {
    let Some(home) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    match fs::metadata(home) {
        Ok(about) if about.is_dir() => Ok(()),
        Ok(_) => Err(cant_write(path, &io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(cant_write(path, &error)),
    }
}

pub(super) fn has_text(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.len() > 0)
}

/// Refuses to go on with other options than the run that began.
pub(super) fn agree(paths: &Paths, found: Header, wanted: Header) -> anyhow::Result<()> {
    if found == wanted {
        return Ok(());
    }
    let out = paths.out.display();
    let (problem, same) = if found.format != wanted.format {
        let name = found.format.name();
        (format!("{out} was begun with --output-format {name}"), format!("--output-format {name}"))
    } else if found.order != wanted.order {
        let name = found.order.name();
        (format!("{out} was begun with --order {name}"), format!("--order {name}"))
    } else {
        (format!("{out} was begun with another error file"), "the same --errors".to_owned())
    };
    let hint = format!("go on with {same}, choose another name with --output, or begin afresh with --force");
    Err(UsageError { problem, hint }.into())
}

/// What tells one error file from another: its name beside OUT, or its whole path elsewhere.
pub(super) fn errors_hash(paths: &Paths) -> u64 {
    let home = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::canonicalize(parent.unwrap_or_else(|| Path::new("."))).unwrap_or_default()
    };
    let name = paths.errors.file_name().unwrap_or_default();
    let path =
        if home(&paths.errors) == home(&paths.out) { name.into() } else { home(&paths.errors).join(name) };
    RowHash::of(&path.to_string_lossy(), "", b"").id
}

pub(super) fn cant_write(path: &Path, error: &io::Error) -> anyhow::Error {
    let problem = format!("can't write to {}: {error}", path.display());
    let hint = "check that the directory exists and may be written, and that it has space".to_owned();
    UsageError { problem, hint }.into()
}

pub(super) fn cant_go_on(paths: &Paths, error: RecoverError) -> anyhow::Error {
    match error {
        RecoverError::Edited(line) => {
            let problem =
                format!("{} was edited: line {line} isn't the one that was written", paths.out.display());
            let hint =
                "bring it back as it was, choose another name with --output, or begin afresh with --force";
            UsageError { problem, hint: hint.to_owned() }.into()
        }
        RecoverError::ErrorsGone(lines) => {
            let problem = format!(
                "{} is shorter than it was, or gone: {lines} rows would run again, whose lines are in {}",
                paths.errors.display(),
                paths.out.display(),
            );
            let hint = "bring it back as it was (to run its rows, copy it), or begin afresh with --force";
            UsageError { problem, hint: hint.to_owned() }.into()
        }
        RecoverError::Io(error) => {
            anyhow::Error::new(error).context(format!("can't read {}", paths.out.display()))
        }
    }
}
