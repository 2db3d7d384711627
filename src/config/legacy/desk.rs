//! What is gathered while a file is converted: notes, and the secrets that need a place.

use std::path::PathBuf;

use keywheel_actors::secret::Secret;

use super::bag::{Found, joined, plain};
use super::json::{Json, JsonKind};
use super::note::{Note, SecretFile, SecretsAs, Weight};

/// The directory of secrets beside the configuration.
const SECRET_DIR: &str = "keys";

/// What the values of such members are: secrets, as far as they are texts.
const SECRET_NAMES: [&str; 6] = ["key", "secret", "token", "password", "authorization", "credential"];

/// What the keys of well-known providers begin with.
const SECRET_PREFIXES: [&str; 7] = ["sk-", "sk_", "gsk_", "xai-", "AIza", "pa-", "Bearer "];

/// Where everything is gathered.
pub(super) struct Desk {
    pub(super) notes: Vec<Note>,
    pub(super) files: Vec<SecretFile>,
    secrets_as: SecretsAs,
    /// All secrets so far, to know them again where they don't belong.
    known: Vec<String>,
}

impl Desk {
    pub(super) const fn new(secrets_as: SecretsAs) -> Self {
        Self { notes: Vec::new(), files: Vec::new(), secrets_as, known: Vec::new() }
    }

    /// Notes what somebody has to decide or to do.
    pub(super) fn attention(&mut self, path: &str, json: &Json, message: impl Into<String>) {
        self.note(path, json.offset, Weight::Attention, message.into());
    }

    /// Notes what was changed on the way.
    pub(super) fn told(&mut self, path: &str, json: &Json, message: impl Into<String>) {
        self.note(path, json.offset, Weight::Told, message.into());
    }

    fn note(&mut self, path: &str, offset: usize, weight: Weight, message: String) {
        self.notes.push(Note { offset, path: path.to_owned(), weight, message });
    }

    /// The comment that keeps what has no counterpart.
    pub(super) fn keep(&mut self, found: &Found<'_>) -> String {
        let shown = self.shown(&found.path, found.name, found.json);
        self.note(&found.path, found.json.offset, Weight::Kept, "kept as a comment".to_owned());
        format!("kept: {} = {shown}", found.path)
    }

    /// The comment that keeps what isn't as it should be, after noting that.
    pub(super) fn misfit(&mut self, found: &Found<'_>, expected: &str) -> String {
        self.attention(&found.path, found.json, format!("isn't {expected}: kept as a comment"));
        format!("kept: {} = {}", found.path, self.shown(&found.path, found.name, found.json))
    }

    /// What `secret` is in the configuration; `name` is for its file.
    pub(super) fn place(&mut self, name: &str, value: &str) -> String {
        if !self.known.iter().any(|known| known == value) {
            self.known.push(value.to_owned());
        }
        match self.secrets_as {
            SecretsAs::Inline => value.to_owned(),
            SecretsAs::Masked => Secret::new(value).masked(),
            SecretsAs::Files => format!("file:{}", self.file(name, value).display()),
        }
    }

    /// The file of a secret: the one that has it already, or a new one.
    fn file(&mut self, name: &str, value: &str) -> PathBuf {
        if let Some(file) = self.files.iter().find(|file| file.value == value) {
            return file.path.clone();
        }
        let plain: String = name
            .trim_start_matches("providers.")
            .chars()
            .map(
                |c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_ascii_lowercase() } else { '-' },
            )
            .collect();
        let free = |path: &PathBuf| !self.files.iter().any(|file| file.path == *path);
        let numbered = (2..).map(|number| PathBuf::from(format!("{SECRET_DIR}/{plain}-{number}")));
        let path = std::iter::once(PathBuf::from(format!("{SECRET_DIR}/{plain}"))).chain(numbered).find(free);
        let path = path.unwrap_or_default();
        self.files.push(SecretFile { path: path.clone(), value: value.to_owned() });
        path
    }

    /// JSON on one line, with references where secrets stand.
    fn shown(&mut self, path: &str, name: &str, json: &Json) -> String {
        match &json.kind {
            JsonKind::Null => "null".to_owned(),
            JsonKind::Switch(on) => on.to_string(),
            JsonKind::Number(text) => text.clone(),
            JsonKind::Text(text) if self.is_secret(name, text) => quoted(&self.place(path, text)),
            JsonKind::Text(text) => quoted(text),
            JsonKind::List(items) => {
                let items: Vec<String> = items.iter().map(|item| self.shown(path, name, item)).collect();
                format!("[{}]", items.join(", "))
            }
            JsonKind::Record(members) => {
                let members = members.iter();
                let members: Vec<String> = members
                    .map(|(name, value)| {
                        let shown = name_shown(name);
                        let value = self.shown(&joined(path, &shown), name, value);
                        format!("{}: {value}", if shown == *name { quoted(name) } else { shown })
                    })
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }

    fn is_secret(&self, name: &str, text: &str) -> bool {
        let named = || {
            let plain = plain(name);
            // What is said of rotating keys is no key.
            SECRET_NAMES.iter().any(|secret| plain.contains(secret)) && !plain.contains("rotation")
        };
        let known = || self.known.iter().any(|known| text.contains(known.as_str()));
        // A few letters are no secret, whatever they are called.
        text.len() >= 8 && (named() || looks_secret(text) || known())
    }
}

/// A member's name as paths show it, in quotes if it isn't plain; masked if somebody put a key there.
pub(super) fn name_shown(name: &str) -> String {
    if looks_secret(name) {
        return Secret::new(name).masked();
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) { name.to_owned() } else { quoted(name) }
}

/// Whether `text` begins as a key does.
pub(super) fn looks_secret(text: &str) -> bool {
    SECRET_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// As JSON writes it, and without the one control character that JSON lets through but TOML doesn't.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
