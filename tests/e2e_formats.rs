//! `keywheel batch` from every form of input to every form of output, packed in every way, by golden files.
//!
//! The provider of these stories repeats what it was asked, so that a text which any step had bent would be
//! seen in what was asked, in the answer, or in both.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use support::program::Desk;

/// A form of input: rows with everything that could be bent on the way, and some that fail.
struct Form {
    name: &'static str,
    file: &'static str,
    rows: &'static str,
    /// What it needs besides.
    words: &'static [&'static str],
    dialect: &'static str,
}

const FORMS: [Form; 6] = [
    Form {
        name: "openai",
        file: "in.jsonl",
        rows: r#"{"custom_id": "plain", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "Grüße, 世界 🎡"}]}}
{"custom_id": "ends \"of\" lines\n", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "one\r\ntwo\t\"three\" C:\\new \u2028 \ud83c\udfa1"}]}}
{"custom_id": "bytes-are-kept", "url": "/v1/chat/completions",  "body": { "messages":[{"content":"spaced"}],  "model":"m", "seed":12345678901234567890, "top_p":1.0e-2 }}

{"custom_id": "refused", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "refuse \"this\""}]}}
{"custom_id": "broken", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "break"}]}}
{"custom_id": "named", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "name it"}]}}
{"custom_id": "plain", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "the same name"}]}}
{"custom_id": "torn", "method": "POST", "body": {"model": "m", "messages": [{"ro
{"custom_id": "streams", "url": "/v1/chat/completions", "body": {"model": "m", "stream": true, "messages": []}}
{"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "nameless"}]}}"#,
        words: &[],
        dialect: "openai",
    },
    Form {
        name: "anthropic",
        file: "in.jsonl",
        rows: r#"{"custom_id": "plain", "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Grüße, 世界 🎡"}]}}
{"custom_id": "ends", "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "one\ntwo \"three\" C:\\new"}]}}

{"custom_id": "refused", "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "refuse \"this\""}]}}
{"custom_id": "broken", "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "break"}]}}
{"custom_id": "plain", "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "the same name"}]}}
{"custom_id": "params-missing"}
[1, "no row"]"#,
        words: &[],
        dialect: "anthropic",
    },
    Form {
        name: "body",
        file: "in.jsonl",
        rows: r#"{"model": "m", "messages": [{"role": "user", "content": "Grüße, 世界 🎡"}]}
{"custom_id": "taken out", "model": "m", "messages": [{"role": "user", "content": "one\ntwo \"three\" C:\\new"}]}

{"messages": [{"role": "user", "content": "no model of its own"}]}
{"model": "m", "messages": [{"role": "user", "content": "refuse \"this\""}]}
{"model": "m", "messages": [{"role": "user", "content": "break"}]}
{"model": "m", "input": "for whom?"}
{"model": "m", "messages": [}"#,
        words: &["--model", "from-the-flag"],
        dialect: "openai",
    },
    Form {
        name: "prompt",
        file: "in.jsonl",
        rows: r#"{"prompt": "Grüße, 世界 🎡"}
{"custom_id": "ends", "prompt": "one\ntwo \"three\" C:\\new"}

{"prompt": "a model of its own", "model": "other", "custom_id": 7}
{"prompt": "refuse \"this\""}
{"prompt": "break"}
{"prompt": 12}
{"promt": "a slip"}"#,
        words: &["--model", "m", "--input-format", "prompt"],
        dialect: "openai",
    },
    Form {
        name: "text",
        file: "in.jsonl",
        rows: r#""Grüße, 世界 🎡"
"one\ntwo \"three\" C:\\new {{prompt}}"

"refuse \"this\""
"break"
no quotes
"#,
        words: &["--model", "m"],
        dialect: "openai",
    },
    Form {
        name: "csv",
        file: "in.csv",
        rows: "custom_id,prompt,n\n\
            plain,\"Grüße, 世界 🎡\",1\n\
            ends,\"one\ntwo \"\"three\"\" C:\\new\",2\n\
            \n\
            refused,\"refuse \"\"this\"\"\",3\n\
            broken,break,4\n\
            plain,the same name,5\n\
            short\n\
            last,\"after, the bad one\",6\r\n",
        words: &["--model", "m"],
        dialect: "openai",
    },
];

const FORMATS: [&str; 4] = ["openai", "anthropic", "body", "text"];

/// A row at a time and no second attempts, so that everything is said in one order.
const STEADY: [&str; 9] =
    ["--on-duplicate", "fail-row", "--order", "input", "--concurrency", "1", "--attempts", "1", "--quiet"];

/// Ends of names, and how what they hold is packed.
const PACKED: [&str; 2] = [".gz", ".zst"];

#[test]
fn every_form_comes_out_in_every_format() {
    let echo = Echo::start();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots/formats");
    settings.bind(|| {
        for form in FORMS {
            let (mut asked, mut errors) = (Vec::new(), Vec::new());
            for format in FORMATS {
                let desk = echo.desk(&form).with(form.file, form.rows);
                form.run(&desk, form.file, "out", format, "");
                insta::assert_snapshot!(
                    format!("{}-to-{format}", form.name),
                    ended(&steady(&desk.read("out")))
                );
                asked.push(echo.asked());
                errors.push(desk.read("out.errors.jsonl"));
            }
            let told = format!("{}--- the error file\n{}", asked[0], errors[0]);
            insta::assert_snapshot!(format!("{}-asked", form.name), told);
            asked.dedup();
            errors.dedup();
            assert_eq!((asked.len(), errors.len()), (1, 1), "the format of OUT is no matter for them");
        }
    });
}

#[test]
fn however_rows_and_answers_are_packed_they_are_the_same() {
    let echo = Echo::start();
    // Three ways to bring rows and three to take answers; over the forms each meets every format.
    for (turn, form) in FORMS.iter().enumerate() {
        for way in 0..3 {
            let format = FORMATS[(turn * 3 + way) % FORMATS.len()];
            let desk = echo.desk(form).with(form.file, form.rows);
            form.run(&desk, form.file, "plain", format, "");
            let (file, fed) = match PACKED.get(way) {
                Some(end) => (format!("{}{end}", form.file), ""),
                None => ("-".to_owned(), form.rows),
            };
            if fed.is_empty() {
                fs::write(desk.path(&file), packed(&file, form.rows)).expect("the directory is ours");
            }
            let out = PACKED.get((turn + way) % 3).map_or_else(|| "-".to_owned(), |end| format!("out{end}"));
            let stdout = form.run(&desk, &file, &out, format, fed);
            let answers = if out == "-" { stdout } else { unpacked(&desk, &out) };
            assert_eq!(steady(&answers), steady(&desk.read("plain")), "{} {file} {out} {format}", form.name);
        }
    }
}

impl Form {
    /// Runs it, and gives what went to stdout.
    fn run(&self, desk: &Desk, file: &str, out: &str, format: &str, fed: &str) -> String {
        let mut words = vec!["batch", file, "-o", out, "--output-format", format];
        words.extend([&STEADY[..], self.words].concat());
        if file == "-" && self.name == "csv" {
            words.extend(["--input-format", "csv"]);
        }
        desk.run_fed(&words, fed).exited(3).stdout.clone()
    }
}

fn is_zst(name: &str) -> bool {
    name.rsplit('.').next() == Some("zst")
}

/// The rows, packed as the end of `name` says.
fn packed(name: &str, rows: &str) -> Vec<u8> {
    let (begin, end) = rows.as_bytes().split_at(rows.len() / 2);
    let pack = |part: &[u8]| {
        if is_zst(name) {
            return zstd::encode_all(part, 0).expect("memory");
        }
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).expect("memory");
        encoder.finish().expect("memory")
    };
    // Two members, which may meet in the middle of a character.
    [pack(begin), pack(end)].concat()
}

fn unpacked(desk: &Desk, name: &str) -> String {
    let bytes = fs::read(desk.path(name)).expect("it was written");
    let mut text = String::new();
    if is_zst(name) {
        return String::from_utf8(zstd::decode_all(&bytes[..]).expect("whole frames")).expect("UTF-8");
    }
    MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("whole members of UTF-8");
    text
}

/// The same with a mark for its end: empty lines count there, too.
fn ended(text: &str) -> String {
    format!("{text}--- end")
}

/// The same without what each run has of its own: its number, in the names of lines and requests.
fn steady(text: &str) -> String {
    const DIGITS: usize = 8;
    let mut steady = text.to_owned();
    for mark in ["\"batch_req_", "\"batch-"] {
        let mut parts = steady.split(mark);
        let mut scrubbed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            assert!(part.as_bytes()[..DIGITS].iter().all(u8::is_ascii_hexdigit), "{part}");
            scrubbed.push_str(mark);
            scrubbed.push_str("RUN");
            scrubbed.push_str(&part[DIGITS..]);
        }
        steady = scrubbed;
    }
    steady
}

/// A provider that repeats what it was asked, in the dialect of the path, and refuses or breaks on request.
struct Echo {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port 0 is always free");
        let url = format!("http://{}/v1", listener.local_addr().expect("it listens"));
        let asked = Arc::default();
        let shared = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (asked, connection) = (Arc::clone(&shared), connection.expect("a connection"));
                thread::spawn(move || answer(&asked, connection));
            }
        });
        Self { url, asked }
    }

    /// A desk whose provider this is, for rows of that form.
    fn desk(&self, form: &Form) -> Desk {
        let Self { url, .. } = self;
        Desk::new(&format!(
            "[[provider]]\nid = \"echo\"\ndialect = \"{}\"\nbase_url = \"{url}\"\nkey = [{{ name = \"k\", secret = \"sk-echo\" }}]\n",
            form.dialect
        ))
    }

    /// What it was asked since this was last asked: path and body of each call.
    fn asked(&self) -> String {
        self.asked.lock().expect("no thread panicked").drain(..).collect()
    }
}

/// Answers a call, and hangs up.
fn answer(asked: &Mutex<Vec<String>>, mut connection: TcpStream) {
    let mut reader = BufReader::new(&connection);
    let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line != "\r\n" {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        } else if path.is_empty() {
            path.push_str(line.split(' ').nth(1).unwrap_or_default());
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a whole body");
    let body = String::from_utf8(body).expect("UTF-8");
    asked.lock().expect("no thread panicked").push(format!("{path} {body}\n"));

    let ask: Value = serde_json::from_str(&body).expect("a JSON body");
    let content = ask["messages"][0]["content"].as_str().unwrap_or_default();
    let (status, reply) = reply(&path, &ask["model"], content);
    let named = if content.starts_with("name") { "x-request-id: req_upstream\r\n" } else { "" };
    // In several lines, for OUT must have it in one.
    let reply = serde_json::to_string_pretty(&reply).expect("JSON");
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{named}connection: close\r\n");
    // Whoever was killed doesn't listen.
    let _ = connection.write_all(format!("{head}content-length: {}\r\n\r\n{reply}", reply.len()).as_bytes());
}

/// Status line and body.
fn reply(path: &str, model: &Value, content: &str) -> (&'static str, Value) {
    let anthropic = path.ends_with("/messages");
    if content.starts_with("break") {
        return ("500 Internal Server Error", json!({"error": {"type": "api_error", "message": "it broke"}}));
    }
    if content.starts_with("refuse") {
        let error = json!({"type": "invalid_request_error", "message": format!("no: {content}")});
        let refusal =
            if anthropic { json!({"type": "error", "error": error}) } else { json!({"error": error}) };
        return ("400 Bad Request", refusal);
    }
    let said = format!("you said: {content}");
    let answer = if anthropic {
        let content = json!([{"type": "text", "text": said}]);
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content,
            "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}})
    } else {
        let choice =
            json!({"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"});
        json!({"id": "c1", "object": "chat.completion", "model": model, "choices": [choice],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}})
    };
    ("200 OK", answer)
}
