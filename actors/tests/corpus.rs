//! The dialects against error bodies in the shapes that vendors use, one file for each source row.
//!
//! `now` is Thu, 01 Jan 2026 00:00:00 GMT in all of them. `expect: null` means success.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use keywheel_actors::dialect::{Anthropic, Dialect, Gemini, OpenAi};
use serde::Deserialize;
use serde_json::{Value, json};

const NOW_UNIX_SECS: u64 = 1_767_225_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Where the row stands; for whoever mends it.
    #[serde(rename = "source")]
    _source: String,
    status: u16,
    headers: BTreeMap<String, String>,
    /// JSON, or a string for a body that is none.
    body: Value,
    expect: Value,
}

#[test]
fn every_body_of_openai_and_its_kin_means_what_its_row_says() {
    check(&OpenAi);
}

#[test]
fn every_body_of_anthropic_means_what_its_row_says() {
    check(&Anthropic);
}

#[test]
fn every_body_of_google_means_what_its_row_says() {
    check(&Gemini);
}

#[track_caller]
fn check(dialect: &dyn Dialect) {
    let files = corpus(dialect.name());
    assert!(!files.is_empty(), "the corpus is empty");
    let wrong: Vec<String> = files.iter().filter_map(|file| difference(dialect, file)).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

fn corpus(name: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the corpus is there")
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    files.sort();
    files
}

fn difference(dialect: &dyn Dialect, file: &Path) -> Option<String> {
    let name = file.file_stem().expect("a named file").to_string_lossy().into_owned();
    let case: Case = serde_json::from_slice(&fs::read(file).expect("a readable file"))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let read = reading(dialect, &case);
    (read != case.expect).then(|| format!("{name}: read {read}, expected {}", case.expect))
}

fn reading(dialect: &dyn Dialect, case: &Case) -> Value {
    let headers: HeaderMap = case
        .headers
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
        })
        .collect();
    let body = match &case.body {
        Value::String(text) => text.clone().into_bytes(),
        body => body.to_string().into_bytes(),
    };
    let status = StatusCode::from_u16(case.status).expect("a status");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_UNIX_SECS);
    let Some(fault) = dialect.fault_in(status, &headers, &body, now) else { return Value::Null };
    assert_eq!(fault.status, Some(case.status));
    json!({
        "reason": fault.reason,
        "scope": fault.scope,
        "rest_ms": fault.rest.map(|rest| u64::try_from(rest.as_millis()).expect("a rest below ten years")),
        "code": fault.code,
    })
}
