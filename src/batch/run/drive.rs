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
