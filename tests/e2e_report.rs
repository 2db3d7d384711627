//! The report of `keywheel batch`, opened in a browser: its numbers are the summary's, it needs nothing from
//! elsewhere, and a phone shows it without scrolling sideways.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use keywheel::sim::{Conduct, FaultRates, HeaderStyle, Latency, LimitSpec, Sim, SimSpec, provider_toml};
use serde_json::{Value, json};

use support::millis;
use support::program::Desk;

/// Names that a browser of this family goes by.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Width of a common phone, in pixels.
const PHONE_WIDTH: u64 = 390;

fn start(spec: SimSpec) -> Sim {
    Sim::start_on_thread(spec).expect("port 0 is always free")
}

fn desk(sim: &Sim, rows: usize) -> Desk {
    let row = |number: usize| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        json!({"custom_id": format!("row-{number}"), "url": "/v1/chat/completions", "body": body}).to_string()
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    Desk::new(&provider_toml(&sim.base_url(), sim.spec())).with("in.jsonl", &rows.join("\n"))
}

/// Throttles, faults and a dead key: something in every picture.
fn eventful() -> Sim {
    let faults = FaultRates { error: 0.1, ..FaultRates::default() };
    let spec = SimSpec { faults, seed: 5, headers: HeaderStyle::None, ..SimSpec::with_keys(4) };
    let spec = spec.limited(LimitSpec::requests(8, millis(300))).first_byte(Latency::Fixed(millis(5)));
    start(spec.key(3, |key| key.conducting(Conduct::Invalid)))
}

/// The page as the browser has it after reading it.
fn opened(page: &Path) -> String {
    let browser = BROWSERS
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
        .expect("these tests open reports in a browser: install the package `chromium` (apt-get install chromium)");
    let profile = tempfile::tempdir().expect("a directory for the browser");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8(output.stdout).expect("a page is text");
    assert!(!dom.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    dom
}

/// What stands in an attribute, from the first place after `mark`.
fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        text.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {text:.200}"));
    rest.split_once('"').expect("it ends").0
}

/// Every `data-value` by its `data-name`.
fn values(dom: &str) -> BTreeMap<&str, f64> {
    let pieces = dom.split("data-name=\"").skip(1);
    pieces
        .map(|piece| {
            let name = piece.split_once('"').expect("it ends").0;
            (name, attribute(piece, "data-value").parse().expect("a number"))
        })
        .collect()
}

fn number(summary: &Value, path: &str) -> f64 {
    let value = path.split('.').fold(summary, |value, name| &value[name]);
    value.as_f64().unwrap_or_else(|| panic!("no {path} in {summary}"))
}

#[test]
fn a_browser_reads_the_numbers_of_the_summary() {
    let sim = eventful();
    let desk = desk(&sim, 120);
    let words =
        ["batch", "in.jsonl", "-o", "out.jsonl", "--json", "--report", "a & <b>.html", "--attempts", "20"];
    let summary = desk.run(&words).exited(0).summary();
    let dom = opened(&desk.path("a%20&%20<b>.html"));

    let numbers =
        dom.split_once("id=\"numbers\"").expect("the numbers").1.split_once("</dl>").expect("they end").0;
    let told = values(numbers);
    let names = [
        "rows",
        "ok",
        "failed",
        "calls",
        "throttled_calls",
        "dead_key_calls",
        "provider_fault_calls",
        "retried_rows",
        "tokens.input",
        "tokens.output",
        "makespan_s",
        "waste",
    ];
    for name in names {
        assert!((told[name] - number(&summary, name)).abs() < 1e-9, "{name}: {told:?} {summary}");
    }
    assert!(told["throttled_calls"] > 0.0 && told["provider_fault_calls"] > 0.0, "an eventful run: {told:?}");

    let keys = summary["keys"].as_array().expect("a list");
    for key in keys {
        let name = |name: &str| key[name].as_str().expect("a name").to_owned();
        let mark = format!("data-key=\"{}/{}\"", name("provider"), name("key"));
        let row =
            dom.split_once(&mark).expect("each key has a row").1.split_once("</tr>").expect("it ends").0;
        let told = values(row);
        for name in ["calls", "succeeded", "throttled", "failed", "tokens"] {
            assert!((told[name] - number(key, name)).abs() < 1e-9, "{name} of {key}");
        }
    }
    let flow: u64 = dom
        .split("data-calls=\"")
        .skip(1)
        .map(|piece| piece.split_once('"').expect("it ends").0.parse::<u64>().expect("a number"))
        .sum();
    let wrong = ["throttled_calls", "dead_key_calls", "provider_fault_calls"];
    let wrong: f64 = wrong.iter().map(|name| number(&summary, name)).sum();
    assert!((flow as f64 - wrong).abs() < 1e-9, "each call that went wrong is in the flow: {flow} {wrong}");
    assert!(dom.contains("of what the keys allow") || summary["utilisation"].is_null());
}

#[test]
fn a_report_needs_nothing_from_elsewhere_and_fits_a_phone() {
    let sim = eventful();
    let desk = desk(&sim, 60);
    desk.run(&[
        "batch",
        "in.jsonl",
        "-o",
        "out.jsonl",
        "--quiet",
        "--report",
        "report.html",
        "--attempts",
        "20",
    ])
    .exited(0);
    let page = desk.read("report.html");
    for word in ["<script", "<link", "<img", "<iframe", "src=", "href=", "@import", "url(h", "url(/"] {
        assert!(!page.contains(word), "{word}");
    }
    for secret in ["sk-0", "sk-1"] {
        assert!(!page.contains(secret), "a secret is in the report");
    }

    // A page cannot measure itself without a script; a frame around it can.
    let quoted = page.replace('&', "&amp;").replace('"', "&quot;");
    let frame = format!(
        "<!DOCTYPE html><body><iframe id=\"frame\" style=\"width:{PHONE_WIDTH}px;height:800px;border:0\" srcdoc=\"{quoted}\"></iframe>\
         <script>frame.onload = () => document.body.setAttribute('data-width', frame.contentDocument.documentElement.scrollWidth)</script>"
    );
    let desk = desk.with("frame.html", &frame);
    let dom = opened(&desk.path("frame.html"));
    let width: u64 = attribute(&dom, "data-width").parse().expect("the frame was measured");
    assert!(width <= PHONE_WIDTH, "{width} pixels");
}

#[test]
fn a_run_that_was_interrupted_has_its_report() {
    let sim = start(SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(40))));
    let desk = desk(&sim, 2_000);
    let words = [
        "batch",
        "in.jsonl",
        "-o",
        "out.jsonl",
        "--json",
        "--json-progress",
        "--concurrency",
        "8",
        "--report",
        "r.html",
    ];
    let mut running = desk.start(&words, &[]);
    running.err.line_with("\"stage\":\"running\"");
    running.interrupt();
    let summary = running.end().exited(130).summary();
    let page = desk.read("r.html");
    let said = format!("Interrupted: {} of ", summary["ok"]);
    assert!(page.contains(&said), "{said} {}", attribute(&page, "id"));
    assert!((values(&page)["not_run"] - number(&summary, "not_run")).abs() < 1e-9);
}

#[test]
fn a_wrong_place_for_the_report_costs_no_call() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim, 3);
    for place in ["no/where/report.html", ".", "in.jsonl", "out.jsonl"] {
        let ended = desk.run(&["batch", "in.jsonl", "-o", "out.jsonl", "--report", place]);
        let told = &ended.exited(2).stderr;
        assert!(told.contains("the report can't be written to") && told.contains("hint: "), "{told}");
    }
    assert_eq!((sim.ledger().calls, desk.read("out.jsonl").as_str()), (0, ""));
}
