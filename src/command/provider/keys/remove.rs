//! `keywheel provider keys remove`

use serde::Serialize;

use super::super::confirm::Consent;
use super::super::select;
use super::super::tell::Reader;
use crate::command::ending::Ending;
use crate::config::{self, Editor, Origin, Source};
use crate::exit::{Exit, UsageError};

/// Remove a key, and the file of its secret if `keys add` made it
#[derive(Clone, Debug, clap::Args)]
pub(in super::super) struct Args {
    /// The provider of the key
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// The key: its name, PROVIDER/NAME, or the beginning of its fingerprint
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Removed {
    provider: String,
    key: String,
    secret_from: String,
    /// Whether the file of its secret was one of ours.
    secret_deleted: bool,
}

impl Args {
    pub(in super::super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let (outline, _) = config::outline_with_mistakes(source)?;
        let (provider, key) = select::key(&outline, self.provider.as_deref(), &self.key)?;
        let (id, name) = (provider.id.as_str(), key.name.as_str());
        if provider.keys.len() == 1 {
            let problem = format!("`{id}/{name}` is the last key of `{id}`, and a provider needs one");
            let hint = format!("add another first, or use `keywheel provider remove {id}` or `disable {id}`");
            return Err(UsageError { problem, hint }.into());
        }
        let owned = Editor::open(source)?.owns_secret(&key.origin);
        let secret = match (&key.origin, owned) {
            (Origin::File(path), true) => format!(" and delete its secret in {}", path.display()),
            (Origin::File(_) | Origin::Variable(_) | Origin::Credential(_) | Origin::Literal, _) => {
                String::new()
            }
        };
        Consent::of_flag(self.yes).obtain(&format!("Remove the key {id}/{name}{secret}?"))?;

        let mut editor = Editor::open(source)?;
        editor.remove_key(id, name)?;
        let saved = editor.save()?;
        let what = Removed {
            provider: id.to_owned(),
            key: name.to_owned(),
            secret_from: key.origin.to_string(),
            secret_deleted: saved.secrets_deleted > 0,
        };
        let kept = match (&key.origin, what.secret_deleted) {
            (Origin::File(path), true) => format!(" Its secret in {} is deleted.", path.display()),
            (Origin::File(path), false) => format!(" Its secret stays in {}.", path.display()),
            (Origin::Variable(_) | Origin::Credential(_) | Origin::Literal, _) => String::new(),
        };
        let sentence = format!("Removed key {id}/{name}.{kept}");
        Ending { action: "removed", what, sentence, saved, reader: Reader::of_flag(self.json) }.tell()
    }
}
