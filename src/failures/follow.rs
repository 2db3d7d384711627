//! Reads the files one after the other, and goes on where it stopped.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::file::FileName;
use super::read::{EachLine, Line};

/// The writer's lines have some hundred bytes, and no field of theirs is unbounded.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Reads the lines of a log, each once, also those that are still to be written.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    from: Option<Date>,
    current: Option<(FileName, Option<File>)>,
    /// The beginning of a line whose end hasn't been read.
    pending: Vec<u8>,
    /// Whether that line is too long to be kept.
    overlong: bool,
}

impl Follower {
    /// Of the log in `dir`, from the files of that day on.
    pub fn new(dir: &Path, from: Option<Date>) -> Self {
        Self { dir: dir.to_owned(), from, current: None, pending: Vec::new(), overlong: false }
    }

    /// Reads all that is there and hasn't been read.
    ///
    /// # Errors
    /// If a file can't be read, and whatever `each` gives.
    pub fn read(&mut self, each: &mut EachLine<'_>) -> io::Result<()> {
        loop {
            // Listed first: once there is a newer file, nothing is added to this one.
            let next = self.next_file()?;
            self.read_current(each)?;
            let Some(next) = next else { return Ok(()) };
            self.end_line(each)?;
            self.current = Some((next, open(&self.dir, next)?));
        }
    }

    /// Takes what was left as the end of the last line.
    ///
    /// # Errors
    /// Whatever `each` gives.
    pub fn finish(mut self, each: &mut EachLine<'_>) -> io::Result<()> {
        self.end_line(each)
    }

    fn next_file(&self) -> io::Result<Option<FileName>> {
        let current = self.current.as_ref().map(|(name, _)| *name);
        let is_next = |name: &FileName| match current {
            Some(current) => *name > current,
            None => self.from.is_none_or(|from| name.day >= from),
        };
        Ok(FileName::all_in(&self.dir)?.into_iter().find(is_next))
    }

    fn read_current(&mut self, each: &mut EachLine<'_>) -> io::Result<()> {
        let Some((name, Some(mut file))) = self.current.take() else { return Ok(()) };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let bytes = file.read(&mut chunk)?;
            if bytes == 0 {
                self.current = Some((name, Some(file)));
                return Ok(());
            }
            self.take(&chunk[..bytes], each)?;
        }
    }

    fn take(&mut self, chunk: &[u8], each: &mut EachLine<'_>) -> io::Result<()> {
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            if self.pending.len() + piece.len() > LINE_BYTES_MAX {
                self.overlong = true;
                self.pending.clear();
            } else if !self.overlong {
                self.pending.extend_from_slice(piece);
            }
            if pieces.peek().is_some() {
                self.end_line(each)?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self, each: &mut EachLine<'_>) -> io::Result<()> {
        let line = std::mem::take(&mut self.pending);
        if std::mem::take(&mut self.overlong) {
            return each(Line::Foreign);
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        each(Line::of(&line))
    }
}

/// `None` for one that was deleted since it was listed.
fn open(dir: &Path, name: FileName) -> io::Result<Option<File>> {
    match File::open(dir.join(name.to_string())) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
