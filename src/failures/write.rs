//! The log's files: appended to, rotated by day and size, and never more than so many.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::file::FileName;
use crate::config::FailureLog;
use crate::private;

const FILE_MODE: u32 = 0o600;

/// The files of one log. After an error everything is opened anew, so that a disk may come back.
#[derive(Debug)]
pub(super) struct Files {
    log: FailureLog,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    name: FileName,
    file: File,
    bytes: u64,
}

impl Files {
    /// Touches nothing until there is a line to write.
    pub(super) fn new(log: &FailureLog) -> Self {
        Self { log: log.clone(), open: None }
    }

    /// Appends a line, its end included, to the file of its day.
    ///
    /// # Errors
    /// Whatever the disk says; the line is then lost, or torn and skipped by readers.
    pub(super) fn append(&mut self, at: Timestamp, line: &[u8]) -> io::Result<()> {
        let day = at.to_zoned(TimeZone::UTC).date();
        let fits = |open: &Open| open.bytes == 0 || open.bytes + line.len() as u64 <= self.log.file_bytes_max;
        let mut open = match self.open.take() {
            // Somebody may have deleted it meanwhile.
            Some(open) if open.file.metadata()?.nlink() == 0 => self.latest_of(day)?,
            Some(open) if open.name.day == day && fits(&open) => open,
            Some(open) if open.name.day == day => self.begin(open.name.next())?,
            Some(_) | None => match self.latest_of(day)? {
                open if fits(&open) => open,
                open => self.begin(open.name.next())?,
            },
        };
        open.file.write_all(line)?;
        open.bytes += line.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    /// The last file of a day, or its first.
    fn latest_of(&self, day: Date) -> io::Result<Open> {
        private::create_directory(&self.log.dir)?;
        let latest = FileName::all_in(&self.log.dir)?.into_iter().rfind(|name| name.day == day);
        match latest {
            Some(name) => open(&self.log.dir, name),
            None => self.begin(FileName::first_of(day)),
        }
    }

    /// A new file; the oldest ones make room for it.
    fn begin(&self, name: FileName) -> io::Result<Open> {
        let begun = open(&self.log.dir, name)?;
        let mut names = FileName::all_in(&self.log.dir)?;
        names.retain(|known| *known != name);
        let surplus = (names.len() + 1).saturating_sub(self.log.files_max);
        for old in &names[..surplus.min(names.len())] {
            fs::remove_file(self.log.dir.join(old.to_string()))?;
        }
        Ok(begun)
    }
}

/// Opens a file at its end. What a crash tore off is closed with a newline, so that the next line is whole.
fn open(dir: &Path, name: FileName) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(FILE_MODE);
    let mut file = options.open(dir.join(name.to_string()))?;
    let mut bytes = file.metadata()?.len();
    if bytes > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(bytes - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            bytes += 1;
        }
    }
    Ok(Open { name, file, bytes })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    struct Desk {
        dir: TempDir,
        files: Files,
    }

    impl Desk {
        fn new(file_bytes_max: u64, files_max: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let files = Files::new(&FailureLog {
                dir: dir.path().join("state/failures"),
                enabled: true,
                file_bytes_max,
                files_max,
            });
            Self { dir, files }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join("state/failures").join(name)
        }

        fn append(&mut self, at: &str, line: &str) {
            self.files.append(at.parse().unwrap(), format!("{line}\n").as_bytes()).unwrap();
        }

        /// All files with their texts, oldest first.
        fn texts(&self) -> Vec<(String, String)> {
            let names = FileName::all_in(&self.path("")).unwrap();
            names
                .into_iter()
                .map(|name| (name.to_string(), fs::read_to_string(self.path(&name.to_string())).unwrap()))
                .collect()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_day_has_a_file_and_only_its_owner_reads_it() {
        let mut desk = Desk::new(1_000, 7);
        desk.append("2026-01-02T00:00:00Z", "a");
        desk.append("2026-01-02T23:59:59.999Z", "b");
        desk.append("2026-01-03T00:00:00Z", "c");
        let expected = [("failures-2026-01-02.jsonl", "a\nb\n"), ("failures-2026-01-03.jsonl", "c\n")];
        assert_eq!(desk.texts(), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert_eq!(mode(&desk.path("")), 0o700);
        assert_eq!(mode(&desk.path("failures-2026-01-02.jsonl")), 0o600);
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_a_new_process_goes_on_with_the_last() {
        let mut desk = Desk::new(8, 7);
        for line in ["aaa", "bbb", "ccc"] {
            desk.append("2026-01-02T12:00:00Z", line);
        }
        desk.files.open = None;
        desk.append("2026-01-02T12:00:00Z", "ddd");
        desk.append("2026-01-02T12:00:00Z", "longer than any file");
        desk.append("2026-01-02T12:00:00Z", "e");
        let texts: Vec<String> = desk.texts().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["aaa\nbbb\n", "ccc\nddd\n", "longer than any file\n", "e\n"]);
        assert_eq!(desk.texts()[3].0, "failures-2026-01-02.3.jsonl");
    }

    #[test]
    fn only_the_newest_files_stay_and_others_files_are_left_alone() {
        let mut desk = Desk::new(1_000, 3);
        desk.append("2026-01-01T00:00:00Z", "x");
        fs::write(desk.path("notes.txt"), "mine").unwrap();
        for day in 2..=9 {
            desk.append(&format!("2026-01-0{day}T00:00:00Z"), "x");
        }
        let names: Vec<String> = desk.texts().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [7, 8, 9].map(|day| format!("failures-2026-01-0{day}.jsonl")));
        assert!(desk.path("notes.txt").exists());
    }

    #[test]
    fn a_torn_line_doesnt_spoil_the_next() {
        let mut desk = Desk::new(1_000, 7);
        desk.append("2026-01-02T00:00:00Z", "whole");
        fs::write(desk.path("failures-2026-01-02.jsonl"), "whole\n{\"torn\":").unwrap();
        desk.files.open = None;
        desk.append("2026-01-02T00:00:00Z", "next");
        assert_eq!(desk.texts()[0].1, "whole\n{\"torn\":\nnext\n");
    }

    #[test]
    fn a_disk_that_comes_back_is_used_again() {
        let mut desk = Desk::new(1_000, 7);
        // A file where the directory should be refuses everybody, the superuser included.
        fs::write(desk.dir.path().join("state"), "").unwrap();
        let at = "2026-01-02T00:00:00Z".parse().unwrap();
        assert!(desk.files.append(at, b"lost\n").is_err());
        fs::remove_file(desk.dir.path().join("state")).unwrap();
        desk.append("2026-01-02T00:00:00Z", "kept");
        assert_eq!(desk.texts()[0].1, "kept\n");
        fs::remove_dir_all(desk.dir.path().join("state")).unwrap();
        desk.append("2026-01-02T00:00:00Z", "again");
        assert_eq!(desk.texts(), [("failures-2026-01-02.jsonl".to_owned(), "again\n".to_owned())]);
    }
}
