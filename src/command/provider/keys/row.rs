//! A key as it is listed.

use std::collections::BTreeMap;

use keywheel_actors::secret::FingerprintKey;
use serde::Serialize;

use super::super::select;
use super::super::tell::Mark;
use crate::config::{KeyOutline, ProviderOutline};

/// A key as it is listed; nothing in it shows the secret.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) provider: String,
    pub(super) key: String,
    /// The first in order, which `pick = "primary_first"` prefers.
    primary: bool,
    enabled: bool,
    pub(super) masked: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) secret_from: String,
    /// Why the secret can't be had here.
    pub(super) unavailable: Option<String>,
    quota_group: Option<String>,
    weight: u32,
    limits: BTreeMap<&'static str, u64>,
    models: Vec<String>,
}

/// The columns of [`Row::cells`].
pub(super) const HEAD: [&str; 9] =
    ["key", "secret", "fingerprint", "from", "group", "weight", "limits", "models", "state"];

impl Row {
    /// Of a key as written.
    pub(super) fn of(
        provider: &ProviderOutline,
        key: &KeyOutline,
        fingerprints: Option<&FingerprintKey>,
    ) -> Self {
        Self {
            provider: provider.id.to_string(),
            key: key.name.to_string(),
            primary: provider.keys.first().is_some_and(|first| first.name == key.name),
            enabled: key.enabled,
            masked: key.secret.as_ref().ok().map(keywheel_actors::secret::Secret::masked),
            fingerprint: fingerprints.and_then(|fingerprints| select::fingerprint(key, fingerprints)),
            secret_from: key.origin.to_string(),
            unavailable: key.secret.as_ref().err().cloned(),
            quota_group: key.quota_group.as_ref().map(ToString::to_string),
            weight: key.weight,
            limits: key.limits.clone(),
            models: key.models.iter().map(ToString::to_string).collect(),
        }
    }

    /// How the key is.
    pub(super) fn mark(&self) -> Mark {
        match (self.enabled, &self.unavailable) {
            (false, _) => Mark::Off,
            (true, None) => Mark::On,
            (true, Some(_)) => Mark::Unknown,
        }
    }

    /// One line of a table with [`HEAD`].
    pub(super) fn cells(&self) -> [String; HEAD.len()] {
        let limits: Vec<String> = self.limits.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let states = [
            self.primary.then_some("primary"),
            (!self.enabled).then_some("disabled"),
            self.unavailable.as_ref().map(|_| "secret not here"),
        ];
        [
            format!("{}/{}", self.provider, self.key),
            self.masked.clone().unwrap_or_default(),
            self.fingerprint.clone().unwrap_or_default(),
            self.secret_from.clone(),
            self.quota_group.clone().unwrap_or_default(),
            self.weight.to_string(),
            limits.join(", "),
            self.models.join(", "),
            states.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ]
    }

    /// The key in a sentence.
    pub(super) fn sentence(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.masked.clone());
        parts.extend(self.fingerprint.as_ref().map(|fingerprint| format!("fingerprint {fingerprint}")));
        parts.push(match self.secret_from.as_str() {
            "inline" => "in the configuration itself".to_owned(),
            from => format!("from {from}"),
        });
        format!("{}/{} ({})", self.provider, self.key, parts.join(", "))
    }
}
