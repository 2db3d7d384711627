//! The admin interface over TCP, by bare sockets: who is answered, what is said to the others, and what there is to
//! ask for.
#![cfg(unix)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;

use keywheel::sim::{Conduct, Latency, Sim, SimSpec};
use keywheel_actors::request::{Delivery, Terms};
use serde_json::{Value, json};

use support::gateway::Gateway;
use support::live::{STATE, ask, desk_with, socket, start, until};
use support::program::Output;
use support::running::Running;
use support::{PATIENCE, millis, request};

const TOKEN: &str = "correct horse battery staple";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Two keys, of which the second one is refused.
fn two() -> Sim {
    let spec = SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(1)));
    start(spec.key(1, |key| key.conducting(Conduct::Invalid)))
}

fn code(heard: &str) -> u16 {
    heard.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn body(heard: &str) -> Value {
    let body = heard.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// A header of an answer.
fn header<'h>(heard: &'h str, name: &str) -> Option<&'h str> {
    let (head, _) = heard.split_once("\r\n\r\n")?;
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn order(name: &str, order: &str) -> String {
    json!({ "key": { "provider": "sim", "key": name }, "order": { "order": order } }).to_string()
}

#[test]
fn without_a_token_only_this_machine_is_answered() {
    let sim = two();
    let running = Running::start(&sim, STATE, None);
    assert_eq!(code(&running.ask("GET /v1/status", &[], "")), 200);
    let port = running.address.port();
    let ask_of = |host: &str, path: &str| {
        code(&running.say(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()))
    };
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        assert_eq!(
            (ask_of(&host, "/v1/status"), ask_of(&host, "/"), ask_of(&host, "/nowhere")),
            (200, 200, 404)
        );
    }
    for host in [
        format!("rebound.example:{port}"),
        "localhost".to_owned(),
        format!("127.0.0.1:{}", port.wrapping_add(1)),
        format!("127.0.0.1.rebound.example:{port}"),
    ] {
        for path in ["/v1/status", "/", "/dashboard.js", "/v1/events", "/livez", "/nowhere"] {
            assert_eq!(ask_of(&host, path), 403, "{host} {path}");
        }
    }
    assert_eq!(code(&running.say(b"GET /v1/status HTTP/1.1\r\n\r\n")), 400);
    assert_eq!(code(&running.say(b"GET /v1/status HTTP/1.0\r\n\r\n")), 400);
    let proxied = format!("GET http://localhost:{port}/v1/status HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
    assert_eq!(code(&running.say(proxied.as_bytes())), 400);

    // Where others could come in, nobody listens without one.
    for address in ["0.0.0.0:0", "[::]:0"] {
        let desk = desk_with(&sim, STATE);
        let ended = desk.run(&["serve", "--listen", "127.0.0.1:0", "--admin", address]);
        let told = &ended.exited(2).stderr;
        assert!(
            told.contains("others can reach it, and there is no `token`") && told.contains("hint: "),
            "{told}"
        );
    }
    let desk = desk_with(&sim, STATE);
    let taken = running.address.to_string();
    let ended = desk.run(&["serve", "--listen", "127.0.0.1:0", "--admin", &taken]);
    assert!(ended.exited(1).stderr.contains(&format!("the dashboard can't listen on {taken}")), "{ended:?}");
}

#[test]
fn a_change_comes_from_here_and_is_json() {
    let sim = two();
    let running = Running::start(&sim, STATE, None);
    let own = format!("http://{}", running.address);
    let rest = order("k0", "disable");
    for (headers, expected) in [
        (vec![JSON, ("origin", "http://evil.example")], 403),
        (vec![JSON, ("origin", "null")], 403),
        (vec![JSON, ("sec-fetch-site", "cross-site")], 403),
        (vec![("content-type", "application/x-www-form-urlencoded")], 415),
        (vec![("content-type", "text/plain")], 415),
        (vec![], 415),
    ] {
        for path in ["/v1/order", "/v1/reload", "/v1/login"] {
            let heard = running.ask(&format!("POST {path}"), &headers, &rest);
            assert_eq!(code(&heard), expected, "{path} {headers:?}: {heard}");
            assert!(header(&heard, "access-control-allow-origin").is_none());
        }
    }
    for line in ["GET /v1/order", "GET /v1/reload", "PUT /v1/order", "DELETE /v1/order", "OPTIONS /v1/order"]
    {
        let heard = running.ask(line, &[JSON], &rest);
        assert_eq!(code(&heard), 405, "{line}: {heard}");
    }
    let status =
        || body(&running.ask("GET /v1/status", &[], ""))["providers"][0]["keys"][0]["status"].clone();
    assert_eq!(status(), "active", "nothing of this was done");
    let heard =
        running.ask("POST /v1/order", &[JSON, ("origin", &own), ("sec-fetch-site", "same-origin")], &rest);
    assert_eq!((code(&heard), status()), (200, json!("disabled")));
}

#[test]
fn with_a_token_nothing_is_told_without_it() {
    let sim = two();
    let running = Running::start(&sim, STATE, Some(TOKEN));
    let bearer = format!("Bearer {TOKEN}");
    let paths =
        ["/v1/status", "/v1/stats", "/v1/history", "/v1/failures", "/v1/events", "/metrics", "/nowhere"];
    for path in paths {
        let line = format!("GET {path}");
        assert_eq!(code(&running.ask(&line, &[], "")), 401, "{path}");
        let forged =
            [("cookie", "keywheel-0=00; keywheel-admin=1"), ("authorization", "Bearer correct horse")];
        assert_eq!(code(&running.ask(&line, &forged[..1], "")), 401, "{path}");
    }
    for shown in ["Bearer correct horse", "Bearer ", "Basic Y29ycmVjdA=="] {
        let heard = running.ask("GET /v1/status", &[("authorization", shown)], "");
        assert_eq!(
            (code(&heard), &body(&heard)),
            (401, &json!({ "error": "this isn't the token" })),
            "{shown}"
        );
    }
    for line in ["POST /v1/order", "POST /v1/reload", "POST /v1/logout"] {
        assert_eq!(code(&running.ask(line, &[JSON], &order("k0", "disable"))), 401, "{line}");
    }
    // What is the same for everybody, everybody gets.
    for path in ["/", "/dashboard.css", "/dashboard.js", "/livez", "/readyz"] {
        assert_eq!(code(&running.ask(&format!("GET {path}"), &[], "")), 200, "{path}");
    }
    assert_eq!(code(&running.ask("GET /v1/status", &[("authorization", &bearer)], "")), 200);
    let order = order("k0", "disable");
    assert_eq!(code(&running.ask("POST /v1/order", &[JSON, ("authorization", &bearer)], &order)), 200);
    // Any host will do: a page that was rebound has no token.
    let named = format!("GET /v1/status HTTP/1.1\r\nhost: keys.example\r\nauthorization: {bearer}\r\n\r\n");
    assert_eq!(code(&running.say(named.as_bytes())), 200);
}

#[test]
fn a_login_gives_a_session_that_is_not_the_token() {
    let sim = two();
    let running = Running::start(&sim, STATE, Some(TOKEN));
    let own = format!("http://{}", running.address);
    let log_in = |said: &str| running.ask("POST /v1/login", &[JSON, ("origin", &own)], said);
    for (said, expected) in [
        (json!({ "token": "wrong" }).to_string(), 401),
        (json!({ "token": "" }).to_string(), 401),
        (json!(TOKEN).to_string(), 400),
        (json!({ "token": TOKEN, "and": 1 }).to_string(), 400),
        (format!("token={TOKEN}"), 400),
    ] {
        let heard = log_in(&said);
        assert_eq!(code(&heard), expected, "{said}: {heard}");
        assert!(header(&heard, "set-cookie").is_none() && !heard.contains("horse"), "{heard}");
    }
    let heard = log_in(&json!({ "token": TOKEN }).to_string());
    let cookie = header(&heard, "set-cookie").expect("a session");
    let port = running.address.port();
    assert!(cookie.starts_with(&format!("keywheel-{port}=")), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{cookie}");
    assert!(!heard.contains("horse"), "{heard}");

    let session = ("cookie", cookie.split(';').next().expect("the pair"));
    assert_eq!(code(&running.ask("GET /v1/status", &[session], "")), 200);
    let rest = order("k0", "disable");
    assert_eq!(code(&running.ask("POST /v1/order", &[JSON, session], &rest)), 403, "no origin");
    assert_eq!(code(&running.ask("POST /v1/order", &[JSON, session, ("origin", &own)], &rest)), 200);
    let heard = running.ask("POST /v1/logout", &[JSON, session, ("origin", &own)], "{}");
    assert!(header(&heard, "set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{heard}");
    assert_eq!(code(&running.ask("GET /v1/status", &[session], "")), 401, "it is over for good");
}

#[test]
fn every_answer_carries_its_policy() {
    let sim = two();
    let running = Running::start(&sim, STATE, Some(TOKEN));
    for line in [
        "GET /",
        "GET /dashboard.js",
        "GET /icon.svg",
        "GET /livez",
        "GET /v1/status",
        "GET /nowhere",
        "POST /v1/order",
    ] {
        let heard = running.ask(line, &[], "");
        let policy = header(&heard, "content-security-policy").unwrap_or_else(|| panic!("{line}: {heard}"));
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        for word in ["unsafe", "http:", "https:", "data:", "*"] {
            assert!(!policy.contains(word), "{policy}");
        }
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(header(&heard, name), Some(value), "{line}");
        }
    }
    // Nothing in the page needs an exception from it.
    let page = running.ask("GET /", &[], "");
    for word in ["<style", " style=", " onclick", "javascript:", "http://", "https://"] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/").count());
}

#[test]
fn whoever_says_too_much_or_never_ends_disturbs_nobody() {
    let sim = two();
    let running = Running::start(&sim, STATE, None);
    let host = format!("host: {}\r\n", running.address);
    let long = format!("GET /v1/status HTTP/1.1\r\n{host}x: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(matches!(code(&running.say(long.as_bytes())), 0 | 431), "a head of a megabyte");
    let many = "x: y\r\n".repeat(1_000);
    let many = format!("GET /v1/status HTTP/1.1\r\n{host}{many}\r\n");
    assert_eq!(code(&running.say(many.as_bytes())), 431);
    assert_eq!(code(&running.ask("POST /v1/order", &[JSON], &"x".repeat(1 << 20))), 413);
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(code(&running.say(&garbage)), 400);

    // Some say nothing, some a part of a head, some a part of a body: all are hung up on, and others are answered
    // meanwhile.
    let begun = format!(
        "POST /v1/order HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    let mut slow: Vec<_> = ["", "GET /v1/sta", &begun]
        .iter()
        .cycle()
        .take(60)
        .map(|part| {
            let mut stream = running.connect();
            stream.write_all(part.as_bytes()).expect("somebody listens");
            stream
        })
        .collect();
    assert_eq!(code(&running.ask("GET /v1/status", &[], "")), 200);
    for stream in &mut slow {
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("it is hung up on within the test's patience");
        assert!(matches!(code(&heard), 0 | 408), "{heard}");
    }
}

#[test]
fn what_happens_is_told_as_it_happens_until_the_end() {
    let sim = two();
    let running = Running::start(&sim, STATE, None);
    let mut stream = running.connect();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", running.address).expect("somebody listens");
    let mut events = Output::of(stream.try_clone().expect("another end"));
    events.line_with("text/event-stream");
    events.line_with("retry: 2000");
    running.send(4);
    let line = events.line_with("\"call_failed\"");
    let told: Value = serde_json::from_str(line.strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!(
        (&told["provider"], &told["key"], &told["reason"], &told["status"], &told["rests"], &told["until"]),
        (&json!("sim"), &json!("k1"), &json!("bad_credential"), &json!(401), &json!(true), &Value::Null)
    );
    let now = body(&running.ask("GET /v1/status", &[], ""))["at"].as_u64().expect("a date");
    assert!(told["at"].as_u64().is_some_and(|at| at <= now && now - at < 60_000), "{told}");
    assert!(!line.contains("sk-1"), "{line}");
    running.desk.run(&["provider", "keys", "rest", "--key", "k0", "--for", "1h"]).exited(0);
    let line = events.line_with("\"rate_limited\"");
    assert!(line.contains("\"event\":\"key_changed\"") && line.contains("\"cause\":\"operator\""), "{line}");

    // The same is in the list of failures.
    let failures = body(&running.ask("GET /v1/failures", &[], ""));
    assert_eq!(
        (&failures["total"], &failures["lost"], &failures["failures"][0]),
        (&json!(1), &json!(0), &told)
    );

    // No more readers than there are places.
    let mut readers = Vec::new();
    let refused = std::iter::repeat_with(|| {
        let mut stream = running.connect();
        write!(stream, "GET /v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", running.address).expect("a listener");
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut line).expect("an answer");
        readers.push(reader);
        line
    });
    let first = refused.take(40).position(|line| line.contains(" 503 "));
    assert_eq!(first, Some(31), "32 places, one of them taken before");

    // It ends with the process, and properly: the last chunk is there.
    drop(running);
    let rest = events.rest();
    assert_eq!(rest.iter().rev().find(|line| !line.is_empty()).map(String::as_str), Some("0"), "{rest:?}");
}

#[test]
fn the_last_minutes_are_told_by_key_and_provider() {
    let sim = two();
    let running = Running::start(&sim, STATE, None);
    running.send(10);
    let history = || body(&running.ask("GET /v1/history", &[], ""));
    let sum = |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_u64).sum::<u64>();
    until("all calls are counted", || sum(&history()["keys"][0]["succeeded"]) == 10);
    let told = history();
    let (good, bad) = (&told["keys"][0], &told["keys"][1]);
    assert_eq!((&good["provider"], &good["key"], &bad["key"]), (&json!("sim"), &json!("k0"), &json!("k1")));
    assert_eq!((sum(&good["calls"]), sum(&good["failed"]), sum(&good["throttled"])), (10, 0, 0));
    assert_eq!((sum(&bad["calls"]), sum(&bad["failed"])), (1, 1));
    let bins = told["bins"].as_array().expect("a list").len();
    for name in ["calls", "succeeded", "throttled", "failed"] {
        assert_eq!(good[name].as_array().map(Vec::len), Some(bins), "{name}");
    }
    let provider = &told["providers"][0];
    for name in ["queued", "in_flight", "fell_over"] {
        assert_eq!(provider[name].as_array().map(Vec::len), Some(bins), "{name}");
    }
    assert_eq!(told["bin_ms"], 10_000);
    until("latencies are told", || history()["keys"][0]["p50_ms"].as_f64() >= Some(1.0));
    let late = told["at"].as_u64().expect("a date") + 3_600_000;
    let heard = running.ask(&format!("GET /v1/history?since={late}"), &[], "");
    assert_eq!(body(&heard)["bins"].as_array().map(Vec::len), Some(1), "the open bin alone");
}

#[test]
fn who_looks_after_processes_and_numbers_is_answered() {
    let sim = start(SimSpec::with_keys(1).first_byte(Latency::Fixed(millis(3_600_000))));
    let running = Running::start(&sim, STATE, None);
    let told = |path: &str| running.ask(&format!("GET {path}"), &[], "");
    assert!(told("/livez").ends_with("\r\n\r\nok\n"));
    assert_eq!(code(&told("/readyz")), 200);
    let heard = told("/metrics");
    assert_eq!((code(&heard), &body(&heard)["error"]), (404, &json!("`keywheel serve` has no metrics")));
    running.session.tell_metrics(Arc::new(|| Box::pin(async { "keywheel_up 1\n".to_owned() })));
    let heard = told("/metrics");
    assert!(heard.ends_with("\r\n\r\nkeywheel_up 1\n"), "{heard}");
    assert_eq!(
        header(&heard, "content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );

    // Draining it lives, and isn't ready; whoever follows is told so, and that is the end of it.
    let mut stream = running.connect();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", running.address).expect("somebody listens");
    let mut events = Output::of(stream);
    events.line_with("retry: ");
    let wheel = running.session.wheel().clone();
    let runtime = wheel.runtime();
    let waiting = wheel.clone();
    runtime.spawn(async move { waiting.send(request("slow", Delivery::Whole), Terms::default()).await });
    until("a job is under way", || sim.ledger().calls == 1);
    runtime.spawn(async move { wheel.drain(PATIENCE).await });
    events.line_with("\"event\":\"draining\"");
    assert_eq!(events.rest().iter().rev().find(|line| !line.is_empty()).map(String::as_str), Some("0"));
    assert_eq!((code(&told("/livez")), code(&told("/readyz"))), (200, 503));
    assert_eq!(code(&told("/v1/events")), 503);
}

#[tokio::test]
async fn another_token_counts_from_the_reload_on() {
    let sim = two();
    let other = TOKEN.replace("battery", "battered");
    let desk = desk_with(&sim, &format!("{STATE}[admin]\ntoken = \"{TOKEN}\"\n"));
    let gateway = Gateway::start(&desk, &[]);
    let client = reqwest::Client::new();
    let shown = async |token: &str| {
        let asked = client.get(format!("http://{}/v1/status", gateway.admin)).bearer_auth(token).send().await;
        asked.expect("an answer").status().as_u16()
    };
    assert_eq!((shown(TOKEN).await, shown(&other).await), (200, 401));
    let text = desk.read("keywheel.toml").replace(TOKEN, &other);
    std::fs::write(desk.path("keywheel.toml"), text).expect("ours");
    // Whoever looks once a second may be faster than whoever asks.
    let told = ask(&socket(&desk), "POST", "/v1/reload", "");
    assert_eq!(told.code, 200, "{told:?}");
    assert!(!told.body.to_string().contains("next start"), "{told:?}");
    assert_eq!((shown(TOKEN).await, shown(&other).await), (401, 200));
}
