//! A whole run on a wheel, from the first line read to the summary.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keywheel_actors::Wheel;
use keywheel_actors::clock::Moment;
use keywheel_actors::request::{Request, Terms};
use tokio::sync::oneshot;

use super::drive::{Driven, End, Plan, drive};
use super::stop::{Stage, Stop};
use crate::batch::answer::{Answered, Answers, Cache};
use crate::batch::books::accounts::Accounts;
use crate::batch::books::deaths::Deaths;
use crate::batch::books::ideal::ideal;
use crate::batch::books::ledger::Ledger;
use crate::batch::books::summary::{Ending, KeyFacts, RowFacts, Summary};
use crate::batch::budget::RunLimits;
use crate::batch::budget::limits::{Halt, no_price};
use crate::batch::chronicle::{Recorder, Watched};
use crate::batch::input::Input;
use crate::batch::input::read;
use crate::batch::input::row::RunId;
use crate::batch::output::{Opened, Output};
use crate::batch::show::display::{Display, Sources};
use crate::batch::show::progress::Progress;
use crate::ui::screen::Screen;

/// How long a run that was told to leave waits for lines that are on their way to the output.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

/// Nothing is under way after a run; this is for the actors to hear of its last answers and to stop.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How a run is to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the run in request ids.
    pub run: RunId,
    /// Rows handed to the wheel at once, at least 1.
    pub window: usize,
    /// How the wheel is to treat each row.
    pub terms: Terms,
    /// What counts as an answer, and where answers are kept.
    pub answers: Answers,
    /// Whose limits the ideal time is reckoned from.
    pub accounts: Accounts,
    /// The word to end early.
    pub stop: Stop,
    /// Where the run is recorded, if somebody wants a report.
    pub recorder: Recorder,
    /// How far it may go.
    pub limits: RunLimits,
}

/// Answers every row of `input` that `output` has no line of yet, and shows the progress on `screen`.
///
/// A broken input or output, and a word to stop, end the run early; the summary tells. The wheel is
/// drained at the end: it takes no jobs afterwards.
///
/// # Errors
/// If the threads can't be had that read, write and show.
pub async fn run(
    options: Options,
    wheel: &Wheel,
    input: Input,
    output: Output,
    screen: Screen,
) -> io::Result<Summary> {
    let Options { run, window, terms, answers, accounts, stop, limits, recorder } = options;
    // Whoever is under way at the deadline is left for the next run.
    let terms = Terms { deadline: terms.deadline.min(limits.deadline), ..terms };
    let progress = Arc::new(Progress::new(input.bytes_total()));
    let ledger = Arc::new(Ledger::open(wheel.board()));
    let events = wheel.events();
    let sources = Sources {
        progress: Arc::clone(&progress),
        board: wheel.board().clone(),
        ledger: Arc::clone(&ledger),
        accounts: accounts.clone(),
        clock: wheel.clock(),
    };
    let display = Display::start(screen, sources, wheel.events())?;

    let plan = Plan {
        run,
        window,
        stop,
        limits,
        clock: wheel.clock(),
        progress: Arc::clone(&progress),
        recorder: recorder.clone(),
    };
    let send = |request| answers.answer(request, terms, |request, terms| wheel.send(request, terms));
    recorder.begin(wheel.clock().now());
    let watched =
        Watched { board: wheel.board(), ledger: &ledger, accounts: &accounts, clock: wheel.clock() };
    let mut deaths = Deaths::default();
    let flow = tokio::select! {
        flow = flow(&plan, input, output, send) => flow?,
        never = recorder.watch(wheel.events(), watched) => match never {},
        never = deaths.follow(events, wheel.board(), wheel.clock()) => match never {},
    };
    recorder.write(|chronicle| chronicle.close(plan.clock.now()));
    display.finish();
    // A caller has its answer before the key's actor hears of it: only then are the counts whole.
    wheel.drain(DRAIN_GRACE).await;

    let keys = ledger.keys(wheel.board());
    let tally = &flow.driven.tally;
    let capacities = accounts.capacities(&keys, &deaths, tally.first_sent.unwrap_or(Moment::ZERO));
    let ideal = ideal(tally.calls.needful(), &capacities);
    let fell_over = ledger.fell_over(wheel.board());
    let summary = flow.summary(&progress, KeyFacts { ideal, keys, fell_over });
    Ok(Summary { cache: answers.cache.as_deref().map(Cache::summary), ..summary })
}

/// Rows through reader, loop and writer: a run as far as it needs no wheel.
async fn flow<S, F>(plan: &Plan, input: Input, output: Output, send: S) -> io::Result<Flow>
where
    S: Fn(Request) -> F,
    F: Future<Output = Answered>,
{
    let Opened { seen, feed, errors, writer } = output.start()?;
    let rows = read::spawn(input, seen, feed, Arc::clone(&plan.progress))?;
    let driven = drive(plan, rows, writer.lines, send).await;
    let ended = last_written(plan.stop.clone(), writer.end).await;
    let written = writer.written.load(Ordering::Acquire);
    // Lines that are all there can be set in order by the next start.
    let write_error = ended
        .err()
        .filter(|error| error.kind() != io::ErrorKind::TimedOut || written < driven.tally.rows.answered());
    Ok(Flow { driven, write_error, written, errors })
}

/// What came of it.
#[derive(Debug)]
struct Flow {
    driven: Driven,
    write_error: Option<io::Error>,
    written: u64,
    errors: Option<PathBuf>,
}

impl Flow {
    fn summary(self, progress: &Progress, keys: KeyFacts) -> Summary {
        let (ending, fault) = ending(self.driven.end, self.write_error);
        let rows = progress.rows_read();
        let facts = RowFacts {
            ending,
            fault,
            rows,
            done_before: progress.done_before(),
            duplicates_skipped: progress.duplicates_skipped(),
            not_run: rows.saturating_sub(self.driven.taken) + self.driven.left,
            written: self.written,
            input_read_whole: progress.input_over(),
            errors_file: self.errors.filter(|path| path.exists()).map(|path| path.display().to_string()),
        };
        let cost = self.driven.costs.summary();
        Summary { cost, ..Summary::of(&self.driven.tally, facts, keys) }
    }
}

/// Waits until everything is written, but not for long once the run is told to leave.
async fn last_written(mut stop: Stop, end: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    let patience = async {
        stop.reached(Stage::Leave).await;
        tokio::time::sleep(LEAVE_GRACE).await;
    };
    tokio::select! {
        biased;
        told = end => told.unwrap_or_else(|_| Err(io::Error::other("the writer's thread crashed"))),
        () = patience => Err(io::Error::new(io::ErrorKind::TimedOut, "the output takes nothing more")),
    }
}

/// Why a run ended: a fault of the output outweighs the rest.
fn ending(end: End, write_error: Option<io::Error>) -> (Ending, Option<String>) {
    if let Some(error) = write_error {
        return (Ending::WriteFailed, Some(error.to_string()));
    }
    match end {
        End::Complete => (Ending::Complete, None),
        End::Interrupted => (Ending::Interrupted, None),
        End::Halted(Halt::BudgetSpent) => (Ending::BudgetSpent, None),
        End::Halted(Halt::RowsTaken) => (Ending::MaxRowsTaken, None),
        End::Halted(Halt::DeadlineOver) => (Ending::DeadlineOver, None),
        End::Halted(Halt::PriceMissing(of)) => (Ending::PriceMissing, Some(no_price(&of))),
        End::ReadFailed(error) => (Ending::ReadFailed, Some(error.to_string())),
        End::WriterGone => (Ending::WriteFailed, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Cursor, Write};
    use std::sync::Mutex;

    use bytes::Bytes;
    use hyper::{HeaderMap, StatusCode};
    use keywheel_actors::clock::Clock;
    use keywheel_actors::error::SendError;
    use keywheel_actors::outcome::Served;
    use keywheel_actors::{Answer, AnswerBody};

    use super::*;

    /// An output that others can look into, and that may be full.
    #[derive(Clone, Default)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        is_full: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Answers at once; every tenth row of the input fails.
    async fn answer(request: Request) -> Answered {
        Answered::by_wheel(by_wheel(request).await)
    }

    async fn by_wheel(request: Request) -> Result<Answer, SendError> {
        tokio::task::yield_now().await;
        let id = request.headers["x-request-id"].to_str().unwrap();
        if id.ends_with('0') {
            return Err(SendError::Lost);
        }
        Ok(Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: AnswerBody::Whole(Bytes::from_static(b"{}")),
            served: Served { provider: "p".into(), fell_back: false, attempts: Vec::new() },
            usage: None,
        })
    }

    async fn summary_of(input: String, disk: Disk) -> Summary {
        let progress = Arc::new(Progress::new(None));
        let plan = Plan {
            run: RunId::fixed("r"),
            window: 64,
            stop: Stop::never(),
            limits: RunLimits::default(),
            clock: Clock::start(),
            progress: Arc::clone(&progress),
            recorder: Recorder::default(),
        };
        let input = Input::new(Cursor::new(input), None);
        let flow = flow(&plan, input, Output::stream(disk), answer).await.unwrap();
        flow.summary(&progress, KeyFacts::default())
    }

    fn row(id: u64) -> String {
        format!(r#"{{"custom_id":"{id}","method":"POST","url":"/v1/x","body":{{"model":"m"}}}}"#)
    }

    #[tokio::test]
    async fn every_row_has_exactly_one_line() {
        let rows: Vec<String> = (1..=1_000).map(row).chain([row(1), "{".to_owned()]).collect();
        let disk = Disk::default();
        let summary = summary_of(rows.join("\n"), disk.clone()).await;
        assert_eq!((summary.rows, summary.ok, summary.failed, summary.invalid), (1_002, 900, 100, 2));
        assert_eq!((summary.lost, summary.not_run, summary.ending), (0, 0, Ending::Complete));
        let written = String::from_utf8(disk.bytes.lock().unwrap().clone()).unwrap();
        let ids: Vec<String> = written
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1_002);
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 1_002);
    }

    #[tokio::test]
    async fn a_full_disk_ends_the_run_loudly() {
        let rows: Vec<String> = (1..=1_000).map(row).collect();
        let summary = summary_of(rows.join("\n"), Disk { is_full: true, ..Disk::default() }).await;
        assert_eq!(summary.ending, Ending::WriteFailed);
        assert_eq!(summary.fault, Some(io::Error::from(io::ErrorKind::StorageFull).to_string()));
        assert_eq!(summary.lost, summary.rows - summary.not_run, "nothing was written");
    }

    #[test]
    fn a_run_can_be_spawned() {
        fn spawnable(_: &(impl Future + Send)) {}
        let _ = |options: Options, wheel: &'static Wheel, input: Input, screen: Screen| {
            spawnable(&run(options, wheel, input, Output::stream(io::sink()), screen));
        };
    }
}
