//! What befalls the process itself: it is killed, its disk is full, its calendar jumps.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use keywheel::sim::{Latency, LimitSpec, Outcome, Pace, Sim, SimSpec};
use keywheel_actors::spec::DAY;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::task::JoinSet;

use crate::support::gateway::Gateway;
use crate::support::live::{calls, desk, desk_with, keys, start, status, until};
use crate::support::millis;
use crate::support::program::Desk;

/// Calls that the provider took for each request, by its books.
fn served(sim: &Sim) -> HashMap<String, usize> {
    let requests = sim.ledger_with_requests().requests.into_iter().flatten();
    let served = |entries: &[keywheel::sim::RequestEntry]| {
        entries.iter().filter(|entry| entry.outcome == Outcome::Served).count()
    };
    requests.map(|(id, entries)| (id, served(&entries))).collect()
}

/// What became of a request whose gateway may be killed meanwhile.
enum Ending {
    Whole,
    /// By a gateway that lived: 429 and the like.
    Refused,
    /// The connection broke, before or inside the answer.
    Broken,
}

async fn ending(is_stream: bool, request: reqwest::RequestBuilder) -> Ending {
    let Ok(answer) = request.send().await else { return Ending::Broken };
    let status = answer.status().as_u16();
    let Ok(text) = answer.text().await else { return Ending::Broken };
    let is_whole = if is_stream { text.ends_with("data: [DONE]\n\n") } else { text.ends_with('}') };
    if status == 200 && is_whole {
        return Ending::Whole;
    }
    assert!(text.contains("\"error\""), "it looks whole with {status}, and isn't: {text}");
    Ending::Refused
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_never_spends_a_day_twice() {
    const ROUNDS: usize = 10;
    const REQUESTS: usize = 40;
    const KEYS: u64 = 2;
    const RPD: u64 = 100;
    let mut rng = Rng::with_seed(12);
    let pace = Pace { chunk_gap: Latency::Fixed(millis(2)), ..Pace::default() };
    let spec = SimSpec { pace, ..SimSpec::with_keys(2) }.limited(LimitSpec::requests(RPD, DAY));
    let sim = start(spec.first_byte(Latency::Uniform { from: millis(1), to: millis(20) }));
    let desk = desk(&sim);
    let (mut whole, mut refused, mut broken) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let gateway = Gateway::start(&desk, &[]);
        let ended = Arc::new(AtomicUsize::new(0));
        let mut all = JoinSet::new();
        for number in 0..REQUESTS {
            let (id, is_stream) = (format!("r{round}-{number}"), number % 2 == 1);
            let request = if is_stream { gateway.stream(&id) } else { gateway.chat(&id) };
            let ended = Arc::clone(&ended);
            all.spawn(async move {
                let ending = ending(is_stream, request).await;
                ended.fetch_add(1, Ordering::AcqRel);
                (id, ending)
            });
        }
        let enough = rng.usize(0..REQUESTS);
        until("some have ended", || ended.load(Ordering::Acquire) >= enough);
        gateway.program.kill();
        for (id, ending) in all.join_all().await {
            match ending {
                Ending::Whole => whole.push(id),
                Ending::Refused => refused += 1,
                Ending::Broken => broken += 1,
            }
        }
    }
    let (ledger, served) = (sim.ledger(), served(&sim));
    for id in &whole {
        assert_eq!(served.get(id), Some(&1), "{id}");
    }
    println!(
        "{ROUNDS} kills: {} requests, {} whole, {refused} refused, {broken} broken, {} calls of {}",
        ROUNDS * REQUESTS,
        whole.len(),
        ledger.calls,
        KEYS * RPD
    );
    assert!(refused > 0, "the day was used up");
    assert_eq!(ledger.count(Outcome::Throttled), 0, "and not one call was made beyond it");
    assert!(ledger.calls <= KEYS * RPD && ledger.calls >= KEYS * RPD / 2, "a kill costs a few: {ledger:?}");
}

/// Sends so many, one after the other. Tells how many were served.
async fn send(gateway: &Gateway, name: &str, count: usize) -> usize {
    let mut served = 0;
    for number in 0..count {
        let answer = gateway.chat(&format!("{name}-{number}")).send().await.expect("an answer");
        served += usize::from(answer.status() == 200);
    }
    served
}

#[tokio::test]
async fn a_full_disk_under_the_access_log_costs_lines_and_nothing_else() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &["--set", "server.access_log=/dev/full"]);
    assert_eq!(send(&gateway, "r", 300).await, 300);
    let ended = gateway.terminate();
    let told: Vec<&str> = ended.exited(0).stderr.lines().filter(|line| line.contains("access log")).collect();
    assert_eq!(told.len(), 2, "at once, and at the end: {told:?}");
    assert!(told[0].contains("missing=1 ") && told[0].contains("No space left"), "{told:?}");
    assert!(told[1].contains("missing=299"), "{told:?}");
}

/// A shell that becomes the program, which a full disk doesn't kill then: a limit of the size of files sends a signal.
const DEAF_TO_LIMITS: [&str; 4] = ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// Whether the gateway can write to files.
#[derive(Clone, Copy)]
enum Room {
    None,
    Enough,
}

fn make_room(gateway: &Gateway, room: Room) {
    let pid = Pid::from_raw(gateway.program.pid().try_into().expect("a number")).expect("a process");
    let current = match room {
        Room::None => Some(0),
        Room::Enough => None,
    };
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).expect("it is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_stops_no_traffic_and_is_used_again_when_it_can_be() {
    const FORGETFUL: &str = "ready, but a restart will forget what happens\n";
    let sim = start(SimSpec::with_keys(3).limited(LimitSpec::requests(1_000, DAY)));
    let desk = desk(&sim);
    let words = ["--set", "server.access_log=access.jsonl"];
    let gateway = Gateway::start_by(&desk, &DEAF_TO_LIMITS, &words, &[]);
    assert_eq!(send(&gateway, "before", 10).await, 10);
    assert_eq!(ready(&gateway).await, "ready\n");

    make_room(&gateway, Room::None);
    assert_eq!(send(&gateway, "during", 100).await, 100);
    let done = desk.run(&keys("rest --key k0 --for 1h --json")).exited(0).summary();
    assert!(done[0]["done"]["not_durable"].is_string(), "{done}");
    assert!(status(&desk)["not_durable"].is_string(), "{}", status(&desk));
    assert_eq!(ready(&gateway).await, FORGETFUL);
    assert!(gateway.metrics().await.contains("keywheel_state_durable 0\n"));
    assert_eq!(send(&gateway, "rested", 10).await, 10);

    make_room(&gateway, Room::Enough);
    let done = desk.run(&keys("rest --key k1 --for 1h --json")).exited(0).summary();
    assert!(done[0]["done"]["not_durable"].is_null(), "whoever waits for it has it tried at once: {done}");
    assert!(status(&desk)["not_durable"].is_null());
    assert_eq!(ready(&gateway).await, "ready\n");
    assert!(gateway.metrics().await.contains("keywheel_state_durable 1\n"));
    assert_eq!(send(&gateway, "after", 10).await, 10);
    let ended = gateway.terminate();
    assert_eq!(ended.exited(0).stderr.matches("the state isn't kept").count(), 1, "{}", ended.stderr);
    // Lines are written by and by, and may meet the room that there is then.
    let missing = ended
        .stderr
        .split("missing=")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    let logged = desk.read("access.jsonl").lines().count();
    assert_eq!((logged + missing.sum::<usize>(), logged < 130), (130, true), "{}", ended.stderr);

    // What was said while there was no room is known to the next one.
    let before = (calls(&sim, "k0"), calls(&sim, "k1"));
    let gateway = Gateway::start(&desk, &[]);
    assert_eq!(send(&gateway, "next", 20).await, 20);
    assert_eq!((calls(&sim, "k0"), calls(&sim, "k1")), before, "both rest");
    gateway.terminate().exited(0);
}

async fn ready(gateway: &Gateway) -> String {
    let answer = gateway.get("/readyz").send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "it takes requests");
    answer.text().await.expect("text")
}

#[tokio::test]
async fn a_state_that_cannot_be_had_is_told_at_the_start() {
    let sim = start(SimSpec::with_keys(2));
    let desk = desk_with(&sim, "[state]\ndir = \"file/state\"\n").with("file", "");
    let gateway = Gateway::start(&desk, &[]);
    assert_eq!(send(&gateway, "r", 10).await, 10);
    assert_eq!(ready(&gateway).await, "ready, but a restart will forget what happens\n");
    let told = gateway.admin_status().await;
    assert_eq!(told["not_durable"], "the state couldn't be used when it began");
    let ended = gateway.terminate();
    for said in [
        "nothing is remembered and nothing kept, for the state in ",
        "hint: ",
        "there is no admin socket at ",
    ] {
        assert!(ended.exited(0).stderr.contains(said), "{}", ended.stderr);
    }
}

/// The library that gives a program another calendar, from Debian's package `faketime`.
fn calendar_of_our_own() -> String {
    let places = fs::read_dir("/usr/lib").expect("there is one").filter_map(Result::ok);
    let library =
        places.map(|place| place.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    let library = library.expect("this test sets calendars: `apt-get install faketime`");
    library.to_str().expect("a plain path").to_owned()
}

/// A desk beside whose gateways there is a calendar that anybody can set.
struct Calendar {
    library: String,
    file: PathBuf,
}

impl Calendar {
    fn of(desk: &Desk) -> Self {
        let calendar = Self { library: calendar_of_our_own(), file: desk.path("calendar") };
        calendar.set("+0");
        calendar
    }

    /// So many days from today.
    fn set(&self, offset: &str) {
        // In one step: it is read at any time.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{offset}\n")).expect("it is ours");
        fs::rename(next, &self.file).expect("it is ours");
    }

    fn gateway(&self, desk: &Desk) -> Gateway {
        let file = self.file.to_str().expect("a plain path");
        let environment = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        Gateway::start_by(desk, &[], &["--set", "server.access_log=access.jsonl"], &environment)
    }
}

const RPD: usize = 20;

#[tokio::test]
async fn a_calendar_that_jumps_gives_no_day_twice_and_keeps_none_for_ever() {
    let sim = start(SimSpec::with_keys(1).limited(LimitSpec::requests(RPD as u64, DAY)));
    let desk = desk(&sim);
    let calendar = Calendar::of(&desk);
    let gateway = calendar.gateway(&desk);
    for (offset, count) in [("+0", 6), ("+1d", 4), ("-1d", 4)] {
        calendar.set(offset);
        assert_eq!(send(&gateway, offset, count).await, count, "{offset}");
    }
    gateway.terminate().exited(0);
    let dates: BTreeSet<String> =
        desk.read("access.jsonl").lines().map(|line| line[7..17].to_owned()).collect();
    assert_eq!(dates.len(), 3, "it has lived on three days: {dates:?}");

    let gateway = calendar.gateway(&desk);
    assert_eq!(send(&gateway, "again", RPD).await, RPD - 14, "what is left, and no more");
    let ledger = sim.ledger();
    assert_eq!((ledger.calls, ledger.count(Outcome::Throttled)), (RPD as u64, 0));
    gateway.terminate().exited(0);

    // The next day but one, for the provider as well.
    calendar.set("+1d");
    sim.reset();
    let gateway = calendar.gateway(&desk);
    assert_eq!(send(&gateway, "later", RPD + 5).await, RPD);
    assert_eq!(sim.ledger().count(Outcome::Throttled), 0);
    gateway.terminate().exited(0);
}

#[tokio::test]
async fn killed_while_its_calendar_was_ahead_it_gives_no_day_twice() {
    let sim = start(SimSpec::with_keys(2).limited(LimitSpec::requests(RPD as u64, DAY)));
    let desk = desk(&sim);
    desk.run(&keys("disable --key k1")).exited(0);
    let calendar = Calendar::of(&desk);
    let gateway = calendar.gateway(&desk);
    assert_eq!(send(&gateway, "first", RPD).await, RPD);
    calendar.set("+1d");
    // Something is kept with the date of tomorrow.
    desk.run(&keys("rest --key k1 --for 1h")).exited(0);
    gateway.program.kill();

    calendar.set("+0");
    let gateway = calendar.gateway(&desk);
    assert_eq!(send(&gateway, "again", 10).await, 0);
    let ledger = sim.ledger();
    assert_eq!((ledger.calls, ledger.count(Outcome::Throttled)), (RPD as u64, 0), "nobody even asked");
    gateway.terminate().exited(0);
}
