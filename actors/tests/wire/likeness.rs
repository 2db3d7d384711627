//! That ours and reqwest's give the same: the same answer where there is one, and an error where there is none.

use futures_util::future::join;
use http::header::ACCEPT_ENCODING;
use http::{HeaderValue, Method};
use keywheel_actors::upstream::{Http, HttpOptions, TransportError, Upstream};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::desk::{Whole, ask, call, hear};
use keywheel_actors::upstream::Wire;

const CASES: u32 = 200;

/// What a server says, and in which pieces.
#[derive(Clone, Debug)]
struct Said {
    bytes: Vec<u8>,
    /// Places to cut it, modulo its length.
    cuts: Vec<usize>,
}

impl Said {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut % (self.bytes.len() + 1)).collect();
        cuts.extend([0, self.bytes.len()]);
        cuts.sort_unstable();
        let pairs: Vec<_> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        pairs.into_iter().map(|range| &self.bytes[range])
    }
}

/// The two clients and the server between them.
struct Pair {
    runtime: Runtime,
    ours: Wire,
    theirs: Http,
}

impl Pair {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let ours = Wire::new(HttpOptions::default()).expect("a client");
        let theirs = Http::new(HttpOptions::default()).expect("a client");
        Self { runtime, ours, theirs }
    }

    fn ask(&self, method: &Method, said: &Said) -> [Result<Whole, TransportError>; 2] {
        self.runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let base_url = format!("http://{}", listener.local_addr().expect("it listens"));
            let one = async |upstream: &dyn Upstream| {
                let served = async {
                    let (mut peer, _) = listener.accept().await.expect("it listens");
                    peer.set_nodelay(true).expect("a socket");
                    hear(&mut peer).await;
                    for piece in said.pieces() {
                        // Who has refused the beginning doesn't wait for the end.
                        let _ = peer.write_all(piece).await;
                        tokio::task::yield_now().await;
                    }
                };
                join(ask(upstream, call(&base_url, method.clone(), "{}")), served).await.0
            };
            [one(&self.ours).await, one(&self.theirs).await]
        })
    }
}

fn header() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["x-a", "X-A", "Set-Cookie", "content-type", "Retry-After"]);
    (name, "[ -~]{0,20}").prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

fn sound() -> impl Strategy<Value = Said> {
    let frame = prop::sample::select(vec!["length", "chunked", "close"]);
    let status = prop::sample::select(vec![200, 201, 204, 304, 400, 404, 429, 500, 599]);
    let chunks = vec(vec(any::<u8>(), 1..300), 0..5);
    (status, vec(header(), 0..6), frame, chunks, vec(any::<usize>(), 0..6), 0..3_usize).prop_map(
        |(status, headers, frame, chunks, cuts, interim)| {
            let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(interim);
            bytes.extend(format!("HTTP/1.1 {status} Some\r\n{}", headers.concat()).bytes());
            bytes.extend(b"connection: close\r\n");
            let has_body = status != 204 && status != 304;
            match frame {
                _ if !has_body => bytes.extend(b"\r\n"),
                "length" => {
                    let body = chunks.concat();
                    bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                    bytes.extend(body);
                }
                "chunked" => {
                    bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in &chunks {
                        bytes.extend(format!("{:X};x=y\r\n", chunk.len()).bytes());
                        bytes.extend(chunk);
                        bytes.extend(b"\r\n");
                    }
                    bytes.extend(b"0\r\nx-trailer: 1\r\n\r\n");
                }
                _ => {
                    bytes.extend(b"\r\n");
                    bytes.extend(chunks.concat());
                }
            }
            Said { bytes, cuts }
        },
    )
}

/// Answers with one mistake that nobody forgives.
fn broken() -> impl Strategy<Value = Said> {
    let mistakes: Vec<&'static [u8]> = vec![
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-length: 8\r\n\r\nlong enough",
        b"HTTP/1.1 200 OK\r\ncontent-length: -9\r\n\r\nlong enough",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nlong enough",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n",
        b"no answer\r\n\r\n",
        b"",
    ];
    let cuts = vec(any::<usize>(), 0..6);
    (prop::sample::select(mistakes), cuts).prop_map(|(bytes, cuts)| Said { bytes: bytes.to_vec(), cuts })
}

fn methods() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::POST])
}

#[test]
fn both_ask_for_what_can_be_read_unless_the_call_says_otherwise() {
    let pair = Pair::new();
    for (said, wanted) in [(None, "identity"), (Some("gzip"), "gzip")] {
        let heard = pair.runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let base_url = format!("http://{}", listener.local_addr().expect("it listens"));
            let one = async |upstream: &dyn Upstream| {
                let mut call = call(&base_url, Method::POST, "{}");
                call.headers.extend(said.map(|said| (ACCEPT_ENCODING, HeaderValue::from_static(said))));
                let heard = async {
                    let (mut peer, _) = listener.accept().await.expect("it listens");
                    let heard = hear(&mut peer).await;
                    peer.write_all(b"HTTP/1.1 204 None\r\n\r\n").await.expect("the client listens");
                    heard
                };
                let (answer, heard) = join(ask(upstream, call), heard).await;
                assert_eq!(answer.expect("a sound answer").status, 204);
                heard
            };
            [one(&pair.ours).await, one(&pair.theirs).await]
        });
        for heard in heard {
            let lines = heard.lines().filter_map(|line| line.strip_prefix("accept-encoding: "));
            assert_eq!(lines.collect::<Vec<_>>(), [wanted], "{heard}");
        }
    }
}

#[test]
fn neither_speaks_to_an_address_where_machines_get_their_credentials() {
    let pair = Pair::new();
    for server in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.0.1]", "100.100.100.200", "metadata.goog"]
    {
        let base_url = format!("http://{server}:9/latest");
        for upstream in [&pair.ours as &dyn Upstream, &pair.theirs] {
            let answer = pair.runtime.block_on(ask(upstream, call(&base_url, Method::GET, "")));
            let error = answer.expect_err(server).to_string();
            assert!(error.starts_with("can't connect: it is a link-local or metadata address"), "{error}");
        }
    }
}

#[test]
fn both_look_names_up() {
    let pair = Pair::new();
    pair.runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://localhost:{}", listener.local_addr().expect("it listens").port());
        for upstream in [&pair.ours as &dyn Upstream, &pair.theirs] {
            let served = async {
                let (mut peer, _) = listener.accept().await.expect("it listens");
                hear(&mut peer).await;
                peer.write_all(b"HTTP/1.1 204 None\r\n\r\n").await.expect("the client listens");
            };
            let (answer, ()) = join(ask(upstream, call(&base_url, Method::GET, "")), served).await;
            assert_eq!(answer.expect("a sound answer").status, 204);
        }
    });
}

#[test]
fn a_sound_answer_is_the_same_answer() {
    let pair = Pair::new();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(methods(), sound()), |(method, said)| {
        let [ours, theirs] = pair.ask(&method, &said).map(|answer| answer.map_err(|error| error.to_string()));
        prop_assert!(ours.is_ok(), "{ours:?}");
        prop_assert_eq!(ours, theirs);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_broken_answer_is_none_to_either() {
    let pair = Pair::new();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(methods(), broken()), |(method, said)| {
        let [ours, theirs] = pair.ask(&method, &said);
        prop_assert!(ours.is_err() && theirs.is_err(), "{ours:?} {theirs:?}");
        Ok(())
    });
    outcome.unwrap();
}
