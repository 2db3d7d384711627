//! How a command ended, as the shell sees it: one documented code each.

use std::process::{ExitCode, Termination};

use crate::config::{ConfigError, EditError};
use crate::sim::file::FileError;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Everything that was asked for is done: 0.
    Done,
    /// Something broke that should have worked, such as a disk or a socket: 1.
    Broken,
    /// The command line or the configuration is wrong; nothing was done: 2, as clap has it.
    Usage,
    /// The run is complete, but some of its rows failed or were invalid, or some keys that it tested
    /// aren't valid: 3.
    RowsFailed,
    /// What was asked for is done, but something of it needs a person: 3 too.
    Attention,
    /// One of the limits that the caller gave ended it before everything was done: 4.
    Stopped,
    /// Ended by Ctrl-C before everything was done: 130, as shells have it (128 + SIGINT).
    Interrupted,
}

impl Exit {
    /// The code that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Broken => 1,
            Self::Usage => 2,
            Self::RowsFailed | Self::Attention => 3,
            Self::Stopped => 4,
            Self::Interrupted => 130,
        }
    }

    /// How a command ends that gave up with `error`.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let is_usage = error.chain().any(|cause| {
            let is_edit = cause.downcast_ref().is_some_and(EditError::is_usage);
            is_edit || cause.is::<UsageError>() || cause.is::<ConfigError>() || cause.is::<FileError>()
        });
        if is_usage { Self::Usage } else { Self::Broken }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// What was typed can't be done as it stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}\n  hint: {hint}")]
pub struct UsageError {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_usage_error_is_known_under_any_context() {
        let usage = UsageError { problem: "`a` exists".to_owned(), hint: "use --force".to_owned() };
        assert_eq!(usage.to_string(), "`a` exists\n  hint: use --force");
        let wrapped = Err::<(), _>(usage).context("can't open the output").unwrap_err();
        assert_eq!(Exit::of_error(&wrapped), Exit::Usage);
        assert_eq!(Exit::of_error(&anyhow::anyhow!("disk on fire")), Exit::Broken);
    }

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [
            Exit::Done,
            Exit::Broken,
            Exit::Usage,
            Exit::RowsFailed,
            Exit::Attention,
            Exit::Stopped,
            Exit::Interrupted,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 3, 4, 130]);
    }
}
