//! What becomes of connections: used again where that is safe, closed where it isn't, and no request sent twice.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, join, select};
use futures_util::{FutureExt as _, StreamExt as _};
use http::Method;
use keywheel_actors::upstream::{TransportError, Upstream as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::desk::{ask, call, hear, is_closed, read, story};

const HI: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn a_connection_serves_one_call_after_another() {
    story(async |desk| {
        let (answer, mut peer) = desk.answered(desk.call(Method::POST, "{}"), HI).await;
        assert_eq!(answer.expect("an answer").body, b"hi");
        for (method, says) in [
            (
                Method::POST,
                &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n"[..],
            ),
            (
                Method::GET,
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\na: b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            ),
            (Method::HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 700\r\n\r\n"),
            (Method::GET, b"HTTP/1.0 404 Not Found\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n"),
            (Method::GET, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 700\r\n\r\n"),
            (Method::GET, HI),
        ] {
            let answer = desk.answered_on(&mut peer, desk.call(method, ""), says).await;
            assert!(answer.is_ok(), "{answer:?} to {}", says.escape_ascii());
        }
        assert!(!desk.is_called().await);
    });
}

#[test]
fn it_is_free_at_the_last_byte_and_not_when_somebody_looks_for_more() {
    story(async |desk| {
        let wire = desk.wire.clone();
        let call = desk.call(Method::GET, "");
        let (first, mut peer) = join(async { wire.call(call).await.expect("a head") }, async {
            let mut peer = desk.accept().await;
            hear(&mut peer).await;
            peer.write_all(HI).await.expect("the client listens");
            peer
        })
        .await;
        let mut body = first.body;
        assert_eq!(body.next().await.expect("a piece").expect("sound"), "hi");
        let second = desk.answered_on(&mut peer, desk.call(Method::GET, ""), HI).await;
        assert_eq!(second.expect("an answer").status, 200);
        assert!(body.next().await.is_none());
    });
}

#[test]
fn what_nobody_may_use_again_is_closed() {
    for says in [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"[..],
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\r\n",
    ] {
        story(async |desk| {
            let (answer, mut peer) = desk.answered(desk.call(Method::GET, ""), says).await;
            assert_eq!(answer.expect("an answer").body, b"hi");
            assert!(is_closed(&mut peer).await, "{}", says.escape_ascii());
        });
    }
}

#[test]
fn a_body_may_last_until_its_server_hangs_up() {
    story(async |desk| {
        let answer = desk.answered_last(desk.call(Method::GET, ""), b"HTTP/1.1 200 OK\r\n\r\nhi").await;
        assert_eq!(answer.expect("an answer").body, b"hi");
    });
}

#[test]
fn whoever_leaves_hangs_up() {
    story(async |desk| {
        let waiting = desk.wire.call(desk.call(Method::POST, "{}"));
        let heard = pin!(async {
            let mut peer = desk.accept().await;
            hear(&mut peer).await;
            peer
        });
        let Either::Right((mut peer, waiting)) = select(waiting, heard).await else {
            panic!("nobody has answered");
        };
        drop(waiting);
        assert!(is_closed(&mut peer).await);

        let call = desk.call(Method::POST, "{}");
        let says = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
        let (response, mut peer) = join(desk.wire.call(call), async {
            let mut peer = desk.accept().await;
            hear(&mut peer).await;
            peer.write_all(says).await.expect("the client listens");
            peer
        })
        .await;
        let mut body = response.expect("a head").body;
        assert_eq!(body.next().await.expect("a piece").expect("sound"), "hi");
        drop(body);
        assert!(is_closed(&mut peer).await);
    });
}

#[test]
fn a_connection_that_its_server_has_closed_is_not_used() {
    story(async |desk| {
        let (_, peer) = desk.answered(desk.call(Method::GET, ""), HI).await;
        drop(peer);
        desk.settle().await;
        let (answer, _) = desk.answered(desk.call(Method::POST, "{}"), HI).await;
        assert_eq!(answer.expect("an answer on a new connection").body, b"hi");
    });
}

#[test]
fn an_answer_that_nobody_asked_for_ends_its_connection() {
    story(async |desk| {
        let (_, mut peer) = desk.answered(desk.call(Method::GET, ""), HI).await;
        peer.write_all(HI).await.expect("the client is there");
        desk.settle().await;
        let (answer, _) = desk
            .answered(desk.call(Method::GET, ""), b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            .await;
        assert_eq!(answer.expect("an answer on a new connection").status, 201);
    });
}

#[test]
fn a_request_that_may_have_been_heard_is_not_sent_again() {
    story(async |desk| {
        let (_, peer) = desk.answered(desk.call(Method::GET, ""), HI).await;
        // Nobody has noticed yet when the next call leaves.
        drop(peer);
        let error = ask(&desk.wire, desk.call(Method::POST, "{}")).await.expect_err("nobody is there");
        assert!(matches!(error, TransportError::Lost(_)), "{error}");
        assert!(!desk.is_called().await);
    });
}

#[test]
fn a_request_of_which_no_byte_could_leave_takes_another_connection() {
    story(async |desk| {
        let (_, peer) = desk.answered(desk.call(Method::GET, ""), HI).await;
        peer.set_zero_linger().expect("a socket");
        drop(peer);
        let (answer, mut peer) = desk.answered(desk.call(Method::POST, "{}"), HI).await;
        assert_eq!(answer.expect("an answer on a new connection").body, b"hi");
        peer.write_all(b"").await.expect("it is open");
    });
}

#[test]
fn what_comes_together_is_given_together() {
    story(async |desk| {
        let call = desk.call(Method::GET, "");
        let says = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n1\r\ng\r\n";
        let (response, mut peer) = join(desk.wire.call(call), async {
            let mut peer = desk.accept().await;
            hear(&mut peer).await;
            peer.write_all(says).await.expect("the client listens");
            peer
        })
        .await;
        let mut body = response.expect("a head").body;
        assert_eq!(body.next().await.expect("a piece").expect("sound"), "abcdefg");
        assert!(body.next().now_or_never().is_none());
        peer.write_all(b"2\r\nhi\r\n1\r\nj\r\n0\r\n\r\n").await.expect("the client listens");
        assert_eq!(body.next().await.expect("a piece").expect("sound"), "hij");
        assert!(body.next().await.is_none());
    });
}

#[test]
fn a_byte_at_a_time_is_an_answer_too() {
    let says = b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n";
    story(async |desk| {
        let call = desk.call(Method::GET, "");
        let (answer, ()) = join(ask(&desk.wire, call), async {
            let mut peer = desk.accept().await;
            peer.set_nodelay(true).expect("a socket");
            hear(&mut peer).await;
            for byte in says {
                peer.write_all(&[*byte]).await.expect("the client listens");
                tokio::task::yield_now().await;
            }
        })
        .await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.headers["x-a"].as_bytes(), &answer.body[..]), (&b"b"[..], &b"hello"[..]));
    });
}

#[test]
fn a_request_may_be_answered_before_it_is_read() {
    story(async |desk| {
        let call = desk.call(Method::POST, Bytes::from(vec![b'x'; 64 << 20]));
        let says = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
        let (response, mut peer) = join(desk.wire.call(call), async {
            let mut peer = desk.accept().await;
            peer.write_all(says).await.expect("the client listens");
            peer
        })
        .await;
        let answer = read(response.expect("an answer")).await.expect("all of it");
        assert_eq!((answer.status, &answer.body[..]), (413, &b"no"[..]));
        // Its rest would be read as the next request.
        let mut heard = Vec::new();
        let _ = peer.read_to_end(&mut heard).await;
        assert!(heard.len() < 64 << 20, "{} bytes", heard.len());
    });
}

#[test]
fn a_request_is_sent_to_its_end_beside_its_answer() {
    story(async |desk| {
        let call = desk.call(Method::POST, Bytes::from(vec![b'x'; 16 << 20]));
        let answer = join(ask(&desk.wire, call), async {
            let mut peer = desk.accept().await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
                .await
                .expect("the client listens");
            hear(&mut peer).await;
            peer.write_all(b"hi").await.expect("the client listens");
        })
        .await
        .0;
        assert_eq!(answer.expect("an answer").body, b"hi");
    });
}

#[test]
fn nobody_listens() {
    story(async |desk| {
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}", closed.local_addr().expect("it listened"));
        drop(closed);
        let error = ask(&desk.wire, call(&base_url, Method::GET, "")).await.expect_err("nobody is there");
        assert!(matches!(error, TransportError::Connect(_)), "{error}");
        assert!(error.to_string().contains("Connection refused"), "{error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    });
}
