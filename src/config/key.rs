//! One key as written, before its provider compares it with its siblings.

use keywheel_actors::id::{KeyName, Model, QuotaGroup};
use keywheel_actors::spec::{KeySpec, Rotation};

use super::limits::WrittenLimits;
use super::model::{self, Models};
use super::rotation::{self, Level};
use super::secret::{self, Fetched, Purpose, Unfetched, Vault, Written};
use super::tree::{Fields, Node};

/// A larger share than a thousandfold is better said by `primary_first`.
pub(super) const WEIGHT_MAX: u64 = 1_000;

/// What a key may say.
pub(super) const FIELDS: [&str; 8] =
    ["name", "secret", "quota_group", "weight", "limits", "models", "enabled", "rotation"];

/// A key with what its provider has to compare.
pub(super) struct Key<'a> {
    /// Its name, given or by its position.
    pub(super) name: String,
    /// Where the name stands, or else the key.
    pub(super) name_node: Node<'a>,
    /// The account that it shares.
    pub(super) quota_group: Option<&'a str>,
    /// Its own limits.
    pub(super) limits: WrittenLimits<'a>,
    /// Where its secret stands.
    pub(super) secret_node: Option<Node<'a>>,
    /// What stands there.
    pub(super) written: Option<Written<'a>>,
    /// The secret, if it was fetched and is good.
    pub(super) secret: Option<Fetched>,
    /// Why it isn't there, if that is no mistake.
    pub(super) unavailable: Option<String>,
    /// Its share under `pick = "weighted"`.
    pub(super) weight: u32,
    /// The models it serves.
    pub(super) models: Vec<Model>,
    /// Whether it may be used at all.
    pub(super) enabled: bool,
    rotation: Rotation,
}

/// What a key takes from its provider.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// The provider's rules for failures.
    pub(super) rotation: &'a Rotation,
    /// The provider's models.
    pub(super) models: &'a Models,
    /// Where to fetch the secret.
    pub(super) vault: Vault<'a>,
    /// Whether the provider takes part; the secrets of one that doesn't aren't needed.
    pub(super) provider_enabled: bool,
}

/// Reads the key at `index` of its provider.
pub(super) fn read<'a>(index: usize, node: &Node<'a>, around: Around<'_>) -> Option<Key<'a>> {
    let fields = node.fields(&FIELDS)?;
    let name_node = fields.get("name");
    let name = name_node.as_ref().and_then(Node::name).map(str::to_owned);
    let secret_node = fields.need("secret", "for example `secret = \"env:OPENAI_KEY\"`");
    let written = secret_node.as_ref().and_then(Node::text).map(Written::of);
    let (secret, unavailable) = match (written, &secret_node) {
        (Some(written), Some(node)) => around.fetch(written, node),
        _ => (None, None),
    };
    Some(Key {
        name: name.unwrap_or_else(|| name_by_position(index)),
        name_node: name_node.unwrap_or_else(|| node.clone()),
        quota_group: fields.get("quota_group").and_then(|node| node.name()),
        limits: WrittenLimits::read(fields.get("limits")),
        secret_node,
        written,
        secret,
        unavailable,
        weight: weight(&fields),
        models: models(&fields, around.models),
        enabled: fields.get("enabled").and_then(|node| node.switch()).unwrap_or(true),
        rotation: rotation::read(fields.get("rotation"), around.rotation, Level::OneKey),
    })
}

/// Reads the `api_key` of a provider: its first key, with every default.
pub(super) fn read_legacy<'a>(node: Node<'a>, around: Around<'_>) -> Option<Key<'a>> {
    let written = Written::of(node.text()?);
    let (secret, unavailable) = around.fetch(written, &node);
    Some(Key {
        name: name_by_position(0),
        name_node: node.clone(),
        quota_group: None,
        limits: WrittenLimits::default(),
        secret_node: Some(node),
        written: Some(written),
        secret,
        unavailable,
        weight: 1,
        models: Vec::new(),
        enabled: true,
        rotation: around.rotation.clone(),
    })
}

/// What a key without a name is called; positions count from 0, names from 1.
pub(super) fn name_by_position(index: usize) -> String {
    format!("key-{}", index + 1)
}

impl Around<'_> {
    /// The secret, or else why it isn't there unless that is a mistake.
    fn fetch(&self, written: Written<'_>, node: &Node<'_>) -> (Option<Fetched>, Option<String>) {
        match (self.vault.purpose, self.provider_enabled) {
            (Purpose::Run, false) => return (None, None),
            (Purpose::Run, true) | (Purpose::LookAfter, _) => {}
        }
        match (secret::fetch(written, self.vault), self.vault.purpose) {
            (Ok(fetched), _) => (Some(fetched), None),
            (Err(unfetched @ Unfetched::Unavailable(_)), Purpose::LookAfter) => {
                (None, Some(unfetched.reason()))
            }
            // Nobody needs it, so it is no mistake yet.
            (Err(unfetched), Purpose::LookAfter) if !self.provider_enabled => {
                (None, Some(unfetched.reason()))
            }
            (Err(unfetched), Purpose::Run | Purpose::LookAfter) => {
                unfetched.report(node);
                (None, None)
            }
        }
    }
}

impl Key<'_> {
    /// Whether the secret itself stands in the configuration.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.written, Some(Written::Literal(_)))
    }

    /// The key as the wheel takes it; `None` without a good secret.
    pub(super) fn into_spec(self, limits: &WrittenLimits<'_>) -> Option<KeySpec> {
        let limits = limits.resolve();
        Some(KeySpec {
            name: KeyName::from(self.name),
            secret: self.secret?.secret,
            quota_group: self.quota_group.map(QuotaGroup::from),
            weight: self.weight,
            limits,
            models: self.models,
            enabled: self.enabled,
            rotation: self.rotation,
        })
    }
}

fn weight(fields: &Fields<'_>) -> u32 {
    let Some(node) = fields.get("weight") else { return 1 };
    let weight = node.whole(0..=WEIGHT_MAX);
    if weight == Some(0) {
        node.wrong(
            "a key of weight 0 would never be picked",
            Some("write `enabled = false` to leave it out".to_owned()),
        );
    }
    weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1)
}

fn models(fields: &Fields<'_>, ours: &Models) -> Vec<Model> {
    let Some(served) = fields.get("models").and_then(|node| node.texts()) else { return Vec::new() };
    for (name, node) in &served {
        model::report_our_name(name, ours, node);
    }
    served.iter().filter_map(|(name, node)| node.as_model(name)).map(Model::from).collect()
}
