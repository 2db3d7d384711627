//! The loop: rows in, a bounded number under way, lines out.
//!
//! It knows the wheel as a function only, so everything here is tested with
//! scripted answers.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use keywheel_actors::clock::Clock;
use keywheel_actors::request::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::stop::{Stage, Stop};
use crate::batch::answer::Answered;
use crate::batch::books::tally::Tally;
use crate::batch::budget::RunLimits;
use crate::batch::budget::costs::Costs;
use crate::batch::budget::gate::{Admission, Gate};
use crate::batch::budget::limits::Halt;
use crate::batch::chronicle::Recorder;
use crate::batch::input::read::ReadRow;
use crate::batch::input::row::{Rejected, Row, RunId};
use crate::batch::output::line::OutputLine;
use crate::batch::output::write::Placed;
use crate::batch::show::progress::Progress;
use crate::money::Money;

/// What the loop is given.
#[derive(Debug)]
pub(in crate::batch) struct Plan {
    /// Names the run in request ids.
    pub run: RunId,
    /// Rows that may be under way at once, at least 1. A row is so until its line outlasts a kill.
    pub window: usize,
    /// The word to end early.
    pub stop: Stop,
    /// How far it may go.
    pub limits: RunLimits,
    /// The clock of the tally.
    pub clock: Clock,
    /// Where the loop tells how far it is.
    pub progress: Arc<Progress>,
    /// Where it tells what came back.
    pub recorder: Recorder,
}

/// What came of it.
#[derive(Debug)]
pub(in crate::batch) struct Driven {
    /// The counts.
    pub tally: Tally,
    /// What was paid.
    pub costs: Costs,
    /// Rows taken from the reader.
    pub taken: u64,
    /// Rows taken and then left without an answer.
    pub left: u64,
    /// Why the loop ended.
    pub end: End,
}

/// Why the loop ended.
#[derive(Debug)]
pub(in crate::batch) enum End {
    /// Every row was taken and answered.
    Complete,
    /// Somebody wanted it to stop.
    Interrupted,
    /// One of its limits; rows are left.
    Halted(Halt),
    /// The input can't be read any further; the rows before have been answered.
    ReadFailed(io::Error),
    /// Nobody writes the lines any more.
    WriterGone,
}

/// What happens next.
enum Step {
    Leave,
    Drain,
    Halt(Halt),
    Read(Option<(Place, io::Result<ReadRow>)>),
    Answered(Box<(Flight, Answered)>),
}

/// A row's place in the window: it is free again when this is dropped.
type Place = OwnedSemaphorePermit;

/// A row under way.
struct Flight {
    place: Place,
    row: Row,
    /// What it may cost.
    reserved: Money,
}

/// Hands every row to `send` and its line to `lines`, in order of completion.
pub(in crate::batch) async fn drive<S, F>(
    plan: &Plan,
    mut rows: mpsc::Receiver<io::Result<ReadRow>>,
    lines: mpsc::Sender<Placed>,
    send: S,
) -> Driven
where
    S: Fn(Request) -> F,
    F: Future<Output = Answered>,
{
    let mut drain = plan.stop.clone();
    let mut leave = plan.stop.clone();
    let places = Arc::new(Semaphore::new(plan.window));
    let mut deadline_over = pin!(plan.limits.deadline_over(plan.clock));
    let mut under_way = FuturesUnordered::new();
    let mut state = Drive::new(plan);
    loop {
        if under_way.is_empty() && state.over.is_some() {
            return state.ended();
        }
        let takes_rows = state.over.is_none() && !state.gate.is_waiting();
        let step = tokio::select! {
            biased;
            () = leave.reached(Stage::Leave) => Step::Leave,
            () = drain.reached(Stage::Drain), if plan.progress.stage() == Stage::Go => Step::Drain,
            () = &mut deadline_over, if state.over.is_none() => Step::Halt(Halt::DeadlineOver),
            // Reading comes before answers: it ends by itself when the window is full.
            row = next_row(&places, &mut state.held, &mut rows), if takes_rows => Step::Read(row),
            Some(answered) = under_way.next(), if !under_way.is_empty() => Step::Answered(Box::new(answered)),
        };
        let line = match step {
            Step::Leave => return state.left(under_way.len(), End::Interrupted),
            // If the input was over already, all of it will have been answered.
            Step::Drain => state.take_no_more(&mut rows, End::Interrupted),
            Step::Halt(halt) => state.take_no_more(&mut rows, End::Halted(halt)),
            Step::Read(None) => state.input_over(End::Complete),
            Step::Read(Some((_, Err(error)))) => state.input_over(End::ReadFailed(error)),
            Step::Read(Some((place, Ok(Err(rejected))))) => Some(state.rejected(place, rejected)),
            Step::Read(Some((place, Ok(Ok(row))))) => {
                let request = row.request(&plan.run);
                match state.gate.admit(&request, plan.clock.now()) {
                    Admission::Go(reserved) => {
                        state.note_sent();
                        let (flight, answer) = (Flight { place, row, reserved }, send(request));
                        under_way.push(async { (flight, answer.await) });
                        None
                    }
                    Admission::Wait => {
                        state.held = Some((place, row));
                        None
                    }
                    Admission::Never(halt) => state.take_no_more(&mut rows, End::Halted(halt)),
                }
            }
            Step::Answered(answered) => {
                let (flight, answered) = *answered;
                state.answered(flight, answered)
            }
        };
        if let Some(line) = line
            && let Err(end) = hand_over(&lines, line, &mut leave).await
        {
            return state.left(under_way.len(), end);
        }
        plan.progress.note_rows(state.tally.rows, under_way.len());
        plan.progress.note_usage(state.tally.usage);
    }
}

/// Where the loop stands, apart from the rows under way.
struct Drive<'a> {
    plan: &'a Plan,
    gate: Gate,
    tally: Tally,
    taken: u64,
    /// A row that waits for money.
    held: Option<(Place, Row)>,
    /// Rows that the run's deadline cut.
    cut: u64,
    /// While rows are still taken this is `None`; then it says why no more are.
    over: Option<End>,
}

impl<'a> Drive<'a> {
    fn new(plan: &'a Plan) -> Self {
        let gate = Gate::of(&plan.limits);
        Self { plan, gate, tally: Tally::default(), taken: 0, held: None, cut: 0, over: None }
    }

    fn note_sent(&mut self) {
        self.taken += 1;
        self.tally.note_sent(self.plan.clock.now());
    }

    /// The line of a row that isn't sent.
    fn rejected(&mut self, place: Place, rejected: Rejected) -> Placed {
        self.taken += 1;
        self.tally.note_rejected(rejected.code);
        Placed { line: OutputLine::rejected(&self.plan.run, rejected), place: Some(place) }
    }

    /// The line of a row that was sent; none for one that the run's deadline cut.
    fn answered(&mut self, flight: Flight, answered: Answered) -> Option<Placed> {
        let Flight { place, row, reserved } = flight;
        self.gate.settle(reserved, &answered);
        if let Some(spending) = self.gate.spending() {
            self.plan.progress.note_spending(spending);
        }
        self.tally.note_result(self.plan.clock.now(), &answered);
        self.plan.recorder.note(&answered);
        if self.gate.cut(&answered) {
            self.cut += 1;
            return None;
        }
        let line = OutputLine::answered(&self.plan.run, row, answered);
        self.tally.note_answered(&line);
        Some(Placed { line, place: Some(place) })
    }

    /// There is nothing more to read.
    fn input_over(&mut self, end: End) -> Option<Placed> {
        self.over = Some(end);
        None
    }

    /// Rows are left, and nobody reads them. What was over before stays so.
    fn take_no_more(&mut self, rows: &mut mpsc::Receiver<io::Result<ReadRow>>, end: End) -> Option<Placed> {
        rows.close();
        self.plan.progress.note_draining();
        self.over.get_or_insert(end);
        None
    }

    /// Nothing is under way any more.
    fn ended(mut self) -> Driven {
        let end = self.over.take().unwrap_or(End::Complete);
        match end {
            End::Complete if self.cut > 0 => self.left(0, End::Halted(Halt::DeadlineOver)),
            End::Complete | End::Interrupted | End::Halted(_) | End::ReadFailed(_) | End::WriterGone => {
                self.left(0, end)
            }
        }
    }

    /// So many rows under way are left.
    fn left(self, under_way: usize, end: End) -> Driven {
        let left = self.cut + under_way as u64;
        Driven { tally: self.tally, costs: self.gate.costs().clone(), taken: self.taken, left, end }
    }
}

/// The row that was held back, or else the next with its place in the window, as soon as there are both.
async fn next_row(
    places: &Arc<Semaphore>,
    held: &mut Option<(Place, Row)>,
    rows: &mut mpsc::Receiver<io::Result<ReadRow>>,
) -> Option<(Place, io::Result<ReadRow>)> {
    if let Some((place, row)) = held.take() {
        return Some((place, Ok(Ok(row))));
    }
    // Nobody closes the places.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    rows.recv().await.map(|row| (place, row))
}

/// Waits for the writer to take `line`, but not beyond the word to leave.
async fn hand_over(lines: &mpsc::Sender<Placed>, line: Placed, leave: &mut Stop) -> Result<(), End> {
    tokio::select! {
        biased;
        sent = lines.send(line) => sent.map_err(|_| End::WriterGone),
        () = leave.reached(Stage::Leave) => Err(End::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use crate::batch::input::hash::RowHash;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use hyper::{HeaderMap, StatusCode};
    use keywheel_actors::error::SendError;
    use keywheel_actors::outcome::Served;
    use keywheel_actors::{Answer, AnswerBody};
    use tokio::sync::{oneshot, watch};

    use super::*;
    use crate::batch::output::Format;

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
            served: Served { provider: "p".into(), attempts: Vec::new() },
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
}
