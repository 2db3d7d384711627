//! One provider of the prototype.

use toml_edit::InlineTable;

use super::bag::{Bag, Found};
use super::desk::Desk;
use super::endpoint::{self, Named, Reach};
use super::json::{Json, JsonKind};
use super::key::{self, Key, Owner};
use super::limits;
use super::rotation;
use super::section::Section;
use crate::config::preset::PRESETS;
use crate::config::variable::usual_variable;

/// Our name of the one model that a provider of the prototype had.
const DEFAULT_MODEL: &str = "default";

/// A provider as it will be written.
pub(super) struct Provider {
    pub(super) id: String,
    pub(super) offset: usize,
    pub(super) head: Section,
    pub(super) limits: Section,
    pub(super) rotation: Section,
    pub(super) timeouts: Section,
    pub(super) keys: Vec<Key>,
    /// Whether it can be written as more than a comment.
    pub(super) is_known: bool,
}

impl Provider {
    /// Whether it takes part.
    pub(super) fn is_enabled(&self) -> bool {
        self.is_known && !self.head.fields.iter().any(|field| field.name == "enabled")
    }
}

/// Names of members that only a provider has.
pub(super) const TELLING: &[&str] =
    &["apikey", "apikeys", "keys", "key", "baseurl", "apibase", "endpoint", "model", "models"];

/// Reads one provider; `json` may also be its key or its keys alone.
pub(super) fn read(desk: &mut Desk, named: Named<'_>, path: &str, json: &Json) -> Provider {
    let id = named.id;
    let mut bag = Bag::of(path, json);
    // In a list it was found by its `id` or `name`.
    let mut head = Section::default();
    head.set("id", id, json.offset);
    for found in bag.take(desk, &["id"]).into_iter().chain(bag.take(desk, &["name"])) {
        if found.json.text() != Some(named.before) {
            head.keep(desk, &found);
        }
    }
    let reach = endpoint::read(&mut head, desk, named, &mut bag, json);
    let is_enabled = read_enabled(&mut head, desk, &mut bag);
    read_models(&mut head, desk, &mut bag);

    let bare = Found { name: "apiKeys", path: path.to_owned(), json };
    let found: Vec<Found<'_>> = match json.kind {
        JsonKind::Record(_) => {
            let several = bag.take(desk, &["apikeys", "keys"]);
            several.into_iter().chain(bag.take(desk, &["apikey", "key", "token", "secret"])).collect()
        }
        JsonKind::Null
        | JsonKind::Switch(_)
        | JsonKind::Number(_)
        | JsonKind::Text(_)
        | JsonKind::List(_) => vec![bare],
    };
    let keys = key::read(desk, Owner { id, reach }, &found, &mut head.comments);

    let mut provider = Provider {
        id: id.to_owned(),
        offset: json.offset,
        head,
        limits: Section::default(),
        rotation: Section::default(),
        timeouts: Section::default(),
        keys,
        is_known: reach != Reach::Nowhere,
    };
    provider.read_rest(desk, &mut bag);
    if provider.is_known && !provider.keys.iter().any(|key| key.is_usable) {
        provider.do_without_keys(desk, path, json, reach, is_enabled);
    }
    provider
}

fn read_enabled(head: &mut Section, desk: &mut Desk, bag: &mut Bag<'_>) -> bool {
    let found = bag.take(desk, &["enabled", "isenabled", "active"]);
    head.convert(desk, "enabled", found.as_ref(), "true or false", |found| found.json.switch());
    let found = bag.take(desk, &["disabled"]);
    head.convert(desk, "enabled", found.as_ref(), "true or false", |found| {
        found.json.switch().map(|off| !off)
    });
    // What is usual needn't be said.
    head.fields.retain(|field| field.name != "enabled" || field.value.as_bool() == Some(false));
    !head.has("enabled")
}

/// `model` and `models` become our names: a list of names passes unchanged, and `model` goes by `default`.
fn read_models(head: &mut Section, desk: &mut Desk, bag: &mut Bag<'_>) {
    let mut models = InlineTable::new();
    let mut offset = 0;
    if let Some(found) = bag.take(desk, &["model", "defaultmodel"]) {
        match found.json.text() {
            Some(model) => {
                let message =
                    format!("is called `{DEFAULT_MODEL}` by its callers now, as that of every provider");
                desk.told(&found.path, found.json, message);
                models.insert(DEFAULT_MODEL, model.into());
                offset = found.json.offset;
            }
            None => head.comments.push(desk.misfit(&found, "a model's name")),
        }
    }
    while let Some(found) =
        bag.take(desk, &["models", "modelmap", "modelmapping", "modelaliases", "availablemodels"])
    {
        offset = found.json.offset;
        let named: Vec<(Option<&str>, &Json)> = match &found.json.kind {
            JsonKind::List(items) => items.iter().map(|json| (None, json)).collect(),
            JsonKind::Record(members) => {
                members.iter().map(|(name, json)| (Some(name.as_str()), json)).collect()
            }
            JsonKind::Null | JsonKind::Switch(_) | JsonKind::Number(_) | JsonKind::Text(_) => {
                head.comments.push(desk.misfit(&found, "a list or a table of models"));
                continue;
            }
        };
        for (index, (name, json)) in named.into_iter().enumerate() {
            read_model(&mut models, head, desk, &found, (index, name, json));
        }
    }
    if !models.is_empty() {
        head.set("models", models, offset);
    }
}

fn read_model(
    models: &mut InlineTable,
    head: &mut Section,
    desk: &mut Desk,
    around: &Found<'_>,
    (index, ours, json): (usize, Option<&str>, &Json),
) {
    let part = ours.map_or_else(|| index.to_string(), super::desk::name_shown);
    let path = format!("{}.{part}", around.path);
    let mut bag = Bag::of(&*path, json);
    let theirs = match json.text() {
        Some(text) => Some(text),
        None => bag.take(desk, &["id", "model", "name"]).and_then(|found| found.json.text()),
    };
    // A record that says nothing of a name is about the model that it stands under.
    let theirs = theirs.or(ours.filter(|_| json.members().is_some())).filter(|name| !name.is_empty());
    let fits = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    match theirs {
        Some(theirs) if fits(theirs) && fits(ours.unwrap_or(theirs)) => {
            let ours = ours.unwrap_or(theirs);
            if !models.contains_key(ours) {
                models.insert(ours, theirs.into());
            }
            head.keep_rest(desk, &mut bag);
        }
        Some(_) | None => {
            head.comments.push(desk.misfit(&Found { name: "models", path, json }, "a model's name"));
        }
    }
}

impl Provider {
    fn read_rest(&mut self, desk: &mut Desk, bag: &mut Bag<'_>) {
        while let Some(found) =
            bag.take(desk, &["keyrotationconfig", "rotationconfig", "keyrotation", "rotation"])
        {
            rotation::read_record(&mut self.rotation, desk, &found);
        }
        rotation::read(&mut self.rotation, desk, bag);
        limits::read(&mut self.limits, desk, bag);
        let found = bag.take(desk, &["timeout*", "requesttimeout*"]);
        self.timeouts.convert(desk, "total", found.as_ref(), "a duration", rotation::duration);
        self.head.keep_rest(desk, bag);
    }

    /// The variable that people usually keep its key in.
    fn variable(&self) -> String {
        let preset = self.head.fields.iter().find(|field| field.name == "preset");
        let preset = preset.and_then(|field| field.value.as_str());
        let known = PRESETS.iter().find(|known| Some(known.name) == preset).and_then(|known| known.variable);
        known.map_or_else(|| usual_variable(&self.id), str::to_owned)
    }

    /// A server on this machine asks for no key; another provider is left out until it has one.
    fn do_without_keys(&mut self, desk: &mut Desk, path: &str, json: &Json, reach: Reach, is_enabled: bool) {
        let mut section = Section::default();
        section.set("name", "key-1", json.offset);
        if reach == Reach::Loopback {
            desk.told(path, json, "has no key, and on this machine needs none: `secret = \"unused\"`");
            section.set("secret", "unused", json.offset);
        } else {
            let variable = self.variable();
            section.set("secret", format!("env:{variable}"), json.offset);
            if is_enabled {
                let message = format!(
                    "has no key, so it is left out: set {variable} and drop `enabled = false` to use it"
                );
                desk.attention(path, json, message);
                self.head.set("enabled", false, json.offset);
            } else {
                desk.told(path, json, format!("has no key; `env:{variable}` stands in for it"));
            }
        }
        self.keys.insert(0, Key::of(section, json.offset));
    }
}
