//! The gateway as a program, and a client of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::PATIENCE;
use super::program::{Desk, Ended, Program};

/// What starts it on any free ports.
const SERVE: [&str; 6] = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"];

/// `keywheel serve` at work.
pub(crate) struct Gateway {
    pub(crate) program: Program,
    pub(crate) address: String,
    pub(crate) admin: String,
    client: reqwest::Client,
}

impl Gateway {
    /// Starts it over the configuration of `desk`, with these words besides.
    pub(crate) fn start(desk: &Desk, words: &[&str]) -> Self {
        Self::start_in(desk, words, &[])
    }

    /// The same with these variables.
    pub(crate) fn start_in(desk: &Desk, words: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::of(desk.start(&[&SERVE, words].concat(), environment))
    }

    /// The same, started by another program that becomes it.
    pub(crate) fn start_by(desk: &Desk, by: &[&str], words: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::of(desk.start_by(by, &[&SERVE, words].concat(), environment))
    }

    fn of(mut program: Program) -> Self {
        let line = program.out.line_with("listening");
        let started: Value = serde_json::from_str(&line).expect("a line of JSON");
        let of = |name: &str| started[name].as_str().expect("an address").replace("http://", "");
        // No certificate is ever asked for, but the client wants to be able to.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { address: of("listening"), admin: of("admin"), program, client }
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.client.post(format!("http://{}{path}", self.address));
        request.header("content-type", "application/json").body(body)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    /// A chat of one word, named so.
    pub(crate) fn chat(&self, request_id: &str) -> RequestBuilder {
        self.post("/v1/chat/completions", chat_body(false).to_string()).header("x-request-id", request_id)
    }

    /// The same as a stream.
    pub(crate) fn stream(&self, request_id: &str) -> RequestBuilder {
        self.post("/v1/chat/completions", chat_body(true).to_string()).header("x-request-id", request_id)
    }

    /// What Prometheus would read.
    pub(crate) async fn metrics(&self) -> String {
        let asked = self.client.get(format!("http://{}/metrics", self.admin)).send().await;
        asked.expect("it answers").text().await.expect("text")
    }

    /// What the admin interface tells of providers and keys.
    pub(crate) async fn admin_status(&self) -> Value {
        let asked = self.client.get(format!("http://{}/v1/status", self.admin)).send().await;
        body(asked.expect("it answers")).await
    }

    /// Says these bytes and hears all that is answered, until the connection is closed.
    pub(crate) fn say(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // Whoever has heard enough hangs up, and what was said to it last is lost.
        let _ = stream.write_all(bytes);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn terminate(self) -> Ended {
        self.program.signal("TERM");
        self.program.end()
    }
}

pub(crate) fn chat_body(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

/// A header as text.
pub(crate) fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The body as JSON.
pub(crate) async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a whole body")).expect("JSON")
}
