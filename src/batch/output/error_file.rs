//! The file of the rows that failed, which is only there if one has.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::PathBuf;

use super::journal::log::cut;

/// The file of the rows that failed.
#[derive(Debug)]
pub(in crate::batch) struct ErrorFile {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl ErrorFile {
    /// Nobody wants it.
    pub(in crate::batch) const fn none() -> Self {
        Self { path: None, file: None }
    }

    /// At `path`; a file that is there is gone on with.
    pub(in crate::batch) fn at(path: PathBuf) -> io::Result<Self> {
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path: Some(path), file })
    }

    /// Its length.
    pub(super) fn length(&self) -> io::Result<u64> {
        self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|about| about.len()))
    }

    /// Its text, from the beginning. The position is shared.
    pub(super) fn text(&self) -> io::Result<Box<dyn Read>> {
        let Some(file) = &self.file else {
            return Ok(Box::new(io::empty()));
        };
        let mut file = file.try_clone()?;
        io::Seek::rewind(&mut file)?;
        Ok(Box::new(file))
    }

    /// Appends `text`; the file is made for the first.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| !text.is_empty()) else {
            return Ok(());
        };
        let mut file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().read(true).write(true).create_new(true).open(path)?,
        };
        let written = file.write_all(text);
        self.file = Some(file);
        written
    }

    pub(super) fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| cut(file, length))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}
