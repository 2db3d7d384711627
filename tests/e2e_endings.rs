//! Every accepted job has one ending: its caller leaves, or the wheel drains.

mod support;

use std::time::Duration;

use keywheel::sim::{Change, Latency, Outcome, Pace, SimSpec};
use keywheel_actors::DrainReport;
use keywheel_actors::error::SendError;
use keywheel_actors::request::Terms;
use keywheel_actors::spec::Limits;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use support::{PATIENCE, Scenario, Seen, World, all, millis};

/// Longer than any story: whoever waits for it has hung.
const FOREVER: Latency = Latency::Fixed(Duration::from_secs(3_600));

fn with_concurrency(scenario: Scenario, concurrency: u32) -> Scenario {
    scenario.each_key(|key| key.limits = Limits { concurrency: Some(concurrency), ..Limits::default() })
}

/// A wheel with one place for one call, and a provider that doesn't answer for now.
fn one_place() -> World {
    with_concurrency(Scenario::of(SimSpec::with_keys(1).first_byte(FOREVER)), 1).start()
}

fn answer_at_once(world: &World) {
    world.sim("p").apply(Change::FirstByte(Latency::NONE)).expect("always possible");
}

#[tokio::test]
async fn a_caller_who_leaves_gives_the_place_free_at_once() {
    let world = one_place();
    let leaving = world.spawn("leaves", Terms::default());
    world.until("the provider has the call", |world| world.ledger().calls == 1).await;
    answer_at_once(&world);
    leaving.abort();
    let next = tokio::time::timeout(PATIENCE, world.send("next")).await.expect("the place is free");
    assert_eq!((next.served_by().as_str(), next.attempts().len()), ("p/k0", 1));
    world.settle().await;
    let counts = world.key("k0").counts;
    assert_eq!((counts.calls, counts.cancelled, counts.succeeded, counts.failed), (2, 1, 1, 0));
}

#[tokio::test]
async fn a_caller_who_leaves_the_queue_is_never_sent() {
    let world = one_place();
    let first = world.spawn("first", Terms::default());
    world.until("the provider has the first call", |world| world.ledger().calls == 1).await;
    let waiting = world.spawn("waits", Terms::default());
    world.until("the second one waits", |world| world.provider().queued == 1).await;
    waiting.abort();
    assert!(waiting.await.expect_err("it was aborted").is_cancelled());
    answer_at_once(&world);
    first.abort();
    world.send("third").await.ending.expect("served");
    world.settle().await;
    assert_eq!(world.ledger().request("waits"), []);
    assert_eq!(world.ledger().calls, 2);
}

#[tokio::test]
async fn a_reader_who_leaves_a_stream_gives_the_place_free_at_once() {
    let pace = Pace { chunk_gap: FOREVER, ..Pace::default() };
    let scenario = Scenario::of(SimSpec { pace, ..SimSpec::with_keys(1) });
    let world = with_concurrency(scenario, 1).start();
    let answer = world.stream("leaves").await.expect("its first content comes at once");
    assert_eq!(world.key("k0").in_flight, 1, "a stream holds its place");
    drop(answer);
    let next = tokio::time::timeout(PATIENCE, world.send("next")).await.expect("the place is free");
    next.ending.expect("served");
    world.settle().await;
    assert_eq!(world.key("k0").counts.cancelled, 1);
    assert_eq!(world.ledger().count(Outcome::Served), 2, "the provider had begun to answer both");
}

#[tokio::test]
async fn a_caller_who_leaves_hangs_up_on_the_provider() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 is always free");
    let base_url = format!("http://{}/v1", listener.local_addr().expect("it listens"));
    let world = Scenario::default().and_at("p", base_url, &["k0"]).start();
    let leaving = world.spawn("leaves", Terms::default());
    let (mut connection, _) = listener.accept().await.expect("the call comes");
    let mut said = Vec::new();
    while !said.ends_with(b"}") {
        connection.read_buf(&mut said).await.expect("the request comes");
    }
    assert!(said.starts_with(b"POST /v1/chat/completions HTTP/1.1\r\n"));
    leaving.abort();
    let mut more = [0; 16];
    let hung_up = tokio::time::timeout(PATIENCE, connection.read(&mut more)).await;
    assert_eq!(hung_up.expect("the connection is closed").ok(), Some(0));
}

#[tokio::test]
async fn a_drain_lets_accepted_jobs_end_and_takes_no_new_ones() {
    let scenario = Scenario::of(SimSpec::with_keys(2).first_byte(Latency::Fixed(millis(150))));
    let world = with_concurrency(scenario, 4).start();
    let jobs = accepted(&world, 40).await;
    // In this order: the drain begins before the late job comes.
    let (report, late, seen) =
        tokio::join!(biased; world.wheel.drain(PATIENCE), world.send("late"), all(jobs));
    assert!(matches!(late.ending, Err(SendError::Draining)), "{late:?}");
    world.assert_each_accepted_once(&seen);
    assert_eq!(report.cut_off, 0);
    assert!((1..=40).contains(&report.finished), "{report:?}");
    assert_eq!(world.ledger().calls, 40);
}

#[tokio::test]
async fn a_drain_whose_grace_is_over_cuts_off_what_is_left() {
    let world = with_concurrency(Scenario::of(SimSpec::with_keys(2).first_byte(FOREVER)), 4).start();
    let jobs = accepted(&world, 20).await;
    let report = tokio::time::timeout(PATIENCE, world.wheel.drain(millis(100))).await.expect("it ends");
    assert_eq!(report, DrainReport { finished: 0, cut_off: 20 });
    let seen = all(jobs).await;
    assert!(seen.iter().all(|job| matches!(job.ending, Err(SendError::Draining))), "{seen:?}");
}

/// So many jobs that the wheel has taken in.
async fn accepted(world: &World, count: usize) -> Vec<tokio::task::JoinHandle<Seen>> {
    let jobs = world.spawn_many("r", count);
    world
        .until("all jobs are taken in", |world| {
            let calls: u64 = ["k0", "k1"].map(|name| world.key(name).counts.calls).iter().sum();
            world.provider().queued as u64 + calls == count as u64
        })
        .await;
    jobs
}
