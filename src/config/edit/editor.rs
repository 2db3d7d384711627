//! A configuration that is open for changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::{DocumentMut, TableLike};

use super::super::file;
use super::super::legacy::is_legacy;
use super::super::load;
use super::super::outline::Outline;
use super::super::place::FileMap;
use super::super::problem::{Place, Problem};
use super::super::secret::Purpose;
use super::super::source::{self, Source, Written};
use super::error::EditError;
use super::lock::Lock;
use super::rows::Rows;
use super::secret_files::SecretFiles;
use crate::private;

/// An edit takes milliseconds. Whoever holds the lock for so long is stuck.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Permission bits of a configuration that this makes.
pub(super) const NEW_FILE_MODE: u32 = 0o600;

/// A configuration that is open for changes. Nobody else edits it until it is saved or dropped.
pub struct Editor<'a> {
    pub(super) source: &'a Source,
    /// As it was found, which may be a symlink.
    pub(super) path: PathBuf,
    /// What messages call it.
    pub(super) shown: PathBuf,
    /// The file itself.
    pub(super) target: PathBuf,
    /// What it says on the disk. `None`: it is yet to be made.
    pub(super) before: Option<String>,
    /// Its permission bits.
    pub(super) mode: u32,
    pub(super) document: DocumentMut,
    /// Whether a secret was written into it.
    pub(super) holds_new_literal: bool,
    pub(super) secret_files: SecretFiles,
    pub(super) lock: Lock,
}

impl<'a> Editor<'a> {
    /// Opens the configuration that [`load`](super::super::load()) would read.
    ///
    /// # Errors
    /// [`EditError`] if there is none, if it isn't TOML, or if it can't be edited now.
    pub fn open(source: &'a Source) -> Result<Self, EditError> {
        let found = source::find(source)?;
        Self::open_at(source, found.path)
    }

    /// Opens it, or begins one for its owner alone: the file that was named, or else the one in the working
    /// directory. It is made when it is saved.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_or_create(source: &'a Source) -> Result<Self, EditError> {
        match source::find(source) {
            Ok(found) => Self::open_at(source, found.path),
            Err(problem) => {
                let path = source.path_to_create();
                let is_missing =
                    fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
                if is_missing { Self::open_at(source, path) } else { Err(problem.into()) }
            }
        }
    }

    fn open_at(source: &'a Source, path: PathBuf) -> Result<Self, EditError> {
        if is_legacy(&path) {
            let problem = Problem::new(Place::File(source.shown(&path)), "the prototype's file isn't edited");
            return Err(problem.hinting("`keywheel config migrate` makes a keywheel.toml of it").into());
        }
        let target = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let shown = source.shown(&path);
        if let Some(directory) = target.parent().filter(|directory| !directory.exists()) {
            private::create_directory(directory).map_err(EditError::unwritable(&shown))?;
        }
        let lock = Lock::acquire(&target, LOCK_WAIT_MAX)?;
        let secret_files = SecretFiles::beside(&path, &target);
        // With the lock in hand nobody else is about to use them.
        private::delete_leftovers(
            target.parent().unwrap_or(Path::new("")),
            target.file_name().unwrap_or_default(),
        );
        secret_files.delete_leftovers();
        let (before, mode) = match file::read(&target, source::FILE_BYTES_MAX) {
            Ok(found) => (Some(found.text), found.mode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, NEW_FILE_MODE),
            Err(error) => return Err(source::unreadable(source, &path, &error).into()),
        };
        let text = before.clone().unwrap_or_default();
        let document = text.parse::<DocumentMut>().map_err(|_| {
            // Said without the line, which may hold a secret.
            let problem = FileMap::parse(shown.clone(), &text).err();
            problem.unwrap_or_else(|| Problem::new(Place::File(shown.clone()), "not TOML"))
        })?;
        Ok(Self {
            source,
            path,
            shown,
            target,
            before,
            mode,
            document,
            holds_new_literal: false,
            secret_files,
            lock,
        })
    }

    /// The file as messages call it.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Where it is; relative references begin beside it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was no file.
    pub fn is_new(&self) -> bool {
        self.before.is_none()
    }

    /// What the configuration says now, changes included, whatever is wrong with it.
    ///
    /// # Errors
    /// If it can't be read at all.
    pub fn outline(&self) -> Result<Outline, EditError> {
        Ok(Outline::of(load::read(self.source, &self.written(), Purpose::LookAfter, |_, _| ())?))
    }

    /// The file as it would be saved.
    pub(super) fn written(&self) -> Written {
        Written {
            path: self.path.clone(),
            shown: self.shown.clone(),
            text: self.document.to_string(),
            mode: self.mode_to_be(),
        }
    }

    /// Secrets are for the owner alone.
    pub(super) fn mode_to_be(&self) -> u32 {
        if self.holds_new_literal { NEW_FILE_MODE } else { self.mode }
    }

    /// The providers, if there are any.
    pub(super) fn providers(&mut self) -> Option<Rows<'_>> {
        self.document.get_mut("provider").and_then(Rows::of)
    }

    /// The provider of this id.
    pub(super) fn provider(&mut self, id: &str) -> Result<&mut dyn TableLike, EditError> {
        let shown = self.shown.clone();
        self.providers()
            .and_then(|rows| {
                let index = position(&rows.names("id"), id)?;
                rows.into_row(index)
            })
            .ok_or_else(|| EditError::NotThere {
                problem: format!("{} has no provider `{id}`", shown.display()),
                hint: "`keywheel provider list` shows them, `keywheel provider add` adds one".to_owned(),
            })
    }
}

/// The first that is called `name`.
pub(super) fn position(names: &[Option<String>], name: &str) -> Option<usize> {
    names.iter().position(|known| known.as_deref() == Some(name))
}
