//! One key as written, before its provider compares it with its siblings.

use keywheel_actors::id::{KeyName, Model, QuotaGroup};
use keywheel_actors::spec::{KeySpec, Rotation};

use super::limits::WrittenLimits;
use super::model::{self, Models};
use super::rotation::{self, Level};
use super::secret::{self, Fetched, Vault, Written};
use super::tree::{Fields, Node};

/// A larger share than a thousandfold is better said by `primary_first`.
const WEIGHT_MAX: u64 = 1_000;

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
    /// Whether the value itself stands there.
    pub(super) is_literal: bool,
    /// The secret, if it was fetched and is good.
    pub(super) secret: Option<Fetched>,
    weight: u32,
    models: Vec<Model>,
    enabled: bool,
    rotation: Rotation,
}

/// What a key takes from its provider.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// The provider's rules for failures.
    pub(super) rotation: &'a Rotation,
    /// The provider's models.
    pub(super) models: &'a Models,
    /// Where to fetch the secret. `None`: it won't be needed.
    pub(super) vault: Option<Vault<'a>>,
}

/// Reads the key at `index` of its provider.
pub(super) fn read<'a>(index: usize, node: &Node<'a>, around: Around<'_>) -> Option<Key<'a>> {
    let fields =
        node.fields(&["name", "secret", "quota_group", "weight", "limits", "models", "enabled", "rotation"])?;
    let name_node = fields.get("name");
    let name = name_node.as_ref().and_then(Node::name).map(str::to_owned);
    let secret_node = fields.need("secret", "for example `secret = \"env:OPENAI_KEY\"`");
    let written = secret_node.as_ref().and_then(Node::text).map(Written::of);
    let secret = match (written, &secret_node, around.vault) {
        (Some(written), Some(node), Some(vault)) => secret::fetch(written, node, vault),
        _ => None,
    };
    Some(Key {
        name: name.unwrap_or_else(|| format!("key-{}", index + 1)),
        name_node: name_node.unwrap_or_else(|| node.clone()),
        quota_group: fields.get("quota_group").and_then(|node| node.name()),
        limits: WrittenLimits::read(fields.get("limits")),
        is_literal: matches!(written, Some(Written::Literal(_))),
        secret_node,
        secret,
        weight: weight(&fields),
        models: models(&fields, around.models),
        enabled: fields.get("enabled").and_then(|node| node.switch()).unwrap_or(true),
        rotation: rotation::read(fields.get("rotation"), around.rotation, Level::OneKey),
    })
}

impl Key<'_> {
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
