//! From the text of a `providers.json` to the text of a `keywheel.toml`.

use std::path::Path;

use super::desk::Desk;
use super::json::Json;
use super::note::{Note, SecretFile, SecretsAs};
use super::{top, write};
use crate::config::place::Step;

/// What a `providers.json` comes to.
pub struct Conversion {
    /// The configuration.
    pub toml: String,
    /// What there is to tell, the weightiest first.
    pub notes: Vec<Note>,
    /// The files of secrets that it refers to.
    pub secrets: Vec<SecretFile>,
    /// How many providers are more than comments.
    pub providers: usize,
    /// How many keys of theirs are more than comments.
    pub keys: usize,
    /// Which part of the JSON each part of the configuration comes from, by byte offset.
    pub(in crate::config) places: Vec<(Vec<Step>, usize)>,
}

/// Why there is nothing to convert.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoConversion {
    /// It isn't JSON.
    #[error("not JSON: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there, without quoting it.
        message: String,
    },
    /// No provider is in it.
    #[error("there is no provider in it")]
    NoProvider,
}

/// Whether the file at `path` is the prototype's, by its name.
pub fn is_legacy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Converts the text of a `providers.json`. Nothing of it is lost: what has no counterpart becomes a comment.
///
/// # Errors
/// [`NoConversion`] if it isn't JSON, or there is no provider in it.
pub fn convert(text: &str, secrets_as: SecretsAs) -> Result<Conversion, NoConversion> {
    // Editors of another system put a mark before it.
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - bare.len();
    let json = Json::parse(bare).map_err(|error| NoConversion::Syntax {
        line: error.line(),
        column: error.column(),
        // What serde_json adds behind its message is said by the place.
        message: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })?;
    let mut desk = Desk::new(secrets_as);
    let draft = top::read(&mut desk, &json);
    if draft.providers.is_empty() {
        return Err(NoConversion::NoProvider);
    }
    let page = write::write(&draft);
    let known = || draft.providers.iter().filter(|provider| provider.is_known);
    let mut notes = desk.notes;
    for note in &mut notes {
        note.offset += skipped;
    }
    notes.sort_by_key(|note| (note.weight, note.offset));
    notes.dedup();
    Ok(Conversion {
        toml: page.text,
        notes,
        secrets: desk.files,
        providers: known().count(),
        keys: known().flat_map(|provider| &provider.keys).filter(|key| key.is_usable).count(),
        places: page.places.into_iter().map(|(steps, offset)| (steps, offset + skipped)).collect(),
    })
}
