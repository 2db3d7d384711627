//! The thread that shows a run while it goes on.
//!
//! It only reads what others publish, so a slow terminal slows nobody.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use keywheel_actors::board::{Board, KeyView};
use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::event::Event;
use keywheel_actors::id::KeyId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::eta::{by_pace, by_quota};
use super::face::Face;
use super::progress::Progress;
use super::told::{Told, ToldStage};
use crate::batch::books::accounts::{Accounts, Permit};
use crate::batch::books::ledger::Ledger;
use crate::batch::run::stop::Stage;
use crate::ui::feed::Feed;
use crate::ui::keys::{self, KeyPanel};
use crate::ui::meter::Meter;
use crate::ui::screen::{Block, Screen, say};
use crate::ui::strip::SLOT;
use crate::ui::style::Style;

/// Redraws for each slot of the strips: eight a second look alive and cost nothing.
const TICKS_PER_SLOT: u32 = 2;

/// Slots from one line for programs to the next: a second.
const SLOTS_PER_JSON: u64 = 4;

/// How often a pipe gets a line.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where everything is read.
#[derive(Clone, Debug)]
pub(in crate::batch) struct Sources {
    /// The rows.
    pub progress: Arc<Progress>,
    /// The keys and providers.
    pub board: Board,
    /// The keys' counters at the start.
    pub ledger: Arc<Ledger>,
    /// The limits.
    pub accounts: Accounts,
    /// The clock of the board's moments.
    pub clock: Clock,
}

/// A running display.
#[derive(Debug)]
pub(in crate::batch) struct Display {
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Display {
    /// Starts to show on `screen`.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(in crate::batch) fn start(
        screen: Screen,
        sources: Sources,
        events: Receiver<Event>,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("batch-show".to_owned()).spawn(move || match screen {
            Screen::Live(block) => show_block(block, &sources, events, &stopped),
            Screen::Lines => show_lines(&sources, events, &stopped),
            Screen::Json => show_json(&sources, &stopped),
            Screen::Quiet => {}
        })?;
        Ok(Self { stop, thread })
    }

    /// Clears the screen for what follows.
    pub(in crate::batch) fn finish(self) {
        drop(self.stop);
        // A display that panicked has said so; the run itself is well.
        let _ = self.thread.join();
    }
}

fn show_block(
    mut block: Block,
    sources: &Sources,
    mut events: Receiver<Event>,
    stopped: &mpsc::Receiver<()>,
) {
    let style = block.style();
    let mut panel = KeyPanel::default();
    let mut pace = Pace::default();
    let mut feed = Feed::default();
    let mut ticks = 0_u32;
    loop {
        while let Some(event) = next(&mut events) {
            feed.note(&event);
        }
        let now = sources.clock.now();
        let keys = sources.ledger.keys(&sources.board);
        if ticks.is_multiple_of(TICKS_PER_SLOT) {
            panel.tick(&keys);
        }
        ticks = ticks.wrapping_add(1);
        let width = block.width();
        let mut lines = face(sources, &mut pace, &keys, now).block(style, width);
        lines.extend(keys::resting_lines(&sources.board.providers(), now, style));
        lines.extend(panel.lines(&keys, now, style, width));
        lines.extend(feed.lines(style));
        block.show(&lines);
        if is_stopped(stopped, SLOT / TICKS_PER_SLOT) {
            return block.clear();
        }
    }
}

fn show_lines(sources: &Sources, mut events: Receiver<Event>, stopped: &mpsc::Receiver<()>) {
    let mut feed = Feed::default();
    let mut pace = Pace::default();
    let mut said_at = sources.clock.now();
    let mut said_stage = Stage::Go;
    loop {
        let now = sources.clock.now();
        let keys = sources.ledger.keys(&sources.board);
        let face = face(sources, &mut pace, &keys, now);
        while let Some(event) = next(&mut events) {
            if let Some(line) = feed.note(&event) {
                say(&line.draw(Style::Plain));
            }
        }
        if now.since(said_at) >= LINE_EVERY || face.stage != said_stage {
            say(&face.line(&keys::states(&keys)));
            said_at = now;
            said_stage = face.stage;
        }
        if is_stopped(stopped, SLOT) {
            return;
        }
    }
}

/// Tells programs, and that it is over, too.
fn show_json(sources: &Sources, stopped: &mpsc::Receiver<()>) {
    let start = sources.clock.now();
    let mut panel = KeyPanel::default();
    let mut pace = Pace::default();
    let mut is_over = false;
    for tick in 0_u64.. {
        let now = sources.clock.now();
        let keys = sources.ledger.keys(&sources.board);
        panel.tick(&keys);
        let face = face(sources, &mut pace, &keys, now);
        if is_over || tick.is_multiple_of(SLOTS_PER_JSON) {
            let stage = if is_over { ToldStage::Over } else { ToldStage::of(face.stage) };
            say(&Told::of(&face, stage, &keys, |key| panel.per_second(key), (start, now)).line());
        }
        if is_over {
            return;
        }
        is_over = is_stopped(stopped, SLOT);
    }
}

/// What was read off the counters lately.
#[derive(Debug, Default)]
struct Pace {
    rows: Meter,
    tokens: Meter,
}

fn face(sources: &Sources, pace: &mut Pace, keys: &[(KeyId, KeyView)], now: Moment) -> Face {
    let progress = &sources.progress;
    let (rows, usage) = (progress.rows(), progress.usage());
    pace.rows.note(now, rows.answered());
    pace.tokens.note(now, usage.total_tokens());
    let permits = sources.accounts.permits(keys, now).filter(|permits| !permits.is_empty());
    let mut face = Face {
        rows,
        done_before: progress.done_before(),
        from_cache: progress.cache_hits(),
        total: progress.total().and(progress.done_before()),
        under_way: progress.under_way(),
        throttled_calls: keys.iter().map(|(_, view)| view.counts.throttled).sum(),
        per_second: pace.rows.per_second(),
        permitted_per_second: permits.as_deref().and_then(Permit::sum),
        usage,
        tokens_per_second: pace.tokens.per_second(),
        spending: progress.spending(),
        eta: None,
        stage: progress.stage(),
    };
    face.eta = face.left().and_then(|left| eta(left, permits.as_deref(), &pace.rows));
    face
}

/// By the quota where it is known, since that bounds the run; else by the pace so far.
///
/// A pace that has stayed below the quota although no account rests will go on so: then something
/// else bounds the run, such as how long answers take.
fn eta(left: u64, permits: Option<&[Permit]>, pace: &Meter) -> Option<Duration> {
    let by_pace = by_pace(left as f64, pace.per_second());
    let Some(permits) = permits else {
        return by_pace;
    };
    let by_quota = by_quota(left, permits)?;
    let rests = permits.iter().any(|permit| !permit.after.is_zero());
    match by_pace {
        Some(by_pace) if pace.is_settled() && !rests => Some(by_quota.max(by_pace)),
        Some(_) | None => Some(by_quota),
    }
}

/// The next event that has come. What a slow terminal missed is missed.
fn next(events: &mut Receiver<Event>) -> Option<Event> {
    loop {
        match events.try_recv() {
            Ok(event) => return Some(event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
        }
    }
}

/// Waits for the next tick, or for the end.
fn is_stopped(stopped: &mpsc::Receiver<()>, tick: Duration) -> bool {
    match stopped.recv_timeout(tick) {
        Err(RecvTimeoutError::Timeout) => false,
        Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
    }
}

#[cfg(test)]
mod tests {
    use keywheel_actors::outcome::Usage;

    use super::*;
    use crate::batch::RowCounts;

    fn sources() -> Sources {
        Sources {
            progress: Arc::new(Progress::new(None)),
            board: Board::default(),
            ledger: Arc::new(Ledger::default()),
            accounts: Accounts::default(),
            clock: Clock::start(),
        }
    }

    #[test]
    fn a_face_shows_what_the_threads_published() {
        let sources = sources();
        let mut pace = Pace::default();
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        face(&sources, &mut pace, &[], at(1));
        sources.progress.note_rows(RowCounts { ok: 30, failed: 10, ..RowCounts::default() }, 5);
        sources.progress.note_draining();
        sources.progress.note_usage(Usage { input_tokens: 500, output_tokens: 100, cached_tokens: 0 });
        let face = face(&sources, &mut pace, &[], at(3));
        assert_eq!((face.rows.answered(), face.under_way, face.stage), (40, 5, Stage::Drain));
        assert!((face.per_second - 20.0).abs() < 1e-9);
        assert!((face.tokens_per_second - 300.0).abs() < 1e-9);
        assert_eq!((face.permitted_per_second, face.eta), (None, None));
    }

    #[test]
    fn the_quota_tells_the_time_left_unless_something_else_is_slower() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        let mut pace = Meter::default();
        pace.note(Moment::after_start(Duration::from_secs(0)), 0);
        pace.note(Moment::after_start(Duration::from_secs(5)), 25);
        let permit = |after_s| [Permit { per_second: 10.0, after: Duration::from_secs(after_s) }];
        assert_eq!(eta(100, None, &pace), secs(20));
        assert_eq!(eta(100, Some(&permit(0)), &pace), secs(10), "too early to say");
        pace.note(Moment::after_start(Duration::from_secs(10)), 50);
        assert_eq!(eta(100, Some(&permit(0)), &pace), secs(20));
        assert_eq!(eta(100, Some(&permit(3)), &pace), secs(13), "it is slow because the key rests");
    }

    #[test]
    fn a_display_ends_when_the_run_does() {
        let (_, events) = tokio::sync::broadcast::channel(1);
        Display::start(Screen::Lines, sources(), events.resubscribe()).unwrap().finish();
        Display::start(Screen::Json, sources(), events.resubscribe()).unwrap().finish();
        Display::start(Screen::Quiet, sources(), events).unwrap().finish();
    }
}
