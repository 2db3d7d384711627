//! What is wrong with a command line or a configuration is told at once, all of it, before any call.

mod support;

use keywheel::sim::{Outcome, Sim, SimSpec, provider_toml};

use support::program::{Desk, Ended};

const ROW: &str = r#"{"custom_id":"a","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}"#;
const BATCH: [&str; 4] = ["batch", "in.jsonl", "-o", "out.jsonl"];

/// It was refused, nothing was begun, and each of these is told.
#[track_caller]
fn assert_refused(desk: &Desk, ended: &Ended, told: &[&str]) {
    ended.exited(2);
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    for part in told {
        assert!(ended.stderr.contains(part), "`{part}` isn't told:\n{}", ended.stderr);
    }
    assert_eq!(ended.stdout, "");
    assert!(!desk.path("out.jsonl").exists(), "a refused run leaves no file behind");
}

#[test]
fn without_a_configuration_it_says_where_it_looked_and_what_to_do() {
    let desk = Desk::empty().with("in.jsonl", ROW);
    let ended = desk.run(&BATCH);
    let usual = desk.path("keywheel.toml").display().to_string();
    assert_refused(
        &desk,
        &ended,
        &[&usual, ".config/keywheel/keywheel.toml", "hint: ", "--config", "keywheel demo"],
    );

    let ended = desk.run(&[&BATCH[..], &["--config", "nowhere.toml"]].concat());
    assert_refused(&desk, &ended, &["nowhere.toml: can't read the file", "hint: `--config` names it"]);
}

#[test]
fn all_mistakes_of_file_variables_and_flags_are_told_at_once() {
    let config = r#"
fallback_order = ["openai", "nobody"]
[[provider]]
id = "openai"
dialect = "openai"
base_url = "http://api.example.com/v1"
[[provider.key]]
name = "a"
secret = "env:NOT_THERE"
limits = { rpm = 0 }
wieght = 3
"#;
    let desk = Desk::new(config).with("in.jsonl", ROW);
    let words = [&BATCH[..], &["--set", "provider.stranger.base_url=https://example.com"]].concat();
    let variables =
        [("KEYWHEEL__ROTATION__PICK", "quickest"), ("KEYWHEEL__PROVIDER__NOBODY__ENABLED", "true")];
    let ended = desk.start(&words, &variables).end();
    let told = [
        "the configuration has 8 mistakes",
        "keywheel.toml:2:29: fallback_order",
        "base_url",
        "NOT_THERE",
        "limits.rpm",
        "wieght",
        "weight",
        "KEYWHEEL__ROTATION__PICK",
        "fastest",
        "KEYWHEEL__PROVIDER__NOBODY__ENABLED",
        "--set provider.stranger.base_url",
    ];
    assert_refused(&desk, &ended, &told);
}

#[test]
fn what_was_typed_wrong_is_told_with_a_hint() {
    let sim = Sim::start_on_thread(SimSpec::default()).expect("port 0 is always free");
    let desk = Desk::new(&provider_toml(&sim.base_url(), sim.spec())).with("in.jsonl", ROW);
    for (more, told) in [
        (["--set", "rotation.pick"], "`--set` lacks its `=`"),
        (["--log", "=,="], "is no filter"),
        (["--concurrency", "0"], "--concurrency"),
    ] {
        assert_refused(&desk, &desk.run(&[&BATCH[..], &more].concat()), &[told]);
    }
    let ended = desk.run(&["batch", "nowhere.jsonl", "-o", "out.jsonl"]);
    assert_refused(&desk, &ended, &["can't read the rows from nowhere.jsonl", "hint: give a file of rows"]);
    assert_eq!(sim.ledger().calls, 0);
}

#[test]
fn variables_and_flags_stand_over_the_file() {
    let sim = Sim::start_on_thread(SimSpec::with_keys(2)).expect("port 0 is always free");
    let nobody = provider_toml("http://127.0.0.1:9/v1", sim.spec());
    let desk = Desk::new(&nobody).with("in.jsonl", ROW);
    let base_url = sim.base_url();
    let variables = [
        ("KEYWHEEL__PROVIDER__SIM__BASE_URL", base_url.as_str()),
        ("KEYWHEEL__PROVIDER__SIM__KEY__K0__ENABLED", "true"),
    ];
    let words = [&BATCH[..], &["--set", "provider.sim.key.k0.enabled=false"]].concat();
    desk.start(&words, &variables).end().exited(0);
    let ledger = sim.ledger();
    let served = |name| ledger.key(name).expect("the key exists").count(Outcome::Served);
    assert_eq!((served("k0"), served("k1")), (0, 1), "the flag outweighs the variable");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let sim = Sim::start_on_thread(SimSpec::default()).expect("port 0 is always free");
    let config = provider_toml(&sim.base_url(), sim.spec());
    let config = config.replace("secret =", "rotation = { pick = \"fastest\" }\nsecret =");
    let desk = Desk::new(&config).with("in.jsonl", ROW);
    let ended = desk.run(&BATCH);
    assert!(ended.exited(0).stderr.contains("`pick` chooses among keys"), "{}", ended.stderr);
}
