//! `keywheel client new`

use std::fmt::Write as _;

use anyhow::anyhow;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;

use crate::clients::TokenHash;
use crate::command::ending::{Ending, Reader};
use crate::command::stdout;
use crate::config::{Editor, Source};
use crate::exit::Exit;

/// As many as nobody can guess.
const RANDOM_BYTES: usize = 32;

/// Make a token for a client, and show it once
///
/// Without --write nothing is changed: what is to be written is shown beside the token.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keywheel client new billing --write
  keywheel client new billing            # shows what to write")]
pub(super) struct Args {
    /// What to call it, in logs and metrics
    #[arg(value_name = "NAME")]
    name: String,
    /// Write its hash into the configuration
    #[arg(long)]
    write: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What only its reader learns.
#[derive(Serialize)]
struct Made {
    client: String,
    token: String,
    token_hash: String,
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let token = token()?;
        let hash = TokenHash::of(&token);
        let name = &self.name;
        let reader = Reader::of_flag(self.json);
        let made = Made { client: name.clone(), token: token.clone(), token_hash: hash.to_string() };
        if self.write {
            let mut editor = Editor::open(source)?;
            editor.add_client(name, &hash)?;
            let saved = editor.save()?;
            let sentence = format!(
                "{token}\nAdded client {name} to {}. The token is shown this once.",
                saved.shown.display()
            );
            return Ending { action: "added", what: made, sentence, saved, reader }.tell();
        }
        match reader {
            Reader::Program => stdout::print_json(&made)?,
            Reader::Person => stdout::print_line(&format!(
                "{token}\n\nThe token is shown this once. Write into the configuration:\n\n\
                 [[server.client]]\nname = {name:?}\ntoken_hashes = [\"{hash}\"]"
            ))?,
        }
        Ok(Exit::Done)
    }
}

fn token() -> anyhow::Result<String> {
    let mut random = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("the system gives no random numbers"))?;
    Ok(random.iter().fold("kw-".to_owned(), |mut token, byte| {
        // Writing to a string can't fail.
        let _ = write!(token, "{byte:02x}");
        token
    }))
}
