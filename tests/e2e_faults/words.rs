//! What providers say, as bytes.

use bytes::Bytes;

use crate::raw::{Heard, Raw, Step};

pub(crate) const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
pub(crate) const DONE: &str = "data: [DONE]\n\n";
pub(crate) const JSON: &str = "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hello\"},\"finish_reason\":\"stop\"}]}";

/// The head of an answer that says itself where it ends.
pub(crate) const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// What ends it.
pub(crate) const LAST_CHUNK: &str = "0\r\n\r\n";

/// Some bytes as a chunk.
pub(crate) fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// The head of an answer of so many bytes.
pub(crate) fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
}

/// A whole answer in one piece.
pub(crate) fn whole() -> String {
    head(JSON.len()) + JSON
}

pub(crate) fn say(words: impl AsRef<[u8]>) -> Step {
    Step::Say(Bytes::copy_from_slice(words.as_ref()))
}

/// A stream that begins with these events.
pub(crate) fn begun(events: &str) -> Step {
    say([CHUNKED.as_bytes(), &chunk(events)].concat())
}

/// A stream of these events, whole, each in a chunk of its own.
pub(crate) fn stream_of(events: &[&str]) -> Vec<u8> {
    let chunks = events.iter().flat_map(chunk);
    CHUNKED.bytes().chain(chunks).chain(LAST_CHUNK.bytes()).collect()
}

/// A good answer to what was asked.
pub(crate) fn well(heard: &Heard) -> Vec<Step> {
    if heard.is_stream { vec![say(stream_of(&[HELLO, DONE]))] } else { vec![say(whole())] }
}

/// A provider that gives these answers, and so many good ones behind each.
pub(crate) fn in_turn(answers: Vec<Vec<Step>>, good: usize) -> Raw {
    Raw::start(move |heard| {
        let turn = good + 1;
        match answers.get(heard.number / turn).filter(|_| heard.number % turn == 0) {
            Some(answer) => answer.clone(),
            None => well(heard),
        }
    })
}
