//! One provider with its keys, and what its keys must agree on.

use std::collections::{BTreeMap, HashMap};

use keywheel_actors::id::ProviderId;
use keywheel_actors::spec::{KeySpec, ProviderSpec, QUEUE_JOBS_MAX, Rotation, Timeouts};

use super::endpoint::{self, BaseUrl};
use super::key::{self, Around, Key};
use super::ledger::report_repeats;
use super::limits::WrittenLimits;
use super::model::{self, Models};
use super::rotation::{self, Level};
use super::secret::{Fetched, Vault};
use super::tree::{Fields, Node};

/// A million waiting jobs of some kilobytes each are all that a machine holds.
const QUEUE_JOBS_MOST: u64 = 1_000_000;

/// A provider as far as it could be read.
pub(super) struct Provider<'a> {
    /// Its id and where it stands.
    pub(super) id: Option<(&'a str, Node<'a>)>,
    /// Whether it takes part at all.
    pub(super) enabled: bool,
    /// Our names of its models.
    pub(super) models: Models,
    /// The provider as the wheel takes it. `None` if something is wrong with it, or it is disabled.
    pub(super) spec: Option<ProviderSpec>,
    /// Secrets that stand here as they are and are worth something to others.
    pub(super) literals: Vec<Node<'a>>,
}

/// What a provider takes from the top of the file.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    /// The rules for failures.
    pub(super) rotation: &'a Rotation,
    /// How long answers may take.
    pub(super) timeouts: &'a Timeouts,
    /// Where secrets come from.
    pub(super) vault: Vault<'a>,
}

/// Reads one `[[provider]]`.
pub(super) fn read<'a>(node: &Node<'a>, defaults: Defaults<'_>) -> Option<Provider<'a>> {
    let fields = node.fields(&[
        "id",
        "preset",
        "dialect",
        "base_url",
        "allow_http",
        "models",
        "enabled",
        "queue_jobs_max",
        "limits",
        "rotation",
        "timeouts",
        "key",
    ])?;
    let id = fields.need("id", "for example `id = \"openai\"`").and_then(|node| Some((node.name()?, node)));
    let endpoint = endpoint::read(&fields);
    let enabled = fields.get("enabled").and_then(|node| node.switch()).unwrap_or(true);
    let models = model::read(fields.get("models"));
    let queue_jobs_max = fields.get("queue_jobs_max").and_then(|node| node.whole(1..=QUEUE_JOBS_MOST));
    let rotation = rotation::read(fields.get("rotation"), defaults.rotation, Level::ManyKeys);
    let timeouts = rotation::read_timeouts(fields.get("timeouts"), defaults.timeouts);

    let vault = enabled.then_some(defaults.vault);
    let keys = read_keys(&fields, Around { rotation: &rotation, models: &models, vault });
    let literals = literals(&keys, endpoint.base_url.as_ref());
    let limits = WrittenLimits::read(fields.get("limits"));
    let keys = resolve_keys(keys, &limits);

    let queue_jobs_max = queue_jobs_max.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(QUEUE_JOBS_MAX);
    let whole = id.as_ref().zip(endpoint.dialect).zip(endpoint.base_url).filter(|_| enabled);
    let spec = whole.map(|(((id, _), dialect), base_url)| ProviderSpec {
        id: ProviderId::from(*id),
        dialect,
        base_url: base_url.text,
        models: models.clone(),
        rotation,
        timeouts,
        queue_jobs_max,
        keys,
    });
    Some(Provider { id, enabled, models, spec, literals })
}

fn read_keys<'a>(fields: &Fields<'a>, around: Around<'_>) -> Vec<Key<'a>> {
    let hint = "add a `[[provider.key]]` with a `secret`";
    let Some(list) = fields.need("key", hint) else { return Vec::new() };
    let Some(nodes) = list.tables("name") else { return Vec::new() };
    if nodes.is_empty() {
        list.wrong("a provider needs at least one key", Some(hint.to_owned()));
    }
    let keys: Vec<_> =
        nodes.iter().enumerate().filter_map(|(index, node)| key::read(index, node, around)).collect();
    report_repeats("key", keys.iter().map(|key| (key.name.as_str(), &key.name_node)));
    report_repeated_secrets(&keys);
    keys
}

/// Notes a credential that stands twice: its limits would be counted twice too.
fn report_repeated_secrets(keys: &[Key<'_>]) {
    // By hash, so that 10,000 keys take no 50 million comparisons and no copies of secrets.
    let mut first: HashMap<u64, (&Fetched, &Key<'_>)> = HashMap::new();
    for key in keys {
        let (Some(fetched), Some(node)) = (&key.secret, &key.secret_node) else { continue };
        match first.get(&fetched.hash) {
            Some((before, owner)) if before.secret == fetched.secret => {
                let hint = "the same credential twice gives no more quota; drop one of the keys".to_owned();
                node.wrong(format!("the key `{}` has the same secret", owner.name), Some(hint));
            }
            Some(_) => {}
            None => drop(first.insert(fetched.hash, (fetched, key))),
        }
    }
}

/// Literal secrets that others can use: what is sent to this very machine opens nothing.
fn literals<'a>(keys: &[Key<'a>], base_url: Option<&BaseUrl>) -> Vec<Node<'a>> {
    if base_url.is_some_and(|url| url.is_loopback) {
        return Vec::new();
    }
    keys.iter().filter(|key| key.is_literal).filter_map(|key| key.secret_node.clone()).collect()
}

/// Gives each key its limits: a group's are those of all its keys together, the provider's fill the gaps.
fn resolve_keys(keys: Vec<Key<'_>>, defaults: &WrittenLimits<'_>) -> Vec<KeySpec> {
    let mut groups: BTreeMap<&str, WrittenLimits<'_>> = BTreeMap::new();
    for key in &keys {
        if let Some(group) = key.quota_group {
            let limits = groups.entry(group).or_default();
            limits.report_contradictions(&key.limits, group);
            limits.fill_from(&key.limits);
        }
    }
    keys.into_iter()
        .filter_map(|key| {
            let group = key.quota_group.and_then(|group| groups.get(group));
            let mut limits = group.unwrap_or(&key.limits).clone();
            limits.fill_from(defaults);
            key.into_spec(&limits)
        })
        .collect()
}
