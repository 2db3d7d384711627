//! The words to a batch at work, by command and over the bare socket: it tells, it obeys, and it isn't disturbed.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use keywheel::sim::{Conduct, Latency, SimSpec};
use serde_json::json;

use support::live::{
    Batch, FED, STATE, ask, assert_each_served_once, calls, desk, desk_with, key, keys, row, say, socket,
    socket_is_up, start, status, until,
};
use support::program::Desk;
use support::{PATIENCE, millis};

fn mode(desk: &Desk, name: &str) -> u32 {
    fs::metadata(desk.path(name)).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_running_batch_is_seen_and_obeys() {
    let sim = start(SimSpec::with_keys(3));
    let desk = desk(&sim);
    let mut batch = Batch::start(&desk);
    let running = json!({ "by": "running", "pid": batch.program.pid() });
    batch.serve(30, &sim);

    let seen = status(&desk);
    assert_eq!(
        (&seen["source"]["kind"], &seen["source"]["pid"], &seen["source"]["verb"]),
        (&json!("live"), &json!(batch.program.pid()), &json!("batch"))
    );
    let ended = desk.run(&keys("status"));
    let told = format!("live: `keywheel batch` (process {}) has been running for ", batch.program.pid());
    assert!(ended.exited(0).stdout.contains(&told), "{}", ended.stdout);
    // Keys hear of the end of a call a moment after its caller.
    until("all calls are counted", || {
        let seen = status(&desk);
        ["k0", "k1", "k2"].iter().all(|name| key(&seen, name)["counts"]["succeeded"] == calls(&sim, name))
    });
    assert_eq!(desk.run(&keys("stats --json")).exited(0).summary()["source"], running);

    // Disabled is disabled when the command returns.
    let done = desk.run(&keys("disable --key k0 --json")).exited(0).summary();
    assert_eq!(done["what"]["told"], json!({ "answered": running, "not_durable": null }));
    assert_eq!(done["running"]["pid"], batch.program.pid());
    let before = calls(&sim, "k0");
    batch.serve(40, &sim);
    assert_eq!(calls(&sim, "k0"), before);
    let seen = status(&desk);
    assert_eq!(key(&seen, "k0")["status"], "disabled");
    assert!(key(&seen, "k0")["until"].is_null());

    // So is a rest.
    let ended = desk.run(&keys("rest --key k1 --for 1h"));
    let told = format!("sim/k1 rests for 1h (told process {})", batch.program.pid());
    assert!(format!("{}{}", ended.exited(0).stdout, ended.stderr).contains(&told), "{ended:?}");
    let before = calls(&sim, "k1");
    batch.serve(40, &sim);
    assert_eq!(calls(&sim, "k1"), before);
    let seen = status(&desk);
    assert_eq!(
        (&key(&seen, "k1")["status"], &key(&seen, "k1")["cause"]),
        (&json!("rate_limited"), &json!("operator"))
    );

    // A reset ends the rest of one; what the configuration disables it leaves alone.
    let done = desk.run(&keys("reset --all --json")).exited(0).summary();
    assert_eq!(done[0]["done"]["answered"], running);
    let before = (calls(&sim, "k0"), calls(&sim, "k1"));
    batch.serve(40, &sim);
    assert_eq!(calls(&sim, "k0"), before.0, "`enabled = false` outlasts a reset");
    assert!(calls(&sim, "k1") > before.1);

    desk.run(&keys("enable --key k0")).exited(0);
    batch.serve(40, &sim);
    assert!(calls(&sim, "k0") > before.0);

    let summary = batch.end().exited(0).summary();
    assert_eq!((&summary["rows"], &summary["ok"], &summary["lost"]), (&json!(190), &json!(190), &json!(0)));
    assert_each_served_once(&desk, 190, &[sim.ledger_with_requests()]);
    assert!(!socket(&desk).exists(), "nobody listens any more");
}

#[test]
fn what_is_under_way_is_told() {
    let hour = Latency::Fixed(millis(3_600_000));
    let sim = start(SimSpec::with_keys(2).first_byte(hour));
    let desk = desk(&sim);
    let mut batch = Batch::start(&desk);
    batch.feed(4);
    until("all are under way", || sim.ledger().calls == 4);
    let seen = status(&desk);
    assert_eq!((&seen["providers"][0]["in_flight"], &seen["providers"][0]["queued"]), (&json!(4), &json!(0)));
    for name in ["k0", "k1"] {
        let (key, called) = (key(&seen, name), json!(calls(&sim, name)));
        let counts = &key["counts"];
        assert_eq!(
            (&key["in_flight"], &counts["calls"], &counts["succeeded"]),
            (&called, &called, &json!(0))
        );
    }
    let text = desk.run(&keys("status")).stdout;
    assert!(text.contains("sim  active  4 under way, 0 waiting\n"), "{text}");
    batch.program.kill();
}

#[test]
fn what_happens_is_followed_by_command_until_the_end() {
    let sim = start(SimSpec::with_keys(2).key(1, |key| key.conducting(Conduct::Invalid)));
    let desk = desk(&sim);
    let ended = desk.run(&["events"]);
    assert!(ended.exited(2).stderr.contains("no keywheel runs with this configuration"), "{}", ended.stderr);

    let mut batch = Batch::start(&desk);
    let mut lines = desk.start(&["events", "--json"], &[]);
    let mut people = desk.start(&["events"], &[]);
    // Each of the two is heard of when it listens: a rest and its end, until both have told one.
    let mut both = |part: &str, words: &str| {
        desk.run(&keys(words)).exited(0);
        lines.out.has(part) && people.out.has("sim/k0 is ")
    };
    until("both listen", || {
        both("\"event\":\"key_changed\"", "rest --key k0 --for 1h") || both("key_changed", "reset --key k0")
    });
    desk.run(&keys("reset --key k0")).exited(0);
    batch.serve(10, &sim);
    let told: serde_json::Value =
        serde_json::from_str(&lines.out.line_with("\"call_failed\"")).expect("every line is JSON");
    assert_eq!((&told["key"], &told["reason"]), (&json!("k1"), &json!("bad_credential")));
    let line = people.out.line_with("(401)");
    assert!(
        line.contains("sim/k1 m bad_credential (401), tried again, key rests until somebody acts"),
        "{line}"
    );
    batch.end().exited(0);
    assert!(lines.end().exited(0).stdout.ends_with("\"event\":\"draining\"}\n"));
    people.end().exited(0);
}

#[test]
fn only_its_owner_may_look_inside() {
    let sim = start(SimSpec::with_keys(2).key(1, |key| key.conducting(Conduct::Invalid)));
    let desk = desk(&sim);
    fs::create_dir(desk.path("state")).expect("it is ours");
    fs::set_permissions(desk.path("state"), fs::Permissions::from_mode(0o700)).expect("it is ours");
    // What a killed process leaves.
    drop(UnixListener::bind(socket(&desk)).expect("it can be bound"));
    assert!(socket(&desk).exists() && !socket_is_up(&socket(&desk)));

    let mut batch = Batch::start(&desk);
    assert_eq!(mode(&desk, "state/admin.sock"), 0o600);
    batch.serve(20, &sim);
    batch.end().exited(0);
    assert_eq!(mode(&desk, "state"), 0o700);
    for name in ["state.redb", "fingerprint.key"] {
        assert_eq!(mode(&desk, &format!("state/{name}")), 0o600, "{name}");
    }
    let logs: Vec<_> = fs::read_dir(desk.path("state/failures")).expect("a dead key was logged").collect();
    assert_eq!(logs.len(), 1);
    for log in logs {
        let mode = log.and_then(|log| log.metadata()).expect("it is ours").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }
}

#[test]
fn directory_and_socket_are_where_the_configuration_says() {
    let sim = start(SimSpec::with_keys(1));
    let head = "[state]\ndir = \"here/state\"\n[admin]\nsocket = \"word.sock\"\n";
    let desk = desk_with(&sim, head);
    let batch = Batch::begin(&desk, &FED);
    until("it answers", || socket_is_up(&desk.path("word.sock")));
    assert_eq!(status(&desk)["source"]["pid"], batch.program.pid());
    assert!(desk.path("here/state/state.redb").exists());
    assert_eq!((mode(&desk, "here/state"), mode(&desk, "word.sock")), (0o700, 0o600));
    batch.end().exited(0);
    assert!(!desk.path("word.sock").exists() && !desk.path(".local").exists());
}

#[test]
fn a_path_too_long_for_a_socket_is_told_or_avoided() {
    let sim = start(SimSpec::with_keys(1));
    let long = "x".repeat(120);
    let desk = desk_with(&sim, &format!("[admin]\nsocket = \"{long}\"\n"));
    let ended = desk.run_fed(&FED, &row("a", "m"));
    ended.exited(2);
    assert!(ended.stderr.contains("admin.socket") && ended.stderr.contains("bytes"), "{}", ended.stderr);

    let desk = desk_with(&sim, &format!("[state]\ndir = \"{long}\"\n"));
    let batch = Batch::begin(&desk, &FED);
    until("it answers", || status(&desk)["source"]["pid"] == batch.program.pid());
    batch.end().exited(0);
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let sim = start(SimSpec::with_keys(1));
    let desk =
        desk_with(&sim, &format!("{STATE}[admin]\nsocket = \"notes.txt\"\n")).with("notes.txt", "precious");
    let ended = desk.run_fed(&FED, &row("a", "m"));
    ended.exited(0);
    assert!(ended.stderr.contains("warning: there is no admin socket at "), "{}", ended.stderr);
    assert_eq!(desk.read("notes.txt"), "precious");
}

#[test]
fn the_socket_answers_whatever_is_said_to_it() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim);
    let mut batch = Batch::start(&desk);
    let socket = socket(&desk);
    for (method, path, body, code, told) in [
        ("GET", "/nowhere", "", 404, "there is no `/nowhere`"),
        ("GET", "/v1/statuses", "", 404, "there is no `/v1/statuses`"),
        ("POST", "/v1/status", "", 405, "`/v1/status` isn't asked like that"),
        ("GET", "/v1/order", "", 405, "`/v1/order` isn't asked like that"),
        ("DELETE", "/v1/reload", "", 405, "`/v1/reload` isn't asked like that"),
        ("POST", "/v1/order", "", 400, "the order can't be understood: "),
        ("POST", "/v1/order", "{", 400, "the order can't be understood: "),
        (
            "POST",
            "/v1/order",
            "{\"key\":{\"provider\":\"sim\",\"key\":\"k0\"},\"order\":{\"order\":\"sell\"}}",
            400,
            "unknown variant `sell`",
        ),
    ] {
        let heard = ask(&socket, method, path, body);
        assert_eq!(heard.code, code, "{method} {path} {body}: {heard:?}");
        let error = heard.body["error"].as_str().unwrap_or_default();
        assert!(error.contains(told), "{method} {path} {body}: {error}");
    }
    let order =
        json!({ "key": { "provider": "sim", "key": "nobody" }, "order": { "order": "disable" } }).to_string();
    let heard = ask(&socket, "POST", "/v1/order", &order);
    assert_eq!((heard.code, &heard.body), (404, &json!({ "error": "there is no key `sim/nobody`" })));
    let plain = b"POST /v1/order HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    assert_eq!(say(&socket, plain).body, json!({ "error": "an order is JSON" }));
    let huge = format!("{{\"key\":\"{}", "x".repeat(1 << 20));
    assert_eq!(ask(&socket, "POST", "/v1/order", &huge).code, 413);
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    say(&socket, &garbage);
    let heads = format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    say(&socket, heads.as_bytes());
    assert_eq!(ask(&socket, "GET", "/v1/status", "").code, 200);

    // Many that say nothing, or begin and never end: others wait for a place, and get it.
    let begun =
        b"POST /v1/order HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut stream = UnixStream::connect(&socket).expect("somebody listens");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        if number % 2 == 0 {
            // It may have been closed already: then it is one fewer.
            let _ = stream.write_all(begun);
        }
        silent.push(stream);
    }
    assert_eq!(status(&desk)["source"]["pid"], batch.program.pid());
    drop(silent);
    // And many at once that all mean it.
    std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..50).map(|_| scope.spawn(|| ask(&socket, "GET", "/v1/status", "").code)).collect();
        assert!(asking.into_iter().all(|asked| asked.join().expect("no panic") == 200));
    });
    batch.serve(20, &sim);
    assert_eq!(batch.end().exited(0).summary()["ok"], 20);
}
