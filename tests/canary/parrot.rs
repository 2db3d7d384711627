//! A provider that repeats the key it was asked with, wherever an answer has room for it.
//!
//! The first part of the path says how. It speaks HTTP by hand: no server would send half of this.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::json;

use super::forms;

/// What it can say in whole answers.
pub(crate) const ANSWERS: [&str; 27] = [
    "400-json",
    "400-cut-message",
    "400-html",
    "400-bytes",
    "400-crumbs",
    "401-json",
    "401-words",
    "402-money",
    "403-json",
    "403-page",
    "404-model",
    "422-list",
    "429-hints",
    "429-money",
    "500-words",
    "503-page",
    "529-json",
    "103-hints",
    "302-elsewhere",
    "200-headers",
    "200-error",
    "200-refused",
    "bad-status-line",
    "bad-header",
    "bad-chunk",
    "cut-body",
    "hang-up",
];

/// What it can say in streams.
pub(crate) const STREAMS: [&str; 4] = ["sse-error", "sse-late-error", "sse-headers", "sse-cut"];

/// A provider on a port of its own. Its threads end with the test.
pub(crate) struct Parrot {
    addr: SocketAddr,
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    said: Mutex<Vec<(String, String)>>,
    released: Mutex<bool>,
    change: Condvar,
}

impl Parrot {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port 0 is always free");
        let addr = listener.local_addr().expect("it listens");
        let desk = Arc::new(Desk::default());
        let shared = Arc::clone(&desk);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (desk, connection) = (Arc::clone(&shared), connection.expect("a connection"));
                thread::spawn(move || answer(&desk, connection));
            }
        });
        Self { addr, desk }
    }

    /// Where it says this.
    pub(crate) fn url(&self, case: &str) -> String {
        url_at(&self.addr.to_string(), case)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has said so far, and to which key.
    pub(crate) fn said(&self) -> Vec<(String, String)> {
        self.desk.said.lock().expect("no thread panicked").clone()
    }

    /// Waits until it was asked to `wait`.
    pub(crate) fn until_asked_to_wait(&self) {
        let mut said = self.desk.said.lock().expect("no thread panicked");
        while !said.iter().any(|(case, _)| case == "wait") {
            said = self.desk.change.wait(said).expect("no thread panicked");
        }
    }

    /// Answers those who were made to wait.
    pub(crate) fn release(&self) {
        *self.desk.released.lock().expect("no thread panicked") = true;
        self.desk.change.notify_all();
    }
}

/// Where the parrot at `addr` says this.
pub(crate) fn url_at(addr: &str, case: &str) -> String {
    format!("http://{addr}/{case}/v1")
}

fn answer(desk: &Desk, connection: TcpStream) {
    let mut reader = BufReader::new(connection);
    let (mut case, mut key, mut length) = (String::new(), String::new(), 0);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line != "\r\n" {
        let text = line.trim_end_matches(['\r', '\n']);
        match text.split_once(": ") {
            None => case.push_str(text.split(['/', ' ']).nth(2).unwrap_or_default()),
            Some((name, value)) => match name.to_ascii_lowercase().as_str() {
                "authorization" => key.push_str(value.strip_prefix("Bearer ").unwrap_or(value)),
                "x-api-key" | "x-goog-api-key" | "api-key" => key.push_str(value),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            },
        }
        line.clear();
    }
    let mut body = vec![0; length];
    // Who left has nothing to hear.
    let _ = reader.read_exact(&mut body);
    desk.said.lock().expect("no thread panicked").push((case.clone(), key.clone()));
    desk.change.notify_all();
    if case == "wait" {
        let mut released = desk.released.lock().expect("no thread panicked");
        while !*released {
            released = desk.change.wait(released).expect("no thread panicked");
        }
    }
    let mut connection = reader.into_inner();
    for piece in pieces(&case, &key) {
        let _ = connection.write_all(&piece).and_then(|()| connection.flush());
    }
}

/// What is written, piece by piece.
fn pieces(case: &str, key: &str) -> Vec<Vec<u8>> {
    let all: Vec<String> = forms::written(key).into_iter().map(|(_, text)| text).collect();
    let all = all.join(" or ");
    let error = |kind: &str, code: &str| {
        let message = format!("no{key}good: Bearer {key}, {all}");
        json!({ "error": { "message": message, "type": kind, "code": code, "param": key } }).to_string()
    };
    let html = |secret: &str| format!("<html><body><h1>{secret}</h1><p>{all}</p></body></html>");
    let whole = |head: &str, body: &str| vec![with_head(head, key, body.as_bytes())];
    match case {
        "400-json" => whole(&format!("400 Bad {key}"), &error("invalid_request_error", key)),
        "400-cut-message" => {
            // Messages are cut somewhere; wherever it is, it is inside one of these.
            let message = format!("{}{}", "x".repeat(200), format!("{key}, ").repeat(20));
            whole("400 Bad Request", &json!({ "error": { "message": message } }).to_string())
        }
        "400-html" => whole("400 Bad Request\r\ncontent-type: text/html", &html(key)),
        "400-bytes" => vec![with_head(
            "400 Bad Request",
            key,
            &[b"\xff\xfe ", key.as_bytes(), b"\xc3 \x80", all.as_bytes(), b"\xff"].concat(),
        )],
        "400-crumbs" => {
            let head =
                format!("HTTP/1.1 400 Bad\r\nx-request-id: {key}\r\ntransfer-encoding: chunked\r\n\r\n");
            let mut pieces = vec![head.into_bytes()];
            let body = error("invalid_request_error", key);
            pieces.extend(body.as_bytes().chunks(3).map(chunk));
            pieces.push(b"0\r\n\r\n".to_vec());
            pieces
        }
        "401-json" => whole("401 Unauthorized", &error("invalid_request_error", "invalid_api_key")),
        "401-words" => whole("401 Unauthorized", &format!("Incorrect API key provided: {key} ({all})")),
        "402-money" => whole("402 Payment Required", &error("billing", "insufficient_balance")),
        "403-json" => whole("403 Forbidden", &error("permission_error", key)),
        "403-page" => whole("403 Forbidden\r\ncontent-type: text/html", &html("Attention required")),
        "404-model" => whole("404 Not Found", &error("invalid_request_error", "model_not_found")),
        "422-list" => {
            let detail = json!({ "detail": [{ "loc": ["header", key], "msg": all, "input": key }] });
            whole("422 Unprocessable Entity", &detail.to_string())
        }
        "429-hints" => {
            let hints = format!(
                "429 Too Many\r\nretry-after: {key}\r\nx-ratelimit-reset-requests: {key}\r\n\
                 x-ratelimit-remaining-requests: {key}"
            );
            whole(&hints, &error("requests", "rate_limit_exceeded"))
        }
        "429-money" => whole("429 Too Many Requests", &error("insufficient_quota", "insufficient_quota")),
        "500-words" => whole(&format!("500 {key}"), &format!("boom: {key} {all}")),
        "503-page" => whole("503 Service Unavailable\r\ncontent-type: text/html", &html(key)),
        "529-json" => whole("529 Overloaded", &error("overloaded_error", key)),
        "103-hints" => {
            let early = format!("HTTP/1.1 103 Early Hints\r\nlink: <{key}>\r\n\r\n").into_bytes();
            vec![early, with_head("400 Bad Request", key, error("x", key).as_bytes())]
        }
        "302-elsewhere" => {
            let location = format!("302 Found\r\nlocation: http://{key}@127.0.0.1:1/{key}?key={key}");
            whole(&location, &html(key))
        }
        "200-error" => whole("200 OK", &error("invalid_request_error", key)),
        "200-refused" => whole("200 OK", &json!({ "is_available": false, "error": key }).to_string()),
        "200-open-body" => {
            let body = json!({ "choices": [{ "message": { "content": key } }] });
            whole("200 OK", &body.to_string())
        }
        "bad-status-line" => vec![format!("HTTP/1.1 {key} {key}\r\n\r\n").into_bytes()],
        "bad-header" => vec![format!("HTTP/1.1 200 OK\r\n{key}\r\n\r\n").into_bytes()],
        "bad-chunk" => {
            let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{key}\r\n{key}\r\n");
            vec![text.into_bytes()]
        }
        "cut-body" => vec![format!("HTTP/1.1 400 Bad\r\ncontent-length: 9999\r\n\r\n{key}").into_bytes()],
        "hang-up" => vec![format!("{key}\r\n{key}\r\n").into_bytes()],
        "sse-error" => stream(key, &[&error("invalid_request_error", "content_filter")], "[DONE]"),
        "sse-late-error" => stream(key, &[CONTENT, &error("server_error", key)], "[DONE]"),
        "sse-headers" => stream(key, &[CONTENT], "[DONE]"),
        "sse-cut" => stream(key, &[CONTENT], &format!("{{\"error\":\"{key}")),
        _ => whole("200 OK", &json!({ "object": "list", "data": [], "choices": [] }).to_string()),
    }
}

const CONTENT: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;

/// An answer with the key in every header that clients or logs like to look at.
fn with_head(head: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 {head}\r\nx-request-id: {key}\r\nrequest-id: req-{key}-1\r\nset-cookie: session={key}; path=/\r\n\
         openai-organization: {key}\r\nwww-authenticate: Bearer realm=\"{key}\"\r\nserver: {key}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// Events in pieces that end anywhere, but for the last one, which may not be an event.
fn stream(key: &str, events: &[&str], last: &str) -> Vec<Vec<u8>> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: {key}\r\nset-cookie: {key}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let end = if last == "[DONE]" { "\n\n" } else { "" };
    let text = format!("{}data: {last}{end}", events.concat());
    let mut pieces = vec![head.into_bytes()];
    pieces.extend(text.as_bytes().chunks(5).map(chunk));
    pieces.push(b"0\r\n\r\n".to_vec());
    pieces
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
