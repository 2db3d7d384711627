//! A key's secret: `env:NAME`, `file:PATH`, `credential:NAME`, or the value itself.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use keywheel_actors::secret::Secret;

use super::file;
use super::lookalike::looks_secret;
use super::source::Source;
use super::tree::Node;

/// No provider's key comes near it; service account files stay below.
pub(super) const SECRET_BYTES_MAX: u64 = 16 * 1024;

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
    /// What the secrets are for.
    pub(super) purpose: Purpose,
}

/// What a configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To run it: every secret is needed, and something to run.
    Run,
    /// To look after it: another process has the variables and may read the files, and what is missing is
    /// about to be added.
    LookAfter,
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
    /// `credential:NAME`, which systemd hands to a service.
    Credential(&'a str),
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
        } else if let Some(name) = text.strip_prefix("credential:") {
            Self::Credential(name)
        } else {
            Self::Literal(text)
        }
    }
}

/// What is wrong with a secret, and a hint. Neither holds any of it.
type Refusal = (String, Option<String>);

/// Why there is no secret.
pub(super) enum Unfetched {
    /// It isn't to be had in this process; it may be in another.
    Unavailable(Refusal),
    /// It is no good anywhere.
    Bad(Refusal),
}

impl Unfetched {
    fn refusal(self) -> Refusal {
        match self {
            Self::Unavailable(refusal) | Self::Bad(refusal) => refusal,
        }
    }

    /// The reason alone.
    pub(super) fn reason(self) -> String {
        self.refusal().0
    }

    /// Notes it as a mistake.
    pub(super) fn report(self, node: &Node<'_>) {
        let (message, hint) = self.refusal();
        node.wrong(message, hint);
    }
}

fn bad(message: impl Into<String>, hint: Option<String>) -> Unfetched {
    Unfetched::Bad((message.into(), hint))
}

/// Fetches the secret and checks that it can stand in a header.
///
/// # Errors
/// [`Unfetched`], which quotes nothing of it.
pub(super) fn fetch(written: Written<'_>, vault: Vault<'_>) -> Result<Fetched, Unfetched> {
    match written {
        Written::Variable(name) => from_variable(name, vault),
        Written::File(path) => from_file(path, vault),
        Written::Credential(name) => from_credential(name, vault),
        Written::Literal(text) => literal(text, vault),
    }
}

/// Where systemd puts a service's credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

fn from_credential(name: &str, vault: Vault<'_>) -> Result<Fetched, Unfetched> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(bad("what follows `credential:` isn't the name of a credential", None));
    }
    match vault.source.variable(CREDENTIALS_VARIABLE) {
        Some(directory) => from_file(&format!("{directory}/{name}"), vault),
        None => Err(Unfetched::Unavailable((
            format!("there are no credentials: the variable {CREDENTIALS_VARIABLE} isn't set"),
            Some(format!("`LoadCredential={name}:PATH` in a systemd unit sets it")),
        ))),
    }
}

fn literal(text: &str, vault: Vault<'_>) -> Result<Fetched, Unfetched> {
    if text.starts_with('$') {
        let hint = "write `env:NAME` for the variable NAME".to_owned();
        return Err(bad("variables aren't expanded here", Some(hint)));
    }
    checked(text, "the secret", vault)
}

fn from_variable(name: &str, vault: Vault<'_>) -> Result<Fetched, Unfetched> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || looks_secret(name) {
        let hint = "write `env:NAME`, or the value itself without `env:`".to_owned();
        return Err(bad("what follows `env:` isn't the name of a variable", Some(hint)));
    }
    let shown = if shouts(name) { name } else { "that `env:` names" };
    match vault.source.variable(name) {
        Some(value) => checked(value, &format!("the variable {shown}"), vault),
        None => Err(Unfetched::Unavailable((
            format!("the variable {shown} isn't set"),
            Some("export it, or write `file:PATH`".to_owned()),
        ))),
    }
}

/// Whether this is rather the name of a variable than a key that somebody put in its place, as in `env:gsk_…`.
pub(super) fn shouts(name: &str) -> bool {
    !name.chars().any(|c| c.is_ascii_lowercase())
}

fn from_file(path: &str, vault: Vault<'_>) -> Result<Fetched, Unfetched> {
    if path.is_empty() {
        return Err(bad("what follows `file:` isn't a path", None));
    }
    let full = vault.directory.join(path);
    let shown = vault.source.shown(&full);
    let shown = shown.display();
    let found = file::read(&full, SECRET_BYTES_MAX)
        .map_err(|error| Unfetched::Unavailable((format!("can't read {shown}: {error}"), None)))?;
    if found.mode & READABLE_BY_OTHERS != 0 {
        let mode = found.mode;
        return Err(bad(
            format!("everybody can read {shown} (mode {mode:04o})"),
            Some(format!("chmod 600 {shown}")),
        ));
    }
    checked(without_newline(&found.text), &format!("the file {shown}"), vault)
}

/// Without the one newline that editors and `echo` end a file with, which is no part of a key.
pub(super) fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// `what` is whose value it is.
fn checked(value: &str, what: &str, vault: Vault<'_>) -> Result<Fetched, Unfetched> {
    match fault_of(value) {
        Some(fault) => Err(bad(format!("{what} {fault}"), None)),
        None => Ok(Fetched { secret: Secret::new(value), hash: vault.hasher.hash_one(value) }),
    }
}

/// Why a text can't be a secret, as the end of a sentence about it.
pub(super) fn fault_of(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        Some("is empty")
    } else if value.trim() != value {
        Some("begins or ends with white space")
    } else if value.chars().any(|c| !matches!(c, '\x20'..='\x7e')) {
        // RFC 9110 §5.5 has a field's value made of these.
        Some("holds control characters or letters beyond ASCII")
    } else {
        None
    }
}
