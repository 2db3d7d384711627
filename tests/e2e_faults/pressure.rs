//! Clients that are slow, and clients that leave: what a provider may write ahead of them, and what becomes of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use keywheel_actors::clock::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::one::Kind;
use crate::raw::{Raw, Step};
use crate::run::{Figures, Run, Saw};
use crate::support::gateway::chat_body;
use crate::support::live::{key, status, until};
use crate::support::millis;
use crate::words::{CHUNKED, DONE, HELLO, LAST_CHUNK, begun, chunk, say, well};

/// A kilobyte of a stream.
const EVENT_BYTES: usize = 1_000;
/// So many kilobytes are written for a client that is slow.
const EVENTS: usize = 48_000;
/// How much the provider may be ahead of it: what four buffers of the system hold, which grow as it likes (3 to 9 MB
/// were seen), and a little of ours. Were nothing held back, it would be all.
const AHEAD_BYTES_MAX: u64 = 24 << 20;
/// How much memory the gateway may take meanwhile.
const GROWTH_BYTES_MAX: u64 = 8 << 20;
/// What the slow client reads at a time, and how often it does before it hurries: 1 kB/s, a thousand times as fast.
const READS: usize = 500;
/// So many other clients come before it and beside it.
const OTHERS: usize = 40;

fn event() -> Vec<u8> {
    let (begin, end) = ("data: {\"choices\":[{\"delta\":{\"content\":\"", "\"}}]}\n\n");
    [begin.as_bytes(), &b"x".repeat(EVENT_BYTES - begin.len() - end.len()), end.as_bytes()].concat()
}

/// A client that takes a kilobyte at a time, and keeps as little as it can of what waits for it.
struct Slow {
    connection: TcpStream,
    heard: Vec<u8>,
}

impl Slow {
    async fn ask(run: &Run<Raw>, kind: Kind, headers: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a size");
        let address: SocketAddr = run.gateway.address.parse().expect("an address");
        let mut connection = socket.connect(address).await.expect("somebody listens");
        let (line, body) = match kind {
            Kind::Chat | Kind::Stream => {
                ("POST /v1/chat/completions", chat_body(kind == Kind::Stream).to_string())
            }
            Kind::File => ("GET /providers/p0/files/1", String::new()),
        };
        let head =
            format!("{line} HTTP/1.1\r\nhost: localhost\r\nx-request-id: slow\r\nconnection: close\r\n");
        let request = format!("{head}{headers}content-length: {}\r\n\r\n{body}", body.len());
        connection.write_all(request.as_bytes()).await.expect("somebody reads");
        Self { connection, heard: Vec::new() }
    }

    /// Takes a kilobyte, or what is there of it.
    async fn read(&mut self) -> usize {
        let mut piece = [0; EVENT_BYTES];
        let bytes = self.connection.read(&mut piece).await.expect("it comes");
        self.heard.extend_from_slice(&piece[..bytes]);
        bytes
    }

    /// Takes the rest as fast as it comes. Gives the body.
    async fn hurry(mut self) -> Vec<u8> {
        self.connection.read_to_end(&mut self.heard).await.expect("it comes to its end");
        let text = self.heard.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let body = self.heard.split_off(text + 4);
        let head = String::from_utf8_lossy(&self.heard).to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") { unchunked(&body) } else { body }
    }
}

/// The data of a chunked body, whole.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let line = body.iter().position(|byte| *byte == b'\r').expect("the size of a chunk");
        let size = str::from_utf8(&body[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let (size, begin) = (size.expect("a number"), line + 2);
        if size == 0 {
            assert_eq!(&body[begin..], b"\r\n");
            return data;
        }
        data.extend_from_slice(&body[begin..begin + size]);
        body = &body[begin + size + 2..];
    }
}

/// So many others come at once, and are served. Tells how long that takes.
async fn others(run: &mut Run<Raw>) -> Duration {
    let clock = Clock::start();
    assert_eq!(run.send(OTHERS).await, OTHERS);
    clock.now().since_start()
}

/// A client is slow with an answer of 48 MB; others aren't.
async fn slowly(kind: Kind) {
    let begun = match kind {
        Kind::Chat | Kind::Stream => CHUNKED.to_owned(),
        Kind::File => CHUNKED.replace("text/event-stream", "application/octet-stream"),
    };
    let events = Step::Repeat(Bytes::from(chunk(event())), EVENTS);
    let end = say([&chunk(DONE)[..], LAST_CHUNK.as_bytes()].concat());
    let large = vec![say(begun), events, end];
    let provider =
        Raw::start(move |heard| if heard.number == 2 * OTHERS { large.clone() } else { well(heard) });
    let mut run = Run::over_raw(vec![(provider, "")], &[]);
    let idle = run.gateway.program.peak_bytes();
    // The first ones find out how fast the key may be used.
    others(&mut run).await;
    let alone = others(&mut run).await;
    let mut slow = Slow::ask(&run, kind, "").await;
    let mut ahead = 0;
    for _ in 0..READS {
        assert!(slow.read().await > 0, "it goes on");
        ahead = ahead.max(run.providers[0].seen().written.saturating_sub(slow.heard.len() as u64));
        sleep(millis(1)).await;
    }
    assert!(ahead <= AHEAD_BYTES_MAX, "the provider is {ahead} bytes ahead");
    let beside = others(&mut run).await;
    ahead = ahead.max(run.providers[0].seen().written.saturating_sub(slow.heard.len() as u64));
    assert!(ahead <= AHEAD_BYTES_MAX, "the provider is {ahead} bytes ahead");
    let grown = run.gateway.program.peak_bytes() - idle;

    let body = slow.hurry().await;
    assert_eq!(body.len(), EVENTS * EVENT_BYTES + DONE.len());
    assert!(body == [event().repeat(EVENTS), DONE.into()].concat(), "it got every byte");
    println!(
        "{kind:?} read at 1 MB/s: the provider was {} KiB ahead at most, the gateway's peak grew by {} KiB; \
         {OTHERS} others took {} ms beside it, {} ms before",
        ahead >> 10,
        grown >> 10,
        beside.as_millis(),
        alone.as_millis()
    );
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes more");
    run.saw.push(Saw { id: "slow".to_owned(), status: 200, is_whole: true });
    let all = 3 * OTHERS + 1;
    assert_eq!(run.join().await, Figures { requests: all, served: all, calls: all });
}

#[tokio::test]
async fn who_reads_a_stream_slowly_slows_its_provider_and_nobody_else() {
    slowly(Kind::Stream).await;
}

#[tokio::test]
async fn who_reads_a_file_slowly_slows_its_provider_and_nobody_else() {
    slowly(Kind::File).await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_ends_its_call_and_frees_its_key() {
    let silent = vec![begun(HELLO), Step::Stop];
    let busy = vec![begun(HELLO), Step::Repeat(Bytes::from(chunk(event())), EVENTS), Step::Stop];
    // Every other request is answered well, by the same key, which takes one at a time.
    let answers = [silent, busy];
    let provider = Raw::start(move |heard| match heard.number % 2 {
        0 => answers[heard.number / 2].clone(),
        _ => well(heard),
    });
    let mut run = Run::over_raw(vec![(provider, "limits = { concurrency = 1 }")], &[]);
    for number in 1..=2 {
        let id = format!("left-{number}");
        let mut answer = run.gateway.stream(&id).send().await.expect("it begins");
        assert!(
            answer
                .chunk()
                .await
                .is_ok_and(|piece| piece.is_some_and(|piece| piece.starts_with(HELLO.as_bytes())))
        );
        drop(answer);
        run.saw.push(Saw { id, status: 200, is_whole: false });
        run.one(Kind::Chat).await.served_by("p0", 1);
        until("the provider hears of it", || run.providers[0].seen().left == number);
    }
    let seen = status(&run.desk);
    assert_eq!(key(&seen, "p0")["in_flight"], 0);
    assert_eq!(key(&seen, "p0")["counts"]["cancelled"], 2);
    assert_eq!(run.join().await, Figures { requests: 4, served: 2, calls: 4 });
}

/// A client takes the beginning of a long stream and then nothing more; the next request needs the same place.
async fn takes_nothing_more(words: &[&str], headers: &str) {
    let endless = vec![begun(HELLO), Step::Repeat(Bytes::from(chunk(event())), EVENTS), Step::Stop];
    let provider = Raw::start(move |heard| if heard.number == 0 { endless.clone() } else { well(heard) });
    let mut run = Run::over_raw(vec![(provider, "limits = { concurrency = 1 }")], words);
    let mut stuck = Slow::ask(&run, Kind::Stream, headers).await;
    assert!(stuck.read().await > 0, "it begins");
    run.one(Kind::Chat).await.served_by("p0", 1);
    until("the provider hears of it", || run.providers[0].seen().left == 1);
    let seen = status(&run.desk);
    assert_eq!(
        (key(&seen, "p0")["in_flight"].as_u64(), key(&seen, "p0")["status"].as_str()),
        (Some(0), Some("active"))
    );
    assert_eq!(key(&seen, "p0")["counts"]["cancelled"], 1);
    drop(stuck);
    run.saw.push(Saw { id: "slow".to_owned(), status: 200, is_whole: false });
    assert_eq!(run.join().await, Figures { requests: 2, served: 1, calls: 2 });
}

#[tokio::test]
async fn who_takes_nothing_more_is_left() {
    takes_nothing_more(&["--set", "server.send_timeout=1s"], "").await;
}

#[tokio::test]
async fn who_takes_nothing_more_holds_no_key_beyond_its_deadline() {
    takes_nothing_more(&[], "x-keywheel-timeout: 2s\r\n").await;
}

#[tokio::test]
async fn who_leaves_behind_the_last_event_has_got_all_of_it() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11}}\n\n";
    let provider = Raw::start(move |heard| match heard.number {
        0 => vec![begun(&[HELLO, usage, DONE].concat()), Step::Stop],
        _ => well(heard),
    });
    let mut run = Run::over_raw(vec![(provider, "limits = { concurrency = 1 }")], &[]);
    let mut answer = run.gateway.stream("left").send().await.expect("it begins");
    let mut text = String::new();
    // As SDKs do: what follows the mark is of no interest to them.
    while !text.ends_with(DONE) {
        let piece = answer.chunk().await.expect("a piece").expect("a piece");
        text.push_str(str::from_utf8(&piece).expect("text"));
    }
    drop(answer);
    run.saw.push(Saw { id: "left".to_owned(), status: 200, is_whole: true });
    run.one(Kind::Chat).await.served_by("p0", 1);
    let seen = status(&run.desk);
    let counted = ["succeeded", "cancelled", "tokens"].map(|name| key(&seen, "p0")["counts"][name].as_u64());
    assert_eq!(counted, [2, 0, 11].map(Some));
    assert_eq!(run.join().await, Figures { requests: 2, served: 2, calls: 2 });
}
