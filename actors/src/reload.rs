//! What a reload changed, and why one was refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::id::{KeyId, ProviderId};
use crate::spec::{KeySpec, ProviderSpec};

/// What is different since a reload.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ReloadReport {
    /// Providers. One that only got or lost keys hasn't changed itself.
    pub providers: Differences<ProviderId>,
    /// Keys, those of providers that came or went included.
    pub keys: Differences<KeyId>,
}

/// What was added, removed, and changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Differences<T> {
    /// In the order of the new configuration.
    pub added: Vec<T>,
    /// In the order of the old one.
    pub removed: Vec<T>,
    /// In the order of the new one.
    pub changed: Vec<T>,
}

impl<T> Default for Differences<T> {
    fn default() -> Self {
        Self { added: Vec::new(), removed: Vec::new(), changed: Vec::new() }
    }
}

impl<T> Differences<T> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl ReloadReport {
    /// Whether all providers and keys are as they were. Routes may differ all the same.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty() && self.keys.is_empty()
    }

    /// What is different in `new`.
    pub(crate) fn between(old: &[Arc<ProviderSpec>], new: &[Arc<ProviderSpec>]) -> Self {
        let mut report = Self::default();
        let before: HashMap<_, _> = old.iter().map(|provider| (&provider.id, provider)).collect();
        for provider in new {
            if let Some(before) = before.get(&provider.id) {
                report.compare(before, provider);
            } else {
                report.providers.added.push(provider.id.clone());
                report.keys.added.extend(keys_of(provider));
            }
        }
        let after: HashSet<_> = new.iter().map(|provider| &provider.id).collect();
        for provider in old.iter().filter(|provider| !after.contains(&provider.id)) {
            report.providers.removed.push(provider.id.clone());
            report.keys.removed.extend(keys_of(provider));
        }
        report
    }

    fn compare(&mut self, old: &ProviderSpec, new: &ProviderSpec) {
        if provider_differs(old, new) {
            self.providers.changed.push(new.id.clone());
        }
        let id = |key: &KeySpec| KeyId { provider: new.id.clone(), key: key.name.clone() };
        let before: HashMap<_, _> = old.keys.iter().map(|key| (&key.name, key)).collect();
        for key in &new.keys {
            match before.get(&key.name) {
                Some(before) if new.is_elsewhere(old) || key_differs(before, key) => {
                    self.keys.changed.push(id(key));
                }
                Some(_) => {}
                None => self.keys.added.push(id(key)),
            }
        }
        let after: HashSet<_> = new.keys.iter().map(|key| &key.name).collect();
        self.keys.removed.extend(old.keys.iter().filter(|key| !after.contains(&key.name)).map(id));
    }
}

fn keys_of(provider: &ProviderSpec) -> impl Iterator<Item = KeyId> {
    provider.keys.iter().map(|key| KeyId { provider: provider.id.clone(), key: key.name.clone() })
}

fn provider_differs(old: &ProviderSpec, new: &ProviderSpec) -> bool {
    let ProviderSpec {
        id: _,
        dialect: _,
        openai_path,
        base_url: _,
        counting,
        models,
        rotation,
        timeouts,
        queue_jobs_max,
        keys: _,
    } = new;
    new.is_elsewhere(old)
        || *counting != old.counting
        || *openai_path != old.openai_path
        || *models != old.models
        || *rotation != old.rotation
        || *timeouts != old.timeouts
        || *queue_jobs_max != old.queue_jobs_max
}

fn key_differs(old: &KeySpec, new: &KeySpec) -> bool {
    let KeySpec { name: _, secret, quota_group, weight, limits, models, enabled, rotation } = new;
    !secret.is(&old.secret)
        || *quota_group != old.quota_group
        || *weight != old.weight
        || *limits != old.limits
        || *models != old.models
        || *enabled != old.enabled
        || *rotation != old.rotation
}

/// Why a configuration wasn't taken over. Then nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReloadError {
    /// It contradicts itself.
    #[error("{0}")]
    Spec(String),
    /// The wheel drains and takes nothing new.
    #[error("the wheel is draining")]
    Draining,
    /// The wheel has stopped.
    #[error("the wheel has stopped")]
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::OpenAi;
    use crate::secret::Secret;

    fn provider(id: &str, keys: &[(&str, &str)]) -> Arc<ProviderSpec> {
        let provider = ProviderSpec::new(id, Arc::new(OpenAi), format!("http://127.0.0.1:1/{id}"));
        let key = |(name, secret): &(&str, &str)| KeySpec::new(*name, Secret::new(*secret));
        Arc::new(keys.iter().fold(provider, |provider, named| provider.with_key(key(named))))
    }

    fn names<T: ToString>(differences: &Differences<T>) -> [String; 3] {
        let join = |names: &[T]| names.iter().map(T::to_string).collect::<Vec<_>>().join(" ");
        [join(&differences.added), join(&differences.removed), join(&differences.changed)]
    }

    #[test]
    fn what_came_went_and_changed_is_named() {
        let old = [provider("p", &[("a", "1"), ("b", "2"), ("c", "3")]), provider("q", &[("d", "4")])];
        let new = [provider("r", &[("e", "5")]), provider("p", &[("a", "1"), ("b", "other"), ("f", "6")])];
        let report = ReloadReport::between(&old, &new);
        assert_eq!(names(&report.providers), ["r", "q", ""]);
        assert_eq!(names(&report.keys), ["r/e p/f", "p/c q/d", "p/b"]);
        assert!(ReloadReport::between(&old, &old).is_empty());
    }

    #[test]
    fn another_address_changes_all_keys_and_other_timeouts_none() {
        let old = [provider("p", &[("a", "1")])];
        let mut moved = ProviderSpec::clone(&old[0]);
        moved.base_url.push_str("/v2");
        let report = ReloadReport::between(&old, &[Arc::new(moved)]);
        assert_eq!(names(&report.providers), ["", "", "p"]);
        assert_eq!(names(&report.keys), ["", "", "p/a"]);
        let mut hasty = ProviderSpec::clone(&old[0]);
        hasty.timeouts.idle /= 2;
        let report = ReloadReport::between(&old, &[Arc::new(hasty)]);
        assert_eq!(names(&report.providers), ["", "", "p"]);
        assert!(report.keys.is_empty());
    }
}
