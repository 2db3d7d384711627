//! A provider that lets every call wait until it is told otherwise, and writes down whose key each came with: what is
//! under way is under way for as long as a story wants.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::run::Books;

/// One call.
struct Call {
    request: String,
    secret: String,
    head: String,
}

/// The provider. It answers when it is [`released`](Self::release).
pub(crate) struct Held {
    base_url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    released: watch::Sender<bool>,
}

impl Held {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("it listens"));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let released = watch::Sender::new(false);
        tokio::spawn({
            let (calls, released) = (Arc::clone(&calls), released.subscribe());
            async move {
                while let Ok((connection, _)) = listener.accept().await {
                    // Whoever leaves has ended its connection.
                    tokio::spawn(serve(connection, Arc::clone(&calls), released.clone()));
                }
            }
        });
        Self { base_url, calls, released }
    }

    /// It as a provider of a configuration, with these keys; `sk-7` is the secret of `k7`.
    pub(crate) fn provider(&self, keys: impl IntoIterator<Item = usize>, limits: &str) -> String {
        let key = |number| {
            format!(
                "[[provider.key]]\nname = \"k{number}\"\nsecret = \"sk-{number}\"\nlimits = {{ {limits} }}\n"
            )
        };
        let keys: String = keys.into_iter().map(key).collect();
        format!("[[provider]]\nid = \"p0\"\ndialect = \"openai\"\nbase_url = \"{}\"\n{keys}", self.base_url)
    }

    /// How many calls came, ever.
    pub(crate) fn count(&self) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many of them came with this secret.
    pub(crate) fn count_with(&self, secret: &str) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.secret == secret).count()
    }

    /// The heads of all requests, as they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().map(|call| call.head.clone()).collect()
    }

    /// Answers what waits, and from now on everything at once.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

impl Books for Held {
    fn calls(&self) -> (usize, HashMap<String, usize>) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_request = HashMap::new();
        for call in calls.iter() {
            *by_request.entry(call.request.clone()).or_default() += 1;
        }
        (calls.len(), by_request)
    }
}

async fn serve(
    mut connection: TcpStream,
    calls: Arc<Mutex<Vec<Call>>>,
    mut released: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut heard = Vec::new();
    while let Some((head, body)) = hear(&mut connection, &mut heard).await? {
        let secret = of(&head, "authorization: ").trim_start_matches("Bearer ").to_owned();
        let call = Call { request: of(&head, "x-request-id: ").to_owned(), secret, head };
        calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        if released.wait_for(|released| *released).await.is_err() {
            break;
        }
        connection.write_all(answer(&body).as_bytes()).await?;
    }
    Ok(())
}

/// The next request: its head and its body. `None` when there is none any more.
async fn hear(connection: &mut TcpStream, heard: &mut Vec<u8>) -> io::Result<Option<(String, String)>> {
    loop {
        let text = String::from_utf8_lossy(heard).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = of(head, "content-length: ").parse().expect("a length");
            if body.len() >= length {
                heard.drain(..head.len() + 4 + length);
                return Ok(Some((head.to_owned(), body[..length].to_owned())));
            }
        }
        if connection.read_buf(heard).await? == 0 {
            return Ok(None);
        }
    }
}

/// What a header says.
fn of<'h>(head: &'h str, name: &str) -> &'h str {
    head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {head}"))
}

fn answer(body: &str) -> String {
    if body.contains("\"stream\":true") {
        let event = json!({"choices": [{"index": 0, "delta": {"content": "hello"}}]});
        let events = format!("data: {event}\n\ndata: [DONE]\n\n");
        return told("text/event-stream", &events);
    }
    let message = json!({"role": "assistant", "content": "hello"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let whole = json!({"object": "chat.completion", "model": "m", "choices": [choice]});
    told("application/json", &whole.to_string())
}

fn told(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
