//! `keywheel batch` as its user meets it: a file of rows in, a file of answers out, an exit code.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel::sim::{
    Conduct, FaultRates, HeaderStyle, Latency, Ledger, LimitSpec, Outcome, Sim, SimSpec, provider_toml,
};
use serde_json::{Value, json};

use support::millis;
use support::program::{Desk, Ended};

fn start(spec: SimSpec) -> Sim {
    Sim::start_on_thread(spec).expect("port 0 is always free")
}

/// A desk with a configuration for all keys of `sim`, and so many good rows in `in.jsonl`.
fn desk(sim: &Sim, rows: usize) -> Desk {
    let rows: Vec<String> = (0..rows).map(|number| row(&format!("row-{number}"))).collect();
    Desk::new(&provider_toml(&sim.base_url(), sim.spec())).with("in.jsonl", &rows.join("\n"))
}

fn row(custom_id: &str) -> String {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": format!("say {custom_id}")}]});
    json!({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
}

const TO_OUT: [&str; 5] = ["batch", "in.jsonl", "-o", "out.jsonl", "--json"];

/// The lines of OUT, each of which is whole.
fn answers(desk: &Desk) -> Vec<Value> {
    let text = desk.read("out.jsonl");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
    text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

/// What the provider has in its books of each line that it answered: exactly one accepted call.
#[track_caller]
fn assert_joined(answers: &[Value], ledger: &Ledger) {
    for answer in answers.iter().filter(|answer| answer["error"].is_null()) {
        let id = answer["response"]["request_id"].as_str().expect("an answer has its id");
        let served = ledger.request(id).iter().filter(|entry| entry.outcome == Outcome::Served);
        assert_eq!(served.count(), 1, "{id}");
    }
}

fn assert_keys_agree(summary: &Value, ledger: &Ledger) {
    for key in summary["keys"].as_array().expect("a list") {
        let booked = ledger.key(key["key"].as_str().expect("a name")).expect("the provider knows it");
        assert_eq!(key["calls"], booked.outcomes.values().sum::<u64>(), "{key} {booked:?}");
        assert_eq!(key["succeeded"], booked.count(Outcome::Served), "{key} {booked:?}");
        assert_eq!(key["throttled"], booked.count(Outcome::Throttled), "{key} {booked:?}");
    }
}

#[test]
fn rows_that_are_all_well_exit_with_0() {
    let sim = start(SimSpec::with_keys(3));
    let desk = desk(&sim, 200);
    let ended = desk.run(&TO_OUT);
    let summary = ended.exited(0).summary();
    assert_eq!(ended.stdout.lines().count(), 1, "stdout belongs to the summary: {}", ended.stdout);
    let numbers = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!(["rows", "ok", "calls"].map(numbers), [200, 200, 200]);
    assert_eq!(["failed", "invalid", "lost", "not_run", "retried_rows"].map(numbers), [0; 5]);

    let (answers, ledger) = (answers(&desk), sim.ledger_with_requests());
    assert_eq!(ledger.calls, 200);
    assert_joined(&answers, &ledger);
    assert_keys_agree(&summary, &ledger);
    let said: BTreeMap<&str, &str> = answers
        .iter()
        .map(|answer| {
            let content = &answer["response"]["body"]["choices"][0]["message"]["content"];
            (answer["custom_id"].as_str().expect("a name"), content.as_str().expect("an answer"))
        })
        .collect();
    assert_eq!(said.len(), 200, "each row has exactly one line");
    assert!(
        said.iter().all(|(id, said)| said.ends_with(&format!(": say {id}"))),
        "the answers are the rows' own"
    );
}

#[test]
fn every_kind_of_row_has_exactly_one_line() {
    let sim = start(SimSpec::with_keys(2));
    let refused = r#"{"custom_id":"refused","url":"/v1/chat/completions","body":{"model":"m"}}"#;
    let streamed =
        r#"{"custom_id":"streamed","url":"/v1/chat/completions","body":{"model":"m","stream":true}}"#;
    let rows = [&row("a"), "{torn", &row("b"), "", &row("a"), refused, streamed, &row("c")].join("\n");
    let desk = desk(&sim, 0).with("in.jsonl", &rows);
    let refused = desk.run(&TO_OUT);
    assert!(refused.exited(2).stderr.contains("`a` on lines 1 and 5"), "{}", refused.stderr);
    assert_eq!(sim.ledger_with_requests().calls, 0, "nothing was sent");

    let ended = desk.run(&[&TO_OUT[..], &["--on-duplicate", "fail-row"]].concat());
    let summary = ended.exited(3).summary();
    let numbers = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!(["rows", "ok", "failed", "invalid"].map(numbers), [7, 3, 1, 3]);
    assert_eq!(["lost", "not_run", "calls"].map(numbers), [0, 0, 4]);
    assert_eq!(summary["errors"], json!({"caller_mistake": 1, "duplicate_custom_id": 1, "invalid_line": 2}));

    let (answers, ledger) = (answers(&desk), sim.ledger_with_requests());
    assert_joined(&answers, &ledger);
    assert_keys_agree(&summary, &ledger);
    assert_eq!((ledger.count(Outcome::Served), ledger.count(Outcome::BadRequest)), (3, 1));
    let mut ends: Vec<String> = answers
        .iter()
        .map(|answer| {
            let name = answer["custom_id"].as_str().unwrap_or("-");
            let status = answer["response"]["status_code"].as_u64().unwrap_or(0);
            format!("{name} {status} {}", answer["error"]["code"].as_str().unwrap_or("ok"))
        })
        .collect();
    ends.sort();
    let expected = [
        "- 0 invalid_line",
        "a 0 duplicate_custom_id",
        "a 200 ok",
        "b 200 ok",
        "c 200 ok",
        "refused 400 caller_mistake",
        "streamed 0 invalid_line",
    ];
    assert_eq!(ends, expected);
}

#[test]
fn a_table_becomes_requests_by_a_template() {
    let sim = start(SimSpec::with_keys(1));
    let template = r#"{"model":"m","messages":[{"role":"user","content":"say {{word}} in {{language}}"}]}"#;
    let desk = desk(&sim, 0)
        .with("in.csv", "id,word,language\nr1,\"one, two\",de\nr2,hello,fr\n")
        .with("template.json", template);
    let words = ["batch", "in.csv", "-o", "out.jsonl", "--template", "template.json", "--id-column", "id"];
    desk.run(&words).exited(0);
    let mut said: Vec<String> = answers(&desk)
        .iter()
        .map(|answer| {
            let content = &answer["response"]["body"]["choices"][0]["message"]["content"];
            let said = content.as_str().and_then(|content| content.split_once(": ")).expect("an answer").1;
            format!("{} {said}", answer["custom_id"].as_str().expect("a name"))
        })
        .collect();
    said.sort();
    assert_eq!(said, ["r1 say one, two in de", "r2 say hello in fr"]);
}

#[test]
fn the_summary_tells_of_throttles_and_faults_what_the_provider_tells() {
    // What neither the configuration nor a header says must be run into: the snippet can't say "per 300 ms".
    let limit = LimitSpec::requests(8, millis(300));
    let faults = FaultRates { error: 0.12, ..FaultRates::default() };
    let spec = SimSpec { faults, seed: 5, headers: HeaderStyle::None, ..SimSpec::with_keys(4) };
    let spec = spec.limited(limit).first_byte(Latency::Fixed(millis(5)));
    let sim = start(spec.key(3, |key| key.conducting(Conduct::Invalid)));
    let desk = desk(&sim, 100);
    let summary = desk.run(&[&TO_OUT[..], &["--attempts", "20"]].concat()).exited(0).summary();
    let ledger = sim.ledger_with_requests();
    let numbers = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!(["rows", "ok", "lost"].map(numbers), [100, 100, 0]);
    assert_eq!(numbers("calls"), ledger.calls);
    for (name, outcome) in [
        ("throttled_calls", Outcome::Throttled),
        ("dead_key_calls", Outcome::BadKey),
        ("provider_fault_calls", Outcome::Error),
    ] {
        assert!(ledger.count(outcome) > 0, "this story has {outcome:?}");
        assert_eq!(numbers(name), ledger.count(outcome), "{name}");
    }
    assert_joined(&answers(&desk), &ledger);
    assert_keys_agree(&summary, &ledger);
}

#[test]
fn without_a_file_the_rows_go_to_stdout_and_nothing_else_does() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, 10);
    let ended = desk.run(&["batch", "in.jsonl", "-o", "-", "--json", "--quiet"]);
    let lines: Vec<Value> =
        ended.exited(0).stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().all(|line| line["custom_id"].is_string()), "{}", ended.stdout);
    let summary: Value = serde_json::from_str(ended.stderr.lines().last().expect("a summary")).expect("JSON");
    assert_eq!((&summary["ok"], &summary["lost"]), (&json!(10), &json!(0)));
}

#[test]
fn an_output_that_exists_is_left_as_it_is_unless_forced() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, 3).with("out.jsonl", "precious");
    let ended = desk.run(&TO_OUT);
    assert!(ended.exited(2).stderr.contains("error: out.jsonl exists already"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: ") && ended.stderr.contains("--force"), "{}", ended.stderr);
    assert_eq!((desk.read("out.jsonl").as_str(), sim.ledger().calls), ("precious", 0));
    desk.run(&[&TO_OUT[..], &["--force"]].concat()).exited(0);
    assert_eq!(answers(&desk).len(), 3);
}

#[test]
fn ctrl_c_lets_rows_under_way_end_and_leaves_whole_lines() {
    let sim = start(SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(40))));
    let desk = desk(&sim, 2_000);
    let running = desk.start(&[&TO_OUT[..], &["--concurrency", "8"]].concat(), &[]);
    until(|| sim.ledger().calls >= 20);
    running.interrupt();
    let ended = running.end();
    let summary = ended.exited(130).summary();
    let numbers = |name: &str| summary[name].as_u64().expect("a number");
    let (answers, ledger) = (answers(&desk), sim.ledger_with_requests());
    assert_eq!((summary["ending"].as_str(), numbers("lost")), (Some("interrupted"), 0));
    assert_eq!((answers.len() as u64, ledger.calls), (numbers("ok"), numbers("calls")));
    assert_eq!(numbers("rows"), numbers("ok") + numbers("not_run"));
    assert!(numbers("ok") >= 20 && numbers("not_run") > 0, "{summary}");
    assert_joined(&answers, &ledger);
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let sim = start(SimSpec::with_keys(2).first_byte(Latency::Fixed(Duration::from_secs(3_600))));
    let desk = desk(&sim, 50);
    let mut running = desk.start(&TO_OUT, &[]);
    until(|| sim.ledger().calls >= 4);
    running.interrupt();
    running.err.line_with("Ctrl-C again leaves them");
    running.interrupt();
    let summary = running.end().exited(130).summary();
    let told = ["rows", "ok", "lost", "not_run"].map(|name| summary[name].as_u64().expect("a number"));
    assert_eq!(told, [50, 0, 0, 50]);
    assert_eq!(answers(&desk), [] as [Value; 0]);
}

/// Waits until something holds.
fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(millis(2)).await;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(support::PATIENCE, waiting).await })
        .expect("it comes true");
}

/// Recognisable secrets. The provider masks long ones in its error messages and repeats short ones whole.
const CANARIES: [&str; 4] = [
    "sk-canary-literal-5f81c2d9e0",
    "sk-canary-variable-77aa01bc3",
    "sk-canary-file-0d9e8f7a6b5c",
    "cnry-sh0rt",
];

#[test]
fn secrets_are_written_nowhere_not_even_in_a_trace() {
    let mut spec = SimSpec::with_keys(4).key(3, |key| key.conducting(Conduct::Invalid));
    for (key, canary) in spec.keys.iter_mut().zip(CANARIES) {
        (*canary).clone_into(&mut key.secret);
    }
    let sim = start(spec);
    let config = provider_toml(&sim.base_url(), sim.spec())
        .replace(CANARIES[1], "env:CANARY")
        .replace(CANARIES[2], "file:canary");
    let desk = desk(&sim, 30).with("keywheel.toml", &config).with("canary", CANARIES[2]);
    private(&desk, "canary");
    for format in ["text", "json"] {
        let words = [&TO_OUT[..], &["--force", "--log", "trace", "--log-format", format]].concat();
        let ended: Ended = desk.start(&words, &[("CANARY", CANARIES[1])]).end();
        ended.exited(0);
        assert!(ended.stderr.len() > 10_000, "a trace tells much: {}", ended.stderr);
        for canary in CANARIES {
            for (place, text) in
                [("stdout", &ended.stdout), ("stderr", &ended.stderr), ("OUT", &desk.read("out.jsonl"))]
            {
                assert!(!text.contains(canary), "{place} tells {canary}");
            }
        }
    }
    let ledger = sim.ledger();
    assert!(ledger.keys.iter().all(|key| !key.outcomes.is_empty()), "every secret was in use: {ledger:?}");
}

#[cfg(unix)]
fn private(desk: &Desk, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(desk.path(name), std::fs::Permissions::from_mode(0o600))
        .expect("the file is ours");
}

#[cfg(not(unix))]
fn private(_: &Desk, _: &str) {}
