//! `apiKey` and `apiKeys` in all their forms.

use super::bag::{Bag, Found, joined};
use super::desk::{Desk, looks_secret};
use super::endpoint::Reach;
use super::json::{Json, JsonKind};
use super::limits;
use super::name::{Names, sanitised};
use super::reference::Reference;
use super::section::Section;
use crate::config::key::WEIGHT_MAX;

/// A key as it will be written.
pub(super) struct Key {
    /// In the JSON.
    path: String,
    pub(super) offset: usize,
    pub(super) section: Section,
    pub(super) limits: Section,
    /// Whether it has a credential; if not it is written as a comment.
    pub(super) is_usable: bool,
    is_primary: bool,
    weight: Option<f64>,
    reference: Reference,
}

/// Whose keys they are.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) id: &'a str,
    pub(super) reach: Reach,
}

/// What may be a key.
struct Candidate<'a> {
    path: String,
    /// A name from outside of it.
    name: Option<&'a str>,
    /// What it is, or a part of a text with commas.
    value: Value<'a>,
    json: &'a Json,
}

enum Value<'a> {
    Text(&'a str),
    Record,
}

/// The names of the member that holds the credential.
const SECRET: &[&str] = &["key", "apikey", "value", "secret", "token"];

/// Reads all keys; the primary ones come first.
pub(super) fn read(
    desk: &mut Desk,
    owner: Owner<'_>,
    found: &[Found<'_>],
    comments: &mut Vec<String>,
) -> Vec<Key> {
    let mut candidates = Vec::new();
    for found in found {
        gather(desk, found, &mut candidates, comments);
    }
    let mut names = Names::default();
    let mut keys: Vec<Key> = Vec::new();
    for candidate in &candidates {
        let Some(key) = read_one(desk, owner, candidate, &mut names, comments) else { continue };
        let twin = keys.iter().find(|other| other.is_usable && other.reference == key.reference);
        if key.is_usable
            && let Some(twin) = twin
        {
            let name = twin.section.fields.first().and_then(|field| field.value.as_str()).unwrap_or_default();
            desk.told(&candidate.path, candidate.json, format!("the same secret as `{name}`: written once"));
            comments.extend(key.section.comments);
            continue;
        }
        keys.push(key);
    }
    keys.sort_by_key(|key| !key.is_primary);
    weigh(desk, &mut keys);
    keys
}

fn gather<'a>(
    desk: &mut Desk,
    found: &Found<'a>,
    candidates: &mut Vec<Candidate<'a>>,
    comments: &mut Vec<String>,
) {
    let single = |path: String, name, json: &'a Json| match &json.kind {
        JsonKind::Text(text) | JsonKind::Number(text) => {
            Some(Candidate { path, name, value: Value::Text(text), json })
        }
        JsonKind::Record(_) => Some(Candidate { path, name, value: Value::Record, json }),
        JsonKind::Null | JsonKind::Switch(_) | JsonKind::List(_) => None,
    };
    let inner: Vec<(String, Option<&'a str>, &'a Json)> = match &found.json.kind {
        JsonKind::Text(text) if text.contains(',') => {
            desk.told(&found.path, found.json, "several keys with commas between became one each");
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            candidates.extend(parts.enumerate().map(|(index, part)| Candidate {
                path: joined(&found.path, &index.to_string()),
                name: None,
                value: Value::Text(part),
                json: found.json,
            }));
            return;
        }
        JsonKind::List(items) => {
            let path = |index: usize| joined(&found.path, &index.to_string());
            items.iter().enumerate().map(|(index, json)| (path(index), None, json)).collect()
        }
        JsonKind::Record(members) if !Bag::of("", found.json).has(SECRET) => {
            let mut bag = Bag::of(&*found.path, found.json);
            let names = members.iter().map(|(name, _)| Some(name.as_str()));
            bag.drain().into_iter().zip(names).map(|(found, name)| (found.path, name, found.json)).collect()
        }
        JsonKind::Null
        | JsonKind::Switch(_)
        | JsonKind::Number(_)
        | JsonKind::Text(_)
        | JsonKind::Record(_) => vec![(found.path.clone(), None, found.json)],
    };
    for (path, name, json) in inner {
        if json.is_nothing() {
            desk.told(&path, json, "holds no key: left out");
        } else if let Some(candidate) = single(path.clone(), name, json) {
            candidates.push(candidate);
        } else {
            comments.push(desk.misfit(&Found { name: found.name, path, json }, "a key"));
        }
    }
}

fn read_one(
    desk: &mut Desk,
    owner: Owner<'_>,
    candidate: &Candidate<'_>,
    names: &mut Names,
    comments: &mut Vec<String>,
) -> Option<Key> {
    let mut bag = match candidate.value {
        Value::Text(_) => Bag::of(&*candidate.path, &EMPTY),
        Value::Record => Bag::of(&*candidate.path, candidate.json),
    };
    let secret = match candidate.value {
        Value::Text(text) => Some(text.to_owned()),
        Value::Record => bag.take(desk, SECRET).and_then(|found| match &found.json.kind {
            JsonKind::Text(text) | JsonKind::Number(text) => Some(text.clone()),
            JsonKind::Null | JsonKind::Switch(_) | JsonKind::List(_) | JsonKind::Record(_) => {
                comments.push(desk.misfit(&found, "a key"));
                None
            }
        }),
    };
    let Some(secret) = secret else {
        desk.attention(&candidate.path, candidate.json, "holds no key: kept as a comment");
        comments.extend(bag.keep_rest(desk));
        return None;
    };

    let mut section = Section::default();
    let said = bag.take(desk, &["name", "label", "id", "alias"]);
    let text = said.as_ref().and_then(|found| found.json.text()).or(candidate.name);
    // Somebody may call a key by itself; names are shown everywhere.
    let text = text.filter(|text| !looks_secret(text) && *text != secret.trim());
    let name = names.unique(text, "key");
    if let Some(found) = said.as_ref().filter(|found| found.json.text() != Some(&*name)) {
        section.keep(desk, found);
    }
    let reference = match (Reference::of(&secret), owner.reach) {
        // A server on this machine takes whatever stands there.
        (Reference::Placeholder, Reach::Loopback) => Reference::Literal(secret.trim().to_owned()),
        (reference, Reach::Loopback | Reach::Beyond | Reach::Nowhere) => reference,
    };
    section.set("name", &*name, candidate.json.offset);
    let is_usable = set_secret(&mut section, desk, candidate, &reference, &format!("{}.{name}", owner.id));

    let mut key = Key {
        path: candidate.path.clone(),
        offset: candidate.json.offset,
        section,
        limits: Section::default(),
        is_usable,
        is_primary: false,
        weight: None,
        reference,
    };
    key.read_rest(desk, &mut bag);
    Some(key)
}

const EMPTY: Json = Json { offset: 0, kind: JsonKind::Null };

/// Writes the secret, or why there is none. Says whether it can be used.
fn set_secret(
    section: &mut Section,
    desk: &mut Desk,
    candidate: &Candidate<'_>,
    reference: &Reference,
    file: &str,
) -> bool {
    let (path, json) = (&candidate.path, candidate.json);
    let (text, is_usable) = match reference {
        Reference::Variable(name) => {
            desk.told(path, json, format!("is read from the variable {name}"));
            (format!("env:{name}"), true)
        }
        Reference::File(path) => (format!("file:{path}"), true),
        Reference::Literal(value) => (desk.place(file, value), true),
        Reference::Placeholder => {
            desk.attention(path, json, "only holds the place of a key: left out, but for a comment");
            ("env:".to_owned(), false)
        }
        Reference::Unusable(value) => {
            desk.attention(
                path,
                json,
                "can't stand in an HTTP header, or is half a reference: left out, but for a comment",
            );
            (desk.place(file, value), false)
        }
    };
    section.set("secret", text, json.offset);
    is_usable
}

impl Key {
    fn read_rest(&mut self, desk: &mut Desk, bag: &mut Bag<'_>) {
        let section = &mut self.section;
        let found = bag.take(desk, &["quotagroup", "group"]);
        section
            .convert(desk, "quota_group", found.as_ref(), "a name", |found| found.json.text().map(sanitised));
        if let Some(found) = bag.take(desk, &["models", "allowedmodels"]) {
            let names: Option<toml_edit::Array> =
                found.json.items().and_then(|items| items.iter().map(Json::text).collect());
            section.convert(desk, "models", Some(&found), "a list of models", |_| names.clone());
        }
        if let Some(found) = bag.take(desk, &["weight"]) {
            self.weight = found.json.number().filter(|weight| *weight >= 0.0);
            if self.weight.is_none() {
                section.comments.push(desk.misfit(&found, "a number from 0"));
            }
        }
        if let Some(found) = bag.take(desk, &["primary", "isprimary"]) {
            match found.json.switch() {
                Some(is_primary) => self.is_primary = is_primary,
                None => section.comments.push(desk.misfit(&found, "true or false")),
            }
        }
        let found = bag.take(desk, &["enabled", "isenabled", "active"]);
        section.convert(desk, "enabled", found.as_ref(), "true or false", |found| found.json.switch());
        let found = bag.take(desk, &["disabled"]);
        section.convert(desk, "enabled", found.as_ref(), "true or false", |found| {
            found.json.switch().map(|off| !off)
        });
        if let Some(found) = bag.take(desk, &["status"]) {
            if found.json.text() == Some("disabled") && !section.has("enabled") {
                desk.told(&found.path, found.json, "`disabled` became `enabled = false`");
                section.set("enabled", false, found.json.offset);
            }
            section.keep(desk, &found);
        }
        // What is usual needn't be said.
        section.fields.retain(|field| field.name != "enabled" || field.value.as_bool() == Some(false));
        limits::read(&mut self.limits, desk, bag);
        section.keep_rest(desk, bag);
    }
}

/// Gives keys their weights: whole numbers of the same proportions, from 1.
fn weigh(desk: &mut Desk, keys: &mut [Key]) {
    let weights: Vec<f64> = keys.iter().filter_map(|key| key.weight).filter(|weight| *weight > 0.0).collect();
    let Some(most) = weights.iter().copied().reduce(f64::max) else { return disable_weightless(desk, keys) };
    let most_allowed = u32::try_from(WEIGHT_MAX).map_or(f64::INFINITY, f64::from);
    let is_whole = |factor: f64| {
        weights.iter().all(|weight| ((weight * factor).round() - weight * factor).abs() < 1e-6)
            && most * factor <= most_allowed
    };
    // Shares such as 0.7 and 0.3 become 7 and 3; what fits nothing keeps its proportions as well as it can.
    let factor = [1.0, 10.0, 100.0, 1_000.0].into_iter().find(|factor| is_whole(*factor));
    let factor = factor.unwrap_or(most_allowed / most);
    for key in keys.iter_mut() {
        let Some(weight) = key.weight.filter(|weight| *weight > 0.0) else { continue };
        let offset = key.offset;
        let scaled = (weight * factor).round().clamp(1.0, most_allowed);
        if let Ok(whole) = format!("{scaled:.0}").parse::<i64>() {
            key.section.set("weight", whole, offset);
        }
        if (factor - 1.0).abs() > f64::EPSILON {
            key.section.comments.push(format!("its weight was {weight}"));
        }
    }
    disable_weightless(desk, keys);
}

/// A key of weight 0 is never taken, which is said by `enabled = false` here.
fn disable_weightless(desk: &mut Desk, keys: &mut [Key]) {
    for key in keys.iter_mut().filter(|key| key.weight == Some(0.0)) {
        key.section.comments.push("its weight was 0".to_owned());
        if !key.section.has("enabled") {
            key.section.set("enabled", false, key.offset);
            let json = Json { offset: key.offset, kind: JsonKind::Null };
            desk.told(&key.path, &json, "its weight of 0 became `enabled = false`");
        }
    }
}

impl Key {
    /// A key that nothing in the file is.
    pub(super) fn of(section: Section, offset: usize) -> Self {
        Self {
            path: String::new(),
            offset,
            section,
            limits: Section::default(),
            is_usable: true,
            is_primary: false,
            weight: None,
            reference: Reference::Placeholder,
        }
    }
}
