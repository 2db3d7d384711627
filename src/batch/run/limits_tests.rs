//! Runs that a limit ends: which rows go, which stay, and what is written.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::error::SendError;
use keywheel_actors::id::KeyId;
use keywheel_actors::outcome::{Attempt, Served, Usage};
use keywheel_actors::request::Request;
use keywheel_actors::{Answer, AnswerBody};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::drive::{Driven, End, Plan, drive};
use super::stop::Stop;
use crate::batch::answer::Answered;
use crate::batch::budget::limits::Halt;
use crate::batch::budget::reckon::tests::{prices, reckoner};
use crate::batch::budget::{Budget, RunLimits};
use crate::batch::chronicle::Recorder;
use crate::batch::input::hash::RowHash;
use crate::batch::input::row::{Row, RunId};
use crate::batch::output::Format;
use crate::batch::output::write::Placed;
use crate::money::Money;

/// Rows that may be under way at once.
const WINDOW: usize = 4;

/// What came of a run, and the names of the rows that have a line.
struct Ran {
    driven: Driven,
    written: Vec<String>,
    /// The most rows that were under way at once.
    most_under_way: usize,
}

/// A row for `cheap` with one token of input and at most `output`: it costs 1 + 10 × output millionths.
fn row(number: u64, output: u64) -> Row {
    Row {
        line: number,
        custom_id: format!("row-{number}"),
        hash: RowHash::default(),
        path: "/chat/completions".to_owned(),
        model: "cheap".into(),
        body: Bytes::from(format!(r#"{{"messages":["abcd"],"max_tokens":{output}}}"#)),
    }
}

/// `count` rows of at most ten tokens of output, each answered after `takes` with `writes` tokens.
async fn run(limits: RunLimits, count: u64, takes: Duration, writes: u64) -> Ran {
    let clock = Clock::start();
    let plan = Plan {
        run: RunId::fixed("r"),
        window: WINDOW,
        stop: Stop::never(),
        limits: limits.clone(),
        clock,
        progress: Arc::default(),
        recorder: Recorder::default(),
    };
    let (put, rows) = mpsc::channel(100);
    for number in 1..=count {
        put.try_send(Ok(Ok(row(number, 10)))).unwrap();
    }
    drop(put);
    let (written, mut lines) = mpsc::channel::<Placed>(100);
    let under_way = RefCell::new((0, 0));
    let send = |_: Request| async {
        let (now, most) = *under_way.borrow();
        *under_way.borrow_mut() = (now + 1, most.max(now + 1));
        let answered = answer(clock, limits.deadline, takes, writes).await;
        under_way.borrow_mut().0 -= 1;
        answered
    };
    let mut names = Vec::new();
    // A row keeps its place until its line is taken.
    let taking = async {
        while let Some(placed) = lines.recv().await {
            let line: serde_json::Value =
                serde_json::from_slice(&placed.line.encode(Format::OpenAi).unwrap().text).unwrap();
            names.push(line["custom_id"].as_str().unwrap().to_owned());
        }
    };
    let (driven, ()) = tokio::join!(drive(&plan, rows, written, send), taking);
    let (_, most_under_way) = *under_way.borrow();
    Ran { driven, written: names, most_under_way }
}

/// As the wheel does: an answer, or at the deadline the word that it is over.
async fn answer(clock: Clock, deadline: Moment, takes: Duration, writes: u64) -> Answered {
    let ready = clock.now() + takes;
    if ready > deadline {
        sleep_until(clock.instant(deadline)).await;
        return Answered::by_wheel(Err(SendError::DeadlineOver { attempts: Vec::new() }));
    }
    sleep_until(clock.instant(ready)).await;
    let call = Attempt {
        key: KeyId { provider: "p".into(), key: "k".into() },
        model: "cheap".into(),
        started: Moment::ZERO,
        took: takes,
        fault: None,
    };
    Answered::by_wheel(Ok(Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: AnswerBody::Whole(Bytes::from_static(b"{}")),
        served: Served { provider: "p".into(), fell_back: false, attempts: vec![call] },
        usage: Some(Usage { input_tokens: 1, output_tokens: writes, cached_tokens: 0 }),
    }))
}

fn micros(count: u128) -> Money {
    Money::of_parts(count * 1_000_000)
}

fn at_most(millionths: u128) -> RunLimits {
    let cost = Some(Budget { most: micros(millionths), reckoner: reckoner() });
    RunLimits { prices: prices(), cost, ..RunLimits::default() }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_budget_is_used_to_its_last_row_and_not_beyond() {
    // Each row reserves 101 and costs 51. After 10 of them, 510 are spent and the next could make it 611.
    let ran = run(at_most(610), 50, SECOND, 5).await;
    assert!(matches!(ran.driven.end, End::Halted(Halt::BudgetSpent)), "{:?}", ran.driven.end);
    assert_eq!((ran.driven.taken, ran.driven.left, ran.written.len()), (10, 0, 10));
    assert_eq!(ran.driven.costs.spent(), micros(510));
    assert_eq!(ran.most_under_way, WINDOW);
}

#[tokio::test(start_paused = true)]
async fn near_its_end_a_budget_lets_fewer_rows_go_at_once() {
    let ran = run(at_most(250), 50, SECOND, 5).await;
    assert_eq!(ran.most_under_way, 2, "202 are reserved, a third would make it 303");
    assert_eq!((ran.driven.taken, ran.driven.costs.spent()), (3, micros(153)), "153 + 101 is more than 250");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_suffices_changes_nothing() {
    let ran = run(at_most(50 * 51 + 4 * 101), 50, SECOND, 5).await;
    assert!(matches!(ran.driven.end, End::Complete), "{:?}", ran.driven.end);
    assert_eq!((ran.driven.taken, ran.driven.costs.spent()), (50, micros(50 * 51)));
}

#[tokio::test(start_paused = true)]
async fn no_more_rows_go_than_may() {
    let limits = RunLimits { rows_max: Some(7), ..RunLimits::default() };
    let ran = run(limits.clone(), 50, SECOND, 5).await;
    assert!(matches!(ran.driven.end, End::Halted(Halt::RowsTaken)), "{:?}", ran.driven.end);
    assert_eq!((ran.driven.taken, ran.written.len()), (7, 7));
    let all = run(limits, 7, SECOND, 5).await;
    assert!(matches!(all.driven.end, End::Complete), "none is left: {:?}", all.driven.end);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_rows_under_way_are_left_without_a_line() {
    // Rounds of four at 0 s and 10 s; the third begins at 20 s and would end at 30 s.
    let deadline = Moment::after_start(Duration::from_secs(25));
    let ran = run(RunLimits { deadline, ..RunLimits::default() }, 50, 10 * SECOND, 5).await;
    assert!(matches!(ran.driven.end, End::Halted(Halt::DeadlineOver)), "{:?}", ran.driven.end);
    assert_eq!((ran.driven.taken, ran.driven.left, ran.written.len()), (12, 4, 8));
    assert_eq!((ran.driven.tally.rows.ok, ran.driven.tally.rows.failed), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cuts_the_last_rows_leaves_the_run_incomplete() {
    let deadline = Moment::after_start(Duration::from_secs(5));
    let ran = run(RunLimits { deadline, ..RunLimits::default() }, 2, 10 * SECOND, 5).await;
    assert!(matches!(ran.driven.end, End::Halted(Halt::DeadlineOver)), "{:?}", ran.driven.end);
    assert_eq!((ran.driven.taken, ran.driven.left, ran.written.len()), (2, 2, 0));
    let in_time = run(RunLimits { deadline, ..RunLimits::default() }, 4, SECOND, 5).await;
    assert!(matches!(in_time.driven.end, End::Complete), "{:?}", in_time.driven.end);
}
