//! Streams and bodies that aren't as they should be: every good byte comes through, and nothing bad looks whole.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::one::Kind;
use crate::raw::{Raw, Step};
use crate::run::{Figures, Run};
use crate::support::live::until;
use crate::support::millis;
use crate::words::{CHUNKED, DONE, HELLO, LAST_CHUNK, begun, chunk, head, in_turn, say, well};

/// The longest event that goes through.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// A body as it may come: in one chunk, in chunks of so many bytes, and each byte in a packet of its own.
fn ways_of(body: &[u8]) -> Vec<Vec<Step>> {
    let in_chunks = |bytes: usize| {
        let chunks = body.chunks(bytes).flat_map(chunk);
        CHUNKED.bytes().chain(chunks).chain(LAST_CHUNK.bytes()).collect::<Bytes>()
    };
    let until_the_end = CHUNKED.replace("transfer-encoding: chunked", "connection: close");
    let until_the_end = [until_the_end.as_bytes(), body].concat();
    vec![
        vec![Step::Say(in_chunks(body.len()))],
        vec![Step::Say(in_chunks(1))],
        vec![Step::Say(in_chunks(7))],
        vec![Step::Drip(in_chunks(body.len()), millis(0))],
        vec![Step::Drip(in_chunks(1), millis(0))],
        vec![say(until_the_end), Step::HangUp],
    ]
}

fn with_line_ends(line_end: &str) -> Vec<u8> {
    [HELLO, ": a comment\n\n", HELLO, DONE].concat().replace('\n', line_end).into_bytes()
}

#[tokio::test]
async fn whatever_its_lines_and_chunks_a_stream_comes_as_it_was_written() {
    let mixed =
        format!("\u{feff}{HELLO}data: {{\"a\":\r\ndata:1}}\r\r{}\r\n\n", HELLO.replace("\n\n", "\r\n\r"));
    let bodies = [
        with_line_ends("\n"),
        with_line_ends("\r"),
        with_line_ends("\r\n"),
        [mixed.as_bytes(), DONE.as_bytes()].concat(),
        // Lines that no standard knows, and bytes that are no text.
        [
            HELLO.as_bytes(),
            b"garbage\n\ndata\n\n:\n\nid: 7\nretry: x\n\n\xff\xfe\0: \x80\n\n",
            DONE.as_bytes(),
        ]
        .concat(),
        // What its reader judges, once it has begun.
        [HELLO, "data: {\"choices\":[\n\ndata: <html>\n\n", DONE].concat().into_bytes(),
        // The end of the body closes the last event.
        [HELLO, "data: [DONE]"].concat().into_bytes(),
        [HELLO, "data: [DONE]\n"].concat().into_bytes(),
        // Bytes behind the end are the client's as well.
        [HELLO, DONE, DONE, ": bye\n\n"].concat().into_bytes(),
    ];
    let mut told: Vec<&[u8]> = Vec::new();
    let mut answers = Vec::new();
    for body in &bodies {
        for way in ways_of(body) {
            told.push(body);
            answers.push(way);
        }
    }
    let count = told.len();
    let mut run = Run::over_raw(vec![(in_turn(answers, 0), "")], &[]);
    for (number, body) in told.into_iter().enumerate() {
        let one = run.one(Kind::Stream).await;
        assert!(one.served_by("p0", 1).body == body, "{number}: {:?}", one.text());
    }
    assert_eq!(run.join().await, Figures { requests: count, served: count, calls: count });
}

#[tokio::test]
async fn what_breaks_behind_its_end_breaks_nothing() {
    let answers = vec![
        vec![begun(&[HELLO, DONE].concat()), Step::HangUp],
        vec![begun(&[HELLO, DONE].concat()), say(&chunk(HELLO)[..40]), Step::Reset],
        vec![begun(&[HELLO, DONE].concat()), Step::AwaitCue, Step::Reset],
        vec![begun(&[HELLO, DONE].concat()), Step::Stop],
    ];
    let count = answers.len();
    let mut run = Run::over_raw(vec![(in_turn(answers, 0), "timeouts = { idle = \"300ms\" }")], &[]);
    for _ in 0..count {
        let one = run.one(Kind::Stream).await;
        assert_eq!(one.served_by("p0", 1).text(), [HELLO, DONE].concat());
    }
    assert_eq!(run.join().await, Figures { requests: count, served: count, calls: count });
}

/// An event whose one line has so many bytes in all.
fn long_event(bytes: usize) -> Vec<u8> {
    let (begin, end) = ("data: {\"choices\":[{\"delta\":{\"content\":\"", "\"}}]}\n\n");
    [begin.as_bytes(), &b"x".repeat(bytes - begin.len() - end.len()), end.as_bytes()].concat()
}

fn in_pieces(body: &[u8], bytes: usize) -> Vec<Step> {
    let chunks = body.chunks(bytes).flat_map(chunk);
    vec![Step::Say(CHUNKED.bytes().chain(chunks).chain(LAST_CHUNK.bytes()).collect())]
}

#[tokio::test]
async fn a_line_of_megabytes_goes_through_up_to_its_limit() {
    let two_megabytes = [HELLO.as_bytes(), &long_event(2 << 20), DONE.as_bytes()].concat();
    let first = [&long_event(2 << 20)[..], DONE.as_bytes()].concat();
    let longest = [HELLO.as_bytes(), &long_event(EVENT_BYTES_MAX), DONE.as_bytes()].concat();
    let longer = long_event(EVENT_BYTES_MAX + 1);
    let too_long = [HELLO.as_bytes(), &longer, DONE.as_bytes()].concat();
    let too_long_at_once = [&longer[..], DONE.as_bytes()].concat();
    let answers = vec![
        in_pieces(&two_megabytes, 16 << 10),
        in_pieces(&two_megabytes, 61),
        in_pieces(&first, 16 << 10),
        in_pieces(&longest, 16 << 10),
        in_pieces(&too_long, 16 << 10),
        in_pieces(&too_long_at_once, 16 << 10),
    ];
    let mut run = Run::over_raw(vec![(in_turn(answers, 0), "")], &[]);
    for body in [&two_megabytes, &two_megabytes, &first, &longest] {
        let one = run.one(Kind::Stream).await;
        assert!(one.served_by("p0", 1).body == *body, "{} of {} bytes", one.body.len(), body.len());
    }
    run.one(Kind::Stream).await.broke_off_behind(HELLO);
    // Nobody has seen any of the last one, and so it is asked for again.
    assert_eq!(run.one(Kind::Stream).await.served_by("p0", 2).text(), [HELLO, DONE].concat());
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: 6, served: 5, calls: 7 });
}

/// What stands before an API now and then, with a head for as many bytes.
fn web_page(head: &str) -> String {
    head.replace("application/json", "text/html") + "<html>Sign in</html>\r\n"
}

#[tokio::test]
async fn a_stream_that_is_none_is_got_elsewhere() {
    let event_stream =
        |body: &str| vec![say([CHUNKED.as_bytes(), &chunk(body), LAST_CHUNK.as_bytes()].concat())];
    let answers = vec![
        event_stream("data: {\"choices\":[\n\n"),
        event_stream("<html><body>Sign in</body></html>"),
        event_stream("{\"choices\":[]}"),
        event_stream(DONE.trim_start_matches("data: ")),
        event_stream(": nothing but comments\n\n"),
        vec![say(web_page(&head(22)))],
        event_stream("data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n"),
    ];
    let count = answers.len();
    let mut run = Run::over_raw(vec![(in_turn(answers, 1), "")], &[]);
    for number in 0..count {
        let one = run.one(Kind::Stream).await;
        assert_eq!(one.served_by("p0", 2).text(), [HELLO, DONE].concat(), "{number}");
    }
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: count, served: count, calls: 2 * count });
}

/// A gigabyte as a megabyte; not packed, its beginning reads as a good event.
fn bomb() -> Vec<u8> {
    let member = |bytes: &[u8], level: Compression| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).expect("there is room");
        encoder.finish().expect("there is room")
    };
    let begin = member(["\n\n", HELLO, HELLO].concat().as_bytes(), Compression::none());
    [begin, member(&vec![b'x'; 1 << 20], Compression::best()).repeat(1 << 10)].concat()
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked_and_never_looks_whole() {
    const GROWTH_BYTES_MAX: u64 = 32 << 20;
    let bomb = bomb();
    let packed = |kind: &str| {
        let length = bomb.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: gzip\r\n");
        vec![say([format!("{head}content-length: {length}\r\n\r\n").as_bytes(), &bomb].concat())]
    };
    let answers =
        [packed("application/json"), packed("text/event-stream"), packed("application/octet-stream")];
    let packing = Raw::start(move |heard| answers[heard.number / 2].clone());
    let mut run = Run::over_raw(vec![(packing, ""), (Raw::start(well), "")], &[]);
    let before = run.gateway.program.peak_bytes();
    run.one(Kind::Chat).await.served_by("p1", 3);
    assert_eq!(run.one(Kind::Stream).await.served_by("p1", 3).text(), [HELLO, DONE].concat());
    until("it is logged", || run.logged().matches("the answer is compressed").count() == 4);
    let file = run.one(Kind::File).await;
    assert!(file.served_by("p0", 1).body == bomb, "it goes through as it is");
    run.assert_keys_are_active(&["p0", "p1"]);
    let grown = run.gateway.program.peak_bytes() - before;
    println!("a bomb of 1 GiB in {} bytes, 5 times: {} KiB more at the peak", bomb.len(), grown >> 10);
    assert!(grown < GROWTH_BYTES_MAX, "{grown}");
    assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 7 });
}
