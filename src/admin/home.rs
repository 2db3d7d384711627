//! The state directory: who may look inside, and who has it open.

use std::time::Duration;

use keywheel_actors::store::{Disk, StoreError};

use super::client;
use super::report::{Source, StatusReport};
use crate::config::Home;
use crate::exit::UsageError;
use crate::private;

/// The file of the durable state.
pub const STATE_FILE: &str = "state.redb";

/// A command that looks into the state holds it for milliseconds; whoever holds it longer runs.
const IN_USE_TRIES: u32 = 40;
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

/// What there is to remember with.
#[derive(Debug)]
pub enum Opened {
    /// A store. It may be one that can only be read.
    Store(Disk),
    /// Nothing is remembered and nothing kept, for this reason.
    Nothing(String),
}

/// Who has the durable state, or what is in it.
#[derive(Debug)]
pub(super) enum Found<T, S = Disk> {
    /// A running keywheel has it, and has answered.
    Running(T),
    /// Nobody has.
    Store(S),
}

/// Opens the durable state for a process that runs.
///
/// A disk that is broken keeps nobody from working: it is told, and nothing is kept.
///
/// # Errors
/// [`UsageError`] if another process runs with this state, or it is of a later version.
pub fn prepare(home: &Home) -> Result<Opened, UsageError> {
    let refused = match open_unless(home, || who_runs(home)) {
        Ok(Found::Store(store)) => return Ok(Opened::Store(store)),
        Ok(Found::Running(who)) => return Err(in_use(&who)),
        Err(refused) => refused,
    };
    match refused {
        StoreError::InUse => Err(in_use("another process")),
        StoreError::TooNew { .. } => Err(UsageError {
            problem: format!("can't use the state in {}: {refused}", home.state_dir.display()),
            hint: "use that version, or name another directory with `[state] dir`".to_owned(),
        }),
        // Without a state there is no lock on it either.
        StoreError::Failed(error) => match who_runs(home) {
            Some(who) => Err(in_use(&who)),
            None => Ok(Opened::Nothing(error.to_string())),
        },
    }
}

/// Opens the durable state for a moment, unless whoever has it open answers. That may be one that has just begun, and
/// answers a moment later.
///
/// # Errors
/// If neither can be had, with a hint.
pub(super) fn open_or_ask<T>(home: &Home, answer: impl Fn() -> Option<T>) -> anyhow::Result<Found<T>> {
    open_unless(home, answer).map_err(|error| match error {
        StoreError::InUse => in_use("another process").into(),
        error => anyhow::Error::from(error)
            .context(format!("can't open the state in {}", home.state_dir.display())),
    })
}

fn open_unless<T>(home: &Home, answer: impl Fn() -> Option<T>) -> Result<Found<T>, StoreError> {
    private::create_directory(&home.state_dir).map_err(|error| StoreError::Failed(Box::new(error)))?;
    let path = home.state_dir.join(STATE_FILE);
    for _ in 1..IN_USE_TRIES {
        match Disk::open(&path) {
            Err(StoreError::InUse) => {
                if let Some(answer) = answer() {
                    return Ok(Found::Running(answer));
                }
                pause();
            }
            opened => return opened.map(Found::Store),
        }
    }
    Disk::open(&path).map(Found::Store)
}

#[expect(clippy::disallowed_methods, reason = "the lock of another process can only be asked for again")]
fn pause() {
    std::thread::sleep(IN_USE_PAUSE);
}

/// The running keywheel in a few words, if it answers.
fn who_runs(home: &Home) -> Option<String> {
    let status = client::ask::<StatusReport>(&home.socket, hyper::Method::GET, "/v1/status", Vec::new());
    match status.ok()??.source {
        Source::Live { pid, verb, .. } => Some(format!("`keywheel {verb}` (process {pid})")),
        Source::Durable { .. } => None,
    }
}

fn in_use(who: &str) -> UsageError {
    UsageError {
        problem: format!("{who} runs with this configuration's keys already"),
        hint: "two at once would spend each limit twice: wait for it, stop it, or use a configuration with \
               other keys; a batch beside a gateway goes through it (docs/batch.md)"
            .to_owned(),
    }
}
