//! Tests of many keys, several at once.

use std::cell::Cell;
use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use keywheel_actors::id::{KeyId, ProviderId};
use keywheel_actors::spec::{KeySpec, ProviderSpec};
use keywheel_actors::upstream::Upstream;

use super::call::{self, Told};
use crate::config::Validity;

/// Calls under way at once: enough to be quick, and too few to be taken for an attack.
const AT_ONCE_MAX: usize = 8;

/// A key, or a provider by way of a key, and what its test told.
#[derive(Clone, PartialEq, Debug)]
pub struct Tested {
    /// The key that was asked about last.
    pub key: KeyId,
    /// Keys that were asked about.
    pub asked: usize,
    pub(super) told: Told,
}

/// Tests each of `keys`. `progress` hears how many are done.
pub async fn each_key(
    upstream: &dyn Upstream,
    keys: &[(&ProviderSpec, &KeySpec)],
    validity: &BTreeMap<ProviderId, Validity>,
    progress: impl Fn(usize),
) -> Vec<Tested> {
    let done = Cell::new(0);
    let tests = keys.iter().map(|(provider, key)| async {
        let tested = one(upstream, provider, key, validity).await;
        done.set(done.get() + 1);
        progress(done.get());
        tested
    });
    stream::iter(tests).buffered(AT_ONCE_MAX).collect().await
}

/// Tests each of `providers` with its keys in turn, until one is served or the provider itself is the trouble.
///
/// Providers without a key that may be used are passed over.
pub async fn each_provider(
    upstream: &dyn Upstream,
    providers: &[&ProviderSpec],
    validity: &BTreeMap<ProviderId, Validity>,
    progress: impl Fn(usize),
) -> Vec<Tested> {
    let done = Cell::new(0);
    let tests = providers.iter().map(|provider| async {
        let mut last: Option<Tested> = None;
        for key in provider.keys.iter().filter(|key| key.enabled) {
            let asked = last.map_or(0, |last| last.asked) + 1;
            let tested = Tested { asked, ..one(upstream, provider, key, validity).await };
            let finding = tested.told.verdict.finding;
            last = Some(tested);
            if finding.is_of_the_provider() || finding.standing() == super::Standing::Valid {
                break;
            }
        }
        done.set(done.get() + 1);
        progress(done.get());
        last
    });
    stream::iter(tests).buffered(AT_ONCE_MAX).filter_map(async |tested| tested).collect().await
}

async fn one(
    upstream: &dyn Upstream,
    provider: &ProviderSpec,
    key: &KeySpec,
    validity: &BTreeMap<ProviderId, Validity>,
) -> Tested {
    let told = call::ask(upstream, provider, key, validity.get(&provider.id).copied()).await;
    Tested { key: KeyId { provider: provider.id.clone(), key: key.name.clone() }, asked: 1, told }
}
