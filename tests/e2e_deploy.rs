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
