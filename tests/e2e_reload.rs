//! The configuration changes under a batch at work: by its file, by signals, by commands, over the socket. No row fails
//! for it, and what was taken back is used no more.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use futures_util::StreamExt as _;
use keywheel::sim::{Latency, Outcome, Pace, Sim, SimSpec};
use keywheel_actors::AnswerBody;
use keywheel_actors::dialect::OpenAi;
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{KeySpec, ProviderSpec, WheelSpec};
use serde_json::{Value, json};

use support::live::{
    FED, STATE, ask, assert_each_served_once, calls, key, keys, row, socket, socket_is_up, start, status,
    until,
};
use support::program::{Desk, Ended, Program};
use support::{Scenario, all, millis};

/// Calls at once of each key: so many may be on their way when it is taken back.
const AT_ONCE: u64 = 3;

/// The keys of the providers `a` and `b`, by number.
type Keys<'k> = (&'k [usize], &'k [usize]);

const ALL: Keys<'static> = (&[0, 1, 2, 3], &[0, 1, 2]);

/// Two providers, a batch with rows for as long as it is wanted, and its configuration.
struct Story {
    desk: Desk,
    a: Sim,
    b: Sim,
    program: Program,
    enough: Arc<AtomicBool>,
    feeder: JoinHandle<usize>,
}

impl Story {
    fn begin() -> Self {
        let sim = || start(SimSpec::with_keys(5).first_byte(Latency::Fixed(millis(10))));
        let (a, b) = (sim(), sim());
        let desk = Desk::new(&config(&a, &b, ALL));
        let (program, rows) = desk.start_fed(&FED);
        until("the batch answers", || socket_is_up(&socket(&desk)));
        let enough = Arc::new(AtomicBool::new(false));
        let feeder = thread::spawn({
            let enough = Arc::clone(&enough);
            move || feed(rows, &enough)
        });
        let story = Self { desk, a, b, program, enough, feeder };
        story.goes_on(20);
        story
    }

    fn sim(&self, provider: &str) -> &Sim {
        if provider == "a" { &self.a } else { &self.b }
    }

    fn calls(&self, id: &str) -> u64 {
        let (provider, name) = id.split_once('/').expect("provider/key");
        calls(self.sim(provider), name)
    }

    fn served(&self) -> u64 {
        self.a.ledger().count(Outcome::Served) + self.b.ledger().count(Outcome::Served)
    }

    /// Waits until so many more rows are served.
    #[track_caller]
    fn goes_on(&self, rows: u64) {
        let before = self.served();
        until("rows are served", || self.served() >= before + rows);
    }

    /// Replaces the file in one step, as careful editors do.
    fn write(&self, text: &str) {
        fs::write(self.desk.path("next.toml"), text).expect("it is ours");
        fs::rename(self.desk.path("next.toml"), self.desk.path("keywheel.toml")).expect("it is ours");
    }

    fn configure(&self, keys: Keys<'_>) {
        self.write(&config(&self.a, &self.b, keys));
    }

    /// The keys that the running batch tells of.
    fn known(&self) -> BTreeSet<String> {
        named(&ask(&socket(&self.desk), "GET", "/v1/status", "").body)
    }

    /// Nothing but what was on its way reaches the provider with this key from now on.
    #[track_caller]
    fn assert_left_alone(&self, id: &str, before: u64) {
        self.goes_on(40);
        let late = self.calls(id);
        assert!(late <= before + AT_ONCE, "{id} was called {} times", late - before);
        self.goes_on(40);
        assert_eq!(self.calls(id), late, "{id} is called still");
    }

    #[track_caller]
    fn assert_used(&self, id: &str) {
        let before = self.calls(id);
        until("the key is used", || self.calls(id) > before);
    }

    fn run(&self, words: &str) -> Ended {
        self.desk.run(&keys(words))
    }

    /// No more rows: each had its answer, and no call was made with anything but the configured keys.
    #[track_caller]
    fn end(self) -> Ended {
        self.enough.store(true, Ordering::Release);
        let rows = self.feeder.join().expect("the batch reads its rows");
        let ended = self.program.end();
        let summary = ended.exited(0).summary();
        assert_eq!((&summary["ok"], &summary["lost"]), (&json!(rows), &json!(0)), "{}", ended.stderr);
        let ledgers = [self.a.ledger_with_requests(), self.b.ledger_with_requests()];
        assert_each_served_once(&self.desk, rows, &ledgers);
        assert_eq!(ledgers.iter().map(|ledger| ledger.calls).sum::<u64>(), rows as u64, "no call was wasted");
        ended
    }
}

/// Writes rows until it is enough; the pipe is as slow as the batch.
fn feed(mut rows: ChildStdin, enough: &AtomicBool) -> usize {
    let mut fed = 0;
    while !enough.load(Ordering::Acquire) {
        let model = ["m", "n", "unrouted"][fed % 3];
        rows.write_all(row(&format!("r{fed}"), model).as_bytes()).expect("the batch reads its rows");
        fed += 1;
    }
    fed
}

fn config(a: &Sim, b: &Sim, (of_a, of_b): Keys<'_>) -> String {
    let provider = |id: &str, sim: &Sim, keys: &[usize]| {
        let head =
            format!("[[provider]]\nid = \"{id}\"\ndialect = \"openai\"\nbase_url = \"{}\"\n", sim.base_url());
        let key = |number: &usize| {
            let limits = format!("limits = {{ concurrency = {AT_ONCE} }}");
            format!("[[provider.key]]\nname = \"k{number}\"\nsecret = \"sk-{number}\"\n{limits}\n")
        };
        head + &keys.iter().map(key).collect::<String>()
    };
    let route = |model, first, second| {
        format!("[[route]]\nmodel = \"{model}\"\ncandidates = [\"{first}/{model}\", \"{second}/{model}\"]\n")
    };
    let (a, b) = (provider("a", a, of_a), provider("b", b, of_b));
    format!("{STATE}{a}{b}{}{}", route("m", "a", "b"), route("n", "b", "a"))
}

/// `a/k0`, …
fn ids((of_a, of_b): Keys<'_>) -> BTreeSet<String> {
    let of_a = of_a.iter().map(|number| format!("a/k{number}"));
    of_a.chain(of_b.iter().map(|number| format!("b/k{number}"))).collect()
}

fn named(status: &Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for provider in status["providers"].as_array().into_iter().flatten() {
        for key in provider["keys"].as_array().into_iter().flatten() {
            ids.insert(format!("{}/{}", provider["id"], key["name"]).replace('"', ""));
        }
    }
    ids
}

#[test]
fn hundreds_of_reloads_cost_no_row_and_bad_ones_change_nothing() {
    const ROUNDS: usize = 40;
    let story = Story::begin();
    let socket = socket(&story.desk);
    let reload = || ask(&socket, "POST", "/v1/reload", "");
    let good = config(&story.a, &story.b, ALL);
    let bad = [
        (good.replace("[[route]]", "[[route]"), "not TOML"),
        (good.replace("candidates = [\"a/m\"", "candidates = [\"nobody/m\""), "nobody"),
        (good.replace("name = \"k1\"", "name = \"k0\""), "k0"),
        (good.replace("secret = \"sk-1\"", "secret = \"env:NOT_SET\""), "NOT_SET"),
    ];
    let mut reloads = 0;
    for round in 0..ROUNDS {
        // One key of each provider leaves, and others come: number 4 wasn't there at first.
        let gone = round % 4;
        let of_a: Vec<usize> = (0..5).filter(|number| *number != gone).collect();
        let of_b = [[0, 1], [1, 2], [2, 3], [3, 4]][gone];
        let there = (&of_a[..], &of_b[..]);
        let left = format!("a/k{gone}");
        story.configure(there);
        let told = reload();
        assert_eq!(told.code, 200, "{told:?}");
        let before = story.calls(&left);
        assert_eq!(story.known(), ids(there));

        let (text, why) = &bad[round % bad.len()];
        story.write(text);
        let refused = reload();
        assert_eq!(refused.code, 422, "{refused:?}");
        let problem = refused.body["error"].as_str().expect("a reason");
        assert!(problem.contains(why) && !problem.contains("sk-"), "{problem}");
        assert_eq!(story.known(), ids(there));
        // The file is what somebody looks at next.
        story.configure(there);
        // Read again and again, the same changes nothing.
        for _ in 0..3 {
            assert_eq!(reload().body["changes"], json!([]));
        }
        if round % 8 == 0 {
            story.assert_left_alone(&left, before);
        }
        reloads += 5;
    }
    assert_eq!(reloads, 200);
    let ended = story.end();
    let told = ended.stderr.matches("the configuration stays as it was").count();
    assert!(told >= ROUNDS, "{told} of {ROUNDS} are logged");
}

#[test]
fn signals_and_looks_find_a_changed_file() {
    let mut story = Story::begin();
    for round in 0..30 {
        let there: Keys<'_> = if round % 2 == 0 { (&[0, 4], &[0, 1, 2]) } else { ALL };
        story.configure(there);
        story.program.signal("HUP");
        until("the signal is heeded", || story.known() == ids(there));
    }
    // Nobody says anything: it is looked at once a second.
    story.configure((&[1], &[1]));
    until("the change is seen", || story.known() == ids((&[1], &[1])));
    let before = story.calls("a/k0");
    story.assert_left_alone("a/k0", before);
    story.write("this is no TOML");
    story.program.err.line_with("the configuration stays as it was");
    assert_eq!(story.known(), ids((&[1], &[1])));
    story.configure(ALL);
    until("the change is seen", || story.known() == ids(ALL));
    story.assert_used("a/k0");
    story.end();
}

#[test]
fn commands_change_a_batch_at_work() {
    let story = Story::begin();
    let pid = story.program.pid();
    let took_over = |ended: &Ended, change: &str| {
        let running = &ended.exited(0).summary()["running"];
        assert_eq!((&running["state"], &running["pid"]), (&json!("reloaded"), &json!(pid)), "{running}");
        // Whoever looks at the file once a second may have been faster.
        assert!([json!([change]), json!([])].contains(&running["changes"]), "{running}");
    };

    let add = keys("add --provider a --name k4 --stdin --concurrency 3 --json");
    took_over(&story.desk.run_fed(&add, "sk-4\n"), "added key a/k4");
    story.assert_used("a/k4");

    took_over(&story.run("set --key a/k4 --rpm 1 --json"), "changed key a/k4");
    let before = story.calls("a/k4");
    story.assert_left_alone("a/k4", before);
    let rate = key_of(&story, "a", "k4")["permitted_per_second"].as_f64().expect("a known rate");
    assert!((rate - 1.0 / 60.0).abs() < 0.001, "{rate}");
    took_over(&story.run("set --key a/k4 --rpm 0 --json"), "changed key a/k4");
    story.assert_used("a/k4");

    took_over(&story.run("disable --key a/k4 --json"), "changed key a/k4");
    let before = story.calls("a/k4");
    story.assert_left_alone("a/k4", before);
    assert_eq!(key_of(&story, "a", "k4")["status"], "disabled");
    took_over(&story.run("enable --key a/k4 --json"), "changed key a/k4");
    story.assert_used("a/k4");

    took_over(&story.run("remove --key a/k4 --yes --json"), "removed key a/k4");
    let before = story.calls("a/k4");
    assert_eq!(story.known(), ids(ALL));
    story.assert_left_alone("a/k4", before);

    // A whole provider, and back.
    let ended = story.desk.run(&["provider", "disable", "b"]);
    let told = format!("The running keywheel (process {pid}) has taken it over: removed provider b, ");
    assert!(ended.exited(0).stdout.contains(&told), "{}", ended.stdout);
    for name in ["b/k0", "b/k1", "b/k2"] {
        story.assert_left_alone(name, story.calls(name));
    }
    let seen = status(&story.desk);
    assert_eq!(
        (&seen["providers"][1]["id"], &seen["providers"][1]["state"]),
        (&json!("b"), &json!("disabled"))
    );
    assert_eq!(key_of(&story, "b", "k0")["status"], "disabled");
    story.desk.run(&["provider", "enable", "b"]).exited(0);
    story.assert_used("b/k0");

    // What is refused before it is written is told to nobody.
    let ended = story.desk.run_fed(&keys("add --provider a --name k0 --stdin"), "sk-4\n");
    ended.exited(2);
    // What the running one refuses is written all the same, and told.
    let words = keys("add --provider a --name k4 --env ONLY_HERE --json");
    let ended = story.desk.start(&words, &[("ONLY_HERE", "sk-4")]).end();
    let running = &ended.exited(1).summary()["running"];
    assert_eq!(running["state"], "refused");
    assert!(running["reason"].as_str().is_some_and(|reason| reason.contains("ONLY_HERE")), "{running}");
    assert!(ended.stderr.contains("the running keywheel goes on as before: "), "{}", ended.stderr);
    assert_eq!(story.known(), ids(ALL));
    story.run("remove --key a/k4 --yes").exited(0);

    // Only the routes change.
    let text = story.desk.read("keywheel.toml").replace("[\"a/m\", \"b/m\"]", "[\"b/m\", \"a/m\"]");
    story.write(&text);
    let ended = story.run("set --key b/k0 --weight 2 --json");
    let changes = ended.exited(0).summary()["running"]["changes"].clone();
    let seen_before = changes == json!(["changed key b/k0"]);
    assert!(seen_before || changes == json!(["changed key b/k0", "changed routes"]), "{changes}");
    story.goes_on(50);
    story.end();
}

/// A key of a provider in the status of the running batch.
#[track_caller]
fn key_of(story: &Story, provider: &str, name: &str) -> Value {
    let mut seen = status(&story.desk);
    let providers = seen["providers"].as_array_mut().expect("a list");
    providers.retain(|seen| seen["id"] == provider);
    key(&seen, name).clone()
}

#[test]
fn routes_and_places_that_change_are_told() {
    let (a, b) = (start(SimSpec::with_keys(5)), start(SimSpec::with_keys(5)));
    let text = config(&a, &b, ALL);
    let desk = Desk::new(&text);
    let (program, rows) = desk.start_fed(&FED);
    until("the batch answers", || socket_is_up(&socket(&desk)));
    // Whoever looks once a second may be faster than whoever asks; then it tells it on its own.
    let text = text.replace("[\"a/m\", \"b/m\"]", "[\"b/m\"]");
    fs::write(desk.path("keywheel.toml"), text.replace("dir = \"state\"", "dir = \"elsewhere\""))
        .expect("ours");
    let told = ask(&socket(&desk), "POST", "/v1/reload", "");
    let later = "`[state]`, `[admin]` and `[failures]` only at the next start";
    let changes = told.body["changes"].as_array().expect("a list");
    assert!(changes.contains(&json!(later)), "{told:?}");
    assert!(changes.len() == 1 || changes[0] == "changed routes", "{told:?}");
    drop(rows);
    program.end().exited(0);
}

#[tokio::test]
async fn streams_under_way_end_whole_when_their_key_leaves() {
    let pace = Pace { chunks: 40, chunk_gap: Latency::Fixed(millis(10)), ..Pace::default() };
    let world = Scenario::of(SimSpec { pace, ..SimSpec::with_keys(2) }).start();
    let keys = |numbers: &[usize]| {
        let provider = ProviderSpec::new("p", Arc::new(OpenAi), world.sim("p").base_url());
        let key =
            |number: &usize| KeySpec::new(format!("k{number}").as_str(), Secret::new(format!("sk-{number}")));
        WheelSpec {
            providers: vec![numbers.iter().map(key).fold(provider, ProviderSpec::with_key)],
            ..WheelSpec::default()
        }
    };
    let mut streams = Vec::new();
    for number in 0..6 {
        streams.push(world.stream(&format!("s{number}")).await.expect("it begins"));
    }
    let report = world.wheel.reload(keys(&[1])).await.expect("a sound specification");
    assert_eq!(report.keys.removed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["p/k0"]);
    let begun = calls(world.sim("p"), "k0");
    assert!((1..6).contains(&begun), "both keys have streams: {begun}");
    let jobs = world.spawn_many("r", 20);
    for round in 0..50 {
        let numbers: &[usize] = if round % 2 == 0 { &[1] } else { &[0, 1] };
        world.wheel.reload(keys(numbers)).await.expect("a sound specification");
    }
    world.wheel.reload(keys(&[1])).await.expect("a sound specification");
    for stream in streams {
        let AnswerBody::Stream(mut body) = stream.body else { panic!("a stream was asked for") };
        let mut text = Vec::new();
        while let Some(part) = body.next().await {
            text.extend_from_slice(&part.expect("it isn't cut"));
        }
        assert!(String::from_utf8_lossy(&text).ends_with("data: [DONE]\n\n"));
    }
    let seen = all(jobs).await;
    world.assert_each_accepted_once(&seen);
}
