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

use super::face::Face;
use super::progress::Progress;
use crate::batch::books::accounts::Accounts;
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
    let mut meter = Meter::default();
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
        let mut lines = face(sources, &mut meter, &keys, now).block(style);
        lines.extend(keys::resting_lines(&sources.board.providers(), now, style));
        lines.extend(panel.lines(&keys, now, style));
        lines.extend(feed.lines(style));
        block.show(&lines);
        if is_stopped(stopped, SLOT / TICKS_PER_SLOT) {
            return block.clear();
        }
    }
}

fn show_lines(sources: &Sources, mut events: Receiver<Event>, stopped: &mpsc::Receiver<()>) {
    let mut feed = Feed::default();
    let mut meter = Meter::default();
    let mut said_at = sources.clock.now();
    let mut said_stage = Stage::Go;
    loop {
        let now = sources.clock.now();
        let keys = sources.ledger.keys(&sources.board);
        let face = face(sources, &mut meter, &keys, now);
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

fn face(sources: &Sources, meter: &mut Meter, keys: &[(KeyId, KeyView)], now: Moment) -> Face {
    let rows = sources.progress.rows();
    meter.note(now, rows.answered());
    Face {
        rows,
        total: sources.progress.total(),
        under_way: sources.progress.under_way(),
        throttled_calls: keys.iter().map(|(_, view)| view.counts.throttled).sum(),
        per_second: meter.per_second(),
        permitted_per_second: sources.accounts.permitted_per_second(keys),
        stage: sources.progress.stage(),
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
        let mut meter = Meter::default();
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        face(&sources, &mut meter, &[], at(1));
        sources.progress.note_rows(RowCounts { ok: 30, failed: 10, ..RowCounts::default() }, 5);
        sources.progress.note_draining();
        let face = face(&sources, &mut meter, &[], at(3));
        assert_eq!((face.rows.answered(), face.under_way, face.stage), (40, 5, Stage::Drain));
        assert!((face.per_second - 20.0).abs() < 1e-9);
        assert_eq!(face.permitted_per_second, None);
    }

    #[test]
    fn a_display_ends_when_the_run_does() {
        let (_, events) = tokio::sync::broadcast::channel(1);
        Display::start(Screen::Lines, sources(), events.resubscribe()).unwrap().finish();
        Display::start(Screen::Quiet, sources(), events).unwrap().finish();
    }
}
