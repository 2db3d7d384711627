//! `keywheel client remove`

use crate::command::ending::{Ending, Reader};
use crate::config::{Editor, Source};
use crate::exit::Exit;

/// Remove a client: its tokens open nothing any more
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let mut editor = Editor::open(source)?;
        editor.remove_client(&self.name)?;
        let saved = editor.save()?;
        let sentence = format!("Removed client {} from {}.", self.name, saved.shown.display());
        Ending { action: "removed", what: self.name, sentence, saved, reader: Reader::of_flag(self.json) }
            .tell()
    }
}
