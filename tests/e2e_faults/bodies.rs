//! Bodies that come too slowly, and bodies that are too many at once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use keywheel::clients::TokenHash;
use keywheel::sim::SimSpec;
use serde_json::json;

use crate::held::Held;
use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::live::{STATE, desk, desk_with, start, until};
use crate::support::program::Desk;

/// The head of a chat with so long a body.
fn head(length: usize, more: &str) -> String {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    format!("{head}{more}content-length: {length}\r\n\r\n")
}

/// A chat of so many letters.
fn chat(letters: usize) -> String {
    let said = "x".repeat(letters);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": said}]}).to_string();
    head(body.len(), "content-type: application/json\r\n") + &body
}

/// Says this, and hears nothing yet.
fn begin(gateway: &Gateway, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(&gateway.address).expect("somebody listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a limit");
    client.write_all(request.as_bytes()).expect("it is taken");
    client
}

/// Hears a refusal. Its connection may stay open a while for what still comes of a refused body.
fn heard(client: TcpStream) -> String {
    let mut client = BufReader::new(client);
    let mut heard = Vec::new();
    while !heard.ends_with(b"}}") {
        let bytes = client.read_until(b'}', &mut heard).expect("it is answered");
        assert!(bytes > 0, "{}", String::from_utf8_lossy(&heard));
    }
    String::from_utf8(heard).expect("text")
}

#[test]
fn a_body_has_no_longer_than_its_request() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    // Neither pause nor head is ever too long.
    let gateway = Gateway::start(&desk, &["--set", "server.body_timeout=1h", "--set", "server.deadline=1s"]);
    let heard = heard(begin(&gateway, &(head(1 << 20, "") + "{\"model\":")));
    assert!(heard.starts_with("HTTP/1.1 408 ") && heard.contains("\"body_timeout\""), "{heard}");
    assert!(heard.contains("within the time of its request"), "{heard}");
    assert_eq!(sim.ledger().calls, 0);
}

#[tokio::test]
async fn a_body_that_still_comes_has_its_clients_place() {
    let sim = start(SimSpec::with_keys(1));
    let client = format!(
        "{STATE}[[server.client]]\nname = \"a\"\ntoken_hashes = [\"{}\"]\nlimits = {{ concurrency = 1 }}\n",
        TokenHash::of("kw-right")
    );
    let desk = desk_with(&sim, &client);
    let gateway = Gateway::start(&desk, &[]);
    let token = "authorization: Bearer kw-right\r\n";
    let whole = chat(1).replacen("content-type", &format!("{token}content-type"), 1);
    // Without its last byte.
    let mut slow = begin(&gateway, &whole[..whole.len() - 1]);
    let begun = async { while !gateway.metrics().await.contains("keywheel_requests_in_flight 1\n") {} };
    tokio::time::timeout(PATIENCE, begun).await.expect("it is under way");
    assert!(heard(begin(&gateway, &whole)).contains("\"client_limit_concurrency\""));
    slow.write_all(&whole.as_bytes()[whole.len() - 1..]).expect("it is taken");
    assert!(heard(slow).starts_with("HTTP/1.1 200 "));
    until("the place is free", || heard(begin(&gateway, &whole)).starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_so_much_room_in_all_and_no_more() {
    const LETTERS: usize = 700_000;
    let held = Held::start().await;
    let desk = Desk::new(&format!("{STATE}{}", held.provider(0..1, "")));
    let gateway = Gateway::start(&desk, &["--set", "server.bodies_mib_max=1"]);
    let is_served = |heard: &str| heard.starts_with("HTTP/1.1 200 ");
    let first = begin(&gateway, &chat(LETTERS));
    until("its call has come", || held.count() == 1);

    // One that says how long it is, and one that doesn't.
    let unsaid = head(0, "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "");
    let chunk = format!("{LETTERS:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(LETTERS));
    for request in [chat(LETTERS), unsaid + &chunk] {
        let heard = heard(begin(&gateway, &request));
        assert!(heard.starts_with("HTTP/1.1 503 ") && heard.contains("\"bodies_full\""), "{heard}");
        assert!(heard.contains("retry-after: 1\r\n") && !heard.contains("x-should-retry"), "{heard}");
    }
    let alone = heard(begin(&gateway, &head(2 << 20, "")));
    assert!(alone.starts_with("HTTP/1.1 413 "), "it will never fit: {alone}");

    let small = begin(&gateway, &chat(1));
    until("a small one has its place", || held.count() == 2);
    held.release();
    for served in [first, small] {
        let heard = heard(served);
        assert!(is_served(&heard), "{heard}");
    }
    until("there is room again", || is_served(&heard(begin(&gateway, &chat(LETTERS)))));
    assert_eq!(held.count(), 3);
}
