//! The simulated provider as its callers meet it: over real sockets.

use std::time::{Duration, Instant};

use http::StatusCode;
use keywheel::sim::{
    Availability, Change, Conduct, FaultRates, HeaderStyle, Latency, Ledger, LimitSpec, Outcome,
    RequestEntry, Shape, Sim, SimSpec,
};
use reqwest::Response;
use serde_json::{Value, json};

/// Long enough for a loaded machine; nothing here waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(10);

struct Caller {
    http: reqwest::Client,
    base_url: String,
}

impl Caller {
    fn of(sim: &Sim) -> Self {
        // Only the first test of the process installs it; it is the same for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a plain client");
        Self { http, base_url: sim.base_url() }
    }

    fn request(&self, key: &str, id: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}/chat/completions", self.base_url))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .header("x-request-id", id)
            .body(body.to_string())
    }

    async fn ask(&self, key: &str, id: &str) -> Response {
        self.request(key, id, &chat("hello")).send().await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Value {
        let url = self.base_url.replace("/v1", path);
        json_of(self.http.get(url).header("authorization", "Bearer sk-0").send().await.expect("an answer"))
            .await
    }
}

fn chat(content: &str) -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]})
}

fn streamed(content: &str) -> Value {
    let mut body = chat(content);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.expect("a whole body")).expect("JSON")
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

async fn start(spec: SimSpec) -> (Sim, Caller) {
    let sim = Sim::start(spec).await.expect("port 0 is always free");
    let caller = Caller::of(&sim);
    (sim, caller)
}

#[tokio::test]
async fn a_plain_answer_comes_with_gauges_and_the_callers_id() {
    let limit = LimitSpec::requests(300, Duration::from_secs(60)).shaped(Shape::TokenBucket { burst: 5 });
    let (sim, caller) = start(SimSpec::with_keys(1).limited(limit)).await;

    let answer = caller.ask("sk-0", "r1").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "x-request-id"), Some("r1"));
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert_eq!(header(&answer, "x-ratelimit-limit-requests"), Some("300"));
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), Some("4"));
    assert_eq!(header(&answer, "x-ratelimit-reset-requests"), Some("200ms"));
    assert_eq!(header(&answer, "x-ratelimit-limit-tokens"), None);
    let body = json_of(answer).await;
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with("sim ") && text.ends_with(": hello"), "{text}");
    assert_eq!(sim.ledger().keys[0].count(Outcome::Served), 1);
}

#[tokio::test]
async fn a_stream_ends_with_usage_and_done() {
    let (_sim, caller) = start(SimSpec::default()).await;
    let answer = caller.request("sk-0", "r1", &streamed("hello")).send().await.unwrap();
    assert_eq!(header(&answer, "content-type"), Some("text/event-stream; charset=utf-8"));
    let body = answer.text().await.unwrap();
    let events: Vec<&str> = body.split_terminator("\n\n").collect();
    let chunk =
        |event: &str| -> Value { serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap() };
    // The role, eight chunks, the finish, the usage, the end.
    assert_eq!((events.len(), events[11]), (12, "data: [DONE]"));
    assert_eq!(chunk(events[10])["usage"]["prompt_tokens"], 9);
    let said: String = events[1..9]
        .iter()
        .map(|event| chunk(event)["choices"][0]["delta"]["content"].clone())
        .fold(String::new(), |said, content| said + content.as_str().expect("content in every chunk"));
    assert!(said.ends_with(": hello"), "{said}");
}

#[tokio::test]
async fn chunks_and_first_byte_keep_their_times() {
    let mut spec = SimSpec::default().first_byte(Latency::Fixed(Duration::from_millis(60)));
    spec.pace.chunks = 4;
    spec.pace.chunk_gap = Latency::Fixed(Duration::from_millis(30));
    let (_sim, caller) = start(spec).await;
    let started = Instant::now();
    let mut answer = caller.request("sk-0", "r1", &streamed("hello")).send().await.unwrap();
    answer.chunk().await.unwrap().expect("a first chunk");
    let first = started.elapsed();
    while answer.chunk().await.unwrap().is_some() {}
    let all = started.elapsed();
    assert!(first >= Duration::from_millis(60), "{first:?}");
    assert!(all >= Duration::from_millis(60 + 3 * 30), "{all:?}");
}

#[tokio::test]
async fn every_kind_of_bad_key_is_told_in_openais_words() {
    let spec = SimSpec::with_keys(3)
        .key(0, |key| key.conducting(Conduct::Invalid))
        .key(1, |key| key.conducting(Conduct::OutOfMoney))
        .key(2, |key| key.conducting(Conduct::Disabled));
    let (sim, caller) = start(spec).await;
    for (key, status, code) in [
        ("sk-0", StatusCode::UNAUTHORIZED, "invalid_api_key"),
        ("sk-1", StatusCode::TOO_MANY_REQUESTS, "insufficient_quota"),
        ("sk-2", StatusCode::FORBIDDEN, "access_terminated"),
        ("sk-unknown", StatusCode::UNAUTHORIZED, "invalid_api_key"),
    ] {
        let answer = caller.ask(key, "r").await;
        assert_eq!((answer.status(), header(&answer, "retry-after")), (status, None));
        assert_eq!(json_of(answer).await["error"]["code"], code);
    }
    assert_eq!(sim.ledger().strangers[&Outcome::BadKey], 1);
}

#[tokio::test]
async fn whoever_waits_as_long_as_told_is_served() {
    let limit = LimitSpec::requests(1, Duration::from_millis(700));
    let (sim, caller) = start(SimSpec::with_keys(1).limited(limit)).await;
    assert_eq!(caller.ask("sk-0", "a").await.status(), StatusCode::OK);

    let refused = caller.ask("sk-0", "b").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait_ms: u64 = header(&refused, "retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=700).contains(&wait_ms), "{wait_ms}");
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), Some("0"));
    let told = header(&refused, "x-ratelimit-reset-requests").unwrap().to_owned();
    assert_eq!(told, format!("{wait_ms}ms"));
    let error = json_of(refused).await["error"].take();
    assert_eq!((&error["type"], &error["code"]), (&json!("requests"), &json!("rate_limit_exceeded")));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("Limit 1, Used 1, Requested 1. Please try again in {told}.")),
        "{message}"
    );

    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    assert_eq!(caller.ask("sk-0", "c").await.status(), StatusCode::OK);
    assert_eq!(sim.ledger().keys[0].limits[0].peak, 1);
}

#[tokio::test]
async fn other_styles_tell_less() {
    for (headers, tells) in [
        (HeaderStyle::RetryAfter, |told: Option<&str>| told == Some("60")),
        (HeaderStyle::HttpDate, |told: Option<&str>| told.is_some_and(|told| told.ends_with(" GMT"))),
        (HeaderStyle::None, |told: Option<&str>| told.is_none()),
    ] as [(_, fn(Option<&str>) -> bool); 3]
    {
        let limit = LimitSpec::requests(1, Duration::from_secs(60));
        let (_sim, caller) = start(SimSpec { headers, ..SimSpec::default() }.limited(limit)).await;
        assert_eq!(header(&caller.ask("sk-0", "a").await, "x-ratelimit-limit-requests"), None);
        let refused = caller.ask("sk-0", "b").await;
        assert!(tells(header(&refused, "retry-after")), "{headers:?}: {:?}", refused.headers());
        assert_eq!(header(&refused, "retry-after-ms"), None);
        let error = json_of(refused).await["error"].take();
        assert!(!error["message"].as_str().unwrap().contains("try again"), "{headers:?}");
    }
}

#[tokio::test]
async fn tokens_are_reckoned_beforehand() {
    let limit = LimitSpec::tokens(100, Duration::from_secs(60));
    let (_sim, caller) = start(SimSpec::with_keys(1).limited(limit)).await;
    let ask = |max_tokens: u64| {
        let mut body = chat("hello");
        body["max_tokens"] = json!(max_tokens);
        caller.request("sk-0", "r", &body).send()
    };
    // The prompt is nine tokens.
    let answer = ask(51).await.unwrap();
    assert_eq!(header(&answer, "x-ratelimit-remaining-tokens"), Some("40"));
    let refused = ask(51).await.unwrap();
    assert!(header(&refused, "retry-after").is_some());
    assert_eq!(json_of(refused).await["error"]["type"], "tokens");
    let too_large = ask(92).await.unwrap();
    assert_eq!(
        (too_large.status(), header(&too_large, "retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, None)
    );
    let message = json_of(too_large).await["error"]["message"].take();
    assert!(message.as_str().unwrap().contains("Limit 100, Requested 101."), "{message}");
    assert_eq!(ask(31).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn keys_die_and_recover_and_quotas_shrink_on_command() {
    let limit = LimitSpec::requests(10, Duration::from_secs(60));
    let (sim, caller) = start(SimSpec::with_keys(2).limited(limit)).await;
    assert_eq!(caller.ask("sk-1", "a").await.status(), StatusCode::OK);
    sim.apply(Change::Conduct { key: 1, conduct: Conduct::Invalid }).unwrap();
    assert_eq!(caller.ask("sk-1", "b").await.status(), StatusCode::UNAUTHORIZED);
    sim.apply(Change::Conduct { key: 1, conduct: Conduct::Valid }).unwrap();
    sim.apply(Change::Quota { key: 1, factor: 0.1 }).unwrap();
    assert_eq!(caller.ask("sk-1", "c").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(caller.ask("sk-0", "d").await.status(), StatusCode::OK);
    assert!(sim.apply(Change::Quota { key: 2, factor: 0.1 }).is_err());

    sim.reset();
    assert_eq!(sim.ledger().calls, 0);
    let remaining = caller.ask("sk-1", "e").await;
    assert_eq!(header(&remaining, "x-ratelimit-remaining-requests"), Some("9"));
}

#[tokio::test]
async fn the_ledger_tells_the_way_of_every_request_id() {
    let limit = LimitSpec::requests(1, Duration::from_secs(60));
    let (sim, caller) = start(SimSpec::with_keys(2).limited(limit)).await;
    for (key, id) in [("sk-0", "a"), ("sk-0", "b"), ("sk-1", "b"), ("sk-none", "c")] {
        caller.ask(key, id).await;
    }
    let ledger: Ledger = serde_json::from_value(caller.get("/ledger?requests=1").await).unwrap();
    let way = |id: &str| {
        let entry = |entry: &RequestEntry| (entry.key.clone().unwrap_or_default(), entry.outcome);
        ledger.request(id).iter().map(entry).collect::<Vec<_>>()
    };
    assert_eq!(way("a"), [("k0".to_owned(), Outcome::Served)]);
    assert_eq!(way("b"), [("k0".to_owned(), Outcome::Throttled), ("k1".to_owned(), Outcome::Served)]);
    assert_eq!(way("c"), [(String::new(), Outcome::BadKey)]);
    assert_eq!(ledger.key("k0").unwrap().limits[0].peak, 1);
    assert_eq!(sim.ledger_with_requests().requests, ledger.requests);
    assert_eq!(caller.get("/ledger").await.get("requests"), None);
}

#[tokio::test]
async fn a_cut_answer_never_looks_whole() {
    let faults = FaultRates { cut: 1.0, ..FaultRates::default() };
    let (sim, caller) = start(SimSpec { faults, ..SimSpec::default() }).await;
    let plain = caller.ask("sk-0", "a").await;
    assert_eq!(plain.status(), StatusCode::OK);
    assert!(plain.bytes().await.is_err());

    let mut stream = caller.request("sk-0", "b", &streamed("hello")).send().await.unwrap();
    let mut heard = Vec::new();
    let mut next = stream.chunk().await;
    while let Ok(Some(chunk)) = next {
        heard.extend_from_slice(&chunk);
        next = stream.chunk().await;
    }
    assert!(String::from_utf8_lossy(&heard).contains(r#""content":"sim"#), "half of the chunks arrive");
    assert!(next.is_err(), "{next:?}");
    assert_eq!(sim.ledger().keys[0].count(Outcome::Cut), 2);
}

#[tokio::test]
async fn an_error_inside_an_answer_comes_with_status_200() {
    let faults = FaultRates { in_band: 1.0, ..FaultRates::default() };
    let (_sim, caller) = start(SimSpec { faults, ..SimSpec::default() }).await;
    let plain = caller.ask("sk-0", "a").await;
    assert_eq!(plain.status(), StatusCode::OK);
    assert_eq!(json_of(plain).await["error"]["type"], "server_error");
    let stream = caller.request("sk-0", "b", &streamed("hello")).send().await.unwrap();
    let body = stream.text().await.unwrap();
    let last = body.split_terminator("\n\n").last().unwrap();
    assert!(last.starts_with(r#"data: {"error":{"#), "{last}");
    assert!(!body.contains("[DONE]"));
}

#[tokio::test]
async fn a_stall_is_silence_before_an_answer_or_within_a_stream() {
    let pause = Duration::from_millis(100);
    let faults = FaultRates { stall: 1.0, stall_for: pause, ..FaultRates::default() };
    let (_sim, caller) = start(SimSpec { faults, ..SimSpec::default() }).await;
    let started = Instant::now();
    assert_eq!(caller.ask("sk-0", "a").await.status(), StatusCode::OK);
    assert!(started.elapsed() >= pause);

    let started = Instant::now();
    let mut stream = caller.request("sk-0", "b", &streamed("hello")).send().await.unwrap();
    let half = stream.chunk().await.unwrap().expect("half of the chunks");
    assert!(!String::from_utf8_lossy(&half).contains("[DONE]"));
    assert!(stream.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert!(started.elapsed() >= pause, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_provider_that_is_down_answers_503_or_hangs_up() {
    let (sim, caller) = start(SimSpec::default()).await;
    sim.apply(Change::Availability(Availability::Failing)).unwrap();
    let answer = caller.ask("sk-0", "a").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(answer).await["error"]["code"], "server_is_overloaded");

    sim.apply(Change::Availability(Availability::Refusing)).unwrap();
    // An open connection is closed at its next request, a new one at once; clients tell no difference.
    assert!(caller.request("sk-0", "b", &chat("hello")).send().await.is_err());
    assert!(Caller::of(&sim).request("sk-0", "c", &chat("hello")).send().await.is_err());
    assert!(sim.ledger().connections_refused > 0);

    sim.apply(Change::Availability(Availability::Up)).unwrap();
    assert_eq!(caller.ask("sk-0", "d").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_rest_of_the_api_is_there() {
    let spec = SimSpec { models: vec!["gpt-4o-mini".to_owned(), "e".to_owned()], ..SimSpec::default() };
    let (sim, caller) = start(spec).await;
    assert_eq!(caller.get("/healthz").await, json!({"status": "up"}));
    assert_eq!(caller.get("/v1/models").await["data"][1]["id"], "e");
    let url = format!("{}/embeddings", sim.base_url());
    let post = |body: &str| {
        let request = caller.http.post(&url).header("authorization", "Bearer sk-0");
        request.body(body.to_owned()).send()
    };
    let vectors = json_of(post(r#"{"model":"e","input":["a","b"]}"#).await.unwrap()).await;
    assert_eq!(vectors["data"].as_array().unwrap().len(), 2);
    let unknown = post(r#"{"model":"x","input":"a"}"#).await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(json_of(unknown).await["error"]["code"], "model_not_found");
    assert_eq!(post("{").await.unwrap().status(), StatusCode::BAD_REQUEST);
    let wrong_path = caller.get("/v1/nothing").await;
    assert_eq!(wrong_path["error"]["message"], "Invalid URL (GET /v1/nothing)");
    let ledger = sim.ledger();
    assert_eq!((ledger.count(Outcome::Listed), ledger.count(Outcome::BadRequest)), (1, 2));
}

#[tokio::test]
async fn on_a_thread_of_its_own_it_serves_and_knows_its_cpu_time() {
    let sim = Sim::start_on_thread(SimSpec::default()).unwrap();
    let (caller, addr) = (Caller::of(&sim), sim.addr());
    assert_eq!(caller.ask("sk-0", "a").await.status(), StatusCode::OK);
    if cfg!(target_os = "linux") {
        assert!(sim.cpu_time().is_some_and(|used| used > Duration::ZERO), "{:?}", sim.cpu_time());
    }
    drop(sim);
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[tokio::test]
async fn stopping_closes_connections_and_frees_the_port() {
    let (sim, caller) = start(SimSpec::default().first_byte(Latency::Fixed(PATIENCE))).await;
    let addr = sim.addr();
    let waiting = tokio::spawn(caller.request("sk-0", "a", &chat("hello")).send());
    while sim.ledger().calls == 0 {
        tokio::task::yield_now().await;
    }
    sim.stop().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(std::net::TcpListener::bind(addr).is_ok());
}

#[tokio::test]
async fn an_impossible_spec_does_not_start() {
    let spec = SimSpec::default().limited(LimitSpec::requests(0, Duration::from_secs(60)));
    let error = Sim::start(spec).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "a limit of key `k0` has a count, a time or a burst of zero");
}

#[tokio::test]
async fn a_file_is_counted_and_another_is_made_without_being_held() {
    let (sim, caller) = start(SimSpec::default()).await;
    let at = |path: &str| format!("{}{path}", sim.base_url());
    let sent = caller.http.post(at("/files")).bearer_auth("sk-0").body(vec![b'x'; 3_000_000]).send();
    let told = json_of(sent.await.unwrap()).await;
    assert_eq!(told["bytes"], 3_000_000);
    assert_eq!(told["sha256"].as_str().unwrap().len(), 64);

    let got = caller.http.get(at("/files/bytes-1000000/content")).bearer_auth("sk-0").send().await.unwrap();
    assert_eq!(header(&got, "content-length"), Some("1000000"));
    assert_eq!(got.bytes().await.unwrap().len(), 1_000_000);
    assert_eq!(sim.ledger().keys[0].count(Outcome::Served), 2);
}

#[tokio::test]
async fn every_api_is_asked_with_its_own_credentials_and_answers_in_its_own_words() {
    let limit = LimitSpec::requests(1, Duration::from_secs(60));
    let (sim, caller) = start(SimSpec::with_keys(2).limited(limit)).await;
    let root = sim.base_url().replace("/v1", "");
    let message = json!({"model": "c", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    let content = json!({"contents": [{"parts": [{"text": "hello"}]}]});
    for (path, credential, key, body, text) in [
        ("/v1/messages", "x-api-key", "sk-0", &message, "/content/0/text"),
        (
            "/v1beta/models/g:generateContent",
            "x-goog-api-key",
            "sk-1",
            &content,
            "/candidates/0/content/parts/0/text",
        ),
    ] {
        let ask = |key: &str| {
            caller.http.post(format!("{root}{path}")).header(credential, key).body(body.to_string()).send()
        };
        let answer = json_of(ask(key).await.unwrap()).await;
        assert!(answer.pointer(text).unwrap().as_str().unwrap().starts_with("sim "), "{answer}");
        let refused = ask(key).await.unwrap();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(&refused, "retry-after").is_some(), path == "/v1/messages");
        let refused = json_of(refused).await;
        let word = refused.pointer("/error/type").or(refused.pointer("/error/status"));
        assert!(
            matches!(word.and_then(Value::as_str), Some("rate_limit_error" | "RESOURCE_EXHAUSTED")),
            "{refused}"
        );
        let stranger = ask("sk-none").await.unwrap();
        let wanted = if path == "/v1/messages" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        assert_eq!(stranger.status(), wanted);
    }
}
