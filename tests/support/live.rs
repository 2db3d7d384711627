//! A batch that runs for as long as a story wants: its rows come through a pipe. And the words to it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::thread;

use keywheel::sim::{Ledger, Outcome, Sim, SimSpec, provider_toml};
use keywheel_actors::clock::Clock;
use serde_json::{Value, json};

use super::program::{Desk, Ended, Program};
use super::{GLANCE, PATIENCE};

/// The words of a batch whose rows come through a pipe.
pub(crate) const FED: [&str; 5] = ["batch", "-", "-o", "out.jsonl", "--json"];

/// Where the stories have their state: a short path, so that the socket is in it.
pub(crate) const STATE: &str = "[state]\ndir = \"state\"\n";

pub(crate) fn start(spec: SimSpec) -> Sim {
    Sim::start_on_thread(spec).expect("port 0 is always free")
}

/// A desk with a configuration for all keys of `sim`, and its state beside it.
pub(crate) fn desk(sim: &Sim) -> Desk {
    desk_with(sim, STATE)
}

/// A desk with `head` before the provider.
pub(crate) fn desk_with(sim: &Sim, head: &str) -> Desk {
    Desk::new(&format!("{head}{}", provider_toml(&sim.base_url(), sim.spec())))
}

/// The words of `provider keys …`.
pub(crate) fn keys(words: &str) -> Vec<&str> {
    ["provider", "keys"].into_iter().chain(words.split(' ')).collect()
}

/// A row of a batch.
pub(crate) fn row(custom_id: &str, model: &str) -> String {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    let row = json!({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body});
    format!("{row}\n")
}

/// Waits until something holds that nobody announces.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !holds() {
        assert!(clock.now().since_start() < PATIENCE, "it never came true: {what}");
        glance();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process announces nothing; nothing relies on the length"
)]
fn glance() {
    thread::sleep(GLANCE);
}

/// A batch that runs, and the pipe for its rows.
pub(crate) struct Batch {
    pub(crate) program: Program,
    rows: ChildStdin,
    fed: usize,
}

impl Batch {
    /// Starts one, and waits until it answers on the socket of `desk`.
    pub(crate) fn start(desk: &Desk) -> Self {
        Self::start_with(desk, &FED)
    }

    /// The same with other words.
    pub(crate) fn start_with(desk: &Desk, words: &[&str]) -> Self {
        let batch = Self::begin(desk, words);
        until("the batch answers", || socket_is_up(&socket(desk)));
        batch
    }

    /// Starts one and waits for nothing.
    pub(crate) fn begin(desk: &Desk, words: &[&str]) -> Self {
        let (program, rows) = desk.start_fed(words);
        Self { program, rows, fed: 0 }
    }

    /// Gives it so many more rows.
    pub(crate) fn feed(&mut self, count: usize) {
        let rows: String =
            (self.fed..self.fed + count).map(|number| row(&format!("r{number}"), "m")).collect();
        self.rows.write_all(rows.as_bytes()).expect("it reads its rows");
        self.fed += count;
    }

    /// Gives it so many more rows, and waits until the provider has answered all there were.
    pub(crate) fn serve(&mut self, count: usize, sim: &Sim) {
        let before = sim.ledger().count(Outcome::Served);
        self.feed(count);
        until("the rows are served", || sim.ledger().count(Outcome::Served) >= before + count as u64);
    }

    /// There are no more rows: waits for its end.
    pub(crate) fn end(self) -> Ended {
        drop(self.rows);
        self.program.end()
    }
}

/// The socket of a desk with [`STATE`].
pub(crate) fn socket(desk: &Desk) -> PathBuf {
    desk.path("state/admin.sock")
}

/// Whether somebody listens.
pub(crate) fn socket_is_up(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// What somebody heard on the socket.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Of the answer; 0 if there was none.
    pub(crate) code: u16,
    pub(crate) body: Value,
}

/// Asks over the socket, with JSON.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Heard {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: keywheel\r\ncontent-type: application/json\r\n");
    say(socket, format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}").as_bytes())
}

/// Says these bytes on the socket and hears the answer to its end.
pub(crate) fn say(socket: &Path, bytes: &[u8]) -> Heard {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    // Whoever has heard enough hangs up, and what was said to it last is lost.
    let _ = stream.write_all(bytes);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    let heard = String::from_utf8_lossy(&heard);
    let (head, body) = heard.split_once("\r\n\r\n").unwrap_or((&heard, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Heard { code, body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

/// `provider keys status --json`.
#[track_caller]
pub(crate) fn status(desk: &Desk) -> Value {
    desk.run(&keys("status --json")).exited(0).summary()
}

/// A key of the first provider, as a status tells it.
#[track_caller]
pub(crate) fn key<'s>(status: &'s Value, name: &str) -> &'s Value {
    let keys = status["providers"].as_array().into_iter().flatten();
    let mut keys = keys.flat_map(|provider| provider["keys"].as_array().into_iter().flatten());
    keys.find(|key| key["name"] == name).unwrap_or_else(|| panic!("no key {name} in {status:#}"))
}

/// All calls of a key, whatever became of them, by the provider's books.
#[track_caller]
pub(crate) fn calls(sim: &Sim, name: &str) -> u64 {
    sim.ledger().key(name).expect("the key exists").outcomes.values().sum()
}

/// Each row of OUT is there once and went well, and the provider served it exactly once.
#[track_caller]
pub(crate) fn assert_each_served_once(desk: &Desk, rows: usize, ledgers: &[Ledger]) {
    let text = desk.read("out.jsonl");
    let mut named = std::collections::BTreeSet::new();
    for line in text.lines() {
        let answer: Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(answer["error"].is_null(), "{line}");
        assert!(named.insert(answer["custom_id"].to_string()), "twice: {line}");
        let id = answer["response"]["request_id"].as_str().expect("an answer has its id");
        let entries = ledgers.iter().flat_map(|ledger| ledger.request(id));
        let served = entries.filter(|entry| entry.outcome == Outcome::Served).count();
        assert_eq!(served, 1, "{line}");
    }
    assert_eq!(named.len(), rows);
}
