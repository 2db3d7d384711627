//! The progress of `keywheel batch` as a program reads it.

mod support;

use keywheel::sim::{Sim, SimSpec, provider_toml};
use serde_json::{Value, json};

use support::program::Desk;

fn desk(sim: &Sim, rows: usize) -> Desk {
    let row = |number: usize| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        json!({"custom_id": format!("row-{number}"), "url": "/v1/chat/completions", "body": body}).to_string()
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    Desk::new(&provider_toml(&sim.base_url(), sim.spec())).with("in.jsonl", &rows.join("\n"))
}

#[test]
fn programs_get_one_object_a_line_and_the_last_one_says_so() {
    let sim = Sim::start_on_thread(SimSpec::with_keys(2)).expect("port 0 is always free");
    let desk = desk(&sim, 50);
    let ended = desk.run(&["batch", "in.jsonl", "-o", "out.jsonl", "--json", "--json-progress"]);
    let summary = ended.exited(0).summary();

    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect("nothing but JSON")).collect();
    let (last, before) = lines.split_last().expect("there is always a last line");
    assert!(!before.is_empty(), "the run tells that it begins");
    assert!(before.iter().all(|line| line["stage"] == "running"), "{before:?}");
    assert_eq!(last["stage"], "over");
    assert_eq!(last["rows"]["done"], summary["rows"]);
    assert_eq!(last["rows"]["ok"], 50);
    assert_eq!((&last["rows"]["total"], &last["rows"]["total_is_exact"]), (&json!(50), &json!(true)));
    assert_eq!(last["rows"]["under_way"], 0);
    for name in ["input", "output"] {
        assert_eq!(last["tokens"][name], summary["tokens"][name]);
        assert!(last["tokens"][name].as_u64() > Some(0));
    }
    let names: Vec<&Value> = last["keys"].as_array().expect("a list").iter().map(|key| &key["key"]).collect();
    assert_eq!(names, ["k0", "k1"]);
}

#[test]
fn quiet_still_tells_programs_what_they_asked_for() {
    let sim = Sim::start_on_thread(SimSpec::with_keys(1)).expect("port 0 is always free");
    let desk = desk(&sim, 3);
    let ended = desk.run(&["batch", "in.jsonl", "-o", "out.jsonl", "--quiet", "--json-progress"]);
    let last: Value =
        serde_json::from_str(ended.exited(0).stderr.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["stage"], &last["rows"]["ok"]), (&json!("over"), &json!(3)));
    assert_eq!(ended.stdout, "");
}
