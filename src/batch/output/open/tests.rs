//! Any split of the input into runs, with kills at any byte, gives the same set of results.

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::batch::input::seen::Sighting;
use crate::batch::output::line::Entry;
use crate::batch::output::ordered::feed::Placed;
use crate::batch::output::paths::errors_beside;

/// A row: its name, and the version of what it asks.
type Asked = (u8, u8);

fn hash((id, version): Asked) -> RowHash {
    RowHash::of(&id.to_string(), "/x", &Bytes::from(vec![version]))
}

fn tell(feed: &mut Option<OrderFeed>, line: u64, row: Asked, state: Placed) {
    if let Some(feed) = feed {
        feed.note(line, hash(row), state).unwrap();
    }
}

/// Every third row fails, every sixth for a reason that may pass.
fn entry(row: Asked, line: u64) -> Entry {
    let (id, version) = row;
    let kind = match (id.wrapping_add(version)) % 6 {
        0 => Kind::MayPass,
        3 => Kind::Failed,
        _ => Kind::Ok,
    };
    let failed = kind != Kind::Ok;
    let text = format!("{id} v{version} -{}\n", "x".repeat(usize::from(id)));
    let error_text = if failed { format!("{id} v{version} failed\n") } else { String::new() };
    Entry { hash: hash(row), line, kind, text: text.into(), error_text: error_text.into() }
}

/// How a run ends.
#[derive(Clone, Debug)]
enum End {
    /// As it should.
    Well,
    /// After so many answers; of what it wrote last, these thousandths of the files are left.
    Killed { answers: usize, left: [u16; 5] },
}

/// One run over an input.
#[derive(Clone, Debug)]
struct Run {
    rows: Vec<Asked>,
    group: usize,
    end: End,
}

struct Place {
    dir: TempDir,
    spec: OutputSpec,
}

impl Place {
    fn new(name: &str, order: Order) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = OutputSpec {
            path: Some(dir.path().join(name)),
            errors: None,
            format: Format::OpenAi,
            order,
            existing: Existing::GoOn(Retry::Nothing),
        };
        Self { dir, spec }
    }

    fn paths(&self) -> Paths {
        let out = self.spec.path.clone().unwrap();
        Paths { errors: errors_beside(&out), out }
    }

    /// Plays a run. Returns the rows that were paid for.
    fn run(&self, run: &Run) -> Vec<Asked> {
        let Output { mut sink, mut seen, mut feed, .. } = Output::open(&self.spec).unwrap();
        let mut paid = Vec::new();
        let before = self.lengths();
        for (line, row) in (1..).zip(&run.rows) {
            if matches!(run.end, End::Killed { answers, .. } if paid.len() >= answers) {
                break;
            }
            let sighting = seen.note(hash(*row));
            match sighting {
                Sighting::First | Sighting::Changed => {
                    tell(&mut feed, line, *row, Placed::Runs);
                    sink.add(&entry(*row, line)).unwrap();
                    paid.push(*row);
                    if paid.len() % run.group == 0 {
                        sink.commit().unwrap();
                    }
                }
                Sighting::Done | Sighting::Again => {
                    tell(&mut feed, line, *row, Placed::Done);
                }
            }
        }
        match &run.end {
            End::Well => {
                sink.finish().unwrap();
            }
            End::Killed { left, .. } => {
                drop(sink);
                self.cut(before, left);
            }
        }
        paid
    }

    fn files(&self) -> [PathBuf; 5] {
        let paths = self.paths();
        [paths.journal(), paths.out.clone(), paths.errors.clone(), paths.tail(), paths.spool()]
    }

    fn lengths(&self) -> [u64; 5] {
        self.files().map(|path| fs::metadata(path).map_or(0, |about| about.len()))
    }

    /// Cuts each file somewhere in what the last run has written.
    fn cut(&self, before: [u64; 5], left: &[u16; 5]) {
        for (((path, now), before), left) in self.files().iter().zip(self.lengths()).zip(before).zip(left) {
            let before = before.min(now);
            let length = before + (now - before) * u64::from(*left) / 1_000;
            if let Ok(file) = OpenOptions::new().write(true).open(path) {
                file.set_len(length).unwrap();
            }
        }
    }

    fn text(path: &Path) -> String {
        let mut text = String::new();
        if let Ok(file) = File::open(path) {
            Packing::of(path).unpack(file).unwrap().read_to_string(&mut text).unwrap();
        }
        text
    }

    /// The lines of OUT and of the error file, in their order.
    fn lines(&self) -> (Vec<String>, Vec<String>) {
        let lines = |path: &Path| Self::text(path).lines().map(str::to_owned).collect();
        (lines(&self.paths().out), lines(&self.paths().errors))
    }

    #[track_caller]
    fn assert_holds(&self, rows: &BTreeMap<u8, u8>) {
        let entries: Vec<Entry> = rows.iter().map(|(id, version)| entry((*id, *version), 1)).collect();
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let text = |text: fn(&Entry) -> &Vec<u8>| {
            let texts = entries.iter().map(|entry| String::from_utf8(text(entry).clone()).unwrap());
            sorted(texts.filter(|text| !text.is_empty()).map(|text| text.trim_end().to_owned()).collect())
        };
        let (out, errors) = self.lines();
        assert_eq!(sorted(out), text(|entry| &entry.text));
        assert_eq!(sorted(errors), text(|entry| &entry.error_text));
        assert_eq!(self.paths().errors.exists(), entries.iter().any(|entry| !entry.error_text.is_empty()));
    }
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let rows = prop::collection::vec((0..24_u8, 0..2_u8), 0..40).prop_map(|mut rows| {
        // An input has each name once.
        let mut met = std::collections::BTreeSet::new();
        rows.retain(|(id, _)| met.insert(*id));
        rows
    });
    let left = prop::array::uniform5(prop_oneof![Just(1_000_u16), 0..=1_000_u16]);
    let end = prop_oneof![
        Just(End::Well),
        (0..40_usize, left).prop_map(|(answers, left)| End::Killed { answers, left })
    ];
    prop::collection::vec(
        (rows, 1..8_usize, end).prop_map(|(rows, group, end)| Run { rows, group, end }),
        1..6,
    )
}

/// Plays them all, and then all rows in one more run that ends well.
fn play(place: &Place, runs: &[Run]) -> BTreeMap<u8, u8> {
    let mut rows = BTreeMap::new();
    for run in runs {
        place.run(run);
        rows.extend(run.rows.iter().copied());
    }
    // Rows that only a killed run had may have no line; everything is asked once more, as it was asked last.
    let all: Vec<Asked> = rows.iter().map(|(id, version)| (*id, *version)).collect();
    place.run(&Run { rows: all.clone(), group: 3, end: End::Well });
    let again = place.run(&Run { rows: all, group: 3, end: End::Well });
    assert_eq!(again, [], "what is done is never paid again");
    rows
}

fn place() -> impl Strategy<Value = (&'static str, Order)> {
    let name = prop::sample::select(vec!["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"]);
    (name, prop::sample::select(vec![Order::Completion, Order::Input]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_split_gives_the_same_results((name, order) in place(), runs in runs()) {
        let place = Place::new(name, order);
        let rows = play(&place, &runs);
        place.assert_holds(&rows);
        if order == Order::Input {
            let id = |line: &String| line.split(' ').next().unwrap().parse().unwrap();
            let ids: Vec<u8> = place.lines().0.iter().map(id).collect();
            prop_assert!(ids.is_sorted(), "the last input has its rows in order: {ids:?}");
        }
    }
}

#[test]
fn a_kill_costs_no_line_that_was_committed() {
    for name in ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"] {
        let place = Place::new(name, Order::Completion);
        let rows: Vec<Asked> = (0..20).map(|id| (id, 0)).collect();
        let end = End::Killed { answers: 13, left: [1_000; 5] };
        assert_eq!(place.run(&Run { rows: rows.clone(), group: 5, end }).len(), 13);
        let paid = place.run(&Run { rows: rows.clone(), group: 5, end: End::Well });
        assert_eq!(paid, rows[10..], "{name}");
        place.assert_holds(&rows.into_iter().collect());
    }
}

#[test]
fn an_edited_output_is_refused_and_a_shortened_one_repaired() {
    let place = Place::new("out.jsonl", Order::Completion);
    let rows: Vec<Asked> = (0..20).map(|id| (id, 0)).collect();
    let run = Run { rows, group: 5, end: End::Well };
    place.run(&run);
    let out = place.paths().out;
    let text = fs::read_to_string(&out).unwrap();
    fs::write(&out, text.replace("7 v0", "7 v9")).unwrap();
    let refused = Output::open(&place.spec).err().unwrap().to_string();
    assert!(refused.contains("was edited: line 8 isn't the one that was written\n  hint: "), "{refused}");
    fs::write(&out, &text[..text.len() - 1]).unwrap();
    assert!(Output::open(&place.spec).unwrap().resumed().unwrap().is_repaired);
    assert_eq!(place.run(&run), run.rows[15..], "the group that was torn");
}

#[test]
fn failures_that_may_pass_run_again_if_they_are_to() {
    let mut place = Place::new("out.jsonl", Order::Completion);
    let rows: Vec<Asked> = (0..12).map(|id| (id, 0)).collect();
    let run = Run { rows: rows.clone(), group: 5, end: End::Well };
    place.run(&run);
    let resumed = Output::open(&place.spec).unwrap().resumed().unwrap();
    assert_eq!(resumed, Resumed { done: 12, may_pass: 2, is_repaired: false, gone: 0 });
    place.spec.existing = Existing::GoOn(Retry::WhatMayPass);
    assert_eq!(place.run(&run), [(0, 0), (6, 0)]);
    place.assert_holds(&rows.into_iter().collect());
}

#[test]
fn an_output_is_gone_on_with_as_it_was_begun() {
    let place = Place::new("out.jsonl", Order::Completion);
    place.run(&Run { rows: vec![(1, 0)], group: 1, end: End::Well });
    let problem =
        |spec: OutputSpec| Output::open(&spec).err().unwrap().downcast::<UsageError>().unwrap().problem;
    let out = place.paths().out.display().to_string();
    assert_eq!(
        problem(OutputSpec { format: Format::Text, ..place.spec.clone() }),
        format!("{out} was begun with --output-format openai")
    );
    assert_eq!(
        problem(OutputSpec { order: Order::Input, ..place.spec.clone() }),
        format!("{out} was begun with --order completion")
    );
    let elsewhere = Some(place.dir.path().join("elsewhere"));
    assert_eq!(
        problem(OutputSpec { errors: elsewhere, ..place.spec.clone() }),
        format!("{out} was begun with another error file")
    );
    let _first = Output::open(&place.spec).unwrap();
    assert_eq!(problem(place.spec.clone()), format!("another keywheel is writing {out}"));
    assert_eq!(
        problem(OutputSpec { existing: Existing::Replace, ..place.spec.clone() }),
        format!("another keywheel is writing {out}")
    );
}

#[test]
fn a_strangers_files_are_left_alone() {
    for name in ["out.jsonl", "out.errors.jsonl"] {
        let place = Place::new("out.jsonl", Order::Completion);
        let path = place.dir.path().join(name);
        fs::write(&path, "precious").unwrap();
        let refused = Output::open(&place.spec).err().unwrap().downcast::<UsageError>().unwrap();
        assert_eq!(refused.problem, format!("{} exists already", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(!place.paths().journal().exists());
        drop(Output::open(&OutputSpec { existing: Existing::Replace, ..place.spec.clone() }).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), "");
    }
}

/// A run of three rows that ends as it should.
fn three_rows() -> Run {
    Run { rows: vec![(1, 0), (2, 0), (4, 0)], group: 1, end: End::Well }
}

#[test]
fn an_output_that_somebody_has_removed_is_told() {
    for order in [Order::Completion, Order::Input] {
        let place = Place::new("out.jsonl", order);
        place.run(&three_rows());
        fs::remove_file(&place.paths().out).unwrap();
        let _ = fs::remove_file(&place.paths().errors);
        let resumed = Output::open(&place.spec).unwrap().resumed().unwrap();
        assert_eq!((resumed.done, resumed.gone), (0, 3), "{order:?}");
        assert_eq!(place.run(&three_rows()).len(), 3, "all of them run again");
    }
}

#[test]
fn who_is_refused_clears_nothing_away_under_the_hands_of_a_run() {
    let place = Place::new("out.jsonl", Order::Input);
    let running = Output::open(&place.spec).unwrap();
    let files = || {
        let mut files: Vec<_> = fs::read_dir(place.dir.path()).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    };
    let before = files();
    assert!(before.contains(&place.paths().unfinished_journal()));
    for existing in [Existing::GoOn(Retry::Nothing), Existing::Replace] {
        let refused = Output::open(&OutputSpec { existing, ..place.spec.clone() });
        assert!(refused.err().unwrap().to_string().contains("another keywheel is writing"));
        assert_eq!(files(), before);
    }
    drop(running);
}
