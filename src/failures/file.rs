//! The names of the log's files, and their order.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use jiff::civil::Date;

const PREFIX: &str = "failures-";
const SUFFIX: &str = ".jsonl";

/// The name of one file. Ordered as they were written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileName {
    /// The day of its lines, in UTC.
    pub day: Date,
    /// 0 for the first file of the day.
    pub number: u32,
}

impl FileName {
    /// The first file of a day.
    pub const fn first_of(day: Date) -> Self {
        Self { day, number: 0 }
    }

    /// The next file of the same day.
    pub const fn next(self) -> Self {
        Self { day: self.day, number: self.number.saturating_add(1) }
    }

    /// All files of the log in `dir`, oldest first; other files are none of ours. A directory that isn't
    /// there has none.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn all_in(dir: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Self>().ok()));
        }
        names.sort();
        Ok(names)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.day)?;
        if self.number > 0 {
            write!(f, ".{}", self.number)?;
        }
        f.write_str(SUFFIX)
    }
}

/// Some other file's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotOurs;

impl FromStr for FileName {
    type Err = NotOurs;

    fn from_str(name: &str) -> Result<Self, NotOurs> {
        let middle = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX)).ok_or(NotOurs)?;
        let (day, number) = match middle.split_once('.') {
            Some((day, number)) => (day, number.parse().map_err(|_| NotOurs)?),
            None => (middle, 0),
        };
        let found = Self { day: day.parse().map_err(|_| NotOurs)?, number };
        // Dates and numbers can be written in other ways, but not by us.
        if found.to_string() == name { Ok(found) } else { Err(NotOurs) }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let first = FileName::first_of(date(2026, 1, 2));
        assert_eq!(first.to_string(), "failures-2026-01-02.jsonl");
        assert_eq!(first.next().to_string(), "failures-2026-01-02.1.jsonl");
        for name in [first, first.next(), first.next().next()] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for other in [
            "failures.jsonl",
            "failures-2026-01-02.json",
            "failures-2026-13-02.jsonl",
            "failures-2026-01-02.0.jsonl",
            "failures-2026-01-02.01.jsonl",
            "failures-2026-01-02.x.jsonl",
            "failures-20260102.jsonl",
            "notes.txt",
        ] {
            assert_eq!(other.parse::<FileName>(), Err(NotOurs), "{other}");
        }
    }

    #[test]
    fn files_are_listed_as_they_were_written_and_others_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let days = [date(2026, 1, 2), date(2025, 12, 31)];
        let mut names: Vec<FileName> = days.map(FileName::first_of).to_vec();
        (0..11).for_each(|_| names.push(names.last().unwrap().next()));
        for name in &names {
            fs::write(dir.path().join(name.to_string()), "").unwrap();
        }
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        names.sort();
        assert_eq!(FileName::all_in(dir.path()).unwrap(), names);
        assert_eq!(names.last().unwrap().to_string(), "failures-2026-01-02.jsonl");
        assert_eq!(names[11].to_string(), "failures-2025-12-31.11.jsonl", "numbers, not words");
        assert_eq!(FileName::all_in(&dir.path().join("nowhere")).unwrap(), []);
    }
}
