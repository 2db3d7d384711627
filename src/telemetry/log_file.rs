//! The access log's file. Whoever rotates it moves it away or deletes it: a new one takes its place, and nobody has
//! to say so.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Stderr, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keywheel_actors::clock::Moment;

/// A moved file is written to for no longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where lines go.
pub(super) trait Sink: Write {
    /// Comes before each line: they may go elsewhere from here on.
    fn renew(&mut self, _now: Moment) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Stderr {}

/// A file under a name.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    looked_at: Moment,
}

impl LogFile {
    /// Opens it at its end, or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append_to(path)?, looked_at: Moment::ZERO })
    }

    /// Whether another file has the name by now, or none.
    fn was_moved(&self) -> bool {
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(open)) => !is_same(&named, &open),
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => false,
        }
    }
}

impl Sink for LogFile {
    fn renew(&mut self, now: Moment) -> io::Result<()> {
        if now.since(self.looked_at) >= LOOK_EVERY {
            self.looked_at = now;
            if self.was_moved() {
                self.file = append_to(&self.path)?;
            }
        }
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere an open file can't be moved.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let mut log = LogFile::open(&path).expect("the directory is ours");
        let mut write = |second: u64, line: &str| {
            log.renew(Moment::after_start(Duration::from_secs(second))).expect("it can be opened");
            log.write_all(line.as_bytes()).expect("it can be written");
        };
        write(10, "a\n");
        fs::rename(&path, &moved).expect("it is there");
        write(10, "b\n");
        write(11, "c\n");
        write(12, "d\n");
        assert_eq!(fs::read_to_string(&moved).expect("it is there"), "a\nb\n");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "c\nd\n");
    }
}
