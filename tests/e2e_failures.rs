//! `keywheel failures` reads the log that runs leave behind: files made by hand here, so that every line is known.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use support::program::{Desk, Ended};

const CONFIG: &str = r#"
[failures]
dir = "log"
[[provider]]
id = "openai"
preset = "openai"
[[provider.key]]
name = "team-a"
secret = "env:KEY"
"#;

/// A line of the log.
fn line(at: &str, provider: &str, key: &str, reason: &str) -> String {
    let (scope, until) = match reason {
        "throttled" => ("lane", "\"2024-01-02T03:05:00.000Z\""),
        "bad_credential" => ("key", "\"never\""),
        _ => ("provider", "null"),
    };
    format!(
        r#"{{"at":"{at}","event":"call_failed","job":1,"request_id":"batch-00c0ffee-1","attempt":1,"provider":"{provider}","model":"gpt-4o-mini","key":"{key}","fingerprint":"0123456789ab","reason":"{reason}","scope":"{scope}","status":429,"code":null,"hint_ms":null,"decision":"rotate","until":{until},"took_ms":50,"message":"{key} says {reason}"}}"#
    )
}

/// Four failures on two days, a gap, and two lines that nobody can read.
fn desk() -> Desk {
    let desk = Desk::new(CONFIG);
    fs::create_dir(desk.path("log")).expect("the directory is ours");
    let first = [
        line("2024-01-02T03:04:05.000Z", "openai", "team-a", "throttled"),
        "{\"at\":\"2024-01-02T03:0".to_owned(),
        line("2024-01-02T03:04:06.000Z", "openai", "team-b", "bad_credential"),
        "what is this?".to_owned(),
    ];
    let second = [
        line("2024-01-02T23:00:00.000Z", "groq", "team-a", "server_error"),
        r#"{"at":"2024-01-02T23:30:00.000Z","event":"dropped","count":12}"#.to_owned(),
    ];
    let third = [line("2024-01-03T00:00:01.500Z", "openai", "team-a", "throttled")];
    desk.with("log/failures-2024-01-02.jsonl", &(first.join("\n") + "\n"))
        .with("log/failures-2024-01-02.1.jsonl", &(second.join("\n") + "\n"))
        .with("log/failures-2024-01-03.jsonl", &(third.join("\n") + "\n"))
        .with("log/notes.txt", "mine")
}

const VARIABLES: [(&str, &str); 2] = [("KEY", "sk-canary-0123456789"), ("TZ", "UTC")];

fn failures(desk: &Desk, words: &[&str]) -> Ended {
    desk.start(&[&["failures"], words].concat(), &VARIABLES).end()
}

/// Key and reason of each line shown.
fn shown(ended: &Ended) -> Vec<String> {
    let words = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {}", words[3], words[2])
    };
    ended.exited(0).stdout.lines().map(words).collect()
}

#[test]
fn all_failures_are_shown_oldest_first_and_what_can_t_be_read_is_counted() {
    let ended = failures(&desk(), &[]);
    let all = [
        "openai/team-a throttled",
        "openai/team-b bad_credential",
        "groq/team-a server_error",
        "events 12",
        "openai/team-a throttled",
    ];
    assert_eq!(shown(&ended), all);
    assert_eq!(
        ended.stdout.lines().next(),
        Some(
            "2024-01-02 03:04:05.000 throttled      openai/team-a gpt-4o-mini 429 after 50ms → tried again, \
             the model on this key rests until 03:05:00: team-a says throttled"
        )
    );
    assert!(ended.stderr.contains("2 lines could not be read"), "{}", ended.stderr);
    assert!(!ended.stdout.contains('\u{1b}'), "a pipe gets no colours");
}

#[test]
fn words_choose_among_them() {
    let desk = desk();
    let gap = "events 12";
    let chosen = |words: &[&str]| shown(&failures(&desk, words));
    assert_eq!(chosen(&["--provider", "groq"]), ["groq/team-a server_error", gap]);
    assert_eq!(chosen(&["--key", "team-b"]), ["openai/team-b bad_credential", gap]);
    assert_eq!(chosen(&["--model", "gpt-5"]), [gap]);
    let two = chosen(&["--reason", "bad_credential", "--reason", "server_error"]);
    assert_eq!(two, ["openai/team-b bad_credential", "groq/team-a server_error", gap]);
    assert_eq!(chosen(&["--since", "2024-01-03T00:00:00Z"]), ["openai/team-a throttled"]);
    assert_eq!(chosen(&["--since", "1m"]), [""; 0]);
    assert_eq!(chosen(&["--limit", "2"]), [gap, "openai/team-a throttled"]);
    assert_eq!(chosen(&["--limit", "0"]), [""; 0]);
}

#[test]
fn json_is_the_log_s_own_line() {
    let ended =
        failures(&desk(), &["--json", "--key", "team-b", "--reason", "bad_credential", "--limit", "2"]);
    let expected = line("2024-01-02T03:04:06.000Z", "openai", "team-b", "bad_credential");
    assert_eq!(ended.exited(0).stdout.lines().next(), Some(expected.as_str()));
}

#[test]
fn a_summary_counts_by_reason_and_key() {
    let desk = desk();
    let summary = failures(&desk, &["--summary", "--json"]).exited(0).summary();
    assert_eq!((summary["failures"].as_u64(), summary["missing"].as_u64()), (Some(4), Some(12)));
    assert_eq!(summary["by_reason"]["throttled"], 2);
    assert_eq!(summary["by_key"]["openai/team-a"]["throttled"], 2);
    let ended = failures(&desk, &["--summary", "--provider", "openai"]);
    let first = ended.exited(0).stdout.lines().nth(1).expect("a line under the header");
    assert_eq!(first.split_whitespace().collect::<Vec<_>>(), ["2", "throttled", "openai/team-a"]);
    assert!(ended.stdout.contains("12 events are missing"), "{}", ended.stdout);
}

#[test]
fn following_goes_on_across_files_until_ctrl_c() {
    let desk = desk();
    let words = ["failures", "--follow", "--limit", "1", "--json"];
    let mut program = desk.start(&words, &VARIABLES);
    program.out.line_with("2024-01-03T00:00:01.500Z");
    let append = |name: &str, text: &str| {
        let mut file = OpenOptions::new().append(true).create(true).open(desk.path(name)).expect("ours");
        file.write_all(text.as_bytes()).expect("it is written");
    };
    let (new, newest) = (
        line("2024-01-03T01:00:00.000Z", "openai", "new", "cut"),
        line("2024-01-04T01:00:00.000Z", "openai", "newest", "cut"),
    );
    append("log/failures-2024-01-03.jsonl", &new[..50]);
    append("log/failures-2024-01-03.jsonl", &format!("{}\n", &new[50..]));
    assert_eq!(program.out.line_with("\"new\""), new);
    append("log/failures-2024-01-04.jsonl", &format!("{newest}\n"));
    assert_eq!(program.out.line_with("newest"), newest);
    program.interrupt();
    let ended = program.end();
    assert_eq!(ended.exited(0).stdout.lines().count(), 3);
}

#[test]
fn an_unknown_reason_is_told_with_the_one_that_was_meant() {
    let ended = failures(&desk(), &["--reason", "trottled"]);
    assert!(ended.exited(2).stderr.contains("hint: did you mean `throttled`?"), "{}", ended.stderr);
    let ended = failures(&desk(), &["--since", "yesterday"]);
    assert!(ended.exited(2).stderr.contains("hint: write `2h`"), "{}", ended.stderr);
}

#[test]
fn without_a_log_there_is_nothing_to_show() {
    let desk = Desk::new(CONFIG);
    let ended = failures(&desk, &[]);
    assert_eq!(ended.exited(0).stdout, "");
    assert!(ended.stderr.contains("no such failure is logged"), "{}", ended.stderr);
    let summary = failures(&desk, &["--summary", "--json"]).exited(0).summary();
    assert_eq!(summary["failures"], 0);
}

#[test]
fn the_log_is_read_without_the_secrets_of_the_keys() {
    let ended = desk().start(&["failures", "--json"], &[("TZ", "UTC")]).end();
    assert_eq!(ended.exited(0).stdout.lines().count(), 5);
}
