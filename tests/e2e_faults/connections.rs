//! Clients that hold their connection, with a head that doesn't end or a body that nobody wants; and those that ask
//! in ways of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use keywheel::clients::TokenHash;
use keywheel::sim::SimSpec;

use crate::raw::{Raw, Step};
use crate::run::Run;
use crate::support::PATIENCE;
use crate::support::gateway::{Gateway, chat_body};
use crate::support::live::{STATE, desk, desk_with, start};
use crate::words::say;

#[test]
fn a_head_that_doesnt_end_ends_its_connection_whichever_it_is() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &["--set", "server.header_timeout=1s"]);
    let client = TcpStream::connect(&gateway.address).expect("somebody listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut client = BufReader::new(client);
    for _ in 0..2 {
        client.get_mut().write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it is taken");
        let mut heard = String::new();
        while !heard.ends_with("live\n") {
            let bytes = client.read_line(&mut heard).expect("it comes");
            assert!(bytes > 0, "{heard}");
        }
    }
    client.get_mut().write_all(b"GET /livez HTTP/1.1\r\nhost: loc").expect("it is taken");
    assert_eq!(client.read_to_end(&mut Vec::new()).expect("it is closed in time"), 0);
}

#[test]
fn a_body_that_nobody_wants_may_not_go_on_for_ever() {
    let sim = start(SimSpec::with_keys(1));
    let client = format!(
        "{STATE}[[server.client]]\nname = \"a\"\ntoken_hashes = [\"{}\"]\n",
        TokenHash::of("kw-right")
    );
    let desk = desk_with(&sim, &client);
    let gateway = Gateway::start(&desk, &["--set", "server.header_timeout=1s"]);
    let mut client = TcpStream::connect(&gateway.address).expect("somebody listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).expect("it is taken");
    let mut writer = client.try_clone().expect("a socket");
    let endless = thread::spawn(move || while writer.write_all(b"4\r\nwell\r\n").is_ok() {});
    let mut heard = Vec::new();
    // It is closed while there is more to come, and that may be told by a reset.
    let _ = client.read_to_end(&mut heard);
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.starts_with("HTTP/1.1 401 ") && heard.trim_end().ends_with('}'), "{heard}");
    endless.join().expect("nobody takes it any more");
}

#[test]
fn who_speaks_http_1_0_gets_no_chunks() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let body = chat_body(true).to_string();
    let head = "POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n";
    let heard = gateway.say(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    assert!(heard.starts_with("HTTP/1.0 200 ") && !heard.contains("transfer-encoding"), "{heard}");
    let (_, events) = heard.split_once("\r\n\r\n").expect("a head");
    assert!(events.starts_with("data: {") && events.ends_with("data: [DONE]\n\n"), "{events}");
}

#[test]
fn a_head_is_answered_as_its_get_would_be() {
    let length = |said: &'static str| {
        let provider = Raw::start(move |_| vec![say(said), Step::HangUp]);
        let run = Run::over_raw(vec![(provider, "")], &[]);
        let head = "HEAD /providers/p0/files/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let heard = run.gateway.say(head.as_bytes());
        assert!(heard.starts_with("HTTP/1.1 200 ") && heard.ends_with("\r\n\r\n"), "{heard}");
        let line = heard.lines().find_map(|line| line.strip_prefix("content-length: "));
        line.map(|length| length.parse::<u64>().expect("a number"))
    };
    assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: 1234\r\n\r\n"), Some(1_234));
    assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ntransfer-encoding: chunked\r\n\r\n"), None);
}

#[test]
fn a_refusal_says_what_would_be_allowed() {
    let sim = start(SimSpec::with_keys(1));
    let client = format!(
        "{STATE}[[server.client]]\nname = \"a\"\ntoken_hashes = [\"{}\"]\n",
        TokenHash::of("kw-right")
    );
    let desk = desk_with(&sim, &client);
    let gateway = Gateway::start(&desk, &[]);
    for (line, status, header) in [
        ("GET /v1/chat/completions", 405, "allow: POST"),
        ("POST /v1/models", 405, "allow: GET, HEAD"),
        ("GET /v1/models", 401, "www-authenticate: Bearer"),
    ] {
        let heard = gateway
            .say(format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{heard}");
        assert!(heard.lines().any(|line| line == header), "{heard}");
    }
}

#[test]
fn what_cant_be_read_is_refused_and_fills_no_log() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";
    for more in [
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "transfer-encoding: xchunked\r\n\r\nhello",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "content-length: +5\r\n\r\nhello",
        "x-folded: a\r\n b\r\ncontent-length: 5\r\n\r\nhello",
        "host: example.com\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let heard = gateway.say(format!("{head}{more}").as_bytes());
        assert!(
            heard.starts_with("HTTP/1.1 400 ") && heard.matches("HTTP/1.1 ").count() == 1,
            "{more}: {heard}"
        );
    }
    let ended = gateway.terminate();
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
    assert!(sim.ledger().keys.iter().all(|key| key.outcomes.is_empty()));
}
