//! Broken answers, and answers meant to be read in two ways: each has its verdict, and none looks whole.

use http::Method;
use keywheel_actors::upstream::TransportError;
use tokio::io::AsyncWriteExt as _;

use super::desk::{ask, hear, story};

/// What a caller gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// No answer.
    Lost,
    /// An answer that breaks off.
    Cut,
}

use Verdict::{Cut, Lost};

/// What a server says before it hangs up, and what that is. Sources: RFC 9112 §2.2, §5.1, §5.2, §6, §7.1, §11.1, §11.2.
const BROKEN: [(&str, Verdict); 39] = [
    ("", Lost),
    ("HTTP/1.1 200 OK\r\n", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", Lost),
    ("HTTP/1.1 100 Continue\r\n\r\n", Lost),
    ("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n", Lost),
    ("hello", Lost),
    ("HTTP/2 200 OK\r\n\r\n", Lost),
    ("HTTP/1.1 1000 OK\r\n\r\n", Lost),
    ("HTTP/1.1 200 OK\r\na: b\r\n c: d\r\n\r\n", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length\r\n: 2\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\nhi", Lost),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Lost),
    ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Lost),
    ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\na: b\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nhi\n0\n\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a\nhi\r\n0\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n", Cut),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\na: b\n\r\n", Cut),
];

#[test]
fn each_broken_answer_has_its_verdict() {
    story(async |desk| {
        for (says, verdict) in BROKEN {
            let answer = desk.answered_last(desk.call(Method::POST, "{}"), says.as_bytes()).await;
            let got = match &answer {
                Err(TransportError::Lost(_)) => Some(Lost),
                Err(TransportError::Cut(_)) => Some(Cut),
                Ok(_)
                | Err(
                    TransportError::Connect(_) | TransportError::Unsendable(_) | TransportError::Withdrawn,
                ) => None,
            };
            assert_eq!(got, Some(verdict), "{answer:?} to {}", says.escape_debug());
        }
    });
}

#[test]
fn a_reset_inside_a_body_is_a_cut() {
    story(async |desk| {
        let served = async {
            let mut peer = desk.accept().await;
            hear(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\nhi").await.expect("the client listens");
            peer.set_zero_linger().expect("a socket");
        };
        let call = desk.call(Method::GET, "");
        let (answer, ()) = futures_util::future::join(ask(&desk.wire, call), served).await;
        // Without a length the end of the connection is the end of the body, but a reset is no end.
        let error = answer.expect_err("it broke off");
        assert!(!matches!(error, TransportError::Connect(_)), "{error}");
    });
}

#[test]
fn nobody_reads_two_megabytes_of_headers() {
    story(async |desk| {
        let lines = "x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(32 << 10);
        let says = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        assert!(says.len() > 2_000_000);
        let error = desk.answered_last(desk.call(Method::GET, ""), says.as_bytes()).await;
        let error = error.expect_err("no answer has such a head").to_string();
        assert_eq!(
            error,
            "connection lost before an answer: the answer can't be understood: its head is too long"
        );
    });
}
