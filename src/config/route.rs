//! `fallback_order` and `[[route]]`: who serves what, in which order.

use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::spec::{CandidateSpec, RouteSpec};

use super::ledger::report_repeats;
use super::model;
use super::provider::Provider;
use super::suggest;
use super::tree::Node;

/// What a route says.
pub(super) const FIELDS: [&str; 2] = ["model", "candidates"];

/// Reads `fallback_order`. Disabled providers are left out.
pub(super) fn read_fallback_order(node: Option<Node<'_>>, providers: &[Provider<'_>]) -> Vec<ProviderId> {
    let Some(node) = node else { return Vec::new() };
    let Some(named) = node.texts() else { return Vec::new() };
    report_repeats("provider", named.iter().map(|(id, node)| (*id, node)));
    let known: Vec<_> = named.iter().filter_map(|(id, node)| provider_called(id, node, providers)).collect();
    let order: Vec<_> =
        known.iter().filter(|provider| provider.enabled).filter_map(|provider| id_of(provider)).collect();
    // An empty order means "all, as listed", which is the opposite of what stands here.
    if order.is_empty() && !known.is_empty() {
        node.wrong(
            "all providers in this order are disabled",
            Some("enable one, or drop the order".to_owned()),
        );
    }
    order
}

/// Reads all `[[route]]`s.
pub(super) fn read(node: Option<Node<'_>>, providers: &[Provider<'_>]) -> Vec<RouteSpec> {
    let Some(tables) = node.and_then(|list| list.tables("model")) else { return Vec::new() };
    let mut models = Vec::new();
    let mut routes = Vec::new();
    for node in tables {
        let Some(fields) = node.fields(&FIELDS) else { continue };
        let model = fields.need("model", "for example `model = \"fast\"`");
        let candidates = fields.need("candidates", "for example `candidates = [\"openai/gpt-4o-mini\"]`");
        let candidates = candidates.map(|node| read_candidates(&node, providers)).unwrap_or_default();
        if let Some(node) = model
            && let Some(model) = node.model()
        {
            models.push((model, node));
            routes.push(RouteSpec { model: Model::from(model), candidates });
        }
    }
    report_repeats("route of", models.iter().map(|(model, node)| (*model, node)));
    routes
}

fn read_candidates(list: &Node<'_>, providers: &[Provider<'_>]) -> Vec<CandidateSpec> {
    let Some(named) = list.texts() else { return Vec::new() };
    if named.is_empty() {
        list.wrong(
            "a route needs at least one candidate",
            Some("for example \"openai/gpt-4o-mini\"".to_owned()),
        );
    }
    report_repeats("candidate", named.iter().map(|(candidate, node)| (*candidate, node)));
    let known: Vec<_> =
        named.iter().filter_map(|(candidate, node)| read_candidate(candidate, node, providers)).collect();
    if !known.is_empty() && known.iter().all(|(provider, _)| !provider.enabled) {
        list.wrong(
            "the providers of all candidates are disabled",
            Some("enable one, or drop the route".to_owned()),
        );
    }
    known
        .into_iter()
        .filter(|(provider, _)| provider.enabled)
        .filter_map(|(provider, model)| Some(CandidateSpec { provider: id_of(provider)?, model }))
        .collect()
}

/// Reads `provider/model`; only the first `/` divides, so a model may hold more of them.
fn read_candidate<'p, 'a>(
    candidate: &str,
    node: &Node<'_>,
    providers: &'p [Provider<'a>],
) -> Option<(&'p Provider<'a>, Model)> {
    let Some((id, name)) = candidate.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        let hint = format!("write the provider's id before it: `openai/{candidate}`");
        node.wrong(format!("`{candidate}` is no `provider/model`"), Some(hint));
        return None;
    };
    let provider = provider_called(id, node, providers)?;
    model::report_our_name(name, &provider.models, node);
    Some((provider, Model::from(node.as_model(name)?)))
}

fn provider_called<'p, 'a>(
    id: &str,
    node: &Node<'_>,
    providers: &'p [Provider<'a>],
) -> Option<&'p Provider<'a>> {
    let ids = || providers.iter().filter_map(|provider| provider.id.as_ref()).map(|(id, _)| *id);
    let found = providers.iter().find(|provider| provider.id.as_ref().is_some_and(|(known, _)| *known == id));
    if found.is_none() {
        node.wrong(format!("there is no provider `{id}`"), Some(suggest::instead_of(id, ids())));
    }
    found
}

/// The id as the wheel takes it.
pub(super) fn id_of(provider: &Provider<'_>) -> Option<ProviderId> {
    provider.id.as_ref().map(|(id, _)| ProviderId::from(*id))
}
