//! What a conversion tells about itself.

use std::path::PathBuf;

/// One thing to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Byte offset in the JSON text.
    pub offset: usize,
    /// The path in the JSON: `providers.openai.apiKeys.0`.
    pub path: String,
    /// How much it matters.
    pub weight: Weight,
    /// What became of it. Never quotes a secret.
    pub message: String,
}

/// How much a note matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    /// Somebody has to decide or to do something.
    Attention,
    /// It was changed on the way.
    Told,
    /// It has no counterpart and stands in a comment.
    Kept,
}

/// Where secrets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretsAs {
    /// Into files of their own, with `file:` references to them.
    Files,
    /// Into the configuration.
    Inline,
    /// Nowhere: the text is only looked at.
    Masked,
}

/// A file that a conversion wants written, for its owner only.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Relative to the configuration's directory.
    pub path: PathBuf,
    pub(super) value: String,
}

impl SecretFile {
    /// What goes into the file.
    pub fn text(&self) -> String {
        format!("{}\n", self.value)
    }
}
