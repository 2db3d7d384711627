//! `keywheel sim` as a program: it says where it listens, serves, and ends with its ledger.

mod support;

use keywheel::sim::{Ledger, Outcome};
use serde_json::Value;

use support::program::Desk;

const ROWS: &str = r#"{"custom_id":"a","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}
{"custom_id":"b","url":"/v1/embeddings","body":{"model":"m","input":"text"}}
{"custom_id":"c","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}
"#;

#[test]
fn what_it_prints_configures_a_batch_and_its_ledger_tells_of_it() {
    let desk = Desk::empty().with("in.jsonl", ROWS);
    let words = ["sim", "--listen", "127.0.0.1:0", "--keys", "2", "--rpm", "600", "--burst", "5", "--json"];
    let mut sim = desk.start(&words, &[]);
    let start: Value = serde_json::from_str(&sim.out.line_with("base_url")).expect("JSON");
    assert!(start["base_url"].as_str().expect("an address").starts_with("http://127.0.0.1:"), "{start}");
    assert_eq!(start["keys"].as_array().expect("a list").len(), 2);

    let desk = desk.with("keywheel.toml", start["provider_toml"].as_str().expect("a piece of TOML"));
    let batch = desk.run(&["batch", "in.jsonl", "-o", "out.jsonl", "--json"]);
    let summary = batch.exited(0).summary();
    assert_eq!((summary["ok"].as_u64(), summary["utilisation"].is_number()), (Some(3), true), "{summary}");

    sim.interrupt();
    let ended = sim.end();
    let ledger: Ledger = serde_json::from_value(ended.exited(0).summary()).expect("a ledger");
    assert_eq!((ledger.calls, ledger.count(Outcome::Served)), (3, 3));
}

#[test]
fn for_people_it_prints_its_address_and_a_table() {
    let desk = Desk::empty();
    let mut sim = desk.start(&["sim", "--listen", "127.0.0.1:0", "--invalid", "1"], &[]);
    let first = sim.out.line_with("listens on");
    assert!(first.contains("http://127.0.0.1:") && first.contains("3 keys"), "{first}");
    sim.out.line_with("Ctrl-C ends it");
    sim.interrupt();
    let ended = sim.end();
    ended.exited(0);
    for part in ["k0", "sk-0", "invalid", "[[provider]]", "0 calls"] {
        assert!(ended.stdout.contains(part), "`{part}` isn't told:\n{}", ended.stdout);
    }
    assert_eq!(ended.stderr, "");
}

#[test]
fn an_impossible_provider_is_refused_with_a_hint() {
    let desk =
        Desk::empty().with("sim.toml", "[[key]]\nlimits = [{ requests = 0, per = \"1m\" }]\nsecrets = 1\n");
    for words in [
        &["sim", "--listen", "127.0.0.1:0", "--keys", "2", "--invalid", "5"][..],
        &["sim", "--listen", "127.0.0.1:0", "--scenario", "sim.toml"],
        &["sim", "--listen", "127.0.0.1:0", "--scenario", "nowhere.toml"],
        &["sim", "--listen", "127.0.0.1:0", "--latency", "soon"],
    ] {
        let ended = desk.run(words);
        assert!(ended.exited(2).stderr.starts_with("error: "), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}
