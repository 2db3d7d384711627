//! From an edit to the disk, at once or not at all.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::super::home::Home;
use super::super::load;
use super::super::problem::{ConfigError, Problem};
use super::super::secret::Purpose;
use super::editor::Editor;
use super::error::EditError;
use crate::private;

/// What became of an edit.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The configuration.
    pub path: PathBuf,
    /// What messages call it.
    pub shown: PathBuf,
    /// The files that belong to it.
    pub home: Home,
    /// What is no mistake, but probably not meant.
    pub warnings: Vec<Problem>,
    /// Files of secrets that went with their keys.
    pub secrets_deleted: usize,
    /// The permission bits that it had before a secret in it made it private, if it wasn't already.
    pub mode_before: Option<u32>,
}

impl Editor<'_> {
    /// Checks what was changed and replaces the file.
    ///
    /// # Errors
    /// [`EditError::Refused`] if the outcome would have mistakes, others if it can't be written. In all cases
    /// but [`EditError::LeftBehind`] the file is as it was.
    pub fn save(self) -> Result<Saved, EditError> {
        let written = self.written();
        let reading = load::read(self.source, &written, Purpose::LookAfter, |_, _| ())?;
        if !reading.problems.is_empty() {
            return Err(EditError::Refused(ConfigError { problems: reading.problems }));
        }
        self.secret_files.sync()?;
        let now = fs::read(&self.target).ok();
        if now.as_deref() != self.before.as_deref().map(str::as_bytes) {
            return Err(EditError::ChangedMeanwhile { file: self.shown });
        }
        replace(&self.target, &written.text, written.mode).map_err(EditError::unwritable(&self.shown))?;
        // A file that wasn't there has another true path now, and its home goes by that.
        let home = match self.before {
            Some(_) => reading.config.home,
            None => load::read(self.source, &written, Purpose::LookAfter, |_, _| ())?.config.home,
        };
        let secrets_deleted = self.secret_files.settle()?;
        drop(self.lock);
        Ok(Saved {
            path: self.path,
            shown: self.shown,
            home,
            warnings: reading.config.warnings,
            secrets_deleted,
            mode_before: (written.mode != self.mode).then_some(self.mode),
        })
    }
}

/// Replaces what a file holds. Whoever reads it sees the old text or the new one.
fn replace(target: &Path, text: &str, mode: u32) -> io::Result<()> {
    let directory = target.parent().unwrap_or(Path::new(""));
    let mut file = private::temporary_file(directory, target.file_name().unwrap_or_default())?;
    file.write_all(text.as_bytes())?;
    if let Ok(before) = fs::metadata(target) {
        keep_owner(file.as_file(), &before);
    }
    permit(file.as_file(), mode)?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|failed| failed.error)?;
    private::sync_directory(directory)
}

/// Gives the new file to the owner of the old one, as far as that is allowed.
#[cfg(unix)]
fn keep_owner(file: &fs::File, before: &Metadata) {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let Ok(now) = file.metadata() else { return };
    if (now.uid(), now.gid()) == (before.uid(), before.gid()) {
        return;
    }
    // Only root may give files away, but one's other groups may have them.
    if fchown(file, Some(before.uid()), Some(before.gid())).is_err() {
        let _ = fchown(file, None, Some(before.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &fs::File, _: &Metadata) {}

#[cfg(unix)]
fn permit(file: &fs::File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn permit(_: &fs::File, _: u32) -> io::Result<()> {
    Ok(())
}
