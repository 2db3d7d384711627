//! The service and the container start what there is: their command lines are run as they are written.
#![cfg(unix)]

mod support;

use std::fs;

use keywheel::sim::SimSpec;
use support::live::{desk, start};
use support::program::Desk;

/// The words of a command line, without the program.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// The same over the files of `desk`.
fn here(words: &[String], desk: &Desk) -> Vec<String> {
    let path = |name: &str| desk.path(name).to_string_lossy().into_owned();
    let here = |word: &String| {
        word.replace("/etc/keywheel/keywheel.toml", &path("keywheel.toml"))
            .replace("/var/lib/keywheel", &path("kept"))
    };
    words.iter().map(here).collect()
}

fn serves(desk: &Desk, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut program = desk.start(&words, &[]);
    program.err.line_with("listening on http://");
    program.signal("TERM");
    program.end().exited(0);
    assert!(desk.path("kept").is_dir(), "its state is where it belongs");
}

#[test]
fn the_service_starts_and_stops() {
    let unit = fs::read_to_string("deploy/keywheel.service").expect("it is there");
    let line = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name));
        words(line.unwrap_or_else(|| panic!("no {name}")))
    };
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let check = here(&line("ExecStartPre="), &desk);
    desk.run(&check.iter().map(String::as_str).collect::<Vec<_>>()).exited(0);
    let mut serve = here(&line("ExecStart="), &desk);
    serve.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    serves(&desk, &serve);
}

#[test]
fn the_container_starts_and_stops() {
    let file = fs::read_to_string("deploy/Containerfile").expect("it is there");
    let list = |name: &str| -> Vec<String> {
        let line = file.lines().find_map(|line| line.strip_prefix(name));
        serde_json::from_str(line.unwrap_or_else(|| panic!("no {name}"))).expect("a list")
    };
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let mut serve = here(&list("ENTRYPOINT ")[1..], &desk);
    serve.extend(list("CMD ").iter().map(|word| word.replace("0.0.0.0:8080", "127.0.0.1:0")));
    serves(&desk, &serve);
}

#[tokio::test]
async fn the_containers_dashboard_is_reached_with_a_token_and_never_without() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let file = fs::read_to_string("deploy/Containerfile").expect("it is there");
    let shown = file.lines().find(|line| line.contains("--set admin.token=")).expect("how to reach it");
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let wanted: Vec<String> = words(shown)
        .iter()
        .map(|word| word.replace("0.0.0.0:8080", "127.0.0.1:0").replace("0.0.0.0:9090", "0.0.0.0:0"))
        .chain(["--json".to_owned()])
        .collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    desk.run(&wanted).exited(2);

    let mut program = desk.start(&wanted, &[("KEYWHEEL_ADMIN_TOKEN", TOKEN)]);
    let started: serde_json::Value =
        serde_json::from_str(&program.out.line_with("listening")).expect("a line of JSON");
    let admin = started["admin"].as_str().expect("an address").replace("0.0.0.0", "127.0.0.1");
    // No certificate is ever asked for, but the client wants to be able to.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    for (method, path, stranger, friend) in
        [("GET", "/metrics", 401, 200), ("HEAD", "/metrics", 401, 200), ("HEAD", "/livez", 200, 200)]
    {
        let ask = || client.request(method.parse().expect("a method"), format!("{admin}{path}"));
        assert_eq!(ask().send().await.expect("an answer").status(), stranger, "{method} {path}");
        assert_eq!(
            ask().bearer_auth(TOKEN).send().await.expect("an answer").status(),
            friend,
            "{method} {path}"
        );
    }
    program.signal("TERM");
    program.end().exited(0);
}
