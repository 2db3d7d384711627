//! Bodies that are sent as they come.

use std::io;

use bytes::Bytes;
use futures_util::future::join;
use futures_util::stream;
use http::Method;
use keywheel_actors::upload::Upload;
use keywheel_actors::upstream::TransportError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::desk::{Desk, ask, story};

const HI: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

type Pieces = Vec<io::Result<Bytes>>;

fn pieces(pieces: &[&'static str]) -> Pieces {
    pieces.iter().map(|piece| Ok(Bytes::from(*piece))).collect()
}

/// What a server is sent until `end` has come or the client hangs up; it answers then.
async fn sent(
    desk: &Desk,
    rest: Pieces,
    length: Option<u64>,
    end: &str,
) -> (Result<u16, TransportError>, String) {
    let mut call = desk.call(Method::POST, "first ");
    call.upload = Some(Upload::new(stream::iter(rest), length));
    let (answer, heard) = join(ask(&desk.wire, call), async {
        let mut peer = desk.accept().await;
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            if peer.read_buf(&mut heard).await.expect("it can be read") == 0 {
                return heard;
            }
        }
        peer.write_all(HI).await.expect("the client listens");
        heard
    })
    .await;
    (answer.map(|answer| answer.status), String::from_utf8(heard).expect("text"))
}

#[test]
fn one_of_unknown_length_goes_out_in_chunks() {
    story(async |desk| {
        let (answer, heard) = sent(desk, pieces(&["then ", "last"]), None, "0\r\n\r\n").await;
        assert_eq!(answer.expect("an answer"), 200);
        let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
        assert_eq!(body, "6\r\nfirst \r\n5\r\nthen \r\n4\r\nlast\r\n0\r\n\r\n");
    });
}

#[test]
fn one_of_known_length_goes_out_as_it_is() {
    story(async |desk| {
        let (answer, heard) = sent(desk, pieces(&["then ", "last"]), Some(9), "last").await;
        assert_eq!(answer.expect("an answer"), 200);
        let (head, body) = heard.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("content-length: 15") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "first then last");
    });
}

/// A server that reads such a body sees the connection end before the body does.
#[test]
fn one_that_breaks_off_never_looks_whole() {
    let broken = || Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    for (rest, length) in [
        (vec![Ok(Bytes::from("then ")), broken()], None),
        (vec![Ok(Bytes::from("then ")), broken()], Some(9)),
        (pieces(&["short"]), Some(9)),
        (pieces(&["much too long"]), Some(9)),
    ] {
        story(async |desk| {
            let (answer, heard) = sent(desk, rest, length, "0\r\n\r\n").await;
            assert!(matches!(answer, Err(TransportError::Unsendable(_))), "{answer:?}");
            assert!(!heard.ends_with("0\r\n\r\n"), "{heard}");
            let (_, body) = heard.split_once("\r\n\r\n").expect("a head");
            assert!(length.is_none() || body.len() < 15, "{body}");
        });
    }
}
