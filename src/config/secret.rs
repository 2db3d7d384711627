//! A key's secret: `env:NAME`, `file:PATH`, or the value itself.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use keywheel_actors::secret::Secret;

use super::file;
use super::source::Source;
use super::tree::Node;

/// No provider's key comes near it; service account files stay below.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// Permission bit: everybody may read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// Where references lead.
#[derive(Clone, Copy)]
pub(super) struct Vault<'a> {
    /// For `env:NAME`.
    pub(super) source: &'a Source,
    /// Where a relative `file:PATH` begins: the directory of the configuration.
    pub(super) directory: &'a Path,
    /// For [`Fetched::hash`].
    pub(super) hasher: &'a RandomState,
}

/// A good secret.
pub(super) struct Fetched {
    /// The secret.
    pub(super) secret: Secret,
    /// Tells most secrets apart without showing them; of no use outside of this process.
    pub(super) hash: u64,
}

/// What `secret` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written<'a> {
    /// `env:NAME`
    Variable(&'a str),
    /// `file:PATH`
    File(&'a str),
    /// The value itself.
    Literal(&'a str),
}

impl<'a> Written<'a> {
    /// Takes a secret's text apart.
    pub(super) fn of(text: &'a str) -> Self {
        if let Some(name) = text.strip_prefix("env:") {
            Self::Variable(name)
        } else if let Some(path) = text.strip_prefix("file:") {
            Self::File(path)
        } else {
            Self::Literal(text)
        }
    }
}

/// What is wrong with a secret, and a hint. Neither holds any of it.
type Refusal = (String, Option<String>);

/// Fetches the secret and checks that it can stand in a header.
pub(super) fn fetch(written: Written<'_>, node: &Node<'_>, vault: Vault<'_>) -> Option<Fetched> {
    let fetched = match written {
        Written::Variable(name) => from_variable(name, vault),
        Written::File(path) => from_file(path, vault),
        Written::Literal(text) => literal(text, vault),
    };
    fetched.map_err(|(message, hint)| node.wrong(message, hint)).ok()
}

fn literal(text: &str, vault: Vault<'_>) -> Result<Fetched, Refusal> {
    if text.starts_with('$') {
        let hint = "write `env:NAME` for the variable NAME".to_owned();
        return Err(("variables aren't expanded here".to_owned(), Some(hint)));
    }
    checked(text, "the secret", vault)
}

fn from_variable(name: &str, vault: Vault<'_>) -> Result<Fetched, Refusal> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let hint = "write `env:NAME`, or the value itself without `env:`".to_owned();
        return Err(("what follows `env:` isn't the name of a variable".to_owned(), Some(hint)));
    }
    // Someone may have put the key itself here, as in `env:gsk_…`. Names of variables shout, keys don't.
    let shown = if name.chars().any(|c| c.is_ascii_lowercase()) { "that `env:` names" } else { name };
    match vault.source.variable(name) {
        Some(value) => checked(value, &format!("the variable {shown}"), vault),
        None => Err((
            format!("the variable {shown} isn't set"),
            Some("export it, or write `file:PATH`".to_owned()),
        )),
    }
}

fn from_file(path: &str, vault: Vault<'_>) -> Result<Fetched, Refusal> {
    if path.is_empty() {
        return Err(("what follows `file:` isn't a path".to_owned(), None));
    }
    let full = vault.directory.join(path);
    let shown = vault.source.shown(&full);
    let shown = shown.display();
    let found = file::read(&full, SECRET_BYTES_MAX)
        .map_err(|error| (format!("can't read {shown}: {error}"), None))?;
    if found.mode & READABLE_BY_OTHERS != 0 {
        let mode = found.mode;
        return Err((
            format!("everybody can read {shown} (mode {mode:04o})"),
            Some(format!("chmod 600 {shown}")),
        ));
    }
    // Editors and `echo` end a file with a newline that is no part of the key.
    let text = found.text.strip_suffix('\n').unwrap_or(&found.text);
    checked(text.strip_suffix('\r').unwrap_or(text), &format!("the file {shown}"), vault)
}

/// `what` is whose value it is.
fn checked(value: &str, what: &str, vault: Vault<'_>) -> Result<Fetched, Refusal> {
    if value.is_empty() {
        return Err((format!("{what} is empty"), None));
    }
    if value.trim() != value {
        return Err((format!("{what} begins or ends with white space"), None));
    }
    if value.chars().any(|c| !matches!(c, '\x20'..='\x7e')) {
        // RFC 9110 §5.5 has a field's value made of these.
        return Err((format!("{what} holds control characters or letters beyond ASCII"), None));
    }
    Ok(Fetched { secret: Secret::new(value), hash: vault.hasher.hash_one(value) })
}
