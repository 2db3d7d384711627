//! `keywheel provider remove`

use serde::Serialize;

use super::confirm::Consent;
use super::select;
use super::tell::Reader;
use crate::command::ending::Ending;
use crate::config::{self, Editor, Mentions, Source};
use crate::exit::{Exit, UsageError};

/// Remove a provider with its keys, and what routes and `fallback_order` say of it
///
/// Files of secrets that `keys add` made are deleted.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The provider's id
    #[arg(value_name = "ID")]
    id: String,
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
    keys: usize,
    secrets_deleted: usize,
    left_fallback_order: bool,
    /// The candidates that routes lost.
    lost_candidates: Vec<String>,
    /// The models of the routes that are gone with their last candidate.
    lost_routes: Vec<String>,
}

impl Args {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let (outline, _) = config::outline_with_mistakes(source)?;
        let provider = select::provider(&outline, Some(&self.id))?;
        if outline.providers.len() == 1 {
            let problem = format!("`{}` is the last provider, and a configuration needs one", self.id);
            let hint = format!("add another first, or delete {}", outline.path.display());
            return Err(UsageError { problem, hint }.into());
        }
        let mut editor = Editor::open(source)?;
        let mentions = editor.mentions(&self.id);
        let owned = provider.keys.iter().filter(|key| editor.owns_secret(&key.origin)).count();
        drop(editor);
        let consequences = consequences(provider.keys.len(), owned, &mentions);
        let question = format!("Remove the provider {}{consequences}?", self.id);
        Consent::of_flag(self.yes).obtain(&question)?;

        let mut editor = Editor::open(source)?;
        editor.remove_provider(&self.id)?;
        let saved = editor.save()?;
        let sentence = format!("Removed provider {}{consequences}.", self.id);
        let what = Removed {
            provider: self.id,
            keys: provider.keys.len(),
            secrets_deleted: saved.secrets_deleted,
            left_fallback_order: mentions.in_fallback_order,
            lost_candidates: mentions.candidates.into_iter().map(|(_, candidate)| candidate).collect(),
            lost_routes: mentions.emptied_routes,
        };
        Ending { action: "removed", what, sentence, saved, reader: Reader::of_flag(self.json) }.tell()
    }
}

/// What goes with the provider, as the rest of a sentence.
fn consequences(keys: usize, owned: usize, mentions: &Mentions) -> String {
    let mut parts = vec![match keys {
        1 => "its key".to_owned(),
        keys => format!("its {keys} keys"),
    }];
    if owned > 0 {
        parts.push(format!("{owned} files of secrets"));
    }
    if mentions.in_fallback_order {
        parts.push("its place in fallback_order".to_owned());
    }
    for (model, candidate) in &mentions.candidates {
        if !mentions.emptied_routes.contains(model) {
            parts.push(format!("{candidate} in the route of {model}"));
        }
    }
    parts.extend(mentions.emptied_routes.iter().map(|model| format!("the whole route of {model}")));
    format!(", with {}", parts.join(", "))
}
