//! The dashboard in a real browser, led by mouse and keyboard, over a keywheel at work.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use keywheel::sim::{Conduct, Latency, Sim, SimSpec};
use serde_json::{Value, json};

use support::browser::Browser;
use support::live::{Batch, STATE, calls, desk_with, keys, start, status};
use support::millis;
use support::running::Running;

/// Width of the narrowest phones in use, in pixels.
const PHONE_WIDTH: u64 = 360;

/// Three keys, of which the last one is refused.
fn three() -> Sim {
    let spec = SimSpec::with_keys(3).first_byte(Latency::Fixed(millis(5)));
    start(spec.key(2, |key| key.conducting(Conduct::Invalid)))
}

/// The page, live.
fn opened(running: &Running) -> Browser {
    let mut browser = Browser::start();
    browser.open(&running.url());
    browser.until_text("#line", "Live");
    browser
}

/// The row of a key.
fn row(name: &str) -> String {
    format!("#keys li[data-key=\"sim/{name}\"]")
}

#[test]
fn a_page_shows_what_is_and_what_happens() {
    let sim = three();
    let running = Running::start(&sim, STATE, None);
    running.send(9);
    let mut browser = opened(&running);
    browser.until_text(&row("k0"), "active");
    browser.until_text(&row("k2"), "disabled");
    browser.until_text(&row("k2"), "bad credential · the key · until somebody acts");
    browser.until_text("#failures", "Incorrect API key provided: ********");
    browser.until_text("#providers li", "2 of 3");
    assert_eq!(browser.look("document.querySelectorAll('#failures li').length"), 1);

    // What happens from here on is heard, not only asked for.
    running.desk.run(&["provider", "keys", "rest", "--key", "k1", "--for", "1h"]).exited(0);
    browser.until_text(&row("k1"), "rate limited");
    browser.until_text(&row("k1"), "operator · the key · for 59 min");
    let series = format!("document.querySelector('{} canvas').getAttribute('aria-label')", row("k0"));
    browser.until(&format!("{series}?.match(/[1-9]\\d* calls?, 0 throttled, 0 failed/)"));

    // Nothing is asked of anybody else, and a policy stands behind it.
    let ours = running.url();
    assert!(browser.asked_for.iter().all(|url| url.starts_with(&ours)), "{:?}", browser.asked_for);
    browser.assert_calm();
    browser.look(
        "document.body.append(Object.assign(document.createElement('script'), { text: 'window.bad = 1' }))",
    );
    assert!(browser.look("window.bad").is_null(), "an inline script was run");
}

#[test]
fn a_key_is_rested_reset_disabled_and_enabled_by_mouse() {
    let sim = three();
    let running = Running::start(&sim, STATE, None);
    let mut browser = opened(&running);
    browser.click(&format!("{} button", row("k0")));
    browser.until("document.getElementById('key').open");
    assert_eq!(browser.text("#key-title"), "sim/k0");
    browser.click("[data-order=rest]");
    browser.until_text("#told", "sim/k0 rests for 10 minutes");
    browser.until_text(&row("k0"), "rate limited");
    running.send(6);
    assert_eq!(calls(&sim, "k0"), 0);

    browser.click(&format!("{} button", row("k0")));
    browser.click("[data-order=reset]");
    browser.until_text("#told", "sim/k0 begins anew");
    browser.until_text(&row("k0"), "active");

    // What is hard to miss later is asked first, and can be taken back.
    browser.click(&format!("{} button", row("k0")));
    browser.click("[data-order=disable]");
    browser.until_text("#key-question", "Disable sim/k0?");
    browser.click("#confirm-no");
    browser.until("document.getElementById('key-confirm').hidden");
    browser.click("[data-order=disable]");
    browser.click("#confirm-yes");
    browser.until_text("#told", "sim/k0 is disabled");
    browser.until_text(&row("k0"), "disabled");
    let before = calls(&sim, "k0");
    running.send(6);
    assert_eq!(calls(&sim, "k0"), before);

    browser.click(&format!("{} button", row("k0")));
    assert_eq!(browser.look("document.querySelector('[data-order=rest]').checkVisibility()"), false);
    browser.click("[data-order=enable]");
    browser.until_text("#told", "sim/k0 is used again");
    browser.until_text(&row("k0"), "active");
    running.send(6);
    assert!(calls(&sim, "k0") > before);
    browser.assert_calm();
}

#[test]
fn everything_can_be_done_by_keyboard() {
    let sim = three();
    let running = Running::start(&sim, STATE, None);
    let mut browser = opened(&running);
    browser.until_text(&row("k1"), "active");
    let key = |name: &str| format!("document.activeElement.innerText === 'sim/{name}'");
    let passed = browser.tab_to(&key("k1"));
    let expected = ["Skip to the keys", "Reload configuration", "key-text", "all", "sim/k0", "sim/k1"];
    let words: Vec<&str> = passed.iter().filter_map(|text| text.lines().next()).collect();
    assert_eq!(words, expected, "the order of the focus is that of the page");
    assert_ne!(browser.look("getComputedStyle(document.activeElement).outlineStyle"), "none");

    browser.press("Enter");
    browser.until("document.getElementById('key').open");
    // The dialog is closed by Escape, and the focus is where it was.
    browser.press("Escape");
    browser.until(&key("k1"));
    browser.press("Enter");
    // Opened again before the browser has told that it was closed, it shows the key all the same.
    browser.look("document.getElementById('key').close(), document.activeElement.click(), null");
    browser.tab_to("document.activeElement.dataset.order === 'disable'");
    browser.press("Enter");
    assert_eq!(browser.look("document.activeElement.id"), "confirm-no", "the harmless answer comes first");
    browser.press("Tab");
    browser.press("Enter");
    browser.until_text("#told", "sim/k1 is disabled");
    browser.until_text(&row("k1"), "disabled");
    browser.until(&key("k1"));

    // There is a way out of everything: the focus comes round.
    browser.look("document.activeElement.blur()");
    browser.tab_to("document.activeElement.id === 'failure-text'");
    browser.tab_to("document.activeElement.id === 'reload'");
    browser.press("Enter");
    browser.until_text("#told", "The configuration was read again: nothing has changed");
    browser.assert_calm();
}

#[test]
fn filters_find_a_few_of_two_hundred_keys_on_a_phone() {
    let sim = start(SimSpec::with_keys(200).key(7, |key| key.conducting(Conduct::Invalid)));
    let running = Running::start(&sim, STATE, None);
    running.send(200);
    let mut browser = Browser::start();
    browser.resize(PHONE_WIDTH, 740);
    browser.open(&running.url());
    browser.until_text("#key-count", "200 keys");
    browser.until_text("#line", "Live");
    let shown = "document.querySelectorAll('#keys li:not([hidden])').length";
    assert_eq!(browser.look(shown), 200);

    browser.click("#key-text");
    browser.write("SIM/K19");
    browser.until(&format!("{shown} === 11"));
    assert_eq!(browser.text("#key-count"), "showing 11 of 200");
    browser.look("document.getElementById('key-text').value = ''");
    let choose = "(() => { const it = document.getElementById('key-status'); it.value = 'disabled'; \
                  it.dispatchEvent(new Event('change')); })()";
    browser.look(choose);
    browser.until(&format!("{shown} === 1"));
    browser.until_text("#keys li:not([hidden])", "sim/k7");
    for selector in ["", "#keys li:not([hidden]) button"] {
        if !selector.is_empty() {
            browser.click(selector);
        }
        let width = browser.look("document.documentElement.scrollWidth");
        assert!(width.as_u64() <= Some(PHONE_WIDTH), "{width} pixels wide");
    }
    browser.assert_calm();
}

#[test]
fn a_batch_has_a_dashboard_where_its_configuration_says() {
    const TOKEN: &str = "twenty characters and more";
    let sim = three();
    let head = format!("{STATE}[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n");
    let desk = desk_with(&sim, &head);
    fs::set_permissions(desk.path("keywheel.toml"), fs::Permissions::from_mode(0o600)).expect("it is ours");
    let mut batch = Batch::start(&desk);
    let url = status(&desk)["source"]["dashboard"].as_str().expect("it has one").to_owned();
    assert!(desk.run(&keys("status")).exited(0).stdout.contains(&format!("dashboard at {url}")));

    let mut browser = Browser::start();
    browser.open(&url);
    browser.until("document.activeElement?.id === 'token'");
    browser.write(TOKEN);
    browser.press("Enter");
    browser.until_text("#process", &format!("keywheel batch, process {}", batch.program.pid()));
    browser.until_text("#line", "Live");
    // The browser itself tells of what was refused before.
    browser.complaints.clear();
    batch.serve(6, &sim);
    browser.until_text(&row("k2"), "bad credential");
    browser.until_text("#failures", "bad credential");
    browser.click(&format!("{} button", row("k0")));
    browser.click("[data-order=rest]");
    browser.until_text("#told", "sim/k0 rests for 10 minutes");
    let before = calls(&sim, "k0");
    batch.serve(20, &sim);
    assert_eq!(calls(&sim, "k0"), before);
    browser.assert_calm();

    // What it asks for anew at a reload says that it waits for the next start.
    let config = desk.read("keywheel.toml").replace("127.0.0.1:0", "127.0.0.1:1");
    fs::write(desk.path("keywheel.toml"), config).expect("it is ours");
    browser.click("#reload");
    browser.until_text("#told", "only at the next start");
    batch.end().exited(0);
}

/// A chat by a client of the gateway, to its end.
fn chat(address: &str) -> String {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    let kind = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.write_all([head, kind, body].concat().as_bytes()).expect("it listens");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("it answers");
    heard
}

#[test]
fn a_gateway_has_a_dashboard_until_its_end() {
    let sim = three();
    let desk = desk_with(&sim, STATE);
    let words = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"];
    let mut program = desk.start(&words, &[]);
    let started: Value = serde_json::from_str(&program.out.line_with("listening")).expect("JSON");
    let url = |name: &str| started[name].as_str().expect("it listens there").to_owned();
    let mut browser = Browser::start();
    browser.open(&url("admin"));
    browser.until_text("#line", "Live");
    browser.until_text("#process", "keywheel serve, process ");
    let gateway = url("listening").trim_start_matches("http://").to_owned();
    for _ in 0..6 {
        let heard = chat(&gateway);
        assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    }
    browser.until_text(&row("k2"), "bad credential");
    browser.until_text("#failures", "bad credential");
    let metrics = browser.look("fetch('/metrics').then((answer) => answer.text())");
    assert!(metrics.as_str().is_some_and(|text| text.contains("# TYPE keywheel_")), "{metrics}");
    browser.assert_calm();

    program.signal("TERM");
    program.end().exited(0);
    browser.until_text("#line", "Connection lost");
}

#[test]
fn a_lost_connection_is_told_and_found_again() {
    let sim = three();
    let running = Running::start(&sim, STATE, None);
    let address = running.address;
    let mut browser = opened(&running);
    let Running { session, desk, .. } = running;
    drop(session);
    browser.until_text("#line", "Connection lost");
    assert!(browser.text(&row("k0")).contains("active"), "what was known stays");

    // Another one, where the first one was.
    let again = Running::again(desk, &address.to_string(), None);
    browser.until_text("#line", "Live");
    again.desk.run(&["provider", "keys", "rest", "--key", "k1", "--for", "1h"]).exited(0);
    browser.until_text(&row("k1"), "rate limited");
}

#[test]
fn a_token_is_asked_for_once_and_kept_by_nobody() {
    const TOKEN: &str = "a token that nobody guesses";
    let sim = three();
    let running = Running::start(&sim, STATE, Some(TOKEN));
    let mut browser = Browser::start();
    browser.open(&running.url());
    browser.until("document.activeElement?.id === 'token'");
    assert_eq!(browser.look("document.getElementById('board').hidden"), true);
    browser.write("something else");
    browser.press("Enter");
    browser.until_text("#login-wrong", "this isn't the token");
    browser.look("document.getElementById('token').select()");
    browser.write(TOKEN);
    browser.press("Enter");
    browser.until_text("#line", "Live");
    browser.until_text(&row("k0"), "active");

    let cookies = browser.order("Network.getCookies", &json!({}))["cookies"].clone();
    assert_eq!(
        (&cookies[0]["httpOnly"], &cookies[0]["sameSite"], &cookies[0]["path"]),
        (&json!(true), &json!("Strict"), &json!("/"))
    );
    let kept = browser.look("JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }])");
    for place in [cookies.to_string(), kept.to_string()] {
        assert!(!place.contains("nobody guesses"), "{place}");
    }
    // Orders go with the session, and a page that is opened again needs no token.
    browser.click(&format!("{} button", row("k0")));
    browser.click("[data-order=rest]");
    browser.until_text("#told", "sim/k0 rests for 10 minutes");
    browser.open(&running.url());
    browser.until_text("#line", "Live");
    browser.click("#logout");
    browser.until("document.activeElement?.id === 'token'");
    browser.open(&running.url());
    browser.until_text("#line", "Not logged in");
}
