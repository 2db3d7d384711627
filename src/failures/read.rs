//! Reading the log from its beginning to its end.

use std::io;
use std::path::Path;

use jiff::civil::Date;

use super::follow::Follower;
use super::record::Record;

/// One line of a file.
#[derive(Debug)]
pub enum Line<'a> {
    /// One that the log wrote.
    Ours {
        /// As it stands there.
        text: &'a str,
        /// What it tells.
        record: Record,
    },
    /// Torn by a crash, or somebody else's.
    Foreign,
}

/// What is done with each line.
pub type EachLine<'a> = dyn FnMut(Line<'_>) -> io::Result<()> + 'a;

impl<'a> Line<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let text = str::from_utf8(bytes).ok();
        let ours = text.and_then(|text| Some((text, serde_json::from_str(text).ok()?)));
        ours.map_or(Self::Foreign, |(text, record)| Self::Ours { text, record })
    }
}

/// Reads the whole log in `dir`, from the files of that day on.
///
/// # Errors
/// If a file can't be read, and whatever `each` gives.
pub fn read_all(dir: &Path, from: Option<Date>, each: &mut EachLine<'_>) -> io::Result<()> {
    let mut follower = Follower::new(dir, from);
    follower.read(each)?;
    follower.finish(each)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use jiff::civil::date;
    use tempfile::TempDir;

    use super::super::record::tests::failed;
    use super::*;

    fn line(at: &str) -> String {
        String::from_utf8(failed(at).encode().unwrap()).unwrap()
    }

    fn append(dir: &TempDir, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(dir.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The dates read by `act`, with `?` for a foreign line.
    fn read(act: impl FnOnce(&mut EachLine<'_>) -> io::Result<()>) -> Vec<String> {
        let mut dates = Vec::new();
        act(&mut |line| {
            dates.push(match line {
                Line::Ours { record, text } => {
                    assert_eq!(text, text.trim(), "the line without its end");
                    record.at.to_string()
                }
                Line::Foreign => "?".to_owned(),
            });
            Ok(())
        })
        .unwrap();
        dates
    }

    #[test]
    fn files_are_read_in_order_and_foreign_lines_don_t_matter() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir, "failures-2026-01-02.1.jsonl", &line("2026-01-02T22:00:00Z"));
        append(&dir, "failures-2026-01-03.jsonl", &line("2026-01-03T01:00:00Z"));
        append(&dir, "failures-2026-01-02.jsonl", &line("2026-01-02T01:00:00Z"));
        append(&dir, "failures-2026-01-02.jsonl", "{\"torn\":\n\nhello\n\u{0}\n");
        append(&dir, "failures-2026-01-02.jsonl", &"x".repeat(200_000));
        append(&dir, "failures-2026-01-02.jsonl", &format!("\n{}", line("2026-01-02T02:00:00Z").trim()));
        append(&dir, "failures-2026-01-03.jsonl", "{\"at\":\"2026-01-03T01:0");
        let all = read(|each| read_all(dir.path(), None, each));
        let [first, second, third, fourth] = ["02T01:00:00Z", "02T02:00:00Z", "02T22:00:00Z", "03T01:00:00Z"]
            .map(|end| format!("2026-01-{end}"));
        let torn = || "?".to_owned();
        assert_eq!(all, [first, torn(), torn(), torn(), torn(), second, third, fourth.clone(), torn()]);
        let late = read(|each| read_all(dir.path(), Some(date(2026, 1, 3)), each));
        assert_eq!(late, [fourth, torn()]);
        assert!(read(|each| read_all(&dir.path().join("nowhere"), None, each)).is_empty());
    }

    #[test]
    fn following_reads_each_line_once_across_files_and_never_half_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path(), None);
        let mut news = || read(|each| follower.read(each));
        assert!(news().is_empty());
        let (first, second) = (line("2026-01-02T01:00:00Z"), line("2026-01-02T02:00:00Z"));
        append(&dir, "failures-2026-01-02.jsonl", &first[..40]);
        assert!(news().is_empty());
        append(&dir, "failures-2026-01-02.jsonl", &first[40..]);
        assert_eq!(news(), ["2026-01-02T01:00:00Z"]);
        assert!(news().is_empty());
        append(&dir, "failures-2026-01-02.jsonl", &second);
        append(&dir, "failures-2026-01-02.1.jsonl", &line("2026-01-02T03:00:00Z"));
        append(&dir, "failures-2026-01-03.jsonl", &line("2026-01-03T00:00:00Z"));
        assert_eq!(news(), ["2026-01-02T02:00:00Z", "2026-01-02T03:00:00Z", "2026-01-03T00:00:00Z"]);
        fs::remove_file(dir.path().join("failures-2026-01-03.jsonl")).unwrap();
        append(&dir, "failures-2026-01-04.jsonl", &line("2026-01-04T00:00:00Z"));
        assert_eq!(news(), ["2026-01-04T00:00:00Z"]);
    }
}
