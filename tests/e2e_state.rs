//! What outlives a process: what was kept is told, holds in the next one, and adds up.
#![cfg(unix)]

mod support;

use std::fs;

use keywheel::sim::{Change, Conduct, Latency, LimitSpec, Outcome, Sim, SimSpec};
use keywheel_actors::spec::DAY;
use serde_json::{Value, json};

use support::live::{Batch, FED, calls, desk, key, keys, row, socket, socket_is_up, start, status, until};
use support::millis;
use support::program::Desk;

/// Runs a batch of so many rows to its good end.
#[track_caller]
fn batch(desk: &Desk, rows: usize) -> Value {
    let rows: String = (0..rows).map(|number| row(&format!("r{number}"), "m")).collect();
    desk.run_fed(&[&FED[..], &["--force"]].concat(), &rows).exited(0).summary()
}

/// Makes a state directory that can't be used.
type Spoil = fn(&Desk);

#[test]
fn when_nothing_runs_what_was_kept_is_told() {
    let sim = start(SimSpec::with_keys(3).key(2, |key| key.conducting(Conduct::Invalid)));
    let desk = desk(&sim);
    let never = desk.run(&keys("status"));
    assert!(never.exited(0).stdout.ends_with("nothing runs, and nothing was kept yet\n"), "{}", never.stdout);
    assert!(!desk.path("state/state.redb").exists(), "looking makes nothing");

    let counted = |desk: &Desk| {
        let told = desk.run(&keys("stats --json")).exited(0).summary();
        assert_eq!(told["source"], json!({ "by": "durable" }));
        let of = |name: &str| {
            let stats = &told["stats"]["keys"]["sim"][name];
            (stats["calls"].as_u64().unwrap_or(0), stats["succeeded"].as_u64().unwrap_or(0))
        };
        ["k0", "k1", "k2"].map(of)
    };
    let booked = |sim: &Sim| {
        let ledger = sim.ledger();
        ["k0", "k1", "k2"].map(|name| {
            let key = ledger.key(name).expect("it exists");
            (key.outcomes.values().sum::<u64>(), key.count(Outcome::Served))
        })
    };
    for (rows, total) in [(50, 50), (70, 120)] {
        batch(&desk, rows);
        assert_eq!(counted(&desk), booked(&sim), "after {total} rows");
        assert_eq!(sim.ledger().count(Outcome::Served), total);
    }
    let text = desk.run(&keys("stats")).stdout;
    assert!(text.contains("nothing runs; this is what was counted before"), "{text}");

    let seen = status(&desk);
    assert_eq!(seen["source"]["kind"], "durable");
    let dead = key(&seen, "k2");
    assert_eq!((&dead["status"], &dead["cause"]), (&json!("disabled"), &json!("bad_credential")));
    let text = desk.run(&keys("status")).stdout;
    assert!(text.contains("nothing runs; this is what was kept "), "{text}");
    assert!(text.contains("bad_credential"), "{text}");
}

#[test]
fn a_refused_key_stays_off_until_somebody_brings_it_back() {
    for word in ["enable --key k1", "reset --key k1"] {
        let sim = start(SimSpec::with_keys(2).key(1, |key| key.conducting(Conduct::Invalid)));
        let desk = desk(&sim);
        batch(&desk, 40);
        let refused = calls(&sim, "k1");
        assert!((1..=3).contains(&refused), "{refused}");
        sim.apply(Change::Conduct { key: 1, conduct: Conduct::Valid }).expect("there is a k1");
        batch(&desk, 40);
        assert_eq!(calls(&sim, "k1"), refused, "the next process knows it, too");

        let ended = desk.run(&keys(word));
        ended.exited(0);
        assert_eq!(key(&status(&desk), "k1")["status"], "active", "{word}");
        batch(&desk, 40);
        assert!(calls(&sim, "k1") > refused, "{word}");
    }
}

#[test]
fn orders_given_while_nothing_runs_hold_in_the_next_batch() {
    let sim = start(SimSpec::with_keys(3));
    let desk = desk(&sim);
    let done = desk.run(&keys("rest --key k0 --for 1h --json")).exited(0).summary();
    let kept = json!({ "answered": { "by": "durable" }, "not_durable": null });
    assert_eq!(done, json!([{ "key": "sim/k0", "done": kept }]));
    let ended = desk.run(&keys("rest --key k1 --for 90s"));
    let told = "sim/k1 rests for 1m 30s (nothing runs; kept for the next one)";
    assert!(format!("{}{}", ended.exited(0).stdout, ended.stderr).contains(told), "{ended:?}");
    batch(&desk, 30);
    assert_eq!(["k0", "k1", "k2"].map(|name| calls(&sim, name)), [0, 0, 30]);

    let seen = status(&desk);
    assert_eq!(
        (&key(&seen, "k0")["status"], &key(&seen, "k0")["cause"]),
        (&json!("rate_limited"), &json!("operator"))
    );
    desk.run(&keys("reset --key k0")).exited(0);
    desk.run(&keys("disable --key k2")).exited(0);
    batch(&desk, 30);
    assert_eq!(["k0", "k1", "k2"].map(|name| calls(&sim, name)), [30, 0, 30]);
}

#[test]
fn two_batches_never_share_their_keys() {
    let sim = start(SimSpec::with_keys(1).first_byte(Latency::Fixed(millis(3_600_000))));
    let desk = desk(&sim).with("in.jsonl", &row("a", "m")).with("second.jsonl", "precious");
    let mut first = Batch::start(&desk);
    first.feed(1);
    until("it is at work", || sim.ledger().calls == 1);

    let second = ["batch", "in.jsonl", "-o", "second.jsonl", "--force"];
    let ended = desk.run(&second);
    assert_eq!(ended.exited(2).stdout, "");
    let told = format!(
        "error: `keywheel batch` (process {}) runs with this configuration's keys already\n  \
         hint: two at once would spend each limit twice: wait for it, stop it, or use a configuration with \
         other keys; a batch beside a gateway goes through it (docs/batch.md)\n",
        first.program.pid()
    );
    assert_eq!(ended.stderr, told);
    assert_eq!(desk.read("second.jsonl"), "precious");
    assert_eq!(sim.ledger().calls, 1);

    first.program.kill();
    assert!(socket(&desk).exists(), "nobody was there to clear up");
    sim.apply(Change::FirstByte(Latency::NONE)).expect("it can be quick");
    desk.run(&second).exited(0);
    assert_eq!(desk.read("second.jsonl").lines().count(), 1);
}

#[test]
fn a_broken_state_stops_no_traffic() {
    let spoilt: [(&str, Spoil); 5] = [
        ("the disk is full", |desk| {
            fs::create_dir(desk.path("state")).expect("it is ours");
            std::os::unix::fs::symlink("/dev/full", desk.path("state/state.redb")).expect("it is ours");
        }),
        ("the directory is a file", |desk| fs::write(desk.path("state"), "").expect("it is ours")),
        ("the directory is below a file", |desk| {
            fs::write(desk.path("file"), "").expect("it is ours");
            std::os::unix::fs::symlink(desk.path("file/state"), desk.path("state")).expect("it is ours");
        }),
        ("the database is a directory", |desk| {
            fs::create_dir_all(desk.path("state/state.redb")).expect("it is ours");
        }),
        ("the database is garbage", |desk| {
            fs::create_dir(desk.path("state")).expect("it is ours");
            fs::write(desk.path("state/state.redb"), "garbage".repeat(1_000)).expect("it is ours");
        }),
    ];
    for (what, spoil) in spoilt {
        let sim = start(SimSpec::with_keys(2));
        let desk = desk(&sim);
        spoil(&desk);
        let rows: String = (0..20).map(|number| row(&format!("r{number}"), "m")).collect();
        let ended = desk.run_fed(&FED, &rows);
        assert_eq!(ended.exited(0).summary()["ok"], 20, "{what}");
        assert!(
            ended.stderr.contains("warning: nothing is remembered and nothing kept, for the state in "),
            "{what}: {}",
            ended.stderr
        );
    }
}

#[test]
fn with_a_broken_state_orders_hold_and_say_for_how_long() {
    let sim = start(SimSpec::with_keys(3));
    let desk = desk(&sim);
    fs::create_dir_all(desk.path("state/state.redb")).expect("it is ours");
    let mut batch = Batch::start(&desk);
    batch.serve(30, &sim);
    let ended = desk.run(&keys("rest --key k0 --for 1h"));
    assert!(ended.exited(0).stderr.contains("a restart will forget it"), "{}", ended.stderr);
    let done = desk.run(&keys("disable --key k1 --json"));
    let told = &done.exited(0).summary()["what"]["told"];
    assert_eq!(told["answered"]["pid"], batch.program.pid());
    assert!(told["not_durable"].is_string(), "{told}");
    let before = (calls(&sim, "k0"), calls(&sim, "k1"));
    batch.serve(30, &sim);
    assert_eq!((calls(&sim, "k0"), calls(&sim, "k1")), before);
    let text = desk.run(&keys("status")).stdout;
    assert!(text.contains("what happens isn't kept, a restart will forget it: "), "{text}");

    // Without a state there is no lock; the socket tells that somebody runs.
    let second = desk.run_fed(&["batch", "-", "-o", "second.jsonl"], &row("a", "m"));
    assert!(
        second.exited(2).stderr.contains(&format!("(process {})", batch.program.pid())),
        "{}",
        second.stderr
    );
    assert!(socket_is_up(&socket(&desk)));
    batch.end().exited(0);
}

#[test]
fn a_days_quota_is_never_overspent_by_starting_again() {
    let sim = start(SimSpec::with_keys(1).limited(LimitSpec::requests(20, DAY)));
    let desk = desk(&sim);
    batch(&desk, 8);
    let waits = |queued: usize| {
        until("the quota is used up", || {
            let provider = &status(&desk)["providers"][0];
            (&provider["queued"], &provider["in_flight"]) == (&json!(queued), &json!(0))
        });
    };
    let words = [&FED[..], &["--force"]].concat();
    let mut second = Batch::start_with(&desk, &words);
    second.feed(30);
    waits(18);
    assert_eq!(sim.ledger().calls, 20);
    second.program.kill();

    let mut third = Batch::start_with(&desk, &words);
    third.feed(5);
    waits(5);
    assert_eq!((sim.ledger().calls, sim.ledger().count(Outcome::Throttled)), (20, 0));
    let seen = status(&desk);
    assert_eq!(key(&seen, "k0")["counts"]["calls"], 0);
    third.program.kill();
}
