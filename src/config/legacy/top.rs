//! The whole file: its providers in one of three shapes, and what holds for all of them.

use super::bag::{Bag, Found, joined};
use super::desk::Desk;
use super::endpoint::Named;
use super::json::{Json, JsonKind};
use super::kind;
use super::name::Names;
use super::order::{self, Order};
use super::provider::{self, Provider, TELLING};
use super::rotation;
use super::section::Section;

/// What will be written.
pub(super) struct Draft {
    pub(super) order: Option<Order>,
    pub(super) comments: Vec<String>,
    pub(super) rotation: Section,
    pub(super) providers: Vec<Provider>,
}

/// A provider before it is read.
struct Candidate<'a> {
    path: String,
    name: Option<&'a str>,
    json: &'a Json,
}

/// Where rotation for all stands.
const ROTATION: &[&str] =
    &["keyrotationconfig", "globalkeyrotationconfig", "keyrotation", "rotation", "globalconfig", "global"];

/// Reads the whole.
pub(super) fn read(desk: &mut Desk, json: &Json) -> Draft {
    let mut bag = Bag::of("", json);
    let mut draft =
        Draft { order: None, comments: Vec::new(), rotation: Section::default(), providers: Vec::new() };
    let order = bag.take(desk, &["fallbackorder", "providerorder"]);
    let first = bag.take(desk, &["defaultprovider", "primaryprovider"]);
    while let Some(found) = bag.take(desk, ROTATION) {
        rotation::read_record(&mut draft.rotation, desk, &found);
    }
    let candidates = gather(desk, json, &mut bag, &mut draft.comments);
    let mut names = Names::default();
    let mut called: Vec<(&str, String)> = Vec::new();
    for candidate in &candidates {
        let mut own = Bag::of(&*candidate.path, candidate.json);
        let mut said = || own.take(desk, &["id", "name", "type", "provider"])?.json.text();
        let own_name = candidate.name.or_else(&mut said);
        let id = names.unique(own_name, "provider");
        if let Some(name) = own_name {
            if name != id {
                desk.told(&candidate.path, candidate.json, format!("is called `{id}` now"));
            }
            called.push((name, id.clone()));
        }
        let named = Named { id: &id, before: own_name.unwrap_or(&id) };
        draft.providers.push(provider::read(desk, named, &candidate.path, candidate.json));
    }
    draft.comments.extend(bag.keep_rest(desk));
    rotation::as_the_prototype(&mut draft.rotation, desk, json);
    let known = order::Known { providers: &draft.providers, called: &called };
    draft.order = order::read(desk, order, first, &known, &mut draft.comments);
    draft
}

fn gather<'a>(
    desk: &mut Desk,
    json: &'a Json,
    bag: &mut Bag<'a>,
    comments: &mut Vec<String>,
) -> Vec<Candidate<'a>> {
    if json.items().is_some() {
        return items(desk, "", json, comments);
    }
    let found = bag.take(desk, &["providers", "provider"]);
    match found {
        Some(found) if found.json.items().is_some() => items(desk, &found.path, found.json, comments),
        Some(found) if found.json.members().is_some() => {
            let all = Bag::of(&*found.path, found.json).drain();
            all.into_iter().fold(Vec::new(), |candidates, found| add(desk, candidates, found, comments))
        }
        Some(found) => {
            comments.push(desk.misfit(&found, "a list or a table of providers"));
            Vec::new()
        }
        // The providers stand at the top, beside whatever else there is.
        None => {
            let (providers, others): (Vec<_>, Vec<_>) = bag.drain().into_iter().partition(is_provider);
            for found in others {
                comments.push(desk.keep(&found));
            }
            providers.into_iter().fold(Vec::new(), |candidates, found| add(desk, candidates, found, comments))
        }
    }
}

/// Whether a member at the top is a provider: by what it holds, or by its name.
fn is_provider(found: &Found<'_>) -> bool {
    match found.json.kind {
        JsonKind::Record(_) => kind::called(found.name).is_some() || Bag::of("", found.json).has(TELLING),
        JsonKind::Text(_) | JsonKind::List(_) => kind::called(found.name).is_some(),
        JsonKind::Null | JsonKind::Switch(_) | JsonKind::Number(_) => false,
    }
}

fn items<'a>(desk: &mut Desk, path: &str, list: &'a Json, comments: &mut Vec<String>) -> Vec<Candidate<'a>> {
    let mut candidates = Vec::new();
    for (index, json) in list.items().unwrap_or_default().iter().enumerate() {
        let path = joined(path, &index.to_string());
        match json.kind {
            JsonKind::Record(_) => candidates.push(Candidate { path, name: None, json }),
            JsonKind::Null => desk.told(&path, json, "is null: left out"),
            JsonKind::Switch(_) | JsonKind::Number(_) | JsonKind::Text(_) | JsonKind::List(_) => {
                comments.push(desk.misfit(&Found { name: "key", path, json }, "a provider"));
            }
        }
    }
    candidates
}

/// Adds a provider that goes by its name; of two with one name the last counts, as in JavaScript.
fn add<'a>(
    desk: &mut Desk,
    mut candidates: Vec<Candidate<'a>>,
    found: Found<'a>,
    comments: &mut Vec<String>,
) -> Vec<Candidate<'a>> {
    if found.json.is_nothing() {
        desk.told(&found.path, found.json, "says nothing: left out");
        return candidates;
    }
    match found.json.kind {
        JsonKind::Record(_) | JsonKind::Text(_) | JsonKind::List(_) => {}
        JsonKind::Null | JsonKind::Switch(_) | JsonKind::Number(_) => {
            comments.push(desk.misfit(&found, "a provider"));
            return candidates;
        }
    }
    if let Some(at) = candidates.iter().position(|candidate| candidate.name == Some(found.name)) {
        let before = candidates.remove(at);
        desk.attention(&before.path, before.json, "is there twice: the last one counts, as in JavaScript");
        comments.push(desk.keep(&Found { name: found.name, path: before.path, json: before.json }));
    }
    candidates.push(Candidate { path: found.path, name: Some(found.name), json: found.json });
    candidates
}
