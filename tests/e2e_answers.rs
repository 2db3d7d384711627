//! `keywheel batch` and what its answers must be: asked for again, served by the next model, found in the cache.

mod support;

use std::fs;
use std::path::PathBuf;

use keywheel::sim::{
    Availability, Change, FaultRates, LimitSpec, Outcome, Sim, SimSpec, Words, provider_toml,
};
use keywheel_actors::spec::MINUTE;
use serde_json::{Value, json};

use support::millis;
use support::program::Desk;

const TO_OUT: [&str; 5] = ["batch", "in.jsonl", "-o", "out.jsonl", "--json"];

fn start(spec: SimSpec) -> Sim {
    Sim::start_on_thread(spec).expect("port 0 is always free")
}

/// A provider whose texts are JSON arrays of eight numbers, a share of them cut short.
fn numbers(cut_short: f64) -> SimSpec {
    let faults = FaultRates { cut_short, ..FaultRates::default() };
    SimSpec { words: Words::Numbers, faults, seed: 3, ..SimSpec::with_keys(3) }
}

fn row(custom_id: &str, content: &str) -> String {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    json!({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
}

/// So many rows, each with a text of its own.
fn rows(count: usize) -> String {
    let rows: Vec<String> =
        (0..count).map(|number| row(&format!("row-{number}"), &format!("say {number}"))).collect();
    rows.join("\n")
}

fn desk(sim: &Sim, rows: &str) -> Desk {
    Desk::new(&provider_toml(&sim.base_url(), sim.spec())).with("in.jsonl", rows)
}

fn answers(desk: &Desk) -> Vec<Value> {
    desk.read("out.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect()
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&TO_OUT[..], more].concat()
}

fn counts<const N: usize>(summary: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| summary[name].as_u64().unwrap_or_else(|| panic!("{name} in {summary}")))
}

/// Every token that a key used is in the summary, whatever became of the answer.
#[track_caller]
fn assert_tokens_agree(summary: &Value) {
    let keys = summary["keys"].as_array().expect("a list");
    let used: u64 = keys.iter().filter_map(|key| key["tokens"].as_u64()).sum();
    let told = counts(&summary["tokens"], ["input", "output"]);
    assert_eq!(told.iter().sum::<u64>(), used, "{summary}");
    assert!(used > 0, "this story has tokens");
}

#[test]
fn answers_that_are_not_json_are_asked_for_again() {
    let sim = start(numbers(0.3));
    let desk = desk(&sim, &rows(100));
    let summary = desk.run(&with(&["--expect", "json", "--attempts", "50"])).exited(0).summary();
    let ledger = sim.ledger();
    assert!(ledger.count(Outcome::CutShort) > 10, "{ledger:?}");
    assert_eq!(ledger.count(Outcome::Served), 100, "what is expected isn't asked for again");
    assert_eq!(
        counts(&summary, ["ok", "failed", "lost", "calls"]),
        [100, 0, 0, 100 + ledger.count(Outcome::CutShort)]
    );
    assert_tokens_agree(&summary);
    for answer in answers(&desk) {
        let text = answer["response"]["body"]["choices"][0]["message"]["content"].as_str().expect("a text");
        assert!(serde_json::from_str::<Vec<u8>>(text).is_ok(), "{text}");
    }
}

#[test]
fn a_row_that_never_gets_what_it_expects_fails_with_the_last_answer() {
    let sim = start(numbers(1.0));
    let desk = desk(&sim, &rows(4));
    let summary = desk.run(&with(&["--expect", "json", "--attempts", "3"])).exited(3).summary();
    assert_eq!(counts(&summary, ["ok", "failed", "calls", "retried_rows"]), [0, 4, 12, 4]);
    assert_eq!(summary["errors"], json!({"unexpected_answer": 4}));
    assert_eq!(sim.ledger().count(Outcome::CutShort), 12);
    assert_tokens_agree(&summary);
    for answer in answers(&desk) {
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("none of 3 answers is what was expected, the last one: "), "{message}");
        assert!(
            message.ends_with("the model stopped at its token limit: hint: raise the row's `max_tokens`")
        );
        assert_eq!(answer["response"]["status_code"], 200);
        assert_eq!(answer["response"]["body"]["choices"][0]["finish_reason"], "length");
    }
}

#[test]
fn provider_faults_and_unexpected_answers_are_paid_from_the_same_attempts() {
    let faults = FaultRates { error: 0.3, cut_short: 0.7, ..FaultRates::default() };
    let sim = start(SimSpec { faults, ..numbers(0.0) });
    let desk = desk(&sim, &rows(10));
    // One row at a time: the n-th call always meets the same luck, and never five errors in a row.
    let words = ["--expect", "json", "--attempts", "4", "--concurrency", "1"];
    let summary = desk.run(&with(&words)).exited(3).summary();
    let ledger = sim.ledger();
    assert_eq!(counts(&summary, ["ok", "failed", "calls"]), [0, 10, 40]);
    assert!(ledger.count(Outcome::Error) > 0 && ledger.count(Outcome::CutShort) > 0, "{ledger:?}");
    assert_eq!(counts(&summary, ["provider_fault_calls"]), [ledger.count(Outcome::Error)]);
}

#[test]
fn a_schema_tells_where_an_answer_breaks_it() {
    let sim = start(numbers(0.0));
    let bytes = json!({
        "type": "array",
        "minItems": 8,
        "items": {"$ref": "#/$defs/byte"},
        "$defs": {"byte": {"type": "integer", "maximum": 255}},
    });
    let desk = desk(&sim, &rows(3))
        .with("bytes.json", &bytes.to_string())
        .with("words.json", r#"{"items": {"type": "string"}}"#);
    let summary = desk.run(&with(&["--expect", "schema=bytes.json"])).exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "calls"]), [3, 3]);

    let words = with(&["--force", "--expect", "schema=words.json", "--attempts", "2"]);
    let summary = desk.run(&words).exited(3).summary();
    assert_eq!(counts(&summary, ["failed", "calls"]), [3, 6]);
    let message = answers(&desk)[0]["error"]["message"].as_str().expect("a message").to_owned();
    let place = "it breaks the schema at `/0`: want string, but got number (schema #/items/type)";
    assert!(message.ends_with(place), "{message}");
}

#[test]
fn a_schema_that_cannot_be_used_is_told_before_any_call() {
    let sim = start(numbers(0.0));
    let desk = desk(&sim, &rows(3))
        .with("broken.json", r#"{"type": "colour"}"#)
        .with("remote.json", r#"{"$ref": "https://example.com/schema.json"}"#);
    for schema in ["missing.json", "broken.json", "remote.json"] {
        let ended = desk.run(&with(&["--expect", &format!("schema={schema}")]));
        ended.exited(2);
        assert!(ended.stderr.contains(schema) && ended.stderr.contains("hint: "), "{}", ended.stderr);
        assert!(!desk.path("out.jsonl").exists(), "nothing was begun");
    }
    assert_eq!(sim.ledger().calls, 0);
}

/// Two providers, the second with the larger model of the route `m`.
fn routed(first: &Sim, second: &Sim, rows: &str) -> Desk {
    let provider = |sim: &Sim, id: &str| {
        provider_toml(&sim.base_url(), sim.spec()).replace("id = \"sim\"", &format!("id = \"{id}\""))
    };
    let route = "[[route]]\nmodel = \"m\"\ncandidates = [\"first/small\", \"second/large\"]\n";
    Desk::new(&[&provider(first, "first"), &provider(second, "second"), route].join("\n"))
        .with("in.jsonl", rows)
}

/// All rows were answered by the second provider's model.
#[track_caller]
fn assert_served_by_second(desk: &Desk, second: &Sim, rows: u64) {
    let summary = desk.run(&TO_OUT).exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "failed", "lost"]), [rows, 0, 0]);
    assert!(counts(&summary, ["fell_over"])[0] >= rows, "{summary}");
    assert_eq!(second.ledger().count(Outcome::Served), rows);
    assert!(answers(desk).iter().all(|answer| answer["response"]["body"]["model"] == "large"));
}

#[test]
fn rows_of_a_provider_that_is_down_are_served_by_the_next_one() {
    let down = SimSpec::with_keys(2).at(millis(0), Change::Availability(Availability::Refusing));
    let (first, second) = (start(down), start(SimSpec::with_keys(2)));
    assert_served_by_second(&routed(&first, &second, &rows(50)), &second, 50);
}

#[test]
fn rows_whose_model_is_denied_are_served_by_the_next_one() {
    let other = SimSpec { models: vec!["tiny".to_owned()], ..SimSpec::with_keys(2) };
    let (first, second) = (start(other), start(SimSpec::with_keys(2)));
    let desk = routed(&first, &second, &rows(50));
    // A model that is denied rests for a day: that isn't waited for.
    assert_served_by_second(&desk, &second, 50);
    assert_eq!(first.ledger().count(Outcome::Served), 0);
}

#[test]
fn rows_that_are_too_long_for_a_model_are_served_by_the_next_one() {
    let narrow = SimSpec::with_keys(1).limited(LimitSpec::tokens(100, MINUTE));
    let (first, second) = (start(narrow), start(SimSpec::with_keys(1)));
    let long = row("long", &"word ".repeat(1_000));
    let desk = routed(&first, &second, &long);
    // The limit is the provider's secret: it is found out by running into it.
    let config = desk
        .read("keywheel.toml")
        .lines()
        .filter(|line| !line.starts_with("limits"))
        .collect::<Vec<_>>()
        .join("\n");
    let desk = desk.with("keywheel.toml", &config);
    assert_served_by_second(&desk, &second, 1);
    assert_eq!(first.ledger().count(Outcome::TooLarge), 1);
}

/// Twenty rows, five times each of four texts.
fn repeated() -> String {
    (0..20).map(|number| row(&format!("row-{number}"), &format!("say {}", number % 4)) + "\n").collect()
}

#[test]
fn identical_rows_share_one_call_in_this_run_and_in_the_next() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim, &repeated());
    let summary = desk.run(&with(&["--cache", "cache"])).exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "calls", "cached_rows", "lost"]), [20, 4, 16, 0]);
    assert_eq!(summary["cache"], json!({"stored": 4, "unreadable": 0, "fault": null}));
    assert_tokens_agree(&summary);
    let first = answers(&desk);

    let summary = desk.run(&with(&["--cache", "cache", "--force"])).exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "calls", "cached_rows"]), [20, 0, 20]);
    assert_eq!(summary["tokens"], json!({"input": 0, "output": 0, "cached": 0}));
    assert_eq!(sim.ledger().calls, 4);

    // Each row has the answer of its text, in either run, and the name of the call that brought it.
    let responses = |answers: &[Value]| -> Vec<(String, Value)> {
        let mut all: Vec<_> = answers
            .iter()
            .map(|answer| (answer["custom_id"].to_string(), answer["response"].clone()))
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    };
    assert_eq!(responses(&first), responses(&answers(&desk)));
    let ledger = sim.ledger_with_requests();
    for answer in &first {
        let text = answer["response"]["body"]["choices"][0]["message"]["content"].as_str().expect("a text");
        let number: usize = answer["custom_id"].as_str().and_then(|id| id[4..].parse().ok()).expect("row-N");
        assert!(text.ends_with(&format!(": say {}", number % 4)), "{text}");
        let id = answer["response"]["request_id"].as_str().expect("a name");
        assert_eq!(ledger.request(id).len(), 1, "{id}");
    }
}

#[test]
fn without_a_cache_identical_rows_are_each_called() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim, &repeated());
    let summary = desk.run(&TO_OUT).exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "calls", "cached_rows"]), [20, 20, 0]);
    assert_eq!(summary["cache"], Value::Null);
}

/// The entries of the desk's cache.
fn entries(desk: &Desk) -> Vec<PathBuf> {
    let inside =
        |path: PathBuf| fs::read_dir(path).expect("a directory").map(|entry| entry.expect("readable").path());
    let first = inside(desk.path("cache")).filter(|path| !path.ends_with("unfinished"));
    first.flat_map(inside).flat_map(inside).collect()
}

#[test]
fn an_entry_torn_by_a_power_cut_is_asked_for_again() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim, &rows(10));
    desk.run(&with(&["--cache", "cache"])).exited(0);
    let entries = entries(&desk);
    assert_eq!(entries.len(), 10);
    fs::write(&entries[0], "").expect("it is ours");
    let whole = fs::read(&entries[1]).expect("it is ours");
    fs::write(&entries[1], &whole[..whole.len() - 9]).expect("it is ours");

    let summary = desk.run(&with(&["--cache", "cache", "--force"])).exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "calls", "cached_rows"]), [10, 2, 8]);
    assert_eq!(summary["cache"], json!({"stored": 2, "unreadable": 2, "fault": null}));
    let summary = desk.run(&with(&["--cache", "cache", "--force"])).exited(0).summary();
    assert_eq!(counts(&summary, ["calls", "cached_rows"]), [0, 10], "they were mended");
}

#[test]
fn a_cache_that_cannot_be_written_is_told_once_and_fails_nothing() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim, &rows(10));
    fs::create_dir(desk.path("cache")).expect("it is ours");
    // A file where files should be put: as good as a full disk, whoever runs the test.
    fs::write(desk.path("cache/unfinished"), "").expect("it is ours");
    let ended = desk.run(&with(&["--cache", "cache"]));
    let summary = ended.exited(0).summary();
    assert_eq!(counts(&summary, ["ok", "calls", "cached_rows"]), [10, 10, 0]);
    assert!(summary["cache"]["fault"].is_string(), "{summary}");
    assert_eq!(ended.stderr.matches("nothing more can be kept: ").count(), 1, "{}", ended.stderr);
    desk.run(&with(&["--force", "--cache", "in.jsonl"])).exited(2);
}

#[test]
fn only_what_was_expected_is_kept() {
    let sim = start(numbers(1.0));
    let desk = desk(&sim, &rows(3));
    let words = with(&["--cache", "cache", "--expect", "json", "--attempts", "1"]);
    let summary = desk.run(&words).exited(3).summary();
    assert_eq!(counts(&summary, ["failed", "calls", "cached_rows"]), [3, 3, 0]);
    assert!(entries(&desk).is_empty());
}
