//! Why a configuration can't be changed.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use keywheel_actors::unit::format_duration;

use super::super::problem::{ConfigError, Problem};

/// Why nothing was changed.
#[derive(Debug)]
pub enum EditError {
    /// What is to be changed isn't there, or what is to be added is.
    NotThere {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// There is no configuration, or it can't be read.
    Unreadable(ConfigError),
    /// The outcome would have mistakes.
    Refused(ConfigError),
    /// Another keywheel edits it, and doesn't come to an end.
    Busy {
        /// The file.
        file: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Somebody else has changed it since it was read.
    ChangedMeanwhile {
        /// The file.
        file: PathBuf,
    },
    /// The configuration is saved, but a file of a secret isn't what it should be by now.
    LeftBehind {
        /// The file.
        file: PathBuf,
        /// Why it isn't.
        error: io::Error,
    },
    /// It can't be written.
    Unwritable {
        /// What was to be written.
        file: PathBuf,
        /// Why it can't be.
        error: io::Error,
    },
}

impl EditError {
    /// Whether something else has to be typed or written, rather than repaired.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NotThere { .. } | Self::Unreadable(_) | Self::Refused(_) => true,
            Self::Busy { .. }
            | Self::ChangedMeanwhile { .. }
            | Self::LeftBehind { .. }
            | Self::Unwritable { .. } => false,
        }
    }

    pub(super) fn unwritable(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |error| Self::Unwritable { file, error }
    }
}

impl From<Problem> for EditError {
    fn from(problem: Problem) -> Self {
        Self::Unreadable(problem.into())
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere { problem, hint } => write!(f, "{problem}\n  hint: {hint}"),
            Self::Unreadable(error) => write!(f, "{error}"),
            Self::Refused(error) => write!(f, "nothing was changed: with this change {error}"),
            Self::Busy { file, waited } => write!(
                f,
                "another keywheel has been editing {} for {}; nothing was changed\n  \
                 hint: wait until it is done, or end it, and try again",
                file.display(),
                format_duration(*waited)
            ),
            Self::ChangedMeanwhile { file } => write!(
                f,
                "somebody changed {} at the same time; nothing was changed\n  hint: try again",
                file.display()
            ),
            Self::LeftBehind { file, error } => {
                let file = file.display();
                write!(f, "the configuration is saved, but {file} can't be replaced or deleted: {error}")
            }
            Self::Unwritable { file, error } => {
                write!(f, "can't write {}: {error}; the configuration is as it was", file.display())
            }
        }
    }
}

// Its message holds those of its causes already.
impl std::error::Error for EditError {}
