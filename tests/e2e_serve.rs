//! The gateway as its clients meet it: real binary, real sockets, the simulator or a script behind it.
#![cfg(unix)]

mod support;

use std::io;

use bytes::Bytes;
use futures_util::stream;
use keywheel::clients::TokenHash;
use keywheel::sim::{Conduct, HeaderStyle, Latency, LimitSpec, Outcome, Shape, SimSpec};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use support::gateway::{Gateway, body, chat_body, header};
use support::live::{STATE, calls, desk, desk_with, key, start, status, until};
use support::millis;
use support::program::Desk;

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
const HOUR: Latency = Latency::Fixed(millis(3_600_000));

#[tokio::test]
async fn an_answer_says_how_it_came_about() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let answer = gateway.chat("mine-1").header("authorization", "Bearer anything").send().await.expect("it");
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        ("x-request-id", "mine-1"),
        ("x-keywheel-provider", "sim"),
        ("x-keywheel-model", "m"),
        ("x-keywheel-attempts", "1"),
        ("x-keywheel-fallback", "false"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(header(&answer, name), Some(value), "{name}");
    }
    for name in ["x-keywheel-overhead-ms", "x-keywheel-waited-ms"] {
        assert!(header(&answer, name).is_some_and(|value| value.parse::<f64>().is_ok()), "{name}");
    }
    assert!(header(&answer, "x-ratelimit-remaining-requests").is_none(), "that is one key's business");
    assert_eq!(body(answer).await["object"], "chat.completion");
    let ledger = sim.ledger_with_requests();
    assert!(
        ledger.requests.is_some_and(|requests| requests.contains_key("mine-1")),
        "the provider knows it by its name"
    );
    assert_eq!(gateway.get("/livez").send().await.expect("it").status(), 200);
    assert_eq!(gateway.get("/readyz").send().await.expect("it").status(), 200);
    gateway.terminate().exited(0);
}

#[tokio::test]
async fn nobody_sees_a_throttle_that_another_key_could_have_served() {
    let bucket = LimitSpec::requests(60, MINUTE).shaped(Shape::TokenBucket { burst: 10 });
    let sim = start(SimSpec { headers: HeaderStyle::RetryAfter, ..SimSpec::with_keys(3).limited(bucket) });
    let desk = Desk::new(&format!("{STATE}{}", unlimited(&sim)));
    let gateway = Gateway::start(&desk, &[]);
    let mut all = JoinSet::new();
    for number in 0..30 {
        all.spawn(gateway.chat(&format!("r{number}")).send());
    }
    while let Some(answer) = all.join_next().await {
        assert_eq!(answer.expect("it lives").expect("an answer").status(), 200);
    }
    assert_eq!(sim.ledger().count(Outcome::Served), 30);
}

/// The keys of `sim` without their limits: the gateway finds out.
fn unlimited(sim: &keywheel::sim::Sim) -> String {
    let key = |key: &keywheel::sim::KeySpec| {
        format!("[[provider.key]]\nname = \"{}\"\nsecret = \"{}\"\n", key.name, key.secret)
    };
    let keys: String = sim.spec().keys.iter().map(key).collect();
    let base_url = sim.base_url();
    format!("[[provider]]\nid = \"sim\"\ndialect = \"openai\"\nbase_url = \"{base_url}\"\n{keys}")
}

#[tokio::test]
async fn when_all_keys_rest_for_long_nobody_is_sent_to_try_again() {
    let sim = start(SimSpec::with_keys(2).limited(LimitSpec::requests(1, MINUTE * 60)));
    let desk = Desk::new(&format!("{STATE}{}", unlimited(&sim)));
    let gateway = Gateway::start(&desk, &[]);
    let mut last = None;
    for number in 0..4 {
        last = Some(gateway.chat(&format!("r{number}")).send().await.expect("an answer"));
    }
    let last = last.expect("there were four");
    assert_eq!(last.status(), 429);
    let seconds: u64 = header(&last, "retry-after").and_then(|value| value.parse().ok()).expect("seconds");
    assert!((3_000..=3_700).contains(&seconds), "{seconds}");
    assert!(header(&last, "retry-after-ms").is_some());
    assert_eq!(header(&last, "x-should-retry"), Some("false"));
    assert_eq!(body(last).await["error"]["type"], "rate_limit_error");
    assert_eq!(sim.ledger().count(Outcome::Served), 2);
}

#[tokio::test]
async fn dead_keys_are_the_gateways_trouble_and_mistakes_the_clients() {
    let dead = |key: keywheel::sim::KeySpec| key.conducting(Conduct::Invalid);
    let sim = start(SimSpec::with_keys(1).key(0, dead));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    for _ in 0..2 {
        let answer = gateway.chat("r").send().await.expect("an answer");
        assert_eq!(answer.status(), 502);
        assert_eq!(header(&answer, "x-should-retry"), Some("false"));
        let text = answer.text().await.expect("text");
        assert!(!text.contains("sk-0"), "{text}");
    }

    let sim = start(SimSpec::with_keys(1));
    let desk = support::live::desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    for (said, status) in [
        ("{\"model\":\"m\"}", 400),
        ("{", 400),
        ("[]", 400),
        ("{\"messages\":[]}", 400),
        ("{\"model\":\"m\",\"model\":\"n\"}", 400),
    ] {
        let answer = gateway.post("/v1/chat/completions", said).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{said}");
        assert!(body(answer).await["error"]["message"].is_string());
    }
    assert_eq!(sim.ledger().calls, 1, "only the first got as far as the provider");
    let unknown = gateway.get("/v1/unheard-of").send().await.expect("an answer");
    assert_eq!(unknown.status(), 404);
    assert_eq!(gateway.get("/v1/chat/completions").send().await.expect("an answer").status(), 405);
}

#[tokio::test]
async fn a_stream_comes_as_the_provider_wrote_it() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let answer = gateway.stream("s").send().await.expect("an answer");
    assert_eq!(header(&answer, "content-type").map(|kind| &kind[..17]), Some("text/event-stream"));
    let text = answer.text().await.expect("text");
    assert!(text.starts_with("data: {") && text.ends_with("data: [DONE]\n\n"), "{text}");
    // The record is written a moment after the last byte.
    until("it is counted", || sim.ledger().count(Outcome::Served) == 1);
    let served = "surface=\"chat_completions\",client=\"\",provider=\"sim\",model=\"m\",status=\"200\",ending=\"served\"";
    assert!(gateway.metrics().await.contains(served));
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A provider that gives these answers to one connection after the other, and then hangs up.
async fn scripted(answers: Vec<String>) -> Desk {
    scripted_heard(answers).await.0
}

/// The same, and what it was asked.
async fn scripted_heard(answers: Vec<String>) -> (Desk, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let port = listener.local_addr().expect("it listens").port();
    let heard = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.expect("a call comes");
            asked.push(hear(&mut connection).await);
            connection.write_all(answer.as_bytes()).await.expect("somebody reads");
            connection.shutdown().await.expect("the answer ends");
        }
        asked
    });
    let keys = "[[provider.key]]\nname = \"a\"\nsecret = \"sk-a\"\n[[provider.key]]\nname = \"b\"\nsecret = \"sk-b\"\n";
    let desk = Desk::new(&format!(
        "{STATE}[[provider]]\nid = \"p\"\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n{keys}"
    ));
    (desk, heard)
}

/// Reads a request of a few JSON bytes to its end.
async fn hear(connection: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"}") {
        assert!(connection.read_buf(&mut heard).await.expect("the request comes") > 0);
    }
    String::from_utf8(heard).expect("text")
}

#[tokio::test]
async fn a_stream_that_was_cut_ends_with_an_error_and_never_looks_whole() {
    let desk = scripted(vec![format!("{HEAD}{HELLO}")]).await;
    let gateway = Gateway::start(&desk, &[]);
    let text = gateway.stream("s").send().await.expect("an answer").text().await.expect("text");
    let rest = text.strip_prefix(HELLO).expect("what came, came through");
    let event: Value =
        serde_json::from_str(rest.trim().strip_prefix("data: ").expect("an event")).expect("JSON");
    assert_eq!(event["error"]["code"], "stream_broken");
    assert!(!text.contains("[DONE]"));
}

#[tokio::test]
async fn a_stream_that_is_held_back_is_repaired_and_nobody_notices() {
    let desk = scripted(vec![format!("{HEAD}{HELLO}"), format!("{HEAD}{HELLO}{DONE}")]).await;
    let gateway = Gateway::start(&desk, &["--set", "server.hold_back=full"]);
    let answer = gateway.stream("s").send().await.expect("an answer");
    assert_eq!(header(&answer, "x-keywheel-attempts"), Some("2"));
    assert_eq!(answer.text().await.expect("text"), [HELLO, DONE].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_key() {
    let sim = start(SimSpec::with_keys(1).first_byte(HOUR));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let waiting = tokio::spawn(gateway.chat("r").send());
    until("the call is under way", || sim.ledger().calls == 1);
    waiting.abort();
    until("its place is free", || key(&status(&desk), "k0")["in_flight"] == 0);
    assert_eq!(key(&status(&desk), "k0")["counts"]["cancelled"], 1);
    until("it is told", || {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(gateway.metrics())
                .contains("ending=\"client_gone\"} 1")
        })
    });
}

fn clients(text: &str) -> String {
    format!("{STATE}{}", text.replace("HASH", &TokenHash::of("kw-right").to_string()))
}

#[tokio::test]
async fn clients_are_known_by_their_tokens_and_held_to_their_limits() {
    let sim = start(SimSpec::with_keys(1));
    let head = clients(
        "[[server.client]]\nname = \"app\"\ntoken_hashes = [\"HASH\"]\nmodels = [\"m\"]\nlimits = { rpm = 2 }\n",
    );
    let desk = desk_with(&sim, &head);
    let gateway = Gateway::start(&desk, &[]);
    for token in [None, Some("kw-wrong")] {
        let mut request = gateway.chat("r");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert_eq!(body(answer).await["error"]["code"], "invalid_api_key");
    }
    assert_eq!(gateway.get("/v1/models").send().await.expect("an answer").status(), 401);
    assert_eq!(
        gateway.get("/livez").send().await.expect("an answer").status(),
        200,
        "for who looks after it"
    );

    let other = gateway.post("/v1/embeddings", "{\"model\":\"x\",\"input\":\"a\"}").bearer_auth("kw-right");
    assert_eq!(other.send().await.expect("an answer").status(), 403);
    for name in ["authorization", "x-api-key", "api-key"] {
        let token = if name == "authorization" { "Bearer kw-right" } else { "kw-right" };
        let answer = gateway.chat("r").header(name, token).send().await.expect("an answer");
        let code = if name == "api-key" { 429 } else { 200 };
        assert_eq!(answer.status(), code, "{name}");
        if code == 429 {
            let seconds = header(&answer, "retry-after").and_then(|value| value.parse::<u64>().ok());
            assert!(seconds.is_some_and(|seconds| (1..=61).contains(&seconds)), "{seconds:?}");
            assert_eq!(body(answer).await["error"]["code"], "client_limit_requests");
        }
    }
    assert_eq!(sim.ledger().calls, 2);
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("client=\"app\"") && !metrics.contains("kw-right"), "{metrics}");
}

#[tokio::test]
async fn who_is_bound_to_models_gets_no_other_by_any_way() {
    let sim = start(SimSpec::with_keys(1));
    let head = clients(
        "[[server.client]]\nname = \"app\"\ntoken_hashes = [\"HASH\"]\nmodels = [\"m\"]\npass_through = [\"sim\", \"plain\"]\n",
    );
    let desk = desk_with(&sim, &format!("{head}{}", plain(&sim)));
    let gateway = Gateway::start(&desk, &[]);
    let chat = "/providers/sim/chat/completions";
    let long = format!(r#"{{"messages":"{}","model":"m"}}"#, "x".repeat(9 << 20));
    for (path, body) in [
        (chat, r#"{"model":"dear","messages":[]}"#),
        (chat, r#"{"model":"m","model":"dear","messages":[]}"#),
        (chat, r#"{"model":"m","models":["m","dear"],"messages":[]}"#),
        (chat, r#"{"models":["dear"],"model":"m","models":["m"],"messages":[]}"#),
        (chat, r#"{"model":"m","models":"dear","messages":[]}"#),
        ("/v1/chat/completions", r#"{"model":"m","models":["dear"],"messages":[]}"#),
        ("/providers/plain/engines/dear/generate", r#"{"model":"m"}"#),
        (chat, r#"{"messages":[]}"#),
        (chat, "model=dear"),
        (chat, &long),
        ("/providers/sim/models/m:generateContent", r#"{"model":"dear"}"#),
        ("/providers/sim/models/dear:generateContent", r#"{"model":"m"}"#),
        ("/providers/sim/deployments/dear/chat/completions", r#"{"model":"m"}"#),
        ("/v1beta/models/dear:generateContent", r#"{"model":"m"}"#),
    ] {
        let answer =
            gateway.post(path, body.to_owned()).bearer_auth("kw-right").send().await.expect("an answer");
        assert_eq!(answer.status(), 403, "{path} {}", &body[..body.len().min(60)]);
        let message = self::body(answer).await["error"]["message"].to_string();
        assert!(message.contains("this client may"), "{message}");
    }
    assert_eq!(sim.ledger().calls, 0);
    let allowed = gateway.post(chat, chat_body(false).to_string()).bearer_auth("kw-right");
    assert_eq!(allowed.send().await.expect("an answer").status(), 200);
    let read = gateway.get("/providers/sim/models").bearer_auth("kw-right");
    assert_eq!(read.send().await.expect("an answer").status(), 200, "who sends nothing asks for no model");
    let models = r#"{"model":"m","models":["m"],"messages":[]}"#;
    let allowed = gateway.post(chat, models).bearer_auth("kw-right").send().await.expect("an answer");
    assert_eq!(allowed.status(), 200, "each of them is allowed");
    let plain = gateway.get("/providers/plain/engines/dear").bearer_auth("kw-right").send().await;
    assert_eq!(plain.expect("an answer").status(), 403, "a path nobody knows may ask for any model");
    let stranger = gateway.get("/providers/none/models").send().await.expect("an answer");
    assert_eq!(stranger.status(), 401, "strangers aren't told who is there");
}

/// A provider of no dialect where `sim` is.
fn plain(sim: &keywheel::sim::Sim) -> String {
    let base_url = sim.base_url();
    let key = "[[provider.key]]\nname = \"k\"\nsecret = \"sk-0\"\n";
    format!("[[provider]]\nid = \"plain\"\ndialect = \"http\"\nbase_url = \"{base_url}\"\n{key}")
}

#[tokio::test]
async fn who_is_bound_to_models_calls_no_provider_by_its_id_unless_it_is_told_to() {
    let sim = start(SimSpec::with_keys(1));
    for (fields, status) in [
        ("", 200),
        ("pass_through = []\n", 403),
        ("models = [\"m\"]\n", 403),
        ("models = [\"m\"]\npass_through = [\"sim\"]\n", 200),
        ("pass_through = [\"other\"]\n", 403),
    ] {
        let head = format!("[[server.client]]\nname = \"app\"\ntoken_hashes = [\"HASH\"]\n{fields}");
        let desk = desk_with(&sim, &clients(&head));
        let gateway = Gateway::start(&desk, &[]);
        let answer = gateway.get("/providers/sim/models").bearer_auth("kw-right").send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), status, "{fields}");
        if status == 403 {
            assert_eq!(body(answer).await["error"]["code"], "provider_not_allowed");
        }
        let routed = gateway.chat("r").bearer_auth("kw-right").send().await.expect("an answer");
        assert_eq!(routed.status(), 200, "{fields}");
    }
}

#[tokio::test]
async fn a_restart_gives_no_client_its_day_again() {
    let sim = start(SimSpec::with_keys(1));
    let head =
        clients("[[server.client]]\nname = \"app\"\ntoken_hashes = [\"HASH\"]\nlimits = { rpd = 3 }\n");
    let desk = desk_with(&sim, &head);
    let ask = async |gateway: &Gateway| {
        gateway.chat("r").bearer_auth("kw-right").send().await.expect("an answer").status()
    };
    let gateway = Gateway::start(&desk, &[]);
    assert_eq!(ask(&gateway).await, 200);
    gateway.terminate().exited(0);
    let gateway = Gateway::start(&desk, &[]);
    assert_eq!(ask(&gateway).await, 200);
    until("it is kept", || desk.read("state/clients.json").contains(",2]"));
    gateway.program.kill();
    let gateway = Gateway::start(&desk, &[]);
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!(ask(&gateway).await, 429);
    gateway.terminate().exited(0);
    std::fs::write(desk.path("state/clients.json"), "{").expect("the directory is ours");
    let gateway = Gateway::start(&desk, &[]);
    assert_eq!(ask(&gateway).await, 200, "it serves all the same");
    let ended = gateway.terminate();
    assert!(ended.stderr.contains("counted from zero"), "{}", ended.stderr);
    assert_eq!(desk.read("state/clients.json"), "{", "what can't be read is left to whoever can");
}

#[test]
fn what_others_can_reach_needs_clients() {
    let sim = start(SimSpec::with_keys(1));
    let ended = desk(&sim).run(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(ended.exited(2).stderr.contains("keywheel client new"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_lets_answers_end_and_tells_the_others() {
    let sim = start(SimSpec::with_keys(2).first_byte(HOUR));
    let slow = desk(&sim);
    let gateway = Gateway::start(&slow, &["--set", "server.drain_grace=50ms"]);
    let waiting = tokio::spawn(gateway.chat("r").send());
    until("the call is under way", || sim.ledger().calls == 1);
    let gateway = tokio::task::spawn_blocking(move || gateway.terminate());
    let answer = waiting.await.expect("it lives").expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(header(&answer, "retry-after").is_some());
    gateway.await.expect("it lives").exited(0);

    // One word, and then nothing for an hour.
    let endless = scripted_forever(format!("{HEAD}{HELLO}")).await;
    let gateway = Gateway::start(&endless, &["--set", "server.drain_grace=50ms"]);
    let mut answer = gateway.stream("s").send().await.expect("an answer");
    assert_eq!(answer.chunk().await.expect("a piece").expect("a piece"), HELLO);
    let ended = tokio::task::spawn_blocking(move || gateway.terminate());
    let rest = answer.chunk().await.expect("a piece").expect("an event");
    assert!(rest.starts_with(b"data: {\"error\""), "{rest:?}");
    assert_eq!(answer.chunk().await.expect("the end"), None);
    ended.await.expect("it lives").exited(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_waits_for_nobody() {
    let sim = start(SimSpec::with_keys(1).first_byte(HOUR));
    let slow = desk(&sim);
    let mut gateway = Gateway::start(&slow, &["--set", "server.drain_grace=1h"]);
    let waiting = tokio::spawn(gateway.chat("r").send());
    until("the call is under way", || sim.ledger().calls == 1);
    let gateway = tokio::task::spawn_blocking(move || {
        gateway.program.signal("TERM");
        gateway.program.err.line_with("once more to end at once");
        gateway.terminate()
    });
    assert_eq!(waiting.await.expect("it lives").expect("an answer").status(), 503);
    let ended = gateway.await.expect("it lives");
    ended.exited(0);
    assert!(ended.stderr.contains("0 requests ended by themselves, 1 were cut off"), "{}", ended.stderr);
}

async fn scripted_forever(answer: String) -> Desk {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let port = listener.local_addr().expect("it listens").port();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a call comes");
        hear(&mut connection).await;
        connection.write_all(answer.as_bytes()).await.expect("somebody reads");
        // Until the other side hangs up.
        let _ = connection.read(&mut [0]).await;
    });
    Desk::new(&format!(
        "{STATE}[[provider]]\nid = \"p\"\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
         [[provider.key]]\nname = \"a\"\nsecret = \"sk-a\"\n"
    ))
}

#[tokio::test]
async fn a_file_of_any_size_goes_through_and_comes_back() {
    const PIECE: usize = 1 << 20;
    const PIECES: u8 = 40;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let port = listener.local_addr().expect("it listens").port();
    let provider = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a call comes");
        let mut heard = Vec::new();
        while !heard.ends_with(b"0\r\n\r\n") {
            assert!(connection.read_buf(&mut heard).await.expect("the upload comes") > 0);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\n";
        let length = heard.len();
        connection.write_all(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await.expect("it");
        connection.write_all(&heard).await.expect("somebody reads");
        heard
    });
    let desk = Desk::new(&format!(
        "{STATE}[[provider]]\nid = \"p\"\ndialect = \"http\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
         [[provider.key]]\nname = \"a\"\nsecret = \"sk-a\"\n"
    ));
    let gateway = Gateway::start(&desk, &[]);
    let pieces = (0..PIECES).map(|number| Ok::<_, io::Error>(Bytes::from(vec![number; PIECE])));
    let upload = reqwest::Body::wrap_stream(stream::iter(pieces));
    let answer = gateway.post("/providers/p/v1/files?key=kw", upload).header("cookie", "a=b").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let came_back = answer.bytes().await.expect("whole");
    let heard = provider.await.expect("it lives");
    assert_eq!(came_back, heard);
    assert!(heard.len() > usize::from(PIECES) * PIECE);
    let head = String::from_utf8_lossy(&heard[..500]).into_owned();
    assert!(head.starts_with("POST /v1/files HTTP/1.1\r\n"), "the base URL says the version already: {head}");
    assert!(head.contains("authorization: Bearer sk-a") && !head.contains("cookie"), "{head}");
}

#[tokio::test]
async fn an_answer_without_a_body_is_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let port = listener.local_addr().expect("it listens").port();
    tokio::spawn(async move {
        for head in ["204 No Content\r\n", "200 OK\r\ncontent-length: 0\r\n"] {
            let (mut connection, _) = listener.accept().await.expect("a call comes");
            hear(&mut connection).await;
            let answer = format!("HTTP/1.1 {head}connection: close\r\n\r\n");
            connection.write_all(answer.as_bytes()).await.expect("somebody reads");
        }
    });
    let desk = Desk::new(&format!(
        "{STATE}[[provider]]\nid = \"p\"\ndialect = \"http\"\nbase_url = \"http://127.0.0.1:{port}\"\n\
         [[provider.key]]\nname = \"a\"\nsecret = \"sk-a\"\n"
    ));
    let gateway = Gateway::start(&desk, &[]);
    for status in [204, 200] {
        let answer = gateway.post("/providers/p/delete", "{}").send().await.expect("an answer");
        assert_eq!(answer.status(), status);
        assert!(answer.bytes().await.expect("whole").is_empty());
    }
    let served = "provider=\"p\",model=\"\",status=\"204\",ending=\"served\"} 1";
    assert!(gateway.metrics().await.contains(served));
}

#[tokio::test]
async fn the_models_are_those_with_a_name() {
    let sim = start(SimSpec::with_keys(1));
    let text = format!("{STATE}{}", unlimited(&sim))
        .replace("[[provider.key]]", "models = { \"fast\" = \"m\" }\n[[provider.key]]");
    let gateway = Gateway::start(&Desk::new(&text), &[]);
    let list = body(gateway.get("/v1/models").send().await.expect("an answer")).await;
    assert_eq!(list["data"][0]["id"], "fast");
    assert_eq!(gateway.get("/v1/models/fast").send().await.expect("an answer").status(), 200);
    assert_eq!(gateway.get("/v1/models/slow").send().await.expect("an answer").status(), 404);
}

#[test]
fn every_request_has_a_line_in_the_access_log_but_probes() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &["--set", "server.access_log=access.jsonl"]);
    let key = "sk-0123456789abcdefghij";
    for (line, more) in [
        ("GET /livez", ""),
        ("GET /readyz", ""),
        ("HEAD /v1/models", ""),
        ("GET /v1/models/nobody", ""),
        ("GET /v1/chat/completions", ""),
        ("GET /providers/nobody/files", ""),
        ("GET /providers/sim/../admin", ""),
        ("GET /v1/realtime", "upgrade: websocket\r\nconnection: upgrade\r\n"),
        (&format!("BREW /{key}?key={key}"), ""),
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: localhost\r\n{more}connection: close\r\n\r\n");
        assert!(gateway.say(request.as_bytes()).starts_with("HTTP/1.1 "), "{line}");
    }
    gateway.terminate().exited(0);
    let log = desk.read("access.jsonl");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let said: Vec<String> = lines
        .map(|line| {
            assert_eq!(line["peer"], "127.0.0.1");
            let fields = ["method", "path", "surface", "status", "ending"].map(|name| line[name].to_string());
            fields.join(" ").replace('"', "")
        })
        .collect();
    assert_eq!(
        said,
        [
            "HEAD /v1/models models 200 served",
            "GET /v1/models/nobody models 404 refused",
            "GET /v1/chat/completions unknown 405 refused",
            "GET /providers/nobody/files pass_through 404 refused",
            "GET /providers/sim/../admin unknown 400 refused",
            "GET /v1/realtime unknown 501 refused",
            "_OTHER /sk-…ghij unknown 404 refused",
        ]
    );
    assert!(!log.contains(key));
}

#[tokio::test]
async fn a_name_that_nobody_serves_is_no_label() {
    let body = r#"{"error":{"code":"model_not_found","message":"no"}}"#;
    let head = "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let desk = scripted(vec![answer; 2]).await;
    let gateway = Gateway::start(&desk, &[]);
    let asked = chat_body(false).to_string().replace("\"m\"", "\"made-up\"");
    let answered = gateway.post("/v1/chat/completions", asked).send().await.expect("an answer");
    assert_eq!(answered.status(), 404);
    answered.bytes().await.expect("a body");
    let metrics = gateway.metrics().await;
    let counted = metrics.lines().find(|line| line.starts_with("keywheel_requests_total{"));
    assert!(counted.is_some_and(|line| line.contains("status=\"404\"")), "{metrics}");
    assert!(!metrics.contains("made-up"), "{metrics}");
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_reaches_nobody() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway =
        Gateway::start(&desk, &["--set", "server.header_timeout=1s", "--set", "server.body_mib_max=1"]);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n";
    let smuggled = [
        format!(
            "{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
        ),
        format!("{head}content-length: 4\r\ncontent-length: 5\r\n\r\nabcde"),
        format!("{head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{head}content-length : 2\r\n\r\n{{}}"),
        format!("{head}x-a: b\r\n c: d\r\ncontent-length: 2\r\n\r\n{{}}"),
        "GET /livez\r\n\r\n".to_owned(),
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(300_000)),
        format!("{head}content-length: 2000000\r\n\r\n"),
        "POST /v1/chat".to_owned(),
    ];
    for said in smuggled {
        let heard = gateway.say(said.as_bytes());
        let is_refused =
            heard.is_empty() || heard.starts_with("HTTP/1.1 4") || heard.starts_with("HTTP/1.0 4");
        assert!(is_refused, "{} was answered with {heard}", &said[..said.len().min(200)]);
        assert!(!heard.contains("live"), "{heard}");
    }
    assert_eq!(sim.ledger().calls, 0);
    assert_eq!(gateway.get("/livez").send().await.expect("an answer").status(), 200, "and it goes on");
}

#[tokio::test]
async fn no_path_leads_out_of_a_providers_base_url() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    for path in ["/../../admin", "/%2e%2e/ledger", "/a/.%2E/../ledger", "/..\\ledger"] {
        let heard = gateway.say(
            format!("GET /providers/sim{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        );
        assert!(heard.starts_with("HTTP/1.1 400 "), "{path}: {heard}");
    }
    assert_eq!(sim.ledger().calls, 0);
    assert_eq!(key(&status(&desk), "k0")["status"], "active", "no key is to blame");
}

#[tokio::test]
async fn no_request_fails_while_the_configuration_changes_and_keys_rest() {
    let sim = start(SimSpec::with_keys(4).first_byte(Latency::Fixed(millis(2))));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let text = desk.read("keywheel.toml");
    let mut all = JoinSet::new();
    for round in 0..20 {
        for number in 0..10 {
            all.spawn(gateway.chat(&format!("r{round}-{number}")).send());
        }
        let broken = round % 5 == 4;
        let changed = if broken { "[[provider".to_owned() } else { format!("{text}\n# {round}\n") };
        std::fs::write(desk.path("keywheel.toml"), changed).expect("the directory is ours");
        gateway.program.signal("HUP");
        while all.len() > 20 {
            let answer = all.join_next().await.expect("there are some").expect("it lives");
            assert_eq!(answer.expect("an answer").status(), 200);
        }
    }
    while let Some(answer) = all.join_next().await {
        assert_eq!(answer.expect("it lives").expect("an answer").status(), 200);
    }
    assert_eq!(sim.ledger().count(Outcome::Served), 200);
    assert!(calls(&sim, "k0") > 0);
    gateway.terminate().exited(0);
}

#[tokio::test]
async fn a_clients_patience_is_the_jobs_deadline() {
    let sim = start(SimSpec::with_keys(1).first_byte(HOUR));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let answer = gateway.chat("r").header("x-keywheel-timeout", "100ms").send().await.expect("an answer");
    assert_eq!(answer.status(), 504);
    assert_eq!(body(answer).await["error"]["code"], json!("deadline_over"));
    let wrong = gateway.chat("r").header("x-keywheel-timeout", "soon").send().await.expect("an answer");
    assert_eq!(wrong.status(), 400);
    let wrong = gateway.chat("r").header("x-keywheel-priority", "most").send().await.expect("an answer");
    assert_eq!(wrong.status(), 400);
}

/// A collector that takes everything, until nobody speaks to it any more.
async fn collected(
    listener: TcpListener,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> Vec<(String, Value)> {
    let mut heard = JoinSet::new();
    loop {
        let (mut connection, _) = tokio::select! {
            accepted = listener.accept() => accepted.expect("it listens"),
            _ = &mut stop => break,
        };
        heard.spawn(async move {
            let mut messages = Vec::new();
            let mut said = Vec::new();
            while connection.read_buf(&mut said).await.expect("it can be read") > 0 {
                let text = String::from_utf8(said.clone()).expect("text");
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if length.and_then(|length| length.parse().ok()) != Some(body.len()) {
                    continue;
                }
                let path = head.split(' ').nth(1).expect("a path").to_owned();
                messages.push((path, serde_json::from_str(body).expect("JSON")));
                said.clear();
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                connection.write_all(answer.as_bytes()).await.expect("somebody reads");
            }
            messages
        });
    }
    heard.join_all().await.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_trace_goes_on_at_the_provider_and_nobody_is_drawn_into_one() {
    let (desk, heard) = scripted_heard(vec![format!("{HEAD}{HELLO}{DONE}"); 2]).await;
    let gateway = Gateway::start(&desk, &[]);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let traced =
        gateway.stream("a").header("traceparent", traceparent).header("tracestate", "congo=t61rcWkgMzE");
    let untraced = gateway.stream("b").header("tracestate", "congo=t61rcWkgMzE");
    for request in [traced, untraced] {
        let text = request.send().await.expect("an answer").text().await.expect("text");
        assert_eq!(text, [HELLO, DONE].concat());
    }
    let heard = heard.await.expect("it lives");
    let [traced, untraced] = &heard[..] else { panic!("{heard:?}") };
    assert!(traced.contains("\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{traced}");
    assert!(!traced.contains("00f067aa0ba902b7"), "the next one's parent is here: {traced}");
    assert!(
        traced.contains("-00\r\n") && traced.contains("\r\ntracestate: congo=t61rcWkgMzE\r\n"),
        "{traced}"
    );
    assert!(!untraced.contains("\r\ntrace"), "{untraced}");
}

#[tokio::test]
async fn traces_and_metrics_reach_a_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let endpoint = format!("server.otlp_endpoint=http://{}", listener.local_addr().expect("it listens"));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let collector = tokio::spawn(collected(listener, stopped));
    let throttled = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 30";
    let served = "HTTP/1.1 200 OK";
    let usage = r#"{"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let answers = [(throttled, "{}"), (served, usage)].map(|(head, body)| {
        let length = body.len();
        format!(
            "{head}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    });
    let (desk, heard) = scripted_heard(answers.into()).await;
    let gateway = Gateway::start(&desk, &["--set", &endpoint]);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = gateway.chat("traced").header("traceparent", traceparent).send().await.expect("an answer");
    assert_eq!(answer.bytes().await.map(|body| !body.is_empty()).ok(), Some(true));
    tokio::task::spawn_blocking(move || gateway.terminate().exited(0).code).await.expect("it lives");
    stop.send(()).expect("it listens");
    let messages = collector.await.expect("it lives");

    let spans: Vec<Value> = messages
        .iter()
        .filter(|(path, _)| path == "/v1/traces")
        .filter_map(|(_, message)| message["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(spans.len(), 3, "the request and its calls: {messages:?}");
    let request = spans.iter().find(|span| span["parentSpanId"] == "00f067aa0ba902b7").expect("the request");
    assert_eq!(
        (&request["traceId"], &request["name"]),
        (&json!("4bf92f3577b34da6a3ce929d0e0e4736"), &json!("chat m"))
    );
    let calls: Vec<&Value> = spans.iter().filter(|span| span["parentSpanId"] == request["spanId"]).collect();
    let heard = heard.await.expect("it lives");
    for (call, heard) in calls.iter().zip(&heard) {
        let span = call["spanId"].as_str().expect("text");
        assert!(heard.contains(&format!("4736-{span}-01\r\n")), "{call}: {heard}");
        let told = call["attributes"].to_string();
        for name in ["gen_ai.provider.name", "keywheel.provider.id"] {
            assert!(told.contains(name), "{name}: {call}");
        }
    }
    assert_ne!(calls[0]["spanId"], calls[1]["spanId"]);
    let counts = |name: &str| -> Vec<Value> {
        let of =
            |message: &(String, Value)| message.1["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
        let metrics = messages.iter().filter(|(path, _)| path == "/v1/metrics").map(of);
        let all: Vec<Value> = metrics.filter_map(|all| all.as_array().cloned()).flatten().collect();
        let named =
            all.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("{name}: {all:?}"));
        let points = named["histogram"]["dataPoints"].as_array().expect("points");
        points.iter().map(|point| point["count"].clone()).collect()
    };
    let are_ones = |points: &[Value]| points.iter().all(|count| [json!(1), json!("1")].contains(count));
    let [requests, calls, tokens] =
        ["http.server.request.duration", "gen_ai.client.operation.duration", "gen_ai.client.token.usage"]
            .map(counts);
    assert_eq!((requests.len(), calls.len(), tokens.len()), (1, 2, 2), "one that served, one that didn't");
    assert!(are_ones(&requests) && are_ones(&calls) && are_ones(&tokens));
}
