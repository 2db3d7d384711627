//! Keys that are refused, throttled, taken away or too many, and a configuration that never stays.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keywheel::sim::{
    Availability, Change, Conduct, FaultRates, HeaderStyle, KeySpec, Latency, LimitSpec, Outcome, Shape,
    SimSpec, provider_toml,
};
use keywheel_actors::clock::Clock;
use serde_json::json;
use tokio::task::JoinSet;

use crate::held::Held;
use crate::run::{Figures, Run, Saw};
use crate::support::gateway::Gateway;
use crate::support::live::{STATE, ask, calls, key, keys, socket, start, status, until};
use crate::support::millis;
use crate::support::program::Desk;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn dead(key: KeySpec) -> KeySpec {
    key.conducting(Conduct::Invalid)
}

#[tokio::test]
async fn throttles_that_say_nothing_are_waited_out() {
    let spec = SimSpec { headers: HeaderStyle::None, ..SimSpec::with_keys(4) };
    let mut run = Run::start(vec![spec.limited(LimitSpec::requests(5, SECOND))], &[]);
    assert_eq!(run.send(40).await, 40, "nobody saw a 429");
    let throttled = run.providers[0].ledger().count(Outcome::Throttled);
    assert!(throttled <= 16, "four refusals teach a key what it may: {throttled}");
    assert_eq!(run.join().await.calls as u64, 40 + throttled);
}

#[tokio::test]
async fn a_limit_that_is_declared_is_kept_without_any_hint() {
    let bucket = LimitSpec::requests(600, MINUTE).shaped(Shape::TokenBucket { burst: 5 });
    let spec = SimSpec { headers: HeaderStyle::None, ..SimSpec::with_keys(2) };
    let mut run = Run::start(vec![spec.limited(bucket)], &[]);
    assert_eq!(run.send(60).await, 60, "nobody saw a 429");
    // None is, unless the machine keeps a call for longer than the guard against that; sent as they came, fifty were.
    let throttled = run.providers[0].ledger().count(Outcome::Throttled);
    assert!(throttled <= 6, "{throttled} calls were wasted");
    assert_eq!(run.join().await.calls as u64, 60 + throttled);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_all_refused_for_a_while_serve_again_by_themselves() {
    let spec = (0..4).fold(SimSpec::with_keys(4), |spec, index| spec.key(index, dead));
    let mut run = Run::start(vec![spec], &[]);
    let waiting = run.begin(40);
    until("all keys are refused", || {
        (0..4).all(|number| calls(&run.providers[0], &format!("k{number}")) > 0)
    });
    for key in 0..4 {
        run.providers[0]
            .apply(Change::Conduct { key, conduct: Conduct::Valid })
            .expect("there is such a key");
    }
    assert_eq!(run.hear_out(waiting).await, 40, "nobody had to help");
    // A key hears of the end of a call after the client does.
    until("all keys are active", || {
        let seen = status(&run.desk);
        ["k0", "k1", "k2", "k3"].iter().all(|name| key(&seen, name)["status"] == "active")
    });
    let refused = run.providers[0].ledger().count(Outcome::BadKey);
    assert!((4..=40).contains(&refused), "each request is refused once at most: {refused}");
    assert_eq!(run.join().await.calls as u64, 40 + refused);
}

#[tokio::test]
async fn one_bad_key_among_fifty_costs_three_calls_at_most() {
    let mut run = Run::start(vec![SimSpec::with_keys(50).key(23, dead)], &[]);
    for _ in 0..4 {
        assert_eq!(run.send(100).await, 100);
    }
    let wasted = calls(&run.providers[0], "k23");
    assert!((1..=3).contains(&wasted), "{wasted}");
    assert_eq!(key(&status(&run.desk), "k23")["status"], "disabled");
    let Figures { calls, .. } = run.join().await;
    assert_eq!(calls as u64, 400 + wasted);
}

#[tokio::test]
async fn a_provider_that_comes_and_goes_is_used_while_it_is_there() {
    const EACH: usize = 40;
    let mut run = Run::start(vec![SimSpec::with_keys(4), SimSpec::with_keys(4)], &[]);
    let mut waves = 0;
    for there in [Availability::Failing, Availability::Refusing] {
        for now in [Availability::Up, there, Availability::Up, there, Availability::Up] {
            run.providers[0].apply(Change::Availability(now)).expect("it can come and go");
            assert_eq!(run.send(EACH).await, EACH, "{now:?}");
            waves += 1;
        }
    }
    let Figures { requests, served, calls } = run.join().await;
    assert_eq!((requests, served), (waves * EACH, waves * EACH));
    // Each time when it goes it is found out by a wave at most, and then left alone.
    assert!(calls <= requests + 4 * EACH, "{calls} calls for {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_else_is_there_requests_wait_until_it_comes_back() {
    const ROUNDS: usize = 2;
    let mut run = Run::start(vec![SimSpec::with_keys(4)], &[]);
    for there in [Availability::Failing, Availability::Refusing] {
        for _ in 0..ROUNDS {
            run.providers[0].apply(Change::Availability(there)).expect("it can go");
            let waiting = run.begin(40);
            until("it is left alone", || status(&run.desk)["providers"][0]["state"] == "resting");
            run.providers[0].apply(Change::Availability(Availability::Up)).expect("it can come");
            assert_eq!(run.hear_out(waiting).await, 40, "{there:?}");
        }
    }
    let Figures { requests, calls, .. } = run.join().await;
    assert!(calls <= 2 * requests, "each is called in vain once at most: {calls} for {requests}");
}

#[tokio::test]
async fn thirty_percent_errors_at_tenfold_latency_cost_few_calls_more() {
    let spec = SimSpec { seed: 7, ..SimSpec::with_keys(8) }.first_byte(Latency::Fixed(millis(10)));
    let mut run = Run::start(vec![spec], &[]);
    assert_eq!(run.send(100).await, 100);
    let faults = FaultRates { error: 0.3, ..FaultRates::default() };
    run.providers[0].apply(Change::Faults(faults)).expect("shares");
    run.providers[0].apply(Change::FirstByte(Latency::Fixed(millis(100)))).expect("a latency");
    let served = run.send(300).await;
    run.providers[0].apply(Change::Faults(FaultRates::default())).expect("shares");
    run.providers[0].apply(Change::FirstByte(Latency::Fixed(millis(10)))).expect("a latency");
    assert_eq!(run.send(100).await, 100, "when it is well again, so is everything");
    // Seven of ten succeed at once; of the others the retry budget saves some.
    assert!(served >= 240, "{served} of 300");
    let Figures { requests, calls, .. } = run.join().await;
    assert!(calls <= requests * 4 / 3, "{calls} calls for {requests} requests");
}

/// Keys of a provider that holds its calls, and calls at once with each.
const HELD_KEYS: usize = 4;
const AT_ONCE: usize = 50;
const LIMITS: &str = "concurrency = 50";

/// A thousand requests, of which as many are calls under way as can be.
async fn a_thousand_under_way() -> (Run<Held>, JoinSet<Saw>) {
    let held = Held::start().await;
    let config = held.provider(0..HELD_KEYS, LIMITS);
    let mut run = Run::over(vec![held], &config, &[]);
    let waiting = run.begin(1_000);
    until("a thousand requests are under way", || {
        let seen = status(&run.desk);
        let provider = &seen["providers"][0];
        provider["in_flight"] == HELD_KEYS * AT_ONCE && provider["queued"] == 1_000 - HELD_KEYS * AT_ONCE
    });
    until("the calls have come", || run.providers[0].count() == HELD_KEYS * AT_ONCE);
    (run, waiting)
}

/// Lets them end, and those who come after them.
async fn all_end_without_the_second_key(mut run: Run<Held>, waiting: JoinSet<Saw>) {
    run.providers[0].release();
    assert_eq!(run.hear_out(waiting).await, 1_000);
    assert_eq!(run.send(200).await, 200);
    assert_eq!(run.providers[0].count_with("sk-1"), AT_ONCE, "what was under way, and nothing since");
    assert_eq!(run.join().await, Figures { requests: 1_200, served: 1_200, calls: 1_200 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_disabled_under_a_thousand_requests_makes_no_further_call() {
    let (run, waiting) = a_thousand_under_way().await;
    run.desk.run(&keys("disable --key k1")).exited(0);
    all_end_without_the_second_key(run, waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_leaves_the_configuration_under_a_thousand_requests_makes_no_further_call() {
    let (run, waiting) = a_thousand_under_way().await;
    let left = run.providers[0].provider([0, 2, 3], LIMITS);
    fs::write(run.desk.path("keywheel.toml"), format!("{STATE}{left}")).expect("the directory is ours");
    run.gateway.program.signal("HUP");
    until("the key is gone", || {
        let seen = status(&run.desk);
        let keys = seen["providers"][0]["keys"].as_array().expect("a list");
        keys.iter().all(|key| key["name"] != "k1")
    });
    all_end_without_the_second_key(run, waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_cost_no_request_and_bad_ones_change_nothing() {
    const RELOADS: usize = 100;
    let spec = SimSpec::with_keys(5).first_byte(Latency::Fixed(millis(5)));
    let mut run = Run::start(vec![spec], &[]);
    let (path, socket) = (run.desk.path("keywheel.toml"), socket(&run.desk));
    let sim = run.providers[0].spec().clone();
    let base_url = run.providers[0].base_url();
    let over = Arc::new(AtomicBool::new(false));
    let reloading = tokio::task::spawn_blocking({
        let over = Arc::clone(&over);
        move || {
            let mut told = [0, 0];
            for round in 0..RELOADS {
                let mut there = sim.clone();
                there.keys.remove(round % there.keys.len());
                let text = provider_toml(&base_url, &there).replace("id = \"sim\"", "id = \"p0\"");
                let text = if round % 5 == 4 { text.replace("[[provider]]", "[[provider]") } else { text };
                fs::write(&path, format!("{STATE}{text}")).expect("the directory is ours");
                match ask(&socket, "POST", "/v1/reload", "").code {
                    200 => told[0] += 1,
                    422 => told[1] += 1,
                    other => panic!("reloaded with {other}"),
                }
            }
            over.store(true, Ordering::Release);
            told
        }
    });
    let mut sent = 0;
    while !over.load(Ordering::Acquire) {
        assert_eq!(run.send(20).await, 20);
        sent += 20;
    }
    assert_eq!(reloading.await.expect("it lives"), [80, 20]);
    assert_eq!(run.join().await, Figures { requests: sent, served: sent, calls: sent });
}

#[tokio::test]
async fn a_key_that_stands_twice_or_ends_a_line_never_begins_to_serve() {
    let sim = start(SimSpec::with_keys(2));
    let config = |first: &str, second: &str| {
        let text = provider_toml(&sim.base_url(), sim.spec()).replace("\"sk-0\"", first);
        format!("{STATE}{}", text.replace("\"sk-1\"", second))
    };
    let evil = "sk-0\r\nx-evil: 1";
    for (first, second, why) in [
        ("\"sk-1\"", "\"sk-1\"", "has the same secret"),
        ("\"sk-0\\r\\nx-evil: 1\"", "\"sk-1\"", "holds control characters"),
        ("\"sk-0\\u0000\"", "\"sk-1\"", "holds control characters"),
        ("\"env:EVIL\"", "\"sk-1\"", "the variable EVIL holds control characters"),
        ("\"file:evil\"", "\"sk-1\"", "the file evil holds control characters"),
    ] {
        let desk = Desk::new(&config(first, second)).with_private("evil", evil);
        let ended = desk.start(&["serve"], &[("EVIL", evil)]).end();
        assert!(ended.exited(2).stderr.contains(why), "{}", ended.stderr);
        assert!(!ended.stderr.contains("sk-"), "{}", ended.stderr);
    }

    // Editors end a file with a newline, which is no part of the key.
    let desk = Desk::new(&config("\"file:unix\"", "\"file:windows\""))
        .with_private("unix", "sk-0\n")
        .with_private("windows", "sk-1\r\n");
    let gateway = Gateway::start(&desk, &[]);
    let twice = config("\"sk-1\"", "\"sk-1\"");
    fs::write(desk.path("keywheel.toml"), twice).expect("the directory is ours");
    let told = ask(&socket(&desk), "POST", "/v1/reload", "");
    assert_eq!(told.code, 422, "{told:?}");
    for number in 0..10 {
        assert_eq!(gateway.chat(&format!("r{number}")).send().await.expect("an answer").status(), 200);
    }
    assert_eq!(sim.ledger().count(Outcome::Served), 10);
    assert!(calls(&sim, "k0") > 0 && calls(&sim, "k1") > 0, "both are good");
    gateway.terminate().exited(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_slips_between_lines_reaches_no_provider() {
    let held = Held::start().await;
    held.release();
    let desk = Desk::new(&format!("{STATE}{}", held.provider(0..1, "")));
    let gateway = Gateway::start(&desk, &["--set", "server.forward_headers=x-note"]);
    let asked = |line: &str, more: &str, model: &str| {
        let body = json!({"model": model, "messages": []}).to_string();
        let length = body.len();
        let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
        format!("{line} HTTP/1.1\r\n{head}\r\n{more}content-length: {length}\r\n\r\n{body}")
    };
    let request = |line: &str, more: &str| asked(line, more, "m");
    let chat = "POST /v1/chat/completions";
    let passed = "POST /providers/p0/v1/files";
    let refused = [
        request(chat, "x-request-id: a\0b\r\n"),
        request(chat, "x-note: a\rx-evil: 1\r\n"),
        request(chat, "x-note: a\r\n x-evil: 1\r\n"),
        request(chat, "x-note: a\0\r\n"),
        request(chat, "x-no\0te: a\r\n"),
        request(&format!("{passed}\0"), ""),
        request(&format!("{passed}\rx-evil: 1"), ""),
    ];
    for said in refused {
        let heard = gateway.say(said.as_bytes());
        assert!(heard.starts_with("HTTP/1.1 400"), "{said:?} was answered with {heard}");
    }
    assert_eq!(held.count(), 0);

    let harmless = [
        request(chat, "x-note: a\nx-evil: 1\r\n"),
        request(&format!("{passed}%0d%0ax-evil:%201?b=%0d%0ax-evil:%201"), ""),
        asked(chat, "", "m\r\nx-evil: 1"),
    ];
    for said in &harmless {
        let heard = gateway.say(said.as_bytes());
        assert!(heard.starts_with("HTTP/1.1 200"), "{said:?} was answered with {heard}");
        assert!(heard.lines().all(|line| !line.starts_with("x-evil")), "{heard}");
    }
    let heads = held.heads();
    assert_eq!(heads.len(), harmless.len());
    for head in heads {
        assert!(head.lines().all(|line| !line.starts_with("x-evil")), "{head}");
    }
    gateway.terminate().exited(0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ten_thousand_keys_are_a_lot_and_no_more() {
    /// The most that the process ever held, with a debug build's waste.
    const MEMORY_MIB_MAX: u64 = 512;
    let clock = Clock::start();
    let mut run = Run::start(vec![SimSpec::with_keys(10_000)], &[]);
    let began = clock.now().since_start();
    assert_eq!(run.send(1_000).await, 1_000);
    let asked = clock.now();
    let seen = status(&run.desk);
    let told = clock.now().since(asked);
    assert_eq!(seen["providers"][0]["keys"].as_array().map(Vec::len), Some(10_000));
    let memory_mib = run.gateway.program.peak_bytes() >> 20;
    println!("started in {began:?}, status in {told:?}, {memory_mib} MiB");
    assert!(memory_mib <= MEMORY_MIB_MAX, "{memory_mib} MiB");
    assert_eq!(run.join().await, Figures { requests: 1_000, served: 1_000, calls: 1_000 });
}

#[tokio::test]
async fn nobody_runs_out_of_time_beside_a_provider_that_is_idle() {
    let bucket = LimitSpec::requests(300, MINUTE).shaped(Shape::TokenBucket { burst: 5 });
    let specs = vec![SimSpec::with_keys(2).limited(bucket), SimSpec::with_keys(2)];
    let mut run = Run::start(specs, &["--set", "server.deadline=5s"]);
    assert_eq!(run.send(200).await, 200);
    assert!(run.providers[0].ledger().count(Outcome::Served) >= 20, "the first provider is used meanwhile");
    run.join().await;
}
