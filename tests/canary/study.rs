//! A desk on which everything is searched that the program prints or leaves behind.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::parrot::{ANSWERS, Parrot};
use super::search::{Haul, Search};
use super::secrets::{OPEN, SECRETS};
use super::support::program::{Desk, Ended};

/// A desk whose every output is searched, at TRACE.
pub(crate) struct Study {
    pub(crate) desk: Desk,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) haul: Haul,
}

impl Study {
    /// With every secret in a variable `CANARY_N` and in a file `secret-N`.
    pub(crate) fn new(config: &str) -> Self {
        let mut desk = Desk::new(config);
        private(&desk.path("keywheel.toml"));
        let mut environment = Vec::new();
        for (number, (_, secret)) in SECRETS.iter().enumerate() {
            environment.push((format!("CANARY_{number}"), (*secret).to_owned()));
            desk = desk.with(&format!("secret-{number}"), secret);
            private(&desk.path(&format!("secret-{number}")));
        }
        Self { desk, environment, haul: Haul::new(Search::of(&SECRETS)) }
    }

    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Runs the program to its end and searches what it prints.
    pub(crate) fn run(&mut self, code: i32, words: &[&str]) -> Ended {
        self.run_fed(code, words, "")
    }

    pub(crate) fn run_fed(&mut self, code: i32, words: &[&str], input: &str) -> Ended {
        let format = if words.contains(&"--json") { "json" } else { "text" };
        let loud = [&["--log", "trace", "--log-format", format], words].concat();
        let ended = self.desk.run_fed_in(&loud, input, &self.environment());
        self.take(&words.join(" "), &ended);
        // A command that wasn't carried out as it was meant has shown nothing.
        if ended.code != Some(code) {
            self.haul.note(&format!("{words:?} ended with {:?}, not {code}:\n{}", ended.code, ended.stderr));
        }
        ended
    }

    /// The same as a person and as a program reads it.
    pub(crate) fn run_both(&mut self, code: i32, words: &[&str]) {
        self.run(code, words);
        self.run(code, &[words, &["--json"]].concat());
    }

    pub(crate) fn take(&mut self, what: &str, ended: &Ended) {
        self.haul.take(&format!("stdout of {what}"), ended.stdout.as_bytes());
        self.haul.take(&format!("stderr of {what}"), ended.stderr.as_bytes());
    }

    /// Searches everything that is left on the desk, but for the insides of files that hold secrets on purpose.
    #[track_caller]
    pub(crate) fn end(mut self, meant: &dyn Fn(&str) -> bool) {
        let dir = self.desk.path("");
        self.haul.take_tree(&dir, &|name| name.starts_with("secret-") || meant(name));
        self.haul.assert_clean();
    }
}

/// Makes a file of the test's own as private as one with secrets has to be.
pub(crate) fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// A provider with one key.
pub(crate) fn provider(id: &str, url: &str, secret: &str) -> String {
    format!(
        "[[provider]]\nid = \"{id}\"\ndialect = \"openai\"\nbase_url = \"{url}\"\n\
         [[provider.key]]\nname = \"k\"\nsecret = {}\n",
        quoted(secret)
    )
}

/// As a JSON string, and as a basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

/// A row of a batch.
pub(crate) fn row(id: &str, model: &str) -> String {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    json!({ "custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body }).to_string()
        + "\n"
}

/// The route to a provider, and from there to one that answers.
fn route(id: &str) -> String {
    format!("[[route]]\nmodel = \"{id}\"\ncandidates = [\"{id}/m\", \"good/m\"]\n")
}

/// Every answer to every secret, each by a provider of its own, behind which is one that answers.
pub(crate) fn everything(parrot: &Parrot) -> (String, String) {
    let mut config = "[rotation]\nfallback_after = \"1ms\"\n".to_owned();
    let mut rows = String::new();
    config.push_str(&provider("good", &parrot.url("200-headers"), SECRETS[0].1));
    for (place, case) in ANSWERS.iter().enumerate() {
        for (number, (_, secret)) in SECRETS.iter().enumerate() {
            let written = match (place + number) % 3 {
                0 => format!("env:CANARY_{number}"),
                1 => format!("file:secret-{number}"),
                _ => (*secret).to_owned(),
            };
            let id = format!("{case}-{number}");
            config.push_str(&provider(&id, &parrot.url(case), &written));
            config.push_str(&route(&id));
            rows.push_str(&row(&id, &id));
        }
    }
    config.push_str(&provider("open", &parrot.url("200-open-body"), SECRETS[OPEN].1));
    config.push_str("[[route]]\nmodel = \"open\"\ncandidates = [\"open/m\"]\n");
    (config, rows + &row("open", "open"))
}

/// Searches a batch's output. The body of a good answer is its caller's and passes as it is; nothing else does.
pub(crate) fn take_output(haul: &mut Haul, output: &str) {
    for line in output.lines() {
        let mut line: Value = serde_json::from_str(line).expect("a line is JSON");
        if line["custom_id"] == "open" {
            let body = line["response"]["body"].take();
            assert_eq!(body["choices"][0]["message"]["content"], SECRETS[OPEN].1);
        }
        haul.take(&format!("the answer to {}", line["custom_id"]), line.to_string().as_bytes());
    }
}

/// One question over the admin socket, as it goes over the wire.
pub(crate) fn ask(socket: &Path, request: &str, body: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nhost: keywheel\r\ncontent-type: application/json\r\n");
    let text = format!("{head}content-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).expect("it listens");
    let mut answer = Vec::new();
    // It may hang up on nonsense; what it said before counts.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Says a request over TCP, with these headers besides, and hears all of the answer.
pub(crate) fn ask_tcp(address: &str, request: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let length = body.len();
    let head =
        format!("{request} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{headers}");
    let text = format!("{head}content-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).expect("it listens");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    answer
}

/// What follows the head of an answer.
pub(crate) fn body_of(answer: &[u8]) -> Vec<u8> {
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    answer[head + 4..].to_vec()
}
