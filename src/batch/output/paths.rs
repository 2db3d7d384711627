//! The files beside OUT, and how new ones take the places of old ones.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where a run's files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Paths {
    /// The answers.
    pub out: PathBuf,
    /// The rows that failed.
    pub errors: PathBuf,
}

impl Paths {
    /// For an output, with an error file beside it if nobody says where.
    pub(super) fn of(out: &Path, errors: Option<&Path>) -> Self {
        let errors = errors.map_or_else(|| errors_beside(out), Path::to_owned);
        Self { out: out.to_owned(), errors }
    }

    /// Where OUT is.
    pub(super) fn directory(&self) -> &Path {
        parent(&self.out)
    }

    /// Which row has which line.
    pub(in crate::batch) fn journal(&self) -> PathBuf {
        beside(&self.out, ".journal")
    }

    /// Lines that wait to be compressed.
    pub(super) fn tail(&self) -> PathBuf {
        beside(&self.out, ".tail")
    }

    /// Lines that wait for those before them in the input.
    pub(super) fn spool(&self) -> PathBuf {
        beside(&self.out, ".spool")
    }

    /// A new journal. While it has this name, the new files are being put in their places.
    pub(super) fn next_journal(&self) -> PathBuf {
        beside(&self.out, ".journal.next")
    }

    /// A new journal that isn't finished.
    pub(super) fn unfinished_journal(&self) -> PathBuf {
        beside(&self.out, ".journal.new")
    }

    pub(super) fn next_out(&self) -> PathBuf {
        beside(&self.out, ".next")
    }

    pub(super) fn next_errors(&self) -> PathBuf {
        beside(&self.errors, ".next")
    }

    /// Puts new files in the places of the old ones: all that are there, once the new journal is finished.
    ///
    /// A kill at any point leaves work for [`Paths::go_on`] of the next start.
    pub(super) fn commit(&self) -> io::Result<()> {
        sync_directory(&self.out);
        sync_directory(&self.errors);
        fs::rename(self.unfinished_journal(), self.next_journal())?;
        sync_directory(&self.out);
        self.go_on()
    }

    /// Finishes what [`Paths::commit`] has begun, and clears away what it has not.
    pub(super) fn go_on(&self) -> io::Result<()> {
        if !self.next_journal().exists() {
            self.remove_unfinished();
            return Ok(());
        }
        rename_if_there(&self.next_out(), &self.out)?;
        let errors = self.next_errors();
        if fs::metadata(&errors).is_ok_and(|about| about.len() == 0) {
            // No row has failed: there is no error file then.
            remove_if_there(&self.errors)?;
            remove_if_there(&errors)?;
        }
        rename_if_there(&errors, &self.errors)?;
        remove_if_there(&self.spool())?;
        remove_if_there(&self.tail())?;
        sync_directory(&self.out);
        sync_directory(&self.errors);
        fs::rename(self.next_journal(), self.journal())?;
        sync_directory(&self.out);
        Ok(())
    }

    /// Clears away new files that were never finished.
    pub(super) fn remove_unfinished(&self) {
        // What can't be removed is overwritten by the next try.
        for path in [self.unfinished_journal(), self.next_out(), self.next_errors()] {
            let _ = fs::remove_file(path);
        }
    }

    /// Removes everything that a run leaves.
    pub(super) fn remove_all(&self) -> io::Result<()> {
        self.remove_unfinished();
        // The journal last: without it OUT would be a stranger's.
        let files = [
            self.next_journal(),
            self.spool(),
            self.tail(),
            self.errors.clone(),
            self.out.clone(),
            self.journal(),
        ];
        files.iter().try_for_each(|path| remove_if_there(path))
    }
}

/// The directory that `path` is in.
fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// `out.jsonl` → `out.jsonl.journal`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Where the rows that failed go if nobody says: `out.jsonl.gz` → `out.errors.jsonl`.
pub fn errors_beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let stem = [".jsonl", ".ndjson", ".json", ".txt"]
        .iter()
        .find_map(|ending| stem.strip_suffix(ending))
        .unwrap_or(stem);
    out.with_file_name(format!("{stem}.errors.jsonl"))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    if_there(fs::rename(from, to))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path))
}

fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Makes certain which files are beside `path`, where a system can do that with directories.
pub(super) fn sync_directory(path: &Path) {
    if let Ok(directory) = File::open(parent(path)) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_file_stands_beside_the_output() {
        for (out, errors) in [
            ("out.jsonl", "out.errors.jsonl"),
            ("d/out.jsonl.zst", "d/out.errors.jsonl"),
            ("answers.txt.gz", "answers.errors.jsonl"),
            ("answers", "answers.errors.jsonl"),
        ] {
            assert_eq!(errors_beside(Path::new(out)), Path::new(errors));
        }
    }

    /// Files as a kill may leave them before the `renames`-th rename of a commit.
    fn left(dir: &Path, is_begun: bool) -> Paths {
        let paths = Paths { out: dir.join("o"), errors: dir.join("e") };
        fs::write(&paths.out, "old").unwrap();
        fs::write(&paths.errors, "old").unwrap();
        fs::write(paths.journal(), "old").unwrap();
        fs::write(paths.next_out(), "new").unwrap();
        fs::write(paths.next_errors(), "new").unwrap();
        let journal = if is_begun { paths.next_journal() } else { paths.unfinished_journal() };
        fs::write(journal, "new").unwrap();
        paths
    }

    fn texts(paths: &Paths) -> Vec<String> {
        let mut files: Vec<_> =
            fs::read_dir(paths.out.parent().unwrap()).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        files.iter().map(|file| format!("{} {}", name(file), fs::read_to_string(file).unwrap())).collect()
    }

    #[test]
    fn new_files_take_their_places_all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let paths = left(dir.path(), false);
        paths.go_on().unwrap();
        assert_eq!(texts(&paths), ["e old", "o old", "o.journal old"], "it was not finished");
        for renamed in 0..3 {
            let paths = left(dir.path(), true);
            if renamed > 0 {
                fs::rename(paths.next_out(), &paths.out).unwrap();
            }
            if renamed > 1 {
                fs::rename(paths.next_errors(), &paths.errors).unwrap();
            }
            paths.go_on().unwrap();
            assert_eq!(texts(&paths), ["e new", "o new", "o.journal new"], "after {renamed}");
        }
    }

    #[test]
    fn without_a_failure_there_is_no_error_file() {
        let dir = tempfile::tempdir().unwrap();
        let paths = left(dir.path(), true);
        fs::write(paths.next_errors(), "").unwrap();
        paths.go_on().unwrap();
        assert_eq!(texts(&paths), ["o new", "o.journal new"]);
    }
}
