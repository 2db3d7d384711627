//! `keywheel completions`: what a shell needs to complete our words.

use clap_complete::Shell;

use crate::command::stdout;
use crate::exit::Exit;

/// Print a script that lets your shell complete keywheel's words
///
/// For example `keywheel completions bash > ~/.local/share/bash-completion/completions/keywheel`, or for zsh
/// `keywheel completions zsh > ~/.zfunc/_keywheel` with `fpath+=~/.zfunc` before `compinit`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    /// Prints the script for `command`.
    ///
    /// # Errors
    /// If nobody takes its output.
    pub fn run(self, mut command: clap::Command) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        stdout::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
