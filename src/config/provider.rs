//! One provider with its keys, and what its keys must agree on.

use std::collections::{BTreeMap, HashMap};

use keywheel_actors::id::ProviderId;
use keywheel_actors::spec::{Counting, KeySpec, ProviderSpec, QUEUE_JOBS_MAX, Rotation, Timeouts};

use super::endpoint::{self, BaseUrl};
use super::key::{self, Around, Key};
use super::ledger::report_repeats;
use super::limits::WrittenLimits;
use super::model::{self, Models};
use super::outline::{KeyOutline, ProviderOutline};
use super::preset::Validity;
use super::rotation::{self, Level};
use super::secret::{Fetched, Purpose, Vault};
use super::tree::{Fields, Node};

/// A million waiting jobs of some kilobytes each are all that a machine holds.
pub(super) const QUEUE_JOBS_MOST: u64 = 1_000_000;

/// What a provider may say.
pub(super) const FIELDS: [&str; 15] = [
    "id",
    "preset",
    "dialect",
    "base_url",
    "allow_http",
    "key_header",
    "openai_path",
    "models",
    "enabled",
    "queue_jobs_max",
    "token_counting",
    "limits",
    "rotation",
    "timeouts",
    "key",
];

/// The secret of a provider's first key, as a provider with a single one may have it.
pub(super) const API_KEY: &str = "api_key";

/// The same, as the prototype called it.
pub(super) const API_KEY_OF_PROTOTYPE: &str = "apiKey";

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
    /// How to learn whether one of its keys is good.
    pub(super) validity: Option<Validity>,
    /// Secrets that stand here as they are and are worth something to others.
    pub(super) literals: Vec<Node<'a>>,
    /// The provider as it is written, if that is what the configuration is read for.
    pub(super) outline: Option<ProviderOutline>,
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
    let fields = node.fields_and_legacy(&FIELDS, &[API_KEY, API_KEY_OF_PROTOTYPE])?;
    let id = fields.need("id", "for example `id = \"openai\"`").and_then(|node| Some((node.name()?, node)));
    let endpoint = endpoint::read(&fields);
    let enabled = fields.get("enabled").and_then(|node| node.switch()).unwrap_or(true);
    let models = model::read(fields.get("models"));
    let queue_jobs_max = fields.get("queue_jobs_max").and_then(|node| node.whole(1..=QUEUE_JOBS_MOST));
    let counting =
        fields.get("token_counting").and_then(|node| node.choice("token_counting", &Counting::ALL));
    let rotation = rotation::read(fields.get("rotation"), defaults.rotation, Level::ManyKeys);
    let timeouts = rotation::read_timeouts(fields.get("timeouts"), defaults.timeouts);

    let vault = defaults.vault;
    let keys =
        read_keys(&fields, Around { rotation: &rotation, models: &models, vault, provider_enabled: enabled });
    let literals = literals(&keys, endpoint.base_url.as_ref());
    let limits = WrittenLimits::read(fields.get("limits"));
    let outline = match vault.purpose {
        Purpose::Run => None,
        Purpose::LookAfter => id.as_ref().map(|(id, _)| ProviderOutline {
            id: ProviderId::from(*id),
            enabled,
            preset: endpoint.preset,
            dialect: endpoint.dialect_name,
            base_url: endpoint.base_url.as_ref().map(|url| url.text.clone()),
            models: models.clone(),
            pick: rotation.pick,
            keys: keys.iter().map(KeyOutline::of).collect(),
        }),
    };
    let keys = resolve_keys(keys, &limits);

    let queue_jobs_max = queue_jobs_max.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(QUEUE_JOBS_MAX);
    let whole = id.as_ref().zip(endpoint.dialect).zip(endpoint.base_url).filter(|_| enabled);
    let spec = whole.map(|(((id, _), dialect), base_url)| ProviderSpec {
        id: ProviderId::from(*id),
        counting: counting.unwrap_or_else(|| dialect.counting()),
        dialect,
        openai_path: endpoint.openai_path,
        base_url: base_url.text,
        models: models.clone(),
        rotation,
        timeouts,
        queue_jobs_max,
        keys,
    });
    Some(Provider { id, enabled, models, spec, validity: endpoint.validity, literals, outline })
}

fn read_keys<'a>(fields: &Fields<'a>, around: Around<'_>) -> Vec<Key<'a>> {
    let legacy = legacy_key(fields);
    let nodes = match (key_nodes(fields, legacy.is_some(), around.vault.purpose), &legacy) {
        (Some(nodes), _) => nodes,
        (None, Some(_)) => Vec::new(),
        (None, None) => return Vec::new(),
    };
    let first = usize::from(legacy.is_some());
    let legacy = legacy.and_then(|node| key::read_legacy(node, around));
    let listed = nodes.iter().enumerate().filter_map(|(index, node)| key::read(first + index, node, around));
    let keys: Vec<_> = legacy.into_iter().chain(listed).collect();
    report_repeats("key", keys.iter().map(|key| (key.name.as_str(), &key.name_node)));
    if around.provider_enabled {
        report_repeated_secrets(&keys);
    }
    keys
}

/// Where the secret of a provider with a single key may stand: `api_key`, which is still written everywhere.
fn legacy_key<'a>(fields: &Fields<'a>) -> Option<Node<'a>> {
    let prototypes = fields.get(API_KEY_OF_PROTOTYPE);
    if let Some(node) = &prototypes {
        let message = format!("`{API_KEY_OF_PROTOTYPE}` is the name of an older version");
        match fields.get(API_KEY) {
            Some(_) => {
                node.wrong(format!("`{API_KEY}` says this already"), Some("drop one of the two".to_owned()));
            }
            None => node.warn(message, Some(format!("write `{API_KEY}`, or a `[[provider.key]]`"))),
        }
    }
    api_key(fields)
}

/// The secret of the first key, if it stands in the provider itself.
pub(super) fn api_key<'a>(fields: &Fields<'a>) -> Option<Node<'a>> {
    fields.get(API_KEY).or_else(|| fields.get(API_KEY_OF_PROTOTYPE))
}

fn key_nodes<'a>(fields: &Fields<'a>, has_legacy_key: bool, purpose: Purpose) -> Option<Vec<Node<'a>>> {
    let hint = "add a `[[provider.key]]` with a `secret`";
    let list = match (purpose, has_legacy_key) {
        (Purpose::Run, false) => fields.need("key", hint),
        (Purpose::Run, true) | (Purpose::LookAfter, _) => fields.get("key"),
    };
    let list = list?;
    let nodes = list.tables("name")?;
    if nodes.is_empty() && !has_legacy_key && purpose == Purpose::Run {
        list.wrong("a provider needs at least one key", Some(hint.to_owned()));
    }
    Some(nodes)
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
    keys.iter().filter(|key| key.is_literal()).filter_map(|key| key.secret_node.clone()).collect()
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
