//! A question before something is gone.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::Context as _;

use crate::exit::UsageError;
use crate::ui::screen::say;

/// Whether nobody has to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consent {
    /// `--yes`
    Given,
    /// A person has to be asked.
    ToBeAsked,
}

impl Consent {
    /// What the flag `--yes` says.
    pub(super) const fn of_flag(yes: bool) -> Self {
        if yes { Self::Given } else { Self::ToBeAsked }
    }

    /// Asks on a terminal whether to go on.
    ///
    /// # Errors
    /// If the answer is no, or if there is nobody to ask.
    pub(super) fn obtain(self, question: &str) -> anyhow::Result<()> {
        match self {
            Self::Given => return Ok(()),
            Self::ToBeAsked => {}
        }
        if !io::stdin().is_terminal() {
            let problem = format!("this needs a yes: {question}");
            return Err(UsageError { problem, hint: "say it with --yes".to_owned() }.into());
        }
        say(&format!("{question} [y/N]"));
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("can't read the answer")?;
        if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
            return Ok(());
        }
        anyhow::bail!("nothing was changed")
    }
}
