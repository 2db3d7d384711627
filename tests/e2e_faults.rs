//! Faults behind the gateway. After each the three ledgers are joined by the requests' names: what clients saw, what the
//! gateway logged and counted, what the providers accepted.
#![cfg(unix)]

mod support;

use std::time::Duration;

use keywheel::sim::{
    Availability, Change, Conduct, FaultRates, HeaderStyle, Latency, LimitSpec, Pace, Sim, SimSpec,
    provider_toml,
};
use serde_json::Value;
use tokio::task::JoinSet;

use support::gateway::Gateway;
use support::live::{STATE, key, start, status, until};
use support::millis;
use support::program::Desk;

/// What one client saw.
struct Saw {
    id: String,
    status: u16,
    is_whole: bool,
}

/// A gateway over these providers, in this order.
struct Run {
    gateway: Gateway,
    desk: Desk,
    sims: Vec<Sim>,
    saw: Vec<Saw>,
}

impl Run {
    fn start(specs: Vec<SimSpec>, words: &[&str]) -> Self {
        let sims: Vec<Sim> = specs.into_iter().map(start).collect();
        let named = sims.iter().enumerate().map(|(number, sim)| {
            provider_toml(&sim.base_url(), sim.spec()).replace("id = \"sim\"", &format!("id = \"p{number}\""))
        });
        let desk = Desk::new(&format!("{STATE}{}", named.collect::<String>()));
        let gateway = Gateway::start(&desk, &[&["--set", "server.access_log=access.jsonl"], words].concat());
        Self { gateway, desk, sims, saw: Vec::new() }
    }

    /// Sends so many at once, every other one a stream, and hears them all out. Tells how many were served.
    async fn send(&mut self, count: usize) -> usize {
        let mut all = JoinSet::new();
        for number in 0..count {
            let id = format!("r{}-{number}", self.saw.len());
            let is_stream = number % 2 == 1;
            let request = if is_stream { self.gateway.stream(&id) } else { self.gateway.chat(&id) };
            all.spawn(async move {
                let answer = request.send().await.expect("every request has an answer");
                let status = answer.status().as_u16();
                let text = answer.text().await.expect("a body that ends");
                let is_whole = if is_stream { text.contains("[DONE]") } else { text.ends_with('}') };
                let has_error = text.contains("\"error\"");
                assert!(!(status == 200 && is_whole && has_error), "it looks whole: {text}");
                assert!(is_whole && status == 200 || has_error, "nothing tells what went wrong: {text}");
                Saw { id, status, is_whole: status == 200 && is_whole }
            });
        }
        let saw = all.join_all().await;
        let served = saw.iter().filter(|saw| saw.is_whole).count();
        self.saw.extend(saw);
        served
    }

    /// Joins the ledgers. Tells requests, those that were served, and calls.
    async fn join(self) -> (usize, usize, usize) {
        let metrics = self.gateway.metrics().await;
        self.gateway.terminate().exited(0);
        let log = self.desk.read("access.jsonl");
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), self.saw.len(), "one line a request");
        let ledgers: Vec<_> = self.sims.iter().map(Sim::ledger_with_requests).collect();
        let mut calls = 0;
        for Saw { id, status, is_whole } in &self.saw {
            let line = lines.iter().find(|line| line["request_id"] == **id).expect("it is logged");
            assert_eq!(line["status"], *status, "{line}");
            assert_eq!(line["ending"] == "served", *is_whole, "{line}");
            let requests = ledgers.iter().filter_map(|ledger| ledger.requests.as_ref());
            let seen: usize = requests.map(|requests| requests.get(id).map_or(0, Vec::len)).sum();
            assert!(line["attempts"].as_u64() >= Some(seen as u64), "{line}");
            calls += seen;
        }
        assert_eq!(
            ledgers.iter().map(|ledger| ledger.calls).sum::<u64>(),
            calls as u64,
            "no call is nobody's"
        );
        let served = self.saw.iter().filter(|saw| saw.is_whole).count();
        let counted = metrics
            .lines()
            .filter(|line| line.starts_with("keywheel_requests_total{") && line.contains("ending=\"served\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
            .sum::<usize>();
        assert_eq!(counted, served, "what is published is what happened");
        (self.saw.len(), served, calls)
    }
}

#[tokio::test]
async fn errors_cuts_and_lies_of_all_kinds() {
    let faults =
        FaultRates { error: 0.1, overloaded: 0.05, cut: 0.1, in_band: 0.05, ..FaultRates::default() };
    let mut run = Run::start(vec![SimSpec { faults, seed: 5, ..SimSpec::with_keys(4) }], &[]);
    run.send(400).await;
    let (requests, served, calls) = run.join().await;
    assert!(served * 10 >= requests * 8, "{served} of {requests}");
    assert!(calls <= requests * 3 / 2, "{calls} calls for {requests} requests");
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_for_another() {
    for down in [Availability::Failing, Availability::Refusing] {
        let ill = SimSpec::with_keys(2).at(Duration::ZERO, Change::Availability(down));
        let mut run = Run::start(vec![ill, SimSpec::with_keys(2)], &[]);
        assert_eq!(run.send(60).await, 60, "{down:?}");
        let (_, _, calls) = run.join().await;
        assert!(calls <= 60 + 40, "it is asked a few times, and then left alone: {calls}");
    }
}

#[tokio::test]
async fn after_an_outage_it_serves_again_by_itself() {
    let spec = SimSpec::with_keys(3)
        .at(Duration::ZERO, Change::Availability(Availability::Failing))
        .at(millis(600), Change::Availability(Availability::Up));
    let mut run = Run::start(vec![spec], &[]);
    run.send(60).await;
    while run.send(2).await < 2 {}
    assert_eq!(run.send(60).await, 60, "nobody had to help");
    run.join().await;
}

#[tokio::test]
async fn when_all_keys_are_throttled_requests_wait_for_one() {
    let limit = LimitSpec::requests(5, Duration::from_secs(1));
    let spec = SimSpec { headers: HeaderStyle::RetryAfter, ..SimSpec::with_keys(2).limited(limit) };
    let mut run = Run::start(vec![spec], &[]);
    assert_eq!(run.send(30).await, 30, "nobody saw a 429");
    run.join().await;
}

#[tokio::test]
async fn keys_that_are_all_refused_at_once_are_not_to_blame() {
    let dead = |key: keywheel::sim::KeySpec| key.conducting(Conduct::Invalid);
    let spec = (0..4).fold(SimSpec::with_keys(4), |spec, index| spec.key(index, dead));
    let mut run = Run::start(vec![spec, SimSpec::with_keys(1)], &[]);
    assert_eq!(run.send(20).await, 20, "the other provider serves");
    let seen = status(&run.desk);
    for name in ["k0", "k1", "k2", "k3"] {
        assert_ne!(key(&seen, name)["status"], "disabled", "{name}");
    }
    run.join().await;
}

#[tokio::test]
async fn who_stops_in_the_middle_is_told_apart_from_who_has_ended() {
    let faults = FaultRates { stall: 0.3, stall_for: Duration::from_secs(3_600), ..FaultRates::default() };
    let words = ["--set", "timeouts.idle=300ms", "--set", "timeouts.whole_content=300ms"];
    let mut run = Run::start(vec![SimSpec { faults, seed: 3, ..SimSpec::with_keys(4) }], &words);
    run.send(40).await;
    run.join().await;
}

#[tokio::test]
async fn two_hundred_streams_are_told_of_the_end() {
    let spec = SimSpec::with_keys(4);
    let pace = Pace { chunk_gap: Latency::Fixed(millis(3_600_000)), ..spec.pace };
    let sim = start(SimSpec { pace, ..spec });
    let keys = provider_toml(&sim.base_url(), sim.spec());
    let desk = Desk::new(&format!(
        "{STATE}{}",
        keys.replace("secret =", "limits = { concurrency = 100 }\nsecret =")
    ));
    let gateway = Gateway::start(&desk, &["--set", "server.drain_grace=100ms"]);
    let mut begun = JoinSet::new();
    for number in 0..200 {
        let request = gateway.stream(&format!("s{number}"));
        begun.spawn(async move { request.send().await.expect("an answer") });
    }
    let begun = begun.join_all().await;
    until("all are under way", || sim.ledger().calls == 200);
    let ended = tokio::task::spawn_blocking(move || gateway.terminate());
    for answer in begun {
        let text = answer.text().await.expect("a body that ends");
        assert!(text.contains("stream_broken") && !text.contains("[DONE]"), "{text}");
    }
    ended.await.expect("it lives").exited(0);
}
