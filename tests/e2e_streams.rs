//! Streams over real sockets: whole, cut after their first content, and cut before it.

mod support;

use futures_util::StreamExt as _;
use keywheel::sim::{FaultRates, Latency, Outcome, Pace, SimSpec};
use keywheel_actors::{Answer, AnswerBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use support::{PATIENCE, Scenario, millis};

/// What a reader got.
struct Read {
    text: String,
    end: End,
}

#[derive(PartialEq, Eq, Debug)]
enum End {
    Clean,
    Error,
}

async fn read(answer: Answer) -> Read {
    let AnswerBody::Stream(mut body) = answer.body else { panic!("a stream was asked for") };
    let mut text = String::new();
    loop {
        let piece = tokio::time::timeout(PATIENCE, body.next()).await.expect("the stream has an end");
        match piece {
            Some(Ok(bytes)) => text.push_str(std::str::from_utf8(&bytes).expect("whole events are text")),
            Some(Err(_)) => return Read { text, end: End::Error },
            None => return Read { text, end: End::Clean },
        }
    }
}

/// What the model said in these events.
fn content(events: &str) -> String {
    let data = events.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let chunks = data.filter(|data| *data != "[DONE]").map(|data| {
        let chunk: serde_json::Value = serde_json::from_str(data).expect("whole events only");
        chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    });
    chunks.collect()
}

/// A provider whose chunks come one by one.
fn paced(faults: FaultRates) -> SimSpec {
    let pace = Pace { chunk_gap: Latency::Fixed(millis(5)), ..Pace::default() };
    SimSpec { pace, faults, ..SimSpec::with_keys(2) }
}

#[tokio::test]
async fn a_stream_comes_whole_and_ends_cleanly() {
    let world = Scenario::of(paced(FaultRates::default())).start();
    let answer = world.stream("r").await.expect("served");
    assert_eq!(answer.served.attempts.len(), 1);
    let Read { text, end } = read(answer).await;
    assert_eq!(end, End::Clean);
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(content(&text).ends_with(": hello"), "{text}");
    world.settle().await;
    assert_eq!(world.key("k0").counts.succeeded + world.key("k1").counts.succeeded, 1);
}

#[tokio::test]
async fn many_streams_at_once_all_come_whole() {
    let world = Scenario::of(paced(FaultRates::default())).start();
    let streams = (0..60).map(|number| {
        let world = &world;
        async move { read(world.stream(&format!("r-{number}")).await.expect("served")).await }
    });
    let read: Vec<Read> = futures_util::future::join_all(streams).await;
    assert_eq!(read.len(), 60);
    let said = content(&read[0].text);
    assert!(read.iter().all(|read| read.end == End::Clean && content(&read.text) == said), "{said}");
    assert_eq!((world.ledger().calls, world.ledger().count(Outcome::Served)), (60, 60));
}

#[tokio::test]
async fn a_stream_cut_after_its_first_content_never_ends_cleanly() {
    for faults in [
        FaultRates { cut: 1.0, ..FaultRates::default() },
        FaultRates { in_band: 1.0, ..FaultRates::default() },
    ] {
        let world = Scenario::of(paced(faults)).start();
        let answer = world.stream("r").await.expect("its first content came");
        let Read { text, end } = read(answer).await;
        assert_eq!(end, End::Error, "{text}");
        assert!(!content(&text).is_empty() && !text.contains("[DONE]"), "{text}");
        world.settle().await;
        assert_eq!(world.ledger().calls, 1, "its reader has a part of it: nobody else may begin anew");
        assert_eq!(world.key("k0").counts.failed + world.key("k1").counts.failed, 1);
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Reads a request and gives the key that came with it.
async fn asked_with(connection: &mut TcpStream) -> String {
    let mut said = Vec::new();
    while !said.ends_with(b"}") {
        assert!(connection.read_buf(&mut said).await.expect("the request comes") > 0);
    }
    let said = String::from_utf8(said).expect("text");
    let key = said.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
    key.expect("a credential").to_owned()
}

#[tokio::test]
async fn a_stream_cut_before_its_first_content_is_repaired_by_another_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("it listens"));
    let world = Scenario::default().and_at("p", base_url, &["k0", "k1"]).start();
    let provider = tokio::spawn(async move {
        let mut keys = Vec::new();
        // The end of the connection is the end of the body: the first answer says a role and no more.
        for body in [ROLE.to_owned(), [ROLE, HELLO, DONE].concat()] {
            let (mut connection, _) = listener.accept().await.expect("a call comes");
            keys.push(asked_with(&mut connection).await);
            connection.write_all(format!("{HEAD}{body}").as_bytes()).await.expect("somebody reads");
            connection.shutdown().await.expect("the answer ends");
        }
        keys
    });
    let answer = world.stream("r").await.expect("served");
    assert_eq!(answer.served.attempts.len(), 2);
    let Read { text, end } = read(answer).await;
    assert_eq!((text, end), ([ROLE, HELLO, DONE].concat(), End::Clean), "not a word of the first try");
    let mut keys = provider.await.expect("both calls came");
    keys.sort();
    assert_eq!(keys, ["sk-k0", "sk-k1"]);
}
