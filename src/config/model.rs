//! `models`: our names of a provider's models, and where only the provider's own will do.

use std::collections::BTreeMap;

use keywheel_actors::id::Model;

use super::tree::Node;

/// Our names with the provider's.
pub(super) type Models = BTreeMap<Model, Model>;

/// Reads a `models` table.
pub(super) fn read(node: Option<Node<'_>>) -> Models {
    let Some(fields) = node.and_then(|node| node.any_fields()) else { return Models::new() };
    let mut models = Models::new();
    for (ours, node) in fields.all() {
        if ours.is_empty() {
            node.wrong("a model's name can't be empty", None);
        }
        if let Some(theirs) = node.model() {
            models.insert(Model::from(ours), Model::from(theirs));
        }
    }
    models
}

/// Notes one of our names where the provider's stands.
pub(super) fn report_our_name(name: &str, models: &Models, node: &Node<'_>) {
    let name = Model::from(name);
    if let Some(theirs) = models.get(&name)
        && !models.values().any(|known| *known == name)
    {
        let message = format!("`{name}` is our name; here stands the provider's own");
        node.wrong(message, Some(format!("write `{theirs}`")));
    }
}
