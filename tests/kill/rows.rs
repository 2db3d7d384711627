//! A batch dies in the middle, over and over, and goes on each time: every row has its answer exactly once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use fastrand::Rng;
use keywheel::sim::{Latency, Sim, SimSpec};
use keywheel_actors::clock::Clock;
use serde_json::{Value, json};

use crate::house::{pause, until};
use crate::support::millis;
use crate::support::program::{Desk, Ended, Program};

const ROWS: usize = 1_500;

/// Some rows fail for good, and must not be paid for again either.
const REFUSED_EVERY: usize = 10;

/// Rows under way at once: what a kill may cost.
const WINDOW: u64 = 32;

/// Kills of one output at most; the last life ends by itself.
const KILLS_MAX: u64 = 25;

#[test]
fn lines_in_order_of_completion_outlast_any_kill() {
    Story::of("out.jsonl", &[], 31).play();
}

#[test]
fn compressed_lines_outlast_any_kill() {
    Story::of("out.jsonl.gz", &[], 32).play();
    Story::of("out.jsonl.zst", &[], 33).play();
}

#[test]
fn lines_in_order_of_the_input_outlast_any_kill() {
    let story = Story::of("out.jsonl", &["--order", "input"], 34);
    story.play();
    let names: Vec<String> = story.answers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, (0..ROWS).map(name).collect::<Vec<_>>());
}

struct Story {
    sim: Sim,
    desk: Desk,
    out: &'static str,
    words: Vec<&'static str>,
    seed: u64,
}

impl Story {
    fn of(out: &'static str, words: &[&'static str], seed: u64) -> Self {
        let spec = SimSpec::with_keys(4).first_byte(Latency::Uniform { from: millis(1), to: millis(15) });
        let sim = Sim::start_on_thread(SimSpec { seed, ..spec }).expect("port 0 is free");
        let rows: Vec<String> = (0..ROWS).map(row).collect();
        let desk = Desk::new(&keywheel::sim::provider_toml(&sim.base_url(), sim.spec()))
            .with("in.jsonl", &rows.join("\n"));
        let window = ["--concurrency", "32", "--quiet", "--json"];
        let words = [&["batch", "in.jsonl", "-o", out], &window[..], words].concat();
        Self { sim, desk, out, words, seed }
    }

    fn start(&self) -> Program {
        self.desk.start(&self.words, &[])
    }

    fn play(&self) {
        let (clock, mut rng) = (Clock::start(), Rng::with_seed(self.seed));
        let (mut kills, mut early) = (0, 0);
        while kills < KILLS_MAX && self.sim.ledger().calls + 100 < ROWS as u64 + kills * WINDOW {
            let before = self.sim.ledger().calls;
            let batch = self.start();
            if rng.u8(0..5) == 0 {
                // Perhaps before its first call.
                pause(millis(rng.u64(0..150)));
                early += 1;
            } else {
                let calls = rng.u64(1..=120);
                until("calls are made", || self.sim.ledger().calls >= before + calls);
                pause(millis(rng.u64(0..8)));
            }
            batch.kill();
            kills += 1;
        }
        let ended: Ended = self.start().end();
        let summary = ended.exited(3).summary();
        let numbers = |name: &str| summary[name].as_u64().expect("a number");
        assert_eq!(numbers("rows") + numbers("done_before"), ROWS as u64);
        assert_eq!((numbers("lost"), numbers("not_run")), (0, 0));
        assert!(numbers("done_before") > 0, "{summary}");

        let answers = self.answers();
        let names: BTreeMap<&str, &Value> =
            answers.iter().map(|(name, line)| (name.as_str(), line)).collect();
        assert_eq!((answers.len(), names.len()), (ROWS, ROWS), "each row has exactly one line");
        let failed = answers.iter().filter(|(_, line)| !line["error"].is_null()).count();
        assert_eq!(failed, ROWS.div_ceil(REFUSED_EVERY));
        let errors = self.desk.read("out.errors.jsonl");
        assert_eq!(errors.lines().count(), failed, "each failed row is once in the error file");
        self.assert_paid(kills);

        let again = self.start().end();
        assert_eq!(again.exited(3).summary()["done_before"], ROWS as u64);
        self.assert_paid(kills);
        println!(
            "{}: {kills} kills, {early} of them early, in {:.1} s; {} calls for {ROWS} rows",
            self.words.join(" "),
            clock.now().since_start().as_secs_f32(),
            self.sim.ledger().calls
        );
        assert!(kills >= KILLS_MAX / 3, "only {kills} kills");
    }

    /// A kill costs at most what was under way.
    #[track_caller]
    fn assert_paid(&self, kills: u64) {
        let calls = self.sim.ledger().calls;
        let most = ROWS as u64 + kills * WINDOW;
        assert!((ROWS as u64..=most).contains(&calls), "{calls} calls for {ROWS} rows in {kills} kills");
    }

    fn answers(&self) -> Vec<(String, Value)> {
        let file = File::open(self.desk.path(self.out)).expect("OUT is there");
        let mut text = String::new();
        match self.out {
            "out.jsonl.gz" => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text),
            "out.jsonl.zst" => {
                zstd::stream::read::Decoder::new(file).expect("it is zstd").read_to_string(&mut text)
            }
            _ => (&file).read_to_string(&mut text),
        }
        .expect("it is whole");
        text.lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).expect("every line is JSON");
                (line["custom_id"].as_str().expect("a name").to_owned(), line)
            })
            .collect()
    }
}

fn name(number: usize) -> String {
    format!("row-{number}")
}

fn row(number: usize) -> String {
    let mut body = json!({"model": "m"});
    if !number.is_multiple_of(REFUSED_EVERY) {
        body["messages"] = json!([{"role": "user", "content": name(number)}]);
    }
    json!({"custom_id": name(number), "method": "POST", "url": "/v1/chat/completions", "body": body})
        .to_string()
}
