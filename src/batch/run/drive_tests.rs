//! The loop, with answers that the tests give themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use keywheel_actors::clock::Clock;
use keywheel_actors::error::SendError;
use keywheel_actors::outcome::Served;
use keywheel_actors::request::Request;
use keywheel_actors::{Answer, AnswerBody};
use tokio::sync::{mpsc, oneshot, watch};

use super::drive::{Driven, End, Plan, drive};
use super::stop::{Stage, Stop};
use crate::batch::answer::Answered;
use crate::batch::budget::RunLimits;
use crate::batch::chronicle::Recorder;
use crate::batch::input::hash::RowHash;
use crate::batch::input::read::ReadRow;
use crate::batch::input::row::{Rejected, Row, RunId};
use crate::batch::output::Format;
use crate::batch::output::write::Placed;

/// A run whose answers the test gives itself, in its own order.
struct Scenario {
    rows: mpsc::Sender<io::Result<ReadRow>>,
    taken: Option<mpsc::Receiver<io::Result<ReadRow>>>,
    lines: mpsc::Receiver<Placed>,
    written: Option<mpsc::Sender<Placed>>,
    say: watch::Sender<Stage>,
    plan: Plan,
    asked: RefCell<BTreeMap<String, oneshot::Sender<Result<Answer, SendError>>>>,
}

impl Scenario {
    fn new(window: usize) -> Self {
        let (rows, taken) = mpsc::channel(16);
        let (written, lines) = mpsc::channel(16);
        let (say, stages) = watch::channel(Stage::Go);
        let plan = Plan {
            run: RunId::fixed("r"),
            window,
            stop: Stop::on(stages),
            limits: RunLimits::default(),
            clock: Clock::start(),
            progress: Arc::default(),
            recorder: Recorder::default(),
        };
        let asked = RefCell::default();
        Self { rows, taken: Some(taken), lines, written: Some(written), say, plan, asked }
    }

    /// Puts rows for these models into the input.
    fn rows(&self, models: &[&str]) {
        for (line, model) in (1..).zip(models) {
            let row = Row {
                line,
                custom_id: format!("id-{model}"),
                hash: RowHash::default(),
                path: "/x".to_owned(),
                model: (*model).into(),
                body: Bytes::new(),
            };
            self.rows.try_send(Ok(Ok(row))).unwrap();
        }
    }

    /// Runs `story` beside the loop, until both have ended.
    async fn play(mut self, story: impl AsyncFnOnce(&mut Story<'_>)) -> (Driven, Vec<String>) {
        let send = |request: Request| {
            let (tell, told) = oneshot::channel();
            self.asked.borrow_mut().insert(request.model.to_string(), tell);
            async { Answered::by_wheel(told.await.unwrap_or(Err(SendError::Lost))) }
        };
        let taken = self.taken.take().unwrap();
        let written = self.written.take().unwrap();
        let mut story_of = Story {
            asked: &self.asked,
            rows: Some(self.rows),
            say: &self.say,
            lines: Some(self.lines),
            seen: Vec::new(),
        };
        let (driven, ()) = tokio::join!(drive(&self.plan, taken, written, send), story(&mut story_of));
        while let Some(line) = story_of.lines.as_mut().and_then(|lines| lines.try_recv().ok()) {
            story_of.seen.push(text(&line));
        }
        (driven, story_of.seen)
    }
}

struct Story<'a> {
    asked: &'a RefCell<BTreeMap<String, oneshot::Sender<Result<Answer, SendError>>>>,
    rows: Option<mpsc::Sender<io::Result<ReadRow>>>,
    say: &'a watch::Sender<Stage>,
    lines: Option<mpsc::Receiver<Placed>>,
    seen: Vec<String>,
}

impl Story<'_> {
    /// Lets the loop go as far as it can, which takes one poll; the second is for either order of polling.
    async fn settle(&self) {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }

    async fn under_way(&self) -> Vec<String> {
        self.settle().await;
        self.asked.borrow().keys().cloned().collect()
    }

    async fn answer(&mut self, model: &str, result: Result<Answer, SendError>) {
        self.settle().await;
        let tell = self.asked.borrow_mut().remove(model).unwrap();
        tell.send(result).unwrap();
        let line = self.lines.as_mut().unwrap().recv().await.unwrap();
        self.seen.push(text(&line));
    }
}

fn text(placed: &Placed) -> String {
    let entry = placed.line.encode(Format::OpenAi).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&entry.text).unwrap();
    let name = value["custom_id"].as_str().unwrap_or("-");
    format!("{name} {}", value["error"]["code"].as_str().unwrap_or("ok"))
}

fn served() -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: AnswerBody::Whole(Bytes::from_static(b"{}")),
        served: Served { provider: "p".into(), fell_back: false, attempts: Vec::new() },
        usage: None,
    }
}

#[tokio::test]
async fn lines_come_in_order_of_completion() {
    let scenario = Scenario::new(8);
    scenario.rows(&["a", "b", "c"]);
    let (driven, lines) = scenario
        .play(async |story| {
            story.rows = None;
            story.answer("c", Ok(served())).await;
            story.answer("a", Err(SendError::Lost)).await;
            story.answer("b", Ok(served())).await;
        })
        .await;
    assert_eq!(lines, ["id-c ok", "id-a lost", "id-b ok"]);
    assert!(matches!(driven.end, End::Complete));
    assert_eq!((driven.taken, driven.left), (3, 0));
    assert_eq!((driven.tally.rows.ok, driven.tally.rows.failed), (2, 1));
    assert_eq!(driven.tally.errors, BTreeMap::from([("lost", 1)]));
}

#[tokio::test]
async fn no_more_rows_are_under_way_than_the_window_holds() {
    let scenario = Scenario::new(2);
    scenario.rows(&["a", "b", "c"]);
    scenario
        .play(async |story| {
            story.rows = None;
            assert_eq!(story.under_way().await, ["a", "b"]);
            story.answer("a", Ok(served())).await;
            assert_eq!(story.under_way().await, ["b", "c"]);
            story.answer("b", Ok(served())).await;
            story.answer("c", Ok(served())).await;
        })
        .await;
}

#[tokio::test]
async fn an_invalid_row_has_its_line_and_no_call() {
    let scenario = Scenario::new(8);
    let progress = Arc::clone(&scenario.plan.progress);
    scenario.rows.try_send(Ok(Err(Rejected::invalid(1, None, "no")))).unwrap();
    let (driven, lines) = scenario
        .play(async |story| {
            story.rows = None;
            assert!(story.under_way().await.is_empty());
        })
        .await;
    assert_eq!(lines, ["- invalid_line"]);
    assert_eq!(driven.tally.rows.invalid, 1);
    assert_eq!(progress.rows(), driven.tally.rows);
}

#[tokio::test]
async fn the_first_word_drains() {
    let scenario = Scenario::new(1);
    scenario.rows(&["a", "b"]);
    let (driven, lines) = scenario
        .play(async |story| {
            assert_eq!(story.under_way().await, ["a"]);
            story.say.send_replace(Stage::Drain);
            story.answer("a", Ok(served())).await;
            assert!(story.under_way().await.is_empty(), "`b` is not begun");
        })
        .await;
    assert_eq!(lines, ["id-a ok"]);
    assert!(matches!(driven.end, End::Interrupted));
    assert_eq!((driven.taken, driven.left), (1, 0));
}

#[tokio::test]
async fn the_second_word_leaves_what_is_under_way() {
    let scenario = Scenario::new(8);
    scenario.rows(&["a", "b"]);
    let (driven, lines) = scenario
        .play(async |story| {
            story.answer("b", Ok(served())).await;
            story.say.send_replace(Stage::Leave);
        })
        .await;
    assert_eq!(lines, ["id-b ok"]);
    assert!(matches!(driven.end, End::Interrupted));
    assert_eq!((driven.taken, driven.left), (2, 1));
}

#[tokio::test]
async fn a_broken_input_lets_the_rows_before_it_end() {
    let scenario = Scenario::new(8);
    scenario.rows(&["a"]);
    scenario.rows.try_send(Err(io::Error::other("unplugged"))).unwrap();
    let (driven, lines) = scenario.play(async |story| story.answer("a", Ok(served())).await).await;
    assert_eq!(lines, ["id-a ok"]);
    assert!(matches!(driven.end, End::ReadFailed(error) if error.to_string() == "unplugged"));
}

#[tokio::test]
async fn a_writer_that_is_gone_ends_the_run() {
    let scenario = Scenario::new(8);
    scenario.rows(&["a", "b"]);
    let (driven, _) = scenario
        .play(async |story| {
            story.settle().await;
            story.lines = None;
            let tell = story.asked.borrow_mut().remove("a").unwrap();
            tell.send(Ok(served())).unwrap();
        })
        .await;
    assert!(matches!(driven.end, End::WriterGone));
    assert_eq!((driven.taken, driven.left), (2, 1));
}
