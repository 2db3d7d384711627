//! What clients of the gateway have used, to the token: however their requests ended.
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::StreamExt as _;
use keywheel::clients::TokenHash;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use support::gateway::{Gateway, chat_body};
use support::live::STATE;
use support::program::Desk;

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Tokens that `[{"content":"hello","role":"user"}]` is reckoned to have: a quarter of 35 bytes.
const PROMPT: u64 = 9;

/// What a provider does with a request.
enum Play {
    /// Answers so, and hangs up.
    Answer(String),
    /// Begins so, and goes on with nothing.
    Begin(&'static str),
}

fn whole(status: &str, body: &str) -> String {
    let length = body.len();
    let kind = "content-type: application/json\r\nconnection: close\r\nretry-after: 3600";
    format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// What the provider of that name does.
fn play(name: &str) -> Play {
    let long = HELLO.replace("hello", &"x".repeat(400));
    Play::Answer(match name {
        "refused" => {
            whole("400 Bad Request", r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#)
        }
        "dead" => whole("401 Unauthorized", r#"{"error":{"message":"no","code":"invalid_api_key"}}"#),
        "throttled" => whole("429 Too Many Requests", r#"{"error":{"message":"slow"}}"#),
        "told" => whole("200 OK", r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#),
        "counted" => whole("200 OK", r#"{"input_tokens":14}"#),
        "untold" => format!("{EVENTS}{HELLO}{HELLO}{HELLO}{DONE}"),
        "long" => format!("{EVENTS}{HELLO}{long}{DONE}"),
        "told_stream" => format!("{EVENTS}{HELLO}{HELLO}{USAGE}{DONE}"),
        "cut" => format!("{EVENTS}{HELLO}{HELLO}"),
        "left" => return Play::Begin(EVENTS),
        "silent" | "named" => return Play::Begin(""),
        other => panic!("nobody is called {other}"),
    })
}

/// Providers on one port, told apart by what their paths begin with.
async fn providers() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let port = listener.local_addr().expect("it listens").port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    port
}

async fn serve(mut connection: TcpStream) {
    let mut heard = Vec::new();
    while !heard.ends_with(b"}") {
        if connection.read_buf(&mut heard).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let heard = String::from_utf8(heard).expect("text");
    let name = heard.split('/').nth(1).expect("a path");
    match play(name) {
        Play::Answer(answer) => {
            connection.write_all(answer.as_bytes()).await.expect("somebody reads");
            connection.shutdown().await.expect("the answer ends");
        }
        Play::Begin(head) => {
            let hello = if head.is_empty() { String::new() } else { format!("{head}{HELLO}{HELLO}") };
            connection.write_all(hello.as_bytes()).await.expect("somebody reads");
            // Until the gateway hangs up.
            let _ = connection.read_u8().await;
        }
    }
}

/// Of each name a provider, a route to it, and a client.
fn desk(port: u16, names: &[&str]) -> Desk {
    let mut config = format!("{STATE}[[price]]\nmodel = \"m\"\ninput = 1\noutput = 10\n");
    for name in names {
        let hash = TokenHash::of(&format!("kw-{name}"));
        write!(
            config,
            "[[server.client]]\nname = \"{name}\"\ntoken_hashes = [\"{hash}\"]\ncost_per_day = 5\n\
             limits = {{ rpd = 50, itpd = 100_000, otpd = 100_000 }}\n\
             [[provider]]\nid = \"{name}\"\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/{name}\"\n\
             [[provider.key]]\nname = \"k\"\nsecret = \"sk-{name}\"\n\
             [[route]]\nmodel = \"{name}\"\ncandidates = [\"{name}/m\"]\n",
        )
        .expect("text has room");
    }
    Desk::new(&config)
}

fn ask(gateway: &Gateway, name: &str, stream: bool) -> reqwest::RequestBuilder {
    let mut body = chat_body(stream);
    body["model"] = name.into();
    if name == "named" {
        body["max_tokens"] = 50.into();
    }
    gateway.post("/v1/chat/completions", body.to_string()).bearer_auth(format!("kw-{name}"))
}

/// Requests, tokens of input and of output, and money, by client.
fn used(desk: &Desk) -> BTreeMap<String, (u64, u64, u64, String)> {
    let kept: Value = serde_json::from_str(&desk.read("state/clients.json")).expect("JSON");
    let clients = kept["clients"].as_object().expect("clients").iter();
    let sum = |account: &Value, dimension: &str| {
        let windows = account["windows"].as_array().expect("windows").iter();
        let mut of = windows.filter(|window| window["dimension"] == dimension);
        let uses = of.next().expect("there is one")["uses"].as_array().expect("uses").clone();
        uses.iter().map(|used| used[1].as_u64().expect("an amount")).sum::<u64>()
    };
    let used = clients.map(|(name, account)| {
        let tokens = (sum(account, "input_tokens"), sum(account, "output_tokens"));
        let spent = account["spent"].as_str().expect("an amount").to_owned();
        (name.clone(), (sum(account, "requests"), tokens.0, tokens.1, spent))
    });
    used.collect()
}

#[tokio::test]
async fn each_request_counts_for_what_it_used_however_it_ended() {
    let names = [
        "counted",
        "refused",
        "dead",
        "throttled",
        "told",
        "untold",
        "long",
        "told_stream",
        "cut",
        "left",
        "silent",
        "named",
    ];
    let desk = desk(providers().await, &names);
    let gateway = Gateway::start(&desk, &[]);
    for (name, status) in
        [("refused", 400), ("dead", 502), ("throttled", 429), ("throttled", 429), ("told", 200)]
    {
        let answer = ask(&gateway, name, false).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{name}");
        answer.bytes().await.expect("a body");
    }
    for name in ["untold", "long", "told_stream", "cut"] {
        let text = ask(&gateway, name, true).send().await.expect("an answer").text().await.expect("text");
        assert!(text.starts_with(HELLO), "{name}: {text}");
    }
    let path = "/providers/counted/messages/count_tokens";
    let counted = gateway.post(path, chat_body(false).to_string()).bearer_auth("kw-counted").send().await;
    assert_eq!(counted.expect("an answer").text().await.expect("text"), r#"{"input_tokens":14}"#);
    let mut left = ask(&gateway, "left", true).send().await.expect("an answer").bytes_stream();
    let mut seen = Vec::new();
    while seen.len() < 2 * HELLO.len() {
        seen.extend(left.next().await.expect("there is more").expect("bytes"));
    }
    drop(left);
    for name in ["silent", "named"] {
        let late = ask(&gateway, name, false).header("x-keywheel-timeout", "300ms").send().await.expect("it");
        assert_eq!(late.status(), 504, "{name}");
    }
    gateway.terminate().exited(0);

    let used = used(&desk);
    for (name, requests, input, output, spent) in [
        ("counted", 1, 0, 0, "0.00"),
        ("refused", 1, 0, 0, "0.00"),
        ("dead", 1, 0, 0, "0.00"),
        // The second was refused here: no call was made for it.
        ("throttled", 1, 0, 0, "0.00"),
        ("told", 1, 7, 3, "0.000037"),
        ("untold", 1, PROMPT, 3, "0.000039"),
        // 395 bytes more than the one before.
        ("long", 1, PROMPT, 99, "0.000999"),
        ("told_stream", 1, 7, 3, "0.000037"),
        ("cut", 1, PROMPT, 2, "0.000029"),
        ("left", 1, PROMPT, 2, "0.000029"),
        // Nobody knows what a provider does that is still at it when the deadline passes.
        ("silent", 1, PROMPT, 1_024, "0.010249"),
        ("named", 1, PROMPT, 50, "0.000509"),
    ] {
        assert_eq!(used[name], (requests, input, output, spent.to_owned()), "{name}");
    }
}

#[tokio::test]
async fn a_model_to_fall_back_to_costs_what_it_may_cost() {
    let desk = desk(providers().await, &["told", "told_stream"]);
    let config = std::fs::read_to_string(desk.path("keywheel.toml")).expect("it is there");
    let dear = "[[price]]\nmodel = \"dear\"\ninput = 100\noutput = 100\n";
    std::fs::write(desk.path("keywheel.toml"), format!("{config}{dear}")).expect("the directory is ours");
    let gateway = Gateway::start(&desk, &[]);
    let ask = async |models: &str| {
        let body = format!(r#"{{"model":"told","models":{models},"messages":[]}}"#);
        let answer = gateway.post("/v1/chat/completions", body).bearer_auth("kw-told").send().await;
        let answer = answer.expect("an answer");
        let status = answer.status();
        answer.bytes().await.expect("a body");
        status
    };
    assert_eq!(ask(r#"["dear"]"#).await, 200);
    assert_eq!(ask(r#"["unpriced"]"#).await, 429, "nobody could say what that comes to");
    let metrics = gateway.metrics().await;
    for (name, count) in [("request_duration", 2), ("overhead", 1), ("wait", 1)] {
        let line = format!("keywheel_{name}_seconds_count{{surface=\"chat_completions\"}} {count}");
        assert!(metrics.contains(&line), "who is refused at once has no time but its own: {line}\n{metrics}");
    }
    gateway.terminate().exited(0);
    assert_eq!(used(&desk)["told"], (1, 7, 3, "0.001".to_owned()));
}
