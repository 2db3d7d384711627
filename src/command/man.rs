//! `keywheel man`: the manual, from the same definitions as the command line.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap_mangen::Man;

use crate::command::stdout;
use crate::exit::Exit;

/// Print the main manual page, or write one page for each verb into DIR
///
/// For example `keywheel man ~/.local/share/man/man1`, then `man keywheel` or `man keywheel-batch`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to write the pages; without it the main page goes to stdout
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Args {
    /// Prints or writes the pages for `command`.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn run(self, command: clap::Command) -> anyhow::Result<Exit> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).context("can't write the page")?;
            stdout::print(&String::from_utf8_lossy(&page))?;
            return Ok(Exit::Done);
        };
        let unwritten = || format!("can't write the pages to {}", dir.display());
        fs::create_dir_all(&dir).with_context(unwritten)?;
        clap_mangen::generate_to(command, &dir).with_context(unwritten)?;
        stdout::print(&format!("Wrote the pages to {}.\n", dir.display()))?;
        Ok(Exit::Done)
    }
}
