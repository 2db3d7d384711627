//! What is no mistake, but probably not meant: said by `keywheel config check` alone.
//!
//! Each rule looks at a whole configuration beside the tree it was read from,
//! so that its warnings have places.

use std::collections::BTreeMap;

use keywheel_actors::secret::Fingerprint;
use keywheel_actors::spec::{CandidateSpec, Pick, ProviderSpec, Timeouts};

use super::load::Config;
use super::placeholder::is_placeholder;
use super::provider;
use super::rotation;
use super::tree::{Fields, Node};

/// Notes all warnings in the tree's ledger.
pub(super) fn look(root: &Node<'_>, config: &Config) {
    let Some(top) = root.any_fields() else { return };
    let timeouts = rotation::read_timeouts(top.get("timeouts"), &Timeouts::default());
    report_idle_timeouts(top.get("timeouts"), &timeouts);
    let mut owners = BTreeMap::new();
    for node in tables(&top, "provider", "id") {
        let Some(fields) = node.any_fields() else { continue };
        let id = fields.get("id");
        let spec = config
            .wheel
            .providers
            .iter()
            .find(|spec| id.as_ref().is_some_and(|id| id.says(spec.id.as_str())));
        let (Some(spec), Some(id)) = (spec, id) else { continue };
        report_idle_timeouts(
            fields.get("timeouts"),
            &rotation::read_timeouts(fields.get("timeouts"), &timeouts),
        );
        report_unreached(spec, &id, config);
        report_all_disabled(spec, &id);
        report_idle_switch(spec, &fields);
        report_keys(spec, &fields, config, &mut owners);
    }
    let Some(server) = top.get("server").and_then(|node| node.any_fields()) else { return };
    for node in tables(&server, "client", "name") {
        report_unpriced(&node, config);
    }
}

/// What a client with a limit of cost may ask for, and is refused for want of a price.
fn report_unpriced(node: &Node<'_>, config: &Config) {
    let Some(fields) = node.any_fields() else { return };
    let (Some(name), Some(cost)) = (fields.get("name"), fields.get("cost_per_day")) else { return };
    let Some(client) = config.server.clients.iter().find(|client| name.says(&client.name)) else { return };
    let routes = config.wheel.routes.iter().filter(|route| client.may_use(&route.model));
    let unpriced = routes.flat_map(|route| &route.candidates).find(|candidate| {
        let CandidateSpec { provider, model } = candidate;
        config.prices.of(provider, model).is_none()
    });
    let hint = || Some("write a `[[price]]` for it".to_owned());
    match unpriced {
        Some(CandidateSpec { provider, model }) => {
            cost.warn(format!("`{provider}/{model}` has no price, so what may go there is refused"), hint());
        }
        None if config.prices.list.is_empty() => {
            cost.warn("no model has a price, so whatever this client asks for is refused", hint());
        }
        None => {}
    }
}

fn tables<'a>(fields: &Fields<'a>, name: &str, naming: &str) -> Vec<Node<'a>> {
    fields.get(name).and_then(|list| list.tables(naming)).unwrap_or_default()
}

/// A limit of a part that is longer than that of the whole.
fn report_idle_timeouts(node: Option<Node<'_>>, timeouts: &Timeouts) {
    let Some(fields) = node.and_then(|node| node.any_fields()) else { return };
    for (name, part) in [
        ("connect", timeouts.connect),
        ("whole_content", timeouts.whole_content),
        ("first_content", timeouts.first_content),
        ("first_content_with_fallback", timeouts.first_content_with_fallback),
        ("idle", timeouts.idle),
    ] {
        if let Some(node) = fields.get(name)
            && part > timeouts.total
        {
            let hint = "shorten it, or make `total` longer".to_owned();
            node.warn("longer than `total`, so it never ends a call", Some(hint));
        }
    }
}

fn report_unreached(spec: &ProviderSpec, id: &Node<'_>, config: &Config) {
    let order = &config.wheel.fallback_order;
    let in_order = order.is_empty() || order.contains(&spec.id);
    let routed = || {
        let mut candidates = config.wheel.routes.iter().flat_map(|route| &route.candidates);
        candidates.any(|candidate| candidate.provider == spec.id)
    };
    if !in_order && !routed() {
        let hint = "add it to one, or write `enabled = false`".to_owned();
        id.warn("nothing is ever sent here: it is in no route and not in `fallback_order`", Some(hint));
    }
}

fn report_all_disabled(spec: &ProviderSpec, id: &Node<'_>) {
    if spec.keys.iter().all(|key| !key.enabled) {
        let hint = "write `enabled = true` in a key, or `enabled = false` in the provider".to_owned();
        id.warn("all its keys are disabled, so it can't serve", Some(hint));
    }
}

fn report_idle_switch(spec: &ProviderSpec, fields: &Fields<'_>) {
    if let Some(node) = fields.get("allow_http")
        && node.switch() == Some(true)
        && spec.base_url.starts_with("https://")
    {
        node.warn("does nothing: the address is https", Some("drop it".to_owned()));
    }
}

/// Who has which secret: address and fingerprint, with the key's name for people.
type Owners<'a> = BTreeMap<(&'a str, Fingerprint), String>;

fn report_keys<'a>(spec: &'a ProviderSpec, fields: &Fields<'_>, config: &Config, owners: &mut Owners<'a>) {
    let nodes = tables(fields, "key", "name");
    let weights = nodes.iter().filter_map(|node| node.any_fields()?.get("weight"));
    if spec.rotation.pick != Pick::Weighted
        && let Some(weight) = weights.into_iter().next()
    {
        let hint = "write `pick = \"weighted\"` in the provider's `rotation`, or drop the weights".to_owned();
        weight.warn("weights do nothing under this `pick`", Some(hint));
    }
    let listed = nodes.iter().map(|node| node.any_fields()?.get("secret"));
    let secrets = provider::api_key(fields).map(Some).into_iter().chain(listed);
    for (key, secret) in spec.keys.iter().zip(secrets) {
        let Some(secret) = secret else { continue };
        if secret.text().is_some_and(is_placeholder) {
            secret.warn("looks like a placeholder", Some("put the provider's key here".to_owned()));
        }
        let owner = format!("{}/{}", spec.id, key.name);
        let mark = (spec.base_url.as_str(), key.secret.fingerprint(&config.wheel.fingerprints));
        match owners.get(&mark) {
            Some(other) => {
                let hint = "its limits count twice, but the provider counts once; drop one".to_owned();
                secret.warn(format!("the key `{other}` has the same secret at the same address"), Some(hint));
            }
            None => drop(owners.insert(mark, owner)),
        }
    }
}
