//! After an edit: what a running keywheel makes of it, and what is told.

use std::path::PathBuf;

use serde::Serialize;

use super::stdout;
use crate::admin::Operator;
use crate::config::{Home, Problem, Saved};
use crate::exit::Exit;
use crate::ui::screen::say;

/// Who reads what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::command) enum Reader {
    /// A person.
    Person,
    /// A program.
    Program,
}

impl Reader {
    /// What the flag `--json` asks for.
    pub(in crate::command) const fn of_flag(json: bool) -> Self {
        if json { Self::Program } else { Self::Person }
    }
}

/// What a running keywheel made of an edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(in crate::command) enum Running {
    /// Nothing runs.
    None,
    /// It goes by the new configuration.
    Reloaded {
        /// Its process.
        pid: u32,
        /// What changed, a line each.
        changes: Vec<String>,
    },
    /// It goes on as before.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Running {
    fn reload(home: &Home) -> Self {
        match Operator::of(home).reload() {
            Ok(None) => Self::None,
            Ok(Some(reloaded)) => Self::Reloaded { pid: reloaded.pid, changes: reloaded.changes },
            Err(error) => Self::Refused { reason: format!("{error:#}") },
        }
    }

    fn sentence(&self) -> Option<String> {
        match self {
            Self::None | Self::Refused { .. } => None,
            Self::Reloaded { pid, changes } if changes.is_empty() => {
                Some(format!("The running keywheel (process {pid}) has read it; nothing changes for it."))
            }
            Self::Reloaded { pid, changes } => {
                let changes = changes.join(", ");
                Some(format!("The running keywheel (process {pid}) has taken it over: {changes}."))
            }
        }
    }
}

/// An edit that is on the disk.
pub(in crate::command) struct Ending<T> {
    /// What was done, in one word for programs.
    pub(in crate::command) action: &'static str,
    /// To what.
    pub(in crate::command) what: T,
    /// The same for people.
    pub(in crate::command) sentence: String,
    /// How it was saved.
    pub(in crate::command) saved: Saved,
    /// Who is told.
    pub(in crate::command) reader: Reader,
}

#[derive(Serialize)]
struct Report<'a, T> {
    action: &'static str,
    what: &'a T,
    file: &'a PathBuf,
    running: &'a Running,
}

impl<T: Serialize> Ending<T> {
    /// Has a running keywheel take it over, and tells everything.
    pub(in crate::command) fn tell(self) -> anyhow::Result<Exit> {
        warn(&self.saved.warnings);
        let file = self.saved.shown.display();
        if let Some(mode) = self.saved.mode_before {
            say(&format!(
                "{file} holds a secret now, so only its owner may read it any more (mode 0600, was {mode:04o})"
            ));
        }
        let running = Running::reload(&self.saved.home);
        match self.reader {
            Reader::Program => stdout::print_json(&Report {
                action: self.action,
                what: &self.what,
                file: &self.saved.path,
                running: &running,
            })?,
            Reader::Person => {
                stdout::print_line(&self.sentence)?;
                running.sentence().map_or(Ok(()), |sentence| stdout::print_line(&sentence))?;
            }
        }
        match running {
            Running::None | Running::Reloaded { .. } => Ok(Exit::Done),
            Running::Refused { reason } => {
                say(&format!(
                    "error: {file} is changed, but the running keywheel goes on as before: {reason}"
                ));
                Ok(Exit::Broken)
            }
        }
    }
}

/// Tells what is probably not meant.
pub(in crate::command) fn warn(warnings: &[Problem]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
}
