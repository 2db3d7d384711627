//! A batch that goes on where the last one ended, and what it writes in which form.

mod support;

use std::process::Command;
use std::time::Duration;

use keywheel::sim::{Change, FaultRates, Latency, Sim, SimSpec, provider_toml};
use serde_json::{Value, json};

use support::millis;
use support::program::{Desk, Program};

fn start(spec: SimSpec) -> Sim {
    Sim::start_on_thread(spec).expect("port 0 is always free")
}

fn desk(sim: &Sim, rows: &[String]) -> Desk {
    Desk::new(&provider_toml(&sim.base_url(), sim.spec())).with("in.jsonl", &rows.join("\n"))
}

fn row(custom_id: &str, content: &str) -> String {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    json!({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
}

/// Rows that the provider answers.
fn rows(count: usize) -> Vec<String> {
    (0..count).map(|number| row(&format!("row-{number}"), &format!("say {number}"))).collect()
}

/// A row that the provider refuses, again and again.
fn refused(custom_id: &str) -> String {
    json!({"custom_id": custom_id, "url": "/v1/chat/completions", "body": {"model": "m"}}).to_string()
}

const TO_OUT: [&str; 5] = ["batch", "in.jsonl", "-o", "out.jsonl", "--json"];

/// Name and words of each line, in the order of OUT.
fn said(desk: &Desk) -> Vec<(String, String)> {
    let text = desk.read("out.jsonl");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"));
    let words = |line: &Value| {
        let said = line["response"]["body"]["choices"][0]["message"]["content"].as_str().unwrap_or("failed");
        said.rsplit(": ").next().unwrap_or_default().to_owned()
    };
    lines.map(|line| (line["custom_id"].as_str().unwrap_or("-").to_owned(), words(&line))).collect()
}

fn numbers<const N: usize>(summary: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| summary[name].as_u64().expect("a number"))
}

#[test]
fn the_same_command_again_pays_for_what_was_changed_alone() {
    let sim = start(SimSpec::with_keys(2));
    let mut asked = rows(100);
    let desk = desk(&sim, &asked);
    desk.run(&TO_OUT).exited(0);
    let again = desk.run(&TO_OUT);
    assert!(again.stderr.contains("goes on with out.jsonl: 100 rows are done\n"), "{}", again.stderr);
    assert_eq!(numbers(&again.exited(0).summary(), ["rows", "ok", "done_before"]), [0, 0, 100]);
    assert_eq!(sim.ledger().calls, 100);

    for number in [3, 50, 99] {
        asked[number] = row(&format!("row-{number}"), &format!("shout {number}"));
    }
    asked.remove(7);
    asked.push(row("row-new", "say hello"));
    let desk = desk.with("in.jsonl", &asked.join("\n"));
    let summary = desk.run(&TO_OUT).exited(0).summary();
    assert_eq!(numbers(&summary, ["rows", "ok", "done_before", "lost"]), [4, 4, 96, 0]);
    assert_eq!(sim.ledger().calls, 104);
    let mut said = said(&desk);
    said.sort();
    let shouted = said.iter().filter(|(_, words)| words.starts_with("shout")).count();
    assert_eq!((said.len(), shouted), (101, 3), "also the row that the input no longer has");
    said.dedup_by(|one, other| one.0 == other.0);
    assert_eq!(said.len(), 101);
}

#[test]
fn ctrl_c_says_how_to_go_on_and_nothing_is_paid_twice() {
    let sim = start(SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(30))));
    let desk = desk(&sim, &rows(400));
    let running = desk.start(&[&TO_OUT[..], &["--concurrency", "8", "--force"]].concat(), &[]);
    until(|| sim.ledger().calls >= 20);
    running.interrupt();
    let ended = running.end();
    let hint = "hint: go on with: ";
    let line = ended.exited(130).stderr.lines().find(|line| line.contains(hint)).expect("a hint").to_owned();
    assert!(line.ends_with("keywheel batch in.jsonl -o out.jsonl --json --concurrency 8"), "{line}");
    sim.apply(Change::FirstByte(Latency::NONE)).expect("always possible");
    let summary = desk.run(&TO_OUT).exited(0).summary();
    let [rows, done] = numbers(&summary, ["rows", "done_before"]);
    assert_eq!((rows + done, sim.ledger().calls), (400, 400));
    assert_eq!(said(&desk).len(), 400);
}

#[test]
fn failures_that_may_pass_run_again_on_request() {
    let faults = FaultRates { error: 1.0, ..FaultRates::default() };
    let sim = start(SimSpec { faults, ..SimSpec::with_keys(1) });
    let desk = desk(&sim, &[rows(2), vec![refused("never")]].concat());
    let words = [&TO_OUT[..], &["--attempts", "1"]].concat();
    desk.run(&words).exited(3);
    sim.apply(Change::Faults(FaultRates::default())).expect("always possible");
    let again = desk.run(&words);
    assert!(
        again.stderr.contains("failed for a reason that may pass\n  hint: --retry-failed"),
        "{}",
        again.stderr
    );
    let calls = sim.ledger().calls;
    assert_eq!(numbers(&again.exited(3).summary(), ["rows", "done_before"]), [0, 3]);
    let retried = desk.run(&[&words[..], &["--retry-failed"]].concat());
    assert!(numbers(&retried.exited(3).summary(), ["ok"])[0] > 0);
    assert!(sim.ledger().calls > calls);
    assert_eq!(said(&desk).len(), 3, "{:?}", said(&desk));
}

#[test]
fn the_error_file_is_an_input() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, &[refused("a"), row("b", "say b"), "{torn".to_owned(), refused("c")]);
    let summary = desk.run(&TO_OUT).exited(3).summary();
    assert_eq!(summary["errors_file"], "out.errors.jsonl");
    let errors = desk.read("out.errors.jsonl");
    let mut found: Vec<String> = errors
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("every line is JSON");
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("custom_id"), text("input"), line["error"]["line"])
        })
        .collect();
    found.sort();
    assert_eq!(found, ["- {torn 3", "a - 1", "c - 4"]);

    // Mended by the provider, as it were: now it takes the rows.
    let mended = errors.replace(r#""body":{"#, r#""body":{"messages":[{"role":"user","content":"hi"}],"#);
    let desk = desk.with("mended.jsonl", &mended);
    let summary = desk.run(&["batch", "mended.jsonl", "-o", "more.jsonl", "--json"]).exited(3).summary();
    assert_eq!(numbers(&summary, ["rows", "ok", "failed", "invalid"]), [3, 2, 0, 1]);
}

#[test]
fn an_error_file_is_never_written_while_it_is_read() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, &[refused("a")]);
    desk.run(&TO_OUT).exited(3);
    let errors = desk.read("out.errors.jsonl");
    for words in [
        &["batch", "out.errors.jsonl", "-o", "out.jsonl"][..],
        &["batch", "out.errors.jsonl", "-o", "more.jsonl", "--errors", "out.errors.jsonl", "--force"][..],
    ] {
        let refused = desk.run(words);
        let problem = "error: out.errors.jsonl is the input as well as the error file\n  hint: ";
        assert!(refused.exited(2).stderr.contains(problem), "{}", refused.stderr);
    }
    assert_eq!(desk.read("out.errors.jsonl"), errors);
}

#[test]
fn an_error_file_that_was_moved_away_makes_nothing_run_again() {
    let sim = start(SimSpec::with_keys(2));
    // The first row fails: all others have their lines behind its own.
    let desk = desk(&sim, &[vec![refused("a")], rows(50)].concat());
    let words = [&TO_OUT[..], &["--concurrency", "1"]].concat();
    desk.run(&words).exited(3);
    let (out, errors) = (desk.path("out.errors.jsonl"), desk.path("rows-to-mend.jsonl"));
    std::fs::rename(&out, &errors).expect("the directory is ours");
    let refused = desk.run(&words);
    let problem = "error: out.errors.jsonl is shorter than it was, or gone: \
                   51 rows would run again, whose lines are in out.jsonl\n  hint: bring it back as it was";
    assert!(refused.exited(2).stderr.contains(problem), "{}", refused.stderr);
    std::fs::rename(&errors, &out).expect("the directory is ours");
    assert_eq!(numbers(&desk.run(&words).exited(3).summary(), ["rows", "done_before"]), [0, 51]);
    assert_eq!(sim.ledger().calls, 51);
}

#[test]
fn lines_that_are_gone_are_told_and_run_again() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim, &rows(50));
    desk.run(&TO_OUT).exited(0);
    let rest: Vec<String> = desk.read("out.jsonl").lines().take(20).map(|line| format!("{line}\n")).collect();
    let desk = desk.with("out.jsonl", &rest.concat());
    let again = desk.run(&TO_OUT);
    let [rows, done] = numbers(&again.exited(0).summary(), ["rows", "done_before"]);
    let told = format!("{done} rows are done; {rows} lines that it had are gone, their rows run again\n");
    assert!(rows >= 30 && again.stderr.contains(&told), "{}", again.stderr);
    assert_eq!((rows + done, sim.ledger().calls), (50, 50 + rows));
}

#[test]
fn an_error_file_without_a_directory_is_told_before_any_call() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, &[refused("a"), row("b", "say b")]);
    let refused = desk.run(&[&TO_OUT[..], &["--errors", "nowhere/errors.jsonl"]].concat());
    let problem = "error: can't write to nowhere/errors.jsonl: ";
    assert!(refused.exited(2).stderr.contains(problem), "{}", refused.stderr);
    assert_eq!(sim.ledger().calls, 0);
}

#[test]
fn the_configuration_is_never_replaced_not_even_by_force() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, &rows(2));
    let config = desk.read("keywheel.toml");
    for (words, problem) in [
        (&["-o", "keywheel.toml"][..], "keywheel.toml is the configuration as well as the output"),
        (&["-o", "out", "--errors", "./keywheel.toml"], "is the configuration as well as the error file"),
        (&["-o", "out", "--report", "keywheel.toml"], "keywheel.toml: it is the configuration"),
        (&["-o", "out", "--report", "out.errors.jsonl"], "out.errors.jsonl: it is the error file"),
    ] {
        let refused = desk.run(&[&["batch", "in.jsonl", "--force"][..], words].concat());
        assert!(refused.exited(2).stderr.contains(problem), "{}", refused.stderr);
    }
    assert_eq!((desk.read("keywheel.toml"), sim.ledger().calls), (config, 0));
}

#[test]
fn words_alone_stand_in_the_order_of_the_input() {
    let sim = start(SimSpec::with_keys(3).first_byte(Latency::Uniform { from: millis(1), to: millis(30) }));
    let asked = [rows(30), vec![refused("none")], vec![row("last", "say it")]].concat();
    let desk = desk(&sim, &asked);
    let words = ["batch", "in.jsonl", "-o", "-", "--output-format", "text", "--order", "input", "--quiet"];
    let ended = desk.run(&words);
    let lines: Vec<&str> =
        ended.exited(3).stdout.lines().map(|line| line.rsplit(": ").next().unwrap()).collect();
    let expected: Vec<String> = (0..30).map(|number| format!("say {number}")).collect();
    assert_eq!(lines[..30], expected);
    assert_eq!(lines[30..], ["", "say it"]);
}

#[test]
fn two_runs_never_write_one_output() {
    let sim = start(SimSpec::with_keys(1).first_byte(Latency::Fixed(Duration::from_secs(3_600))));
    let config = provider_toml(&sim.base_url(), sim.spec());
    // Another configuration has another state: only the output is common.
    let other = format!("[state]\ndir = \"elsewhere\"\n\n{config}");
    let desk = desk(&sim, &rows(3)).with("other.toml", &other);
    private(&desk, "other.toml");
    let running: Program = desk.start(&TO_OUT, &[]);
    until(|| sim.ledger().calls > 0);
    for force in [&[][..], &["--force"][..]] {
        let refused = desk.run(&[&TO_OUT[..], &["--config", "other.toml"], force].concat());
        assert!(
            refused.exited(2).stderr.contains("error: another keywheel is writing out.jsonl"),
            "{}",
            refused.stderr
        );
    }
    running.kill();
}

/// A limit on the length of files does what a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_the_same_command_goes_on() {
    /// Of 512 or 1,024 bytes, as the shell has it: less than the answers need, more than the state does.
    const BLOCKS: u64 = 1_024;
    const ROWS: usize = 6_000;
    let sim = start(SimSpec::with_keys(4));
    let desk = desk(&sim, &rows(ROWS));
    let binary = env!("CARGO_BIN_EXE_keywheel");
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec {binary} {}", TO_OUT.join(" "));
    let mut limited = Command::new("sh");
    limited.args(["-c", &script]).current_dir(desk.path("")).env_clear().env("HOME", desk.path(""));
    let ended = limited.output().expect("a shell");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("hint: free some space, or mend what broke, and go on with: "), "{told}");
    let whole = desk.read("out.jsonl");
    assert!(whole.ends_with('\n') && whole.len() as u64 <= BLOCKS * 1_024, "no torn line is left");
    let calls = sim.ledger().calls;

    let summary = desk.run(&TO_OUT).exited(0).summary();
    let [rows, done] = numbers(&summary, ["rows", "done_before"]);
    assert_eq!((rows + done, done), (ROWS as u64, whole.lines().count() as u64));
    assert_eq!(sim.ledger().calls, calls + rows);
    assert_eq!(said(&desk).len(), ROWS);
}

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

#[cfg(unix)]
fn private(desk: &Desk, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(desk.path(name), std::fs::Permissions::from_mode(0o600))
        .expect("the file is ours");
}

#[cfg(not(unix))]
fn private(_: &Desk, _: &str) {}
