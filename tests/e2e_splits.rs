//! However an input is split into runs, OUT has the same results as of one run, and nothing is paid for twice.
//!
//! The real binary, stopped by its own limits and by Ctrl-C, while the input is changed, grows and comes in parts.
//! (`tests/kill` has kill -9.)

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use keywheel::sim::{Latency, Sim, SimSpec, provider_toml};
use proptest::prelude::*;
use serde_json::{Value, json};

use support::live::until;
use support::millis;
use support::program::Desk;

/// Rows that an input begins with.
const ROWS: usize = 24;

/// A bad line is known by its text and its number: as the first line it is the same in every part.
const TORN: &str = "{\"custom_id\": \"torn";

/// Every so many-th row is one that the provider refuses.
const REFUSED_EVERY: usize = 7;

/// One thing that happens to an input or to a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A run that takes so many rows at most.
    Rows(usize),
    /// A run that is interrupted after so many calls, if it isn't over by then.
    Interrupted(u64),
    /// A run of the rows before or from the middle on, in a file of its own.
    Half(Half),
    /// Another text for every so many-th row.
    Change(usize),
    /// So many rows more.
    Grow(usize),
}

#[derive(Clone, Copy, Debug)]
enum Half {
    First,
    Second,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..ROWS).prop_map(Step::Rows),
        2 => (1..ROWS as u64).prop_map(Step::Interrupted),
        2 => prop_oneof![Just(Step::Half(Half::First)), Just(Step::Half(Half::Second))],
        1 => (2..9_usize).prop_map(Step::Change),
        1 => (1..9_usize).prop_map(Step::Grow),
    ]
}

/// What OUT is: its name and the order of its lines.
fn form() -> impl Strategy<Value = (&'static str, &'static str)> {
    let name = prop::sample::select(vec!["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"]);
    (name, prop::sample::select(vec!["completion", "input"]))
}

proptest! {
    // Each case is some eight runs of the program.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn however_an_input_is_split_into_runs_the_results_are_those_of_one(
        (out, order) in form(),
        steps in prop::collection::vec(step(), 2..7),
    ) {
        let mut split = Desktop::start(out, order);
        for step in steps {
            split.take(step);
        }
        split.run("in.jsonl", &[], &[3]);

        let mut whole = Desktop::start(out, order);
        whole.texts.clone_from(&split.texts);
        whole.run("in.jsonl", &[], &[3]);
        let (mut told, mut expected) = (split.results(), whole.results());
        if order == "completion" {
            told.sort();
            expected.sort();
        }
        prop_assert_eq!(told, expected);
        prop_assert_eq!(split.failures(), whole.failures());
    }
}

/// A desk, its provider, and the input as it is by now.
struct Desktop {
    sim: Sim,
    desk: Desk,
    out: &'static str,
    order: &'static str,
    /// The text of each row; a row is named by its place.
    texts: Vec<String>,
    /// What OUT has of each row since the last run.
    done: BTreeMap<String, Done>,
}

/// A row that has its line.
#[derive(Debug)]
struct Done {
    line: String,
    /// What the row asked then.
    asked: String,
}

impl Desktop {
    fn start(out: &'static str, order: &'static str) -> Self {
        // As long as an interrupt needs to come between.
        let spec = SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(4)));
        let sim = Sim::start_on_thread(spec).expect("port 0 is always free");
        let desk = Desk::new(&provider_toml(&sim.base_url(), sim.spec()));
        let texts = (0..ROWS).map(|number| format!("say {number}")).collect();
        Self { sim, desk, out, order, texts, done: BTreeMap::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Rows(most) => self.run("in.jsonl", &["--max-rows", &most.to_string()], &[3, 4]),
            Step::Interrupted(after) => self.interrupt(after),
            Step::Half(half) => {
                let middle = self.texts.len() / 2;
                let rows = match half {
                    Half::First => 0..middle,
                    Half::Second => middle..self.texts.len(),
                };
                fs::write(self.desk.path("half.jsonl"), self.rows(rows)).expect("the directory is ours");
                self.run("half.jsonl", &[], &[3]);
            }
            Step::Change(every) => self.texts.iter_mut().step_by(every).for_each(|text| text.push('!')),
            Step::Grow(more) => {
                let rows = self.texts.len();
                self.texts.extend((rows..rows + more).map(|number| format!("say {number}")));
            }
        }
    }

    /// These rows as lines, the torn one before them.
    fn rows(&self, numbers: std::ops::Range<usize>) -> String {
        let row = |number: usize| {
            let messages = json!([{"role": "user", "content": self.texts[number]}]);
            let body = if number % REFUSED_EVERY == 3 {
                json!({"model": "m", "prompt": messages})
            } else {
                json!({"model": "m", "messages": messages})
            };
            json!({"custom_id": format!("r{number}"), "url": "/v1/chat/completions", "body": body})
                .to_string()
        };
        let rows = std::iter::once(TORN.to_owned()).chain(numbers.map(row));
        rows.collect::<Vec<_>>().join("\n") + "\n"
    }

    fn words<'a>(&self, file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        // Few rows at once, for an interrupt to leave some.
        [&["batch", file, "-o", self.out, "--order", self.order, "--concurrency", "3"], more].concat()
    }

    #[track_caller]
    fn run(&mut self, file: &str, more: &[&str], codes: &[i32]) {
        self.write_input();
        let calls = self.sim.ledger().calls;
        let ended = self.desk.run(&self.words(file, more));
        assert!(ended.code.is_some_and(|code| codes.contains(&code)), "{ended:?}");
        self.check(calls);
    }

    fn interrupt(&mut self, after: u64) {
        self.write_input();
        let calls = self.sim.ledger().calls;
        let mut running = self.desk.start(&self.words("in.jsonl", &[]), &[]);
        until("it has made its calls or is over", || {
            running.is_over() || self.sim.ledger().calls >= calls + after
        });
        if !running.is_over() {
            running.interrupt();
        }
        let ended = running.end();
        assert!(matches!(ended.code, Some(3 | 130)), "{ended:?}");
        self.check(calls);
    }

    fn write_input(&self) {
        fs::write(self.desk.path("in.jsonl"), self.rows(0..self.texts.len())).expect("the directory is ours");
    }

    /// Since it had made `calls`, the provider was called once for each row that is new or changed, and for no
    /// other; and no row has two lines.
    #[track_caller]
    fn check(&mut self, calls: u64) {
        let text = self.read();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line: {text}");
        let (mut done, mut called) = (BTreeMap::new(), 0);
        for (line, (name, _)) in text.lines().zip(self.results()) {
            let asked = self.asked(&name);
            let entry = match self.done.remove(&name) {
                Some(before) if before.line == line => before,
                Some(before) if before.asked == asked => panic!("it was paid for again: {line}"),
                Some(_) | None => {
                    called += u64::from(asked != TORN);
                    Done { line: line.to_owned(), asked }
                }
            };
            assert!(done.insert(name, entry).is_none(), "a row has two lines: {line}");
        }
        assert!(self.done.is_empty(), "lines have got lost: {:#?}", self.done);
        assert_eq!(self.sim.ledger().calls - calls, called, "{text}");
        self.done = done;
    }

    /// What the row of that name asks by now.
    fn asked(&self, name: &str) -> String {
        match name.trim_matches('"').strip_prefix('r') {
            Some(number) => self.texts[number.parse::<usize>().expect("its place")].clone(),
            None => TORN.to_owned(),
        }
    }

    fn read(&self) -> String {
        let bytes = fs::read(self.desk.path(self.out)).unwrap_or_default();
        let mut text = String::new();
        if self.out == "out.jsonl.zst" {
            return String::from_utf8(zstd::decode_all(&bytes[..]).expect("whole frames")).expect("UTF-8");
        }
        if self.out == "out.jsonl.gz" {
            MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("whole members of UTF-8");
            return text;
        }
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// What OUT has of each row, in its order: the name, and the answer's text or the error's code.
    fn results(&self) -> Vec<(String, String)> {
        let lines = self.read();
        let parsed =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
        let result = |line: &Value| {
            let text = &line["response"]["body"]["choices"][0]["message"]["content"];
            let result = if line["error"].is_null() { text } else { &line["error"]["code"] };
            (line["custom_id"].to_string(), result.to_string())
        };
        parsed.map(|line| result(&line)).collect()
    }

    /// Names and lines of the rows in the error file.
    fn failures(&self) -> BTreeSet<(String, String)> {
        let text =
            self.desk.read(&format!("{}.errors.jsonl", self.out.split('.').next().unwrap_or_default()));
        let parsed =
            text.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
        let failures: Vec<_> =
            parsed.map(|line| (line["custom_id"].to_string(), line["error"]["code"].to_string())).collect();
        let distinct: BTreeSet<_> = failures.iter().cloned().collect();
        assert_eq!(distinct.len(), failures.len(), "a row failed twice:\n{text}");
        distinct
    }
}
