//! What every verb says of itself, and of a slip: whoever changes a word sees what users will see.

mod support;

use clap::CommandFactory as _;
use keywheel::cli::Cli;
use support::program::Desk;

/// The words of every verb, those inside others included.
fn verbs() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, above: &[String], found: &mut Vec<Vec<String>>) {
        for inner in command.get_subcommands() {
            let mut words = above.to_vec();
            words.push(inner.get_name().to_owned());
            walk(inner, &words, found);
            found.push(words);
        }
    }
    let mut found = vec![Vec::new()];
    walk(&Cli::command(), &[], &mut found);
    found.sort();
    found
}

/// Runs `keywheel` with these words and one more.
fn told(desk: &Desk, words: &[String], last: &str) -> String {
    let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
    all.push(last);
    let ended = desk.run(&all);
    format!("exit {}\n--- stdout\n{}--- stderr\n{}", ended.code.unwrap_or(-1), ended.stdout, ended.stderr)
}

fn assert_told(kind: &str, told_of: impl Fn(&Desk, &[String]) -> String) {
    let desk = Desk::empty();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(format!("snapshots/{kind}"));
    settings.bind(|| {
        for words in verbs() {
            let name = if words.is_empty() { "keywheel".to_owned() } else { words.join("-") };
            insta::assert_snapshot!(name, told_of(&desk, &words));
        }
    });
}

#[test]
fn every_verb_explains_itself() {
    assert_told("help", |desk, words| told(desk, words, "--help"));
}

#[test]
fn every_verb_tells_a_slip_from_what_it_knows() {
    assert_told("slips", |desk, words| told(desk, words, "--jsno"));
}

#[test]
fn there_are_as_many_verbs_as_anybody_would_expect() {
    let verbs = verbs();
    for words in [
        "provider list",
        "provider add",
        "provider remove",
        "provider enable",
        "provider disable",
        "provider test",
        "provider keys list",
        "provider keys add",
        "provider keys set",
        "provider keys remove",
        "provider keys enable",
        "provider keys disable",
        "provider keys reset",
        "provider keys test",
        "provider keys status",
        "provider keys stats",
        "provider keys import",
        "config init",
        "config check",
        "config show",
        "config migrate",
        "config schema",
        "events",
        "failures",
        "completions",
        "man",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(verbs.iter().any(|verb| *verb == words), "{words:?}");
    }
}
