//! Clients that hold their connection: with a head that doesn't end, with a body that nobody wants.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use keywheel::clients::TokenHash;
use keywheel::sim::SimSpec;

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::live::{STATE, desk, desk_with, start};

#[test]
fn a_head_that_doesnt_end_ends_its_connection_whichever_it_is() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &["--set", "server.header_timeout=1s"]);
    let mut client = TcpStream::connect(&gateway.address).expect("somebody listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a limit");
    for _ in 0..2 {
        client.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it is taken");
        let mut heard = String::new();
        while !heard.ends_with("live\n") {
            let mut piece = [0; 512];
            let bytes = client.read(&mut piece).expect("it comes");
            assert!(bytes > 0, "{heard}");
            heard.push_str(str::from_utf8(&piece[..bytes]).expect("text"));
        }
    }
    client.write_all(b"GET /livez HTTP/1.1\r\nhost: loc").expect("it is taken");
    assert_eq!(client.read(&mut [0]).expect("it is closed in time"), 0);
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
