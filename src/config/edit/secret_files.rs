//! Secrets in files of their own, in `keys/` beside the configuration.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::NamedTempFile;

use super::super::outline::Origin;
use super::error::EditError;
use super::new_secret::NewSecret;
use crate::private;

/// The directory's name.
const DIRECTORY: &str = "keys";

/// Disks take many small files faster when several are on their way.
const SYNCING_AT_ONCE: usize = 16;

/// Names that are tried before a file's name is given up.
const NAMES_TRIED_MAX: u32 = 1_000;

/// The files of secrets that an edit makes, replaces and deletes.
///
/// They are made before the configuration refers to them and deleted after it does so no more. If the edit comes
/// to nothing, so do they.
pub(super) struct SecretFiles {
    /// Where they are.
    directory: PathBuf,
    /// Where a relative `file:PATH` begins.
    base: PathBuf,
    /// How the configuration refers to the directory.
    referred: PathBuf,
    /// The configuration's own name: others may keep their secrets there, too.
    owner: OsString,
    made: Vec<PathBuf>,
    replaced: Vec<(NamedTempFile, PathBuf)>,
    doomed: Vec<PathBuf>,
}

impl SecretFiles {
    /// Of the configuration at `path`, which is really at `target`.
    pub(super) fn beside(path: &Path, target: &Path) -> Self {
        let parent = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
        let (base, home) = (parent(path), parent(target));
        let directory = home.join(DIRECTORY);
        // Through a symlink from elsewhere a relative path would lead elsewhere, too.
        let is_same =
            fs::canonicalize(&base).is_ok_and(|base| fs::canonicalize(&home).is_ok_and(|home| home == base));
        let referred = if is_same { PathBuf::from(DIRECTORY) } else { directory.clone() };
        let owner = target.file_name().unwrap_or_default().to_owned();
        Self { directory, base, referred, owner, made: Vec::new(), replaced: Vec::new(), doomed: Vec::new() }
    }

    /// Deletes what edits left that were killed.
    pub(super) fn delete_leftovers(&self) {
        private::delete_leftovers(&self.directory, &self.owner);
    }

    /// Puts a secret into a file of its own, and gives the reference to it.
    pub(super) fn store(
        &mut self,
        provider: &str,
        key: &str,
        secret: &NewSecret,
    ) -> Result<String, EditError> {
        if self.made.is_empty() {
            private::create_directory(&self.directory).map_err(EditError::unwritable(&self.directory))?;
        }
        let (path, mut file) = self.create(&format!("{provider}.{key}"))?;
        self.made.push(path.clone());
        writeln!(file, "{}", secret.text()).map_err(EditError::unwritable(&path))?;
        let name = path.file_name().unwrap_or_default();
        Ok(format!("file:{}", self.referred.join(name).display()))
    }

    /// Other keys may have had the name: `a.b` of the provider `c` and `b` of `c.a`, or one whose removal was
    /// interrupted.
    fn create(&self, name: &str) -> Result<(PathBuf, File), EditError> {
        for number in 1..=NAMES_TRIED_MAX {
            let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let path = self.directory.join(name);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            {
                use std::os::unix::fs::OpenOptionsExt as _;
                options.mode(0o600);
            }
            match options.open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(EditError::Unwritable { file: path, error }),
            }
        }
        let error = io::Error::other("too many files of this name are there already");
        Err(EditError::Unwritable { file: self.directory.join(name), error })
    }

    /// The file of a secret, if it is one of ours.
    pub(super) fn ours(&self, origin: &Origin) -> Option<PathBuf> {
        let Origin::File(written) = origin else { return None };
        let path = self.base.join(written);
        let parent = fs::canonicalize(path.parent()?).ok()?;
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        (is_file && fs::canonicalize(&self.directory).is_ok_and(|ours| ours == parent)).then_some(path)
    }

    /// Replaces what one of our files holds, when the edit is saved.
    pub(super) fn replace(&mut self, path: PathBuf, secret: &NewSecret) -> Result<(), EditError> {
        let write = || {
            let mut file = private::temporary_file(&self.directory, &self.owner)?;
            writeln!(file, "{}", secret.text())?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = write().map_err(EditError::unwritable(&path))?;
        self.replaced.push((file, path));
        Ok(())
    }

    /// Deletes one of our files when the edit is saved.
    pub(super) fn delete(&mut self, path: PathBuf) {
        self.doomed.push(path);
    }

    /// Makes sure that what the configuration will refer to is on the disk.
    pub(super) fn sync(&self) -> Result<(), EditError> {
        if self.made.is_empty() {
            return Ok(());
        }
        let part = self.made.len().div_ceil(SYNCING_AT_ONCE);
        let sync = |path: &PathBuf| {
            let file = OpenOptions::new().write(true).open(path);
            file.and_then(|file| file.sync_all()).map_err(EditError::unwritable(path))
        };
        thread::scope(|scope| {
            let syncing: Vec<_> = self
                .made
                .chunks(part)
                .map(|paths| scope.spawn(move || paths.iter().try_for_each(sync)))
                .collect();
            syncing.into_iter().try_for_each(|thread| {
                let failed = |_| EditError::Unwritable {
                    file: self.directory.clone(),
                    error: io::Error::other("a thread failed"),
                };
                thread.join().map_err(failed)?
            })
        })?;
        private::sync_directory(&self.directory).map_err(EditError::unwritable(&self.directory))
    }

    /// The configuration is saved: from now on the files are its own. Gives the number of those deleted.
    pub(super) fn settle(mut self) -> Result<usize, EditError> {
        self.made.clear();
        for (file, path) in self.replaced.drain(..) {
            let replaced = file.persist(&path).map_err(|failed| failed.error);
            let replaced = replaced.and_then(|_| private::sync_directory(&self.directory));
            replaced.map_err(|error| EditError::LeftBehind { file: path, error })?;
        }
        let deleted = self.doomed.len();
        for path in self.doomed.drain(..) {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(EditError::LeftBehind { file: path, error }),
            }
        }
        Ok(deleted)
    }
}

impl Drop for SecretFiles {
    fn drop(&mut self) {
        for path in &self.made {
            // Nothing refers to it; one that can't be deleted does no harm.
            let _ = fs::remove_file(path);
        }
    }
}
