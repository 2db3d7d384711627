//! `fallbackOrder` and `defaultProvider`.

use super::bag::{Found, joined};
use super::desk::{Desk, name_shown};
use super::json::{Json, JsonKind};
use super::provider::Provider;

/// `fallback_order`.
pub(super) struct Order {
    /// The ids, each with its place.
    pub(super) ids: Vec<(String, usize)>,
    pub(super) offset: usize,
}

/// The providers, and what the prototype called them.
pub(super) struct Known<'a> {
    pub(super) providers: &'a [Provider],
    pub(super) called: &'a [(&'a str, String)],
}

/// Puts the two together. `None`: all providers, as they are listed.
pub(super) fn read(
    desk: &mut Desk,
    order: Option<Found<'_>>,
    first: Option<Found<'_>>,
    known: &Known<'_>,
    comments: &mut Vec<String>,
) -> Option<Order> {
    let said = order.as_ref().or(first.as_ref())?;
    let (path, json) = (said.path.clone(), said.json);
    let mut ids = order.map(|found| listed(desk, &found, known, comments)).unwrap_or_default();
    if let Some(found) = first {
        match found.json.text() {
            Some(name) => put_first(&mut ids, desk, &found, name, known),
            None => comments.push(desk.misfit(&found, "a provider's name")),
        }
    }
    let is_enabled = |id: &String| known.providers.iter().any(|known| known.id == *id && known.is_enabled());
    if !ids.is_empty() && !ids.iter().any(|(id, _)| is_enabled(id)) {
        desk.attention(&path, json, "none of these providers takes part: the order was left out");
        let ids: Vec<String> = ids.into_iter().map(|(id, _)| id).collect();
        comments.push(format!("kept: {path} = {}", super::desk::quoted(&ids.join(", "))));
        return None;
    }
    (!ids.is_empty()).then_some(Order { ids, offset: json.offset })
}

/// The providers that a list names, each once.
fn listed(
    desk: &mut Desk,
    found: &Found<'_>,
    known: &Known<'_>,
    comments: &mut Vec<String>,
) -> Vec<(String, usize)> {
    let names: Vec<(String, &Json, Option<&str>)> = match &found.json.kind {
        JsonKind::List(items) => {
            let path = |index: usize| joined(&found.path, &index.to_string());
            items.iter().enumerate().map(|(index, json)| (path(index), json, json.text())).collect()
        }
        JsonKind::Text(text) => {
            text.split(',').map(|name| (found.path.clone(), found.json, Some(name.trim()))).collect()
        }
        JsonKind::Null | JsonKind::Switch(_) | JsonKind::Number(_) | JsonKind::Record(_) => {
            comments.push(desk.misfit(found, "a list of providers"));
            return Vec::new();
        }
    };
    if names.is_empty() {
        desk.told(&found.path, found.json, "is empty: all providers serve, as they are listed");
    }
    let mut ids: Vec<(String, usize)> = Vec::new();
    for (path, json, name) in names {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            comments.push(desk.misfit(&Found { name: "", path, json }, "a provider's name"));
            continue;
        };
        let Some(id) = known.id_of(desk, name, &path, json) else { continue };
        if ids.iter().any(|(other, _)| other == id) {
            desk.told(&path, json, "is there twice: the first one counts");
        } else {
            ids.push((id.to_owned(), json.offset));
        }
    }
    ids
}

/// The default provider goes before the others, which without an order are all as listed.
fn put_first(
    ids: &mut Vec<(String, usize)>,
    desk: &mut Desk,
    found: &Found<'_>,
    name: &str,
    known: &Known<'_>,
) {
    let Some(first) = known.id_of(desk, name, &found.path, found.json) else { return };
    if ids.is_empty() {
        let writable = known.providers.iter().filter(|provider| provider.is_known);
        ids.extend(writable.map(|provider| (provider.id.clone(), provider.offset)));
    }
    if ids.first().is_none_or(|(id, _)| id != first) {
        desk.told(&found.path, found.json, "is the first in `fallback_order` now");
    }
    ids.retain(|(id, _)| id != first);
    ids.insert(0, (first.to_owned(), found.json.offset));
}

impl<'a> Known<'a> {
    /// The id of the provider that the prototype called `name`, unless it can't be in an order.
    fn id_of(&self, desk: &mut Desk, name: &str, path: &str, json: &Json) -> Option<&'a str> {
        let exactly = self.called.iter().find(|(theirs, _)| *theirs == name);
        let id = exactly.map_or(name, |(_, id)| id.as_str());
        match self.providers.iter().find(|provider| provider.id == id) {
            Some(provider) if provider.is_known => Some(&provider.id),
            Some(_) => {
                desk.told(path, json, "its provider is left out, and so is this");
                None
            }
            None => {
                desk.attention(path, json, format!("there is no provider {}: left out", name_shown(name)));
                None
            }
        }
    }
}
