//! Providers that fail as a whole.

use std::time::Duration;

use keywheel::sim::{
    Availability, Change, Conduct, FaultRates, HeaderStyle, Latency, LimitSpec, Pace, SimSpec, provider_toml,
};
use tokio::task::JoinSet;

use crate::run::{Figures, Run};
use crate::support::gateway::Gateway;
use crate::support::live::{STATE, key, start, status, until};
use crate::support::millis;
use crate::support::program::Desk;

#[tokio::test]
async fn errors_cuts_and_lies_of_all_kinds() {
    let faults =
        FaultRates { error: 0.1, overloaded: 0.05, cut: 0.1, in_band: 0.05, ..FaultRates::default() };
    let mut run = Run::start(vec![SimSpec { faults, seed: 5, ..SimSpec::with_keys(4) }], &[]);
    run.send(400).await;
    let Figures { requests, served, calls } = run.join().await;
    assert!(served * 10 >= requests * 8, "{served} of {requests}");
    assert!(calls <= requests * 3 / 2, "{calls} calls for {requests} requests");
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_for_another() {
    for down in [Availability::Failing, Availability::Refusing] {
        let ill = SimSpec::with_keys(2).at(Duration::ZERO, Change::Availability(down));
        let mut run = Run::start(vec![ill, SimSpec::with_keys(2)], &[]);
        assert_eq!(run.send(60).await, 60, "{down:?}");
        let Figures { calls, .. } = run.join().await;
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
