//! The gateway in front of the provider that repeats its keys: what its clients hear, and what it writes of them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use keywheel::clients::TokenHash;
use serde_json::{Value, json};

use crate::parrot::{ANSWERS, Parrot, STREAMS};
use crate::secrets::{OPEN, RECOGNISABLE, SECRETS, secret};
use crate::study::{Study, ask_tcp, body_of, everything, provider, quoted};

/// What every client shows, and nobody may repeat.
const TOKEN: &str = "prefixed";

/// A collector of OpenTelemetry that keeps all it is told.
struct Collector {
    addr: SocketAddr,
    told: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port 0 is always free");
        let addr = listener.local_addr().expect("it listens");
        let told = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&told);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (told, connection) = (Arc::clone(&shared), connection.expect("a connection"));
                thread::spawn(move || listen(&told, connection));
            }
        });
        Self { addr, told }
    }
}

fn listen(told: &Mutex<Vec<u8>>, connection: TcpStream) {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            if reader.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {
                let line = head[begin..].to_ascii_lowercase();
                length = line
                    .strip_prefix("content-length: ")
                    .map_or(length, |rest| rest.trim().parse().unwrap_or(0));
            } else {
                return;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a whole message");
        let mut told = told.lock().expect("no thread panicked");
        told.extend_from_slice(head.as_bytes());
        told.extend_from_slice(&body);
        drop(told);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        reader.get_mut().write_all(answer).expect("it listens");
    }
}

/// What a client asks, and the answer as it came.
fn ask(address: &str, request: &str, headers: &str, body: &Value) -> Vec<u8> {
    let shown = format!("authorization: Bearer {}\r\nconnection: close\r\n{headers}", secret(TOKEN));
    ask_tcp(address, request, &shown, &body.to_string())
}

fn chat(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello" }] })
}

fn case_id(case: &str, number: usize) -> String {
    format!("{case}-{number}")
}

/// Every answer to every secret through the gateway, at TRACE, with all that it can write.
pub(crate) fn in_front_of(parrot: &Parrot) {
    let collector = Collector::start();
    let (config, _) = everything(parrot);
    let streams = STREAMS.iter().flat_map(|case| {
        let secrets = SECRETS.iter().enumerate();
        secrets.map(|(number, (_, secret))| provider(&case_id(case, number), &parrot.url(case), secret))
    });
    let config = format!(
        "[server]\ndeadline = \"2s\"\naccess_log = \"access.jsonl\"\notlp_endpoint = \"http://{}\"\n\
         [[server.client]]\nname = \"c\"\ntoken_hashes = [\"{}\"]\n{config}{}",
        collector.addr,
        TokenHash::of(secret(TOKEN)),
        streams.collect::<String>()
    );
    let mut study = Study::new(&config);
    let words = ["--log", "trace", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"];
    let mut program = study.desk.start(&words, &study.environment());
    let started: Value = serde_json::from_str(&program.out.line_with("listening")).expect("a line of JSON");
    let of = |name: &str| started[name].as_str().expect("an address").replace("http://", "");
    let (address, admin) = (of("listening"), of("admin"));

    let routed = "POST /v1/chat/completions";
    // Many at once: whoever meets a resting key waits for its deadline.
    let asked = thread::scope(|scope| {
        let whole = ANSWERS.map(|case| (case, false)).into_iter().chain(STREAMS.map(|case| (case, true)));
        let address = &address;
        let asking: Vec<_> = whole
            .flat_map(|case| (0..SECRETS.len()).map(move |number| (case, number)))
            .map(|((case, stream), number)| {
                scope.spawn(move || {
                    let id = case_id(case, number);
                    let passed = format!("POST /providers/{id}/chat/completions");
                    let answer = ask(address, &passed, "", &chat("m", stream));
                    let routed = (!stream).then(|| (id.clone(), ask(address, routed, "", &chat(&id, false))));
                    [(passed, answer)].into_iter().chain(routed)
                })
            })
            .collect();
        asking.into_iter().flat_map(|asking| asking.join().expect("it is answered")).collect::<Vec<_>>()
    });
    for (what, answer) in &asked {
        assert!(answer.starts_with(b"HTTP/1.1 "), "{what}: {}", String::from_utf8_lossy(answer));
        study.haul.take(&format!("the answer to {what}"), answer);
    }
    let open = ask(&address, routed, "", &chat("open", false));
    assert!(
        String::from_utf8_lossy(&body_of(&open)).contains(SECRETS[OPEN].1),
        "what a model says is its caller's"
    );

    // A client's own secrets in wrong places: what it says comes back to it at most, and is written nowhere.
    for name in RECOGNISABLE {
        let hostile = secret(name);
        for (request, headers, body) in [
            (routed.to_owned(), String::new(), chat(hostile, false)),
            (format!("POST /v1/chat/completions?key={hostile}"), String::new(), chat("401-json-0", false)),
            (format!("POST /providers/{hostile}/chat/completions"), String::new(), chat("m", false)),
            (format!("GET /{hostile}"), String::new(), json!({})),
            (
                format!("POST /providers/200-headers-0/{hostile}?key={hostile}"),
                String::new(),
                chat(hostile, false),
            ),
            (routed.to_owned(), format!("x-request-id: {hostile}\r\n"), chat("200-headers-0", false)),
            (
                routed.to_owned(),
                format!("traceparent: {hostile}\r\ntracestate: {hostile}\r\n"),
                chat("m", false),
            ),
            (routed.to_owned(), format!("x-keywheel-priority: {hostile}\r\n"), chat("200-headers-0", false)),
            (
                routed.to_owned(),
                format!("x-api-key: {hostile}\r\ncookie: a={hostile}\r\n"),
                chat("200-headers-0", false),
            ),
            (routed.to_owned(), String::new(), quoted(hostile).into()),
        ] {
            ask(&address, &request, &headers, &body);
        }
        let stranger = format!("authorization: Bearer {hostile}\r\nconnection: close\r\n");
        let answer = ask_tcp(&address, routed, &stranger, &chat("m", false).to_string());
        let answer_text = String::from_utf8_lossy(&answer);
        if name != TOKEN {
            assert!(answer_text.contains(" 401 "), "{answer_text}");
        }
        study.haul.take("what a stranger hears", &answer);
    }
    for request in ["GET /metrics", "GET /v1/status", "GET /v1/stats", "GET /v1/failures", "GET /v1/history"]
    {
        let answer = ask_tcp(&admin, request, "connection: close\r\n", "");
        assert!(String::from_utf8_lossy(&answer).contains(" 200 "), "{request}");
        study.haul.take(&format!("the answer to {request}"), &answer);
    }
    program.signal("TERM");
    let ended = program.end();
    ended.exited(0);
    study.take("the gateway", &ended);
    let logged = study.desk.read("access.jsonl");
    assert!(logged.lines().count() > asked.len(), "{} lines", logged.lines().count());
    let told = collector.told.lock().expect("no thread panicked");
    assert!(told.windows(9).any(|word| word == b"/v1/trace"), "nothing was told");
    study.haul.take("what the collector was told", &told);
    drop(told);
    study.end(&|name| name == "keywheel.toml");
}
