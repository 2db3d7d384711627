//! `keywheel provider keys test` and `keywheel provider test`: what a person learns of their keys.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use keywheel::sim::{Conduct, Sim, SimSpec};
use serde_json::{Value, json};

use support::program::Desk;

/// A provider of the configuration with the keys `k0`, `k1`, …
fn provider(id: &str, base_url: &str, secrets: &[&str]) -> String {
    let keys = secrets
        .iter()
        .enumerate()
        .map(|(number, secret)| format!("[[provider.key]]\nname = \"k{number}\"\nsecret = \"{secret}\"\n"));
    let keys: String = keys.collect();
    format!("[[provider]]\nid = \"{id}\"\npreset = \"openai-compatible\"\nbase_url = \"{base_url}\"\n{keys}")
}

/// A server that says the same to everybody and tells what it was asked.
struct Parrot {
    addr: SocketAddr,
    asked: std::sync::mpsc::Receiver<String>,
}

impl Parrot {
    fn saying(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port 0 is always free");
        let addr = listener.local_addr().expect("it listens");
        let (tell, asked) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.expect("a connection");
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                // A test that has ended doesn't listen, and a client may leave.
                let _ = tell.send(String::from_utf8_lossy(&head).into_owned());
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        Self { addr, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn found(report: &Value) -> Vec<(&str, &str, &str)> {
    report["tests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|test| {
            let word = |field: &str| test[field].as_str().expect("a word");
            (word("key"), word("finding"), word("standing"))
        })
        .collect()
}

#[test]
fn each_key_is_told_apart_and_no_secret_is_shown() {
    let spec = SimSpec::with_keys(4)
        .key(1, |key| key.conducting(Conduct::Invalid))
        .key(2, |key| key.conducting(Conduct::OutOfMoney))
        .key(3, |key| key.conducting(Conduct::Disabled));
    let sim = Sim::start_on_thread(spec).expect("port 0 is always free");
    let desk = Desk::new(&provider("p", &sim.base_url(), &["sk-0", "sk-1", "sk-2", "sk-3"]));

    let ended = desk.run(&["provider", "keys", "test", "--json"]);
    let report = ended.exited(3).summary();
    assert_eq!(
        found(&report),
        [
            ("k0", "valid", "valid"),
            ("k1", "wrong_key", "invalid"),
            // As OpenAI has it: an account without money still lists models.
            ("k2", "valid", "valid"),
            ("k3", "account_banned", "invalid"),
        ]
    );
    assert_eq!((&report["valid"], &report["invalid"], &report["unknown"]), (&json!(2), &json!(2), &json!(0)));
    assert!(report["tests"][0]["latency_ms"].is_u64(), "{report}");
    assert_eq!(report["tests"][1]["status"], 401);

    let ended = desk.run(&["provider", "keys", "test", "--provider", "p", "--key", "k0", "--key", "k1"]);
    let lines: Vec<&str> = ended.exited(3).stdout.lines().collect();
    assert!(lines[0].starts_with("✓ p/k0  valid"), "{lines:?}");
    assert!(lines[1].starts_with("✗ p/k1  wrong key"), "{lines:?}");
    assert!(
        lines[2].contains("wrong, revoked, expired or restricted") && lines[2].ends_with("(HTTP 401)"),
        "{lines:?}"
    );
    assert!(lines[3].starts_with("    hint: "), "{lines:?}");
    for secret in ["sk-0", "sk-1"] {
        assert!(!ended.stdout.contains(secret), "{secret} is shown:\n{}", ended.stdout);
    }
    assert_eq!(ended.stderr, "");
    desk.run(&["provider", "keys", "test", "--key", "k0"]).exited(0);
}

#[test]
fn a_provider_is_fine_if_one_of_its_keys_is_served() {
    let spec = SimSpec::with_keys(3).key(0, |key| key.conducting(Conduct::Invalid));
    let sim = Sim::start_on_thread(spec).expect("port 0 is always free");
    let config = provider("good", &sim.base_url(), &["sk-0", "sk-1", "sk-2"])
        + &provider("gone", "http://127.0.0.1:1/v1", &["a", "b"]);
    let desk = Desk::new(&config);

    let report = desk.run(&["provider", "test", "--json"]).exited(3).summary();
    assert_eq!(found(&report), [("k1", "valid", "valid"), ("k0", "unreachable", "unknown")]);
    let tried: Vec<_> = [0, 1].iter().map(|at: &usize| &report["tests"][*at]["keys_tried"]).collect();
    assert_eq!(tried, [2, 1]);
    assert!(
        report["tests"][1]["says"].as_str().expect("words").starts_with("nobody listens there"),
        "{report}"
    );

    desk.run(&["provider", "test", "good"]).exited(0);
    let ended = desk.run(&["provider", "test", "goof"]);
    assert_eq!(
        ended.exited(2).stderr,
        "error: there is no provider `goof`\n  hint: choose among good, gone\n"
    );
}

#[test]
fn a_key_follows_no_redirect() {
    let target = TcpListener::bind("127.0.0.1:0").expect("port 0 is always free");
    target.set_nonblocking(true).expect("a listener");
    let location = format!("location: http://{}/v1/models\r\n", target.local_addr().expect("it listens"));
    let parrot = Parrot::saying(answer("307 Temporary Redirect", &location, ""));
    let desk = Desk::new(&provider("p", &parrot.url(), &["sk-secret"]));

    let ended = desk.run(&["provider", "keys", "test"]);
    assert!(ended.exited(3).stdout.contains("leads to 127.0.0.1 (HTTP 307)"), "{}", ended.stdout);
    assert_eq!(target.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_a_provider_echoes_is_scrubbed_and_its_limits_are_told() {
    let key = "AIzaSyA-0123456789abcdef";
    let says = format!("{{\"error\":{{\"message\":\"Too fast, {key}\",\"code\":\"rate_limit_exceeded\"}}}}");
    let headers =
        "retry-after: 20\r\nx-ratelimit-limit-requests: 500\r\nx-ratelimit-remaining-requests: 0\r\n";
    let parrot = Parrot::saying(answer("429 Too Many Requests", headers, &says));
    let desk = Desk::new(&provider("p", &parrot.url(), &[key]));

    let ended = desk.run(&["provider", "keys", "test", "--log", "trace"]);
    ended.exited(0);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(key), "{ended:?}");
    for part in
        ["valid, throttled now", "0 of 500 requests left", "wait for 20.0s: “Too fast, AIza…cdef” (HTTP 429)"]
    {
        assert!(ended.stdout.contains(part), "`{part}` isn't told:\n{}", ended.stdout);
    }
    let asked = parrot.asked.recv().expect("a call");
    assert!(asked.starts_with("GET /v1/models HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("authorization: Bearer {key}\r\n")), "{asked}");
}

#[test]
fn a_web_page_is_no_api() {
    let page = answer("200 OK", "content-type: text/html\r\n", "<!doctype html><title>Welcome</title>");
    let parrot = Parrot::saying(page);
    let desk = Desk::new(&provider("p", &parrot.url(), &["k"]));
    let report = desk.run(&["provider", "test", "--json"]).exited(3).summary();
    assert_eq!(found(&report), [("k0", "not_the_api", "unknown")]);
}

#[test]
fn every_provider_is_asked_at_its_own_address() {
    let parrot = Parrot::saying(answer("200 OK", "", "{\"valid\":true}"));
    let at = |preset: &str, path: &str| {
        format!(
            "[[provider]]\nid = \"{preset}\"\npreset = \"{preset}\"\nbase_url = \"http://{}{path}\"\n[[provider.key]]\nsecret = \"k\"\n",
            parrot.addr
        )
    };
    for (preset, path, line, header) in [
        ("anthropic", "/v1", "GET /v1/models", "x-api-key: k"),
        ("gemini", "/v1beta", "GET /v1beta/models?pageSize=1", "x-goog-api-key: k"),
        ("azure", "/openai/v1", "GET /openai/v1/models", "api-key: k"),
        ("cohere", "/compatibility/v1", "POST /v1/check-api-key", "authorization: Bearer k"),
        ("deepseek", "", "GET /user/balance", "authorization: Bearer k"),
    ] {
        Desk::new(&at(preset, path)).run(&["provider", "test"]).exited(0);
        let asked = parrot.asked.recv().expect("a call");
        assert!(asked.starts_with(&format!("{line} HTTP/1.1\r\n")), "{preset}: {asked}");
        assert!(asked.contains(&format!("\r\n{header}\r\n")), "{preset}: {asked}");
    }
}
