//! Which keys a command is about: one, those of a provider, or all.

use keywheel_actors::id::KeyId;

use super::super::select;
use crate::config::{KeyOutline, Outline, ProviderOutline};
use crate::exit::UsageError;

/// `--provider` and `--key`. Without them: all.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Choice {
    /// Only the keys of this provider
    #[arg(long, value_name = "ID")]
    provider: Option<String>,

    /// Only this key: its name, `PROVIDER/NAME`, or the beginning of its fingerprint
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
}

impl Choice {
    /// Whether one key is meant by its name.
    pub(super) const fn names_a_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether anything is left out.
    pub(super) const fn is_narrow(&self) -> bool {
        self.key.is_some() || self.provider.is_some()
    }

    /// The keys that are meant.
    ///
    /// # Errors
    /// [`UsageError`] for a provider or a key that isn't there.
    pub(super) fn keys(&self, outline: &Outline) -> Result<Vec<KeyId>, UsageError> {
        if let Some(word) = &self.key {
            let (provider, key) = select::key(outline, self.provider.as_deref(), word)?;
            return Ok(vec![id(provider, key)]);
        }
        let providers: Vec<&ProviderOutline> = match &self.provider {
            Some(named) => vec![select::provider(outline, Some(named))?],
            None => outline.providers.iter().collect(),
        };
        let keys = providers.iter().flat_map(|provider| provider.keys.iter().map(|key| id(provider, key)));
        Ok(keys.collect())
    }
}

fn id(provider: &ProviderOutline, key: &KeyOutline) -> KeyId {
    KeyId { provider: provider.id.clone(), key: key.name.clone() }
}
