//! The gateway as programs meet it that know nothing of it: unmodified SDKs and `curl`, over the real binary.
//!
//! What they say is in `tests/sdk/`; what the provider saw of it is compared here.

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use keywheel::clients::TokenHash;
use keywheel::sim::{Conduct, FaultRates, HeaderStyle, Latency, LimitSpec, Outcome, Sim, SimSpec};
use serde_json::{Value, json};

use support::gateway::Gateway;
use support::live::{STATE, desk, start, until};
use support::program::{Desk, Program};

/// What the stories' clients say who they are.
const TOKEN: &str = "kw-client-of-the-stories";
const HOUR: Duration = Duration::from_secs(3_600);

/// A simulated provider, and the gateway in front of it.
struct Front {
    sim: Sim,
    program: Program,
    url: String,
    _desk: Desk,
}

impl Front {
    /// The gateway knows the keys of the provider and nothing of their limits.
    fn of(spec: SimSpec) -> Self {
        Self::saying(spec, "openai", "")
    }

    /// The same in that dialect, with further fields for every key.
    fn saying(mut spec: SimSpec, dialect: &str, of_keys: &str) -> Self {
        spec.models = ["m", "c", "g"].map(str::to_owned).to_vec();
        let sim = Sim::start_on_thread(spec).expect("port 0 is always free");
        let base_url = match dialect {
            "gemini" => format!("http://{}/v1beta", sim.addr()),
            _ => sim.base_url(),
        };
        let keys = sim.spec().keys.iter().map(|key| {
            let (name, secret) = (&key.name, &key.secret);
            format!("[[provider.key]]\nname = \"{name}\"\nsecret = \"{secret}\"\n{of_keys}\n")
        });
        // A request that can't be answered within the deadline is refused at once.
        let config = format!(
            "{STATE}[server]\ndeadline = \"30s\"\n\
             [[server.client]]\nname = \"stories\"\ntoken_hashes = [\"{}\"]\n\
             [[provider]]\nid = \"sim\"\ndialect = \"{dialect}\"\nbase_url = \"{base_url}\"\n\
             models = {{ m = \"m\", other = \"m\" }}\n{}",
            TokenHash::of(TOKEN),
            keys.collect::<String>(),
        );
        let desk = Desk::new(&config);
        let mut program = desk.start(&["serve", "--listen", "127.0.0.1:0", "--json"], &[]);
        let start: Value = serde_json::from_str(&program.out.line_with("listening")).expect("JSON");
        let url = start["listening"].as_str().expect("an address").to_owned();
        Self { sim, program, url, _desk: desk }
    }

    /// Tells a story of `openai_stories.py`.
    #[track_caller]
    fn python(&self, story: &str) -> &Self {
        self.python_of("openai_stories.py", story)
    }

    #[track_caller]
    fn python_of(&self, script: &str, story: &str) -> &Self {
        let mut python = Command::new(installed("python/bin/python"));
        told(script, story, python.arg(stories(script)).args([story, &self.url]))
            .unwrap_or_else(|told| panic!("{told}\nthe gateway saw {:?}", self.outcomes()));
        self
    }

    /// Tells a story of `openai_stories.cjs`.
    #[track_caller]
    fn node(&self, story: &str) -> &Self {
        let script = "openai_stories.cjs";
        let mut node = Command::new("node");
        node.env("NODE_PATH", installed("node/node_modules")).arg(stories(script)).args([story, &self.url]);
        told(script, story, &mut node)
            .unwrap_or_else(|told| panic!("{told}\nthe gateway saw {:?}", self.outcomes()));
        self
    }

    /// Asks with `curl`, and with these words besides.
    fn curl(&self, words: &[&str], body: &Value) -> Output {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "-H",
            &format!("Authorization: Bearer {TOKEN}"),
        ]);
        curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        curl.args(words).arg(format!("{}/v1/chat/completions", self.url));
        curl.output().expect("`curl` is there: apt-get install curl")
    }

    fn outcomes(&self) -> Vec<(Outcome, u64)> {
        let ledger = self.sim.ledger();
        let counts = Outcome::ALL.map(|outcome| (outcome, ledger.count(outcome)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.program.is_over(), "the gateway has ended by itself");
        }
    }
}

fn stories(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script)
}

/// Where `tests/sdk/install.sh` was told to put the SDKs.
fn installed(path: &str) -> PathBuf {
    let usual = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk").into_os_string();
    let home: OsString = std::env::var_os("KEYWHEEL_SDK_DIR").unwrap_or_else(usual);
    let path = Path::new(&home).join(path);
    let home = home.display();
    assert!(path.exists(), "{} isn't there; run: tests/sdk/install.sh {home}", path.display());
    path
}

fn told(script: &str, story: &str, command: &mut Command) -> Result<(), String> {
    let ended = command.output().expect("the interpreter is there");
    let said = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() { Ok(()) } else { Err(format!("{script} {story}: {said}")) }
}

fn chat(stream: bool) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": stream})
}

#[test]
fn an_openai_sdk_works_unchanged() {
    let front = Front::of(SimSpec::with_keys(2));
    front.python("everyday").python("asynchronous").python("tools").python("responses").python("models");
    front.node("everyday").node("tools").node("responses");
    let all_served = front.outcomes();
    assert!(matches!(all_served[..], [(Outcome::Served, _)]), "{all_served:?}");
}

#[tokio::test]
async fn prometheus_own_library_reads_the_metrics() {
    const WEIRD: &str = "we\"ird\\{}";
    let mut spec = SimSpec::with_keys(2);
    spec.models = ["m", WEIRD].map(str::to_owned).to_vec();
    let sim = start(spec);
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    for model in ["m", "m", WEIRD] {
        let mut body = chat(false);
        body["model"] = json!(model);
        let answer = gateway.post("/v1/chat/completions", body.to_string()).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    let mut python = Command::new(installed("python/bin/python"));
    let script = "metrics_story.py";
    let url = format!("http://{}", gateway.admin);
    told(script, "", python.arg(stories(script)).arg(url)).unwrap_or_else(|told| panic!("{told}"));
}

#[test]
fn files_pass_through_as_they_are() {
    let front = Front::of(SimSpec::with_keys(1));
    front.python("files").node("files");
    assert_eq!(front.outcomes(), [(Outcome::Served, 6)]);
}

#[test]
fn mistakes_are_the_sdks_own_errors() {
    let front = Front::of(SimSpec::with_keys(2));
    front.python("mistakes").node("mistakes");
}

#[test]
fn who_has_no_token_is_told_so_and_costs_nothing() {
    let front = Front::of(SimSpec::with_keys(1));
    front.python("stranger");
    assert_eq!(front.outcomes(), [(Outcome::Served, 1)]);
}

#[test]
fn dead_credentials_are_never_the_clients_401() {
    for tell in [Front::python, Front::node] {
        let front = Front::of(SimSpec::with_keys(1).key(0, |key| key.conducting(Conduct::Invalid)));
        tell(&front, "dead_keys");
        assert_eq!(front.outcomes(), [(Outcome::BadKey, 1)], "no SDK came again");
    }
}

#[test]
fn a_429_that_another_key_can_serve_is_never_seen() {
    for tell in [Front::python, Front::node] {
        let mut spec = SimSpec::with_keys(2).key(0, |key| key.limited(LimitSpec::requests(1, HOUR)));
        // Told of its limit, the gateway wouldn't even try.
        spec.headers = HeaderStyle::None;
        let front = Front::of(spec);
        tell(&front, "unseen_throttle");
        assert_eq!(front.outcomes(), [(Outcome::Served, 6), (Outcome::Throttled, 1)]);
    }
}

#[test]
fn nobody_retries_what_is_used_up_for_long() {
    let told_at_once: &[_] = &[(Outcome::Served, 1)];
    let told_by_refusal: &[_] = &[(Outcome::Served, 1), (Outcome::Throttled, 1)];
    for (headers, wanted) in [(HeaderStyle::OpenAi, told_at_once), (HeaderStyle::RetryAfter, told_by_refusal)]
    {
        for tell in [Front::python, Front::node] {
            let mut spec = SimSpec::with_keys(1).limited(LimitSpec::requests(1, HOUR));
            spec.headers = headers;
            let front = Front::of(spec);
            tell(&front, "exhausted");
            assert_eq!(front.outcomes(), wanted, "of four requests, each with five retries");
        }
    }
}

#[test]
fn an_sdk_that_gives_up_does_so_at_its_time() {
    let slow = SimSpec::with_keys(1).first_byte(Latency::Fixed(Duration::from_secs(15)));
    let front = Front::of(slow);
    front.python("slow").node("slow");
}

#[test]
fn a_stream_that_is_left_frees_its_key() {
    let mut spec = SimSpec::with_keys(1);
    spec.pace.chunks = 120;
    spec.pace.chunk_gap = Latency::Fixed(Duration::from_secs(1));
    let front = Front::saying(spec, "openai", "limits = { concurrency = 1 }");
    front.python("abandoned").node("abandoned");
    assert_eq!(front.outcomes(), [(Outcome::Served, 4)]);
}

#[test]
fn a_stream_that_is_cut_ends_in_an_error() {
    let mut spec = SimSpec::with_keys(1);
    spec.faults = FaultRates { cut: 1.0, ..FaultRates::default() };
    // The cut comes a while after the first content, so that nothing can be mended any more.
    spec.pace.chunk_gap = Latency::Fixed(Duration::from_millis(50));
    let front = Front::of(spec);
    front.python("cut");
    assert_eq!(front.outcomes(), [(Outcome::Cut, 2)]);
}

#[test]
fn anthropics_sdk_works_unchanged() {
    let front = Front::saying(SimSpec::with_keys(2), "anthropic", "");
    front.python_of("other_stories.py", "anthropic_everyday");
    let limited = SimSpec::with_keys(1).limited(LimitSpec::requests(1, HOUR));
    let front = Front::saying(limited, "anthropic", "");
    front.python_of("other_stories.py", "anthropic_exhausted");
    assert_eq!(front.outcomes()[0], (Outcome::Served, 1));
}

#[test]
fn googles_sdk_works_unchanged() {
    let front = Front::saying(SimSpec::with_keys(2), "gemini", "");
    front.python_of("other_stories.py", "gemini_everyday");
}

#[test]
fn curl_sees_plain_http() {
    let front = Front::of(SimSpec::with_keys(1));
    let plain = front.curl(&["--fail-with-body", "--include"], &chat(false));
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.status.success() && text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(text.contains("x-keywheel-provider: sim"), "{text}");
    assert!(!text.contains("set-cookie") && !text.contains("sk-0"), "{text}");

    let streamed = front.curl(&["-N"], &chat(true));
    let text = String::from_utf8_lossy(&streamed.stdout).into_owned();
    assert!(text.starts_with("data: {") && text.ends_with("data: [DONE]\n\n"), "{text}");

    let refused = front.curl(&["--fail-with-body"], &json!({"messages": []}));
    // 22: an answer of 400 or more.
    assert_eq!(refused.status.code(), Some(22));
    let body: Value = serde_json::from_slice(&refused.stdout).expect("the body came all the same");
    assert_eq!(body["error"]["code"], "model_missing");
}

#[test]
fn curl_that_leaves_frees_the_key() {
    let mut spec = SimSpec::with_keys(1);
    spec.pace.chunk_gap = Latency::Fixed(Duration::from_secs(20));
    let front = Front::saying(spec, "openai", "limits = { concurrency = 1 }");
    // 28: its time is over.
    assert_eq!(front.curl(&["-N", "--max-time", "1"], &chat(true)).status.code(), Some(28));
    assert!(front.curl(&["--fail"], &chat(false)).status.success());
    until("both were served", || front.sim.ledger().count(Outcome::Served) == 2);
}
