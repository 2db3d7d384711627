//! Money and time of a batch as its user meets them: told beforehand, kept to, and told afterwards.

mod support;

use keywheel::sim::{Sim, SimSpec, provider_toml};
use serde_json::{Value, json};

use support::program::Desk;

/// A million tokens of input cost 1, a million of output 10.
const PRICES: &str = "[[price]]\nmodel = \"m\"\ninput = 1\noutput = 10\n\n";

fn start(spec: SimSpec) -> Sim {
    Sim::start_on_thread(spec).expect("port 0 is always free")
}

/// A row of one model that may be answered with ten tokens.
fn row(number: usize, model: &str) -> String {
    let body =
        json!({"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": "say something"}]});
    json!({"custom_id": format!("row-{number}"), "method": "POST", "url": "/v1/chat/completions", "body": body})
        .to_string()
}

fn rows(count: usize) -> String {
    (0..count).map(|number| row(number, "m") + "\n").collect()
}

fn desk(sim: &Sim, prices: &str, rows: &str) -> Desk {
    Desk::new(&format!("{prices}{}", provider_toml(&sim.base_url(), sim.spec()))).with("in.jsonl", rows)
}

fn run(desk: &Desk, more: &[&str], code: i32) -> Value {
    let words = [&["batch", "in.jsonl", "-o", "out.jsonl", "--json"], more].concat();
    desk.run(&words).exited(code).summary()
}

/// An exact amount in millionths.
fn micros(amount: &Value) -> u64 {
    let text = amount.as_str().unwrap_or_else(|| panic!("an amount is a text: {amount}"));
    let (whole, decimals) = text.split_once('.').expect("at least two decimals");
    let micros = format!("{decimals:0<6}");
    assert_eq!(micros.len(), 6, "tokens cost whole millionths here: {text}");
    whole.parse::<u64>().expect("a number") * 1_000_000 + micros.parse::<u64>().expect("a number")
}

#[test]
fn a_dry_run_tells_everything_and_touches_nothing() {
    let sim = start(SimSpec::with_keys(2));
    let input = format!("{}not json\n\n{}{}\n", rows(100), row(100, "other") + "\n", row(100, "other"));
    let config = format!(
        "{PRICES}[[provider]]\nid = \"local\"\ndialect = \"openai\"\nbase_url = \"{}\"\n\
         limits = {{ rpm = 60, burst = 1 }}\n[[provider.key]]\nname = \"k0\"\nsecret = \"sk-0\"\n",
        sim.base_url()
    );
    let desk = Desk::new(&config).with("in.jsonl", &input);
    let told = run(&desk, &["--dry-run", "--on-duplicate", "fail-row"], 0);

    let rows = &told["rows"];
    assert_eq!((&rows["new"], &rows["done_before"], &rows["unserved"]), (&json!(101), &json!(0), &json!(0)));
    assert_eq!((&rows["bad"], &rows["bad_lines"]), (&json!(1), &json!([101])));
    assert_eq!((&rows["duplicates"], &rows["duplicate_lines"]), (&json!(1), &json!([104])));
    assert_eq!(told["output_tokens"], 1_010);
    let known = &told["by_model"][0];
    assert_eq!(
        (&known["model"], &known["rows"], &known["output_tokens"]),
        (&json!("m"), &json!(100), &json!(1_000))
    );
    let input_tokens = known["input_tokens"].as_u64().expect("a count");
    assert_eq!(micros(&known["cost"]), input_tokens + 10 * 1_000);
    assert_eq!((&told["cost"]["currency"], &told["cost"]["most"]), (&json!("USD"), &Value::Null));
    assert_eq!(told["unpriced"], json!(["local/other"]));
    assert_eq!(told["time"]["least_s"], 100.0, "one at once and one a second");
    assert_eq!(
        (&told["time"]["bottleneck"]["limit"], &told["time"]["bottleneck"]["accounts"]),
        (&json!("requests"), &json!(1))
    );

    assert_eq!(sim.ledger().calls, 0);
    assert!(!desk.path("out.jsonl").exists());
}

#[test]
fn a_run_tells_what_it_has_cost() {
    let sim = start(SimSpec::with_keys(2));
    let summary = run(&desk(&sim, PRICES, &rows(50)), &[], 0);
    let cost = &summary["cost"];
    let tokens = |name: &str| summary["tokens"][name].as_u64().expect("a count");
    assert_eq!(micros(&cost["spent"]), tokens("input") + 10 * tokens("output"));
    assert_eq!((&cost["currency"], &cost["unknown_calls"]), (&json!("USD"), &json!(0)));
    assert_eq!(cost["by_model"][0]["cost"], cost["spent"]);
    assert_eq!(run(&desk(&sim, "", &rows(1)), &[], 0)["cost"], Value::Null);
}

#[test]
fn a_budget_is_not_exceeded() {
    let sim = start(SimSpec::with_keys(2));
    let whole = micros(&run(&desk(&sim, PRICES, &rows(100)), &[], 0)["cost"]["spent"]);
    let half = format!("0.{:06}", whole / 2);
    let summary = run(&desk(&sim, PRICES, &rows(100)), &["--max-cost", &half], 4);
    assert_eq!(summary["ending"], "budget_spent");
    let spent = micros(&summary["cost"]["spent"]);
    assert!(spent > 0 && spent <= whole / 2, "{spent} of {whole}");
    let numbers = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!((numbers("lost"), numbers("failed")), (0, 0));
    assert!(numbers("ok") < 100 && numbers("not_run") > 0, "{summary}");
}

#[test]
fn the_same_command_with_a_larger_budget_goes_on() {
    let sim = start(SimSpec::with_keys(2));
    let whole = run(&desk(&sim, PRICES, &rows(100)), &[], 0);
    let whole = micros(&whole["cost"]["spent"]);
    let desk = desk(&sim, PRICES, &rows(100));
    let half = format!("0.{:06}", whole / 2);
    let first = run(&desk, &["--max-cost", &half], 4);
    let done = first["ok"].as_u64().expect("a count");

    let told = run(&desk, &["--dry-run"], 0);
    assert_eq!((&told["rows"]["done_before"], &told["rows"]["new"]), (&json!(done), &json!(100 - done)));

    let second = run(&desk, &["--max-cost", "5"], 0);
    assert_eq!(second["ok"], 100 - done);
    assert_eq!(
        micros(&first["cost"]["spent"]) + micros(&second["cost"]["spent"]),
        whole,
        "nothing is paid twice"
    );
    assert_eq!(desk.read("out.jsonl").lines().count(), 100);
    assert_eq!(sim.ledger().calls, 200);
}

#[test]
fn a_budget_without_prices_is_refused_before_any_call() {
    let sim = start(SimSpec::with_keys(1));
    let words = ["batch", "in.jsonl", "-o", "out.jsonl", "--max-cost", "5"];
    let none = desk(&sim, "", &rows(1)).run(&words);
    assert!(none.exited(2).stderr.contains("--max-cost needs prices"), "{}", none.stderr);
    let input = rows(1) + &row(1, "other");
    let desk = desk(&sim, PRICES, &input);
    let one = desk.run(&words);
    assert!(
        one.exited(2).stderr.contains("--max-cost can't be kept: there is no price for "),
        "{}",
        one.stderr
    );
    assert!(!desk.path("out.jsonl").exists());
    // A pipe is not read twice: there the first such row ends the run.
    let piped = desk.run_fed(&["batch", "-", "-o", "-", "--max-cost", "5"], &row(0, "other"));
    assert!(piped.exited(2).stderr.contains("/other` has no price"), "{}", piped.stderr);
    assert_eq!(sim.ledger().calls, 0);
}

#[test]
fn rows_and_time_are_kept_to() {
    let sim = start(SimSpec::with_keys(2));
    let summary = run(&desk(&sim, "", &rows(30)), &["--max-rows", "7"], 4);
    assert_eq!((&summary["ending"], &summary["ok"]), (&json!("max_rows_taken"), &json!(7)));
    assert_eq!(sim.ledger().calls, 7);
    let all = run(&desk(&sim, "", &rows(7)), &["--max-rows", "7"], 0);
    assert_eq!(all["ending"], "complete");
    let late = run(&desk(&sim, "", &rows(30)), &["--deadline", "0s"], 4);
    assert_eq!(
        (&late["ending"], &late["ok"], &late["failed"]),
        (&json!("deadline_over"), &json!(0), &json!(0))
    );
    assert_eq!(sim.ledger().calls, 14, "not one more");
}
