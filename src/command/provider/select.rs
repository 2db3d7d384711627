//! Which provider, which key: from what was typed to what is meant.

use keywheel_actors::secret::FingerprintKey;

use crate::config::{Home, KeyOutline, Outline, ProviderOutline, fingerprint_key};
use crate::exit::UsageError;
use crate::ui::screen::say;

/// Shorter beginnings of fingerprints would be hit by chance, and look like names.
const FINGERPRINT_DIGITS_MIN: usize = 4;

/// A fingerprint has so many.
const FINGERPRINT_DIGITS_MAX: usize = 12;

/// Names that are listed when none fits.
const NAMES_LISTED_MAX: usize = 20;

/// The provider that was named, or the only one.
pub(super) fn provider<'o>(
    outline: &'o Outline,
    named: Option<&str>,
) -> Result<&'o ProviderOutline, UsageError> {
    let ids = || listed(outline.providers.iter().map(|provider| provider.id.as_str().to_owned()));
    match (named, &outline.providers[..]) {
        (_, []) => Err(UsageError {
            problem: format!("{} has no provider yet", outline.path.display()),
            hint: "`keywheel provider add openai` adds one".to_owned(),
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(UsageError {
            problem: "which provider?".to_owned(),
            hint: format!("--provider with one of {}", ids()),
        }),
        (Some(id), _) => outline.provider(id).ok_or_else(|| UsageError {
            problem: format!("there is no provider `{id}`"),
            hint: format!("the providers are {}", ids()),
        }),
    }
}

/// The key that was named: by its name, as `provider/name`, or by the beginning of its fingerprint.
pub(super) fn key<'o>(
    outline: &'o Outline,
    named_provider: Option<&str>,
    word: &str,
) -> Result<(&'o ProviderOutline, &'o KeyOutline), UsageError> {
    let within: Vec<&ProviderOutline> = match named_provider {
        Some(_) => vec![provider(outline, named_provider)?],
        None => outline.providers.iter().collect(),
    };
    let mut found = all(&within, |provider, key| {
        key.name.as_str() == word || word.split_once('/') == Some((provider.id.as_str(), key.name.as_str()))
    });
    let digits = word.to_ascii_lowercase();
    if found.is_empty()
        && is_fingerprint(&digits)
        && let Some(key) = fingerprints(&outline.home)
    {
        found = all(&within, |_, outlined| {
            fingerprint(outlined, &key).is_some_and(|fingerprint| fingerprint.starts_with(&digits))
        });
    }
    match found[..] {
        [only] => Ok(only),
        [] => Err(UsageError {
            problem: format!("there is no key `{word}`"),
            hint: match listed(all(&within, |_, _| true).into_iter().map(id_of)) {
                none if none.is_empty() => "`keywheel provider keys add` adds one".to_owned(),
                known => format!("the keys are {known}"),
            },
        }),
        _ => Err(UsageError {
            problem: format!("`{word}` is {} keys", found.len()),
            hint: format!("say which: {}", listed(found.into_iter().map(id_of))),
        }),
    }
}

/// The key of fingerprints, or a warning and none.
pub(super) fn fingerprints(home: &Home) -> Option<FingerprintKey> {
    fingerprint_key(home)
        .inspect_err(|error| say(&format!("warning: fingerprints can't be told: {error:#}")))
        .ok()
}

/// The fingerprint of a key whose secret can be had here.
pub(super) fn fingerprint(key: &KeyOutline, fingerprints: &FingerprintKey) -> Option<String> {
    key.secret.as_ref().ok().map(|secret| secret.fingerprint(fingerprints).to_string())
}

fn is_fingerprint(word: &str) -> bool {
    (FINGERPRINT_DIGITS_MIN..=FINGERPRINT_DIGITS_MAX).contains(&word.len())
        && word.chars().all(|c| c.is_ascii_hexdigit())
}

fn all<'o>(
    providers: &[&'o ProviderOutline],
    is_meant: impl Fn(&ProviderOutline, &KeyOutline) -> bool,
) -> Vec<(&'o ProviderOutline, &'o KeyOutline)> {
    let keys = providers.iter().flat_map(|provider| provider.keys.iter().map(|key| (*provider, key)));
    keys.filter(|(provider, key)| is_meant(provider, key)).collect()
}

fn id_of((provider, key): (&ProviderOutline, &KeyOutline)) -> String {
    format!("{}/{}", provider.id, key.name)
}

fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    match names.len().checked_sub(NAMES_LISTED_MAX) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMES_LISTED_MAX].join(", ")),
    }
}
