//! Counters per key as JSON: by provider, then by key. A [`KeyId`] itself can't be the name of a field.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyStats;
use crate::id::{KeyId, KeyName, ProviderId};

/// Writes them.
pub(super) fn serialize<S: Serializer>(
    keys: &BTreeMap<KeyId, KeyStats>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut providers: BTreeMap<&ProviderId, BTreeMap<&KeyName, &KeyStats>> = BTreeMap::new();
    for (id, stats) in keys {
        providers.entry(&id.provider).or_default().insert(&id.key, stats);
    }
    providers.serialize(serializer)
}

/// Reads them.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<KeyId, KeyStats>, D::Error> {
    let providers = BTreeMap::<ProviderId, BTreeMap<KeyName, KeyStats>>::deserialize(deserializer)?;
    let keys = providers.into_iter().flat_map(|(provider, keys)| {
        keys.into_iter().map(move |(key, stats)| (KeyId { provider: provider.clone(), key }, stats))
    });
    Ok(keys.collect())
}
