//! Keys added, changed, moved and removed.

use std::collections::BTreeMap;

use toml_edit::{Array, ArrayOfTables, Item, Table, TableLike, Value};

use super::super::key::name_by_position;
use super::super::outline::{Origin, Outline};
use super::super::provider::{API_KEY, API_KEY_OF_PROTOTYPE};
use super::editor::{Editor, position};
use super::error::EditError;
use super::fields::{set, set_limits, set_texts};
use super::new_secret::NewSecret;
use super::rows::{Rows, text_of};

/// What is written of a key. What isn't said stays as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyFields {
    /// Where its secret comes from.
    pub secret: Option<WrittenSecret>,
    /// The account whose limits it shares; an empty one takes the field away.
    pub quota_group: Option<String>,
    /// Its share under `pick = "weighted"`.
    pub weight: Option<u64>,
    /// Its limits by name; one of 0 is taken away.
    pub limits: BTreeMap<&'static str, u64>,
    /// The models that it serves; an empty list takes the field away.
    pub models: Option<Vec<String>>,
    /// Whether it may be used.
    pub enabled: Option<bool>,
}

/// How a secret gets into the configuration.
#[derive(Clone, Debug)]
pub enum WrittenSecret {
    /// As it is.
    Inline(NewSecret),
    /// In a file of its own.
    Stored(NewSecret),
    /// `env:NAME` or `file:PATH`, as it is to be written.
    Reference(String),
}

impl Editor<'_> {
    /// Adds a key behind those of the provider.
    ///
    /// # Errors
    /// If there is no such provider, or if the secret can't be stored.
    pub fn add_key(&mut self, provider: &str, name: &str, fields: &KeyFields) -> Result<(), EditError> {
        self.add_keys(provider, &[(name.to_owned(), fields.clone())])
    }

    /// Adds many keys at once.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key).
    pub fn add_keys(&mut self, provider: &str, keys: &[(String, KeyFields)]) -> Result<(), EditError> {
        self.provider(provider)?;
        let mut rows = Vec::with_capacity(keys.len());
        for (name, fields) in keys {
            let secret = match &fields.secret {
                Some(WrittenSecret::Inline(secret)) => self.inline(secret),
                Some(WrittenSecret::Stored(secret)) => self.secret_files.store(provider, name, secret)?,
                Some(WrittenSecret::Reference(reference)) => reference.clone(),
                None => String::new(),
            };
            let mut row = Table::new();
            row.decor_mut().set_prefix("");
            set(&mut row, "name", name.as_str());
            set(&mut row, "secret", secret);
            set_fields(&mut row, fields);
            rows.push(row);
        }
        let mut list = self.keys_for_adding(provider)?;
        for row in rows {
            list.push(row);
        }
        Ok(())
    }

    /// Changes fields of a key. A secret that lies in one of our files, or inline, is replaced there; any other
    /// is left alone, and the key refers to a new one.
    ///
    /// # Errors
    /// If there is no such key, or if the secret can't be stored.
    pub fn set_key(&mut self, provider: &str, name: &str, fields: &KeyFields) -> Result<(), EditError> {
        self.settle_legacy(provider)?;
        let origin = self.origin(provider, name)?;
        let secret = match &fields.secret {
            None => None,
            Some(WrittenSecret::Inline(secret)) => Some(self.inline(secret)),
            Some(WrittenSecret::Reference(reference)) => Some(reference.clone()),
            Some(WrittenSecret::Stored(secret)) => match (&origin, self.secret_files.ours(&origin)) {
                (Origin::Literal, _) => Some(self.inline(secret)),
                (Origin::File(_) | Origin::Variable(_) | Origin::Credential(_), Some(path)) => {
                    self.secret_files.replace(path, secret)?;
                    None
                }
                (Origin::File(_) | Origin::Variable(_) | Origin::Credential(_), None) => {
                    Some(self.secret_files.store(provider, name, secret)?)
                }
            },
        };
        let is_left = secret.is_some();
        let row = self.key(provider, name)?;
        if let Some(secret) = secret {
            set(row, "secret", secret);
        }
        set_fields(row, fields);
        if is_left {
            self.delete_unless_used(&origin)?;
        }
        Ok(())
    }

    /// Makes a key the first of its provider.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn make_primary(&mut self, provider: &str, name: &str) -> Result<(), EditError> {
        self.settle_legacy(provider)?;
        self.name_all_keys(provider)?;
        let index = self.key_index(provider, name)?;
        self.keys(provider)?.move_to_front(index);
        Ok(())
    }

    /// Removes a key, and the file of its secret if it is one of ours.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn remove_key(&mut self, provider: &str, name: &str) -> Result<(), EditError> {
        self.settle_legacy(provider)?;
        self.name_all_keys(provider)?;
        let origin = self.origin(provider, name)?;
        let index = self.key_index(provider, name)?;
        let mut rows = self.keys(provider)?;
        rows.remove(index);
        if rows.len() == 0 {
            self.provider(provider)?.remove("key");
        }
        self.delete_unless_used(&origin)
    }

    /// Whether a secret lies in one of our files, which goes with its key.
    pub fn owns_secret(&self, origin: &Origin) -> bool {
        self.secret_files.ours(origin).is_some()
    }

    fn inline(&mut self, secret: &NewSecret) -> String {
        self.holds_new_literal = true;
        secret.text().to_owned()
    }

    /// Two keys may refer to one file, in two providers at least.
    pub(super) fn delete_unless_used(&mut self, origin: &Origin) -> Result<(), EditError> {
        let Some(path) = self.secret_files.ours(origin) else { return Ok(()) };
        let outline = self.outline()?;
        let mut others = outline.providers.iter().flat_map(|provider| &provider.keys);
        if !others.any(|key| self.secret_files.ours(&key.origin).as_ref() == Some(&path)) {
            self.secret_files.delete(path);
        }
        Ok(())
    }

    fn origin(&self, provider: &str, name: &str) -> Result<Origin, EditError> {
        let outline = self.outline()?;
        let key = outline.provider(provider).and_then(|found| found.key(name));
        key.map(|key| key.origin.clone()).ok_or_else(|| no_key(&outline, provider, name))
    }

    fn keys(&mut self, provider: &str) -> Result<Rows<'_>, EditError> {
        let id = provider;
        let list = self.provider(id)?.get_mut("key").and_then(Rows::of);
        list.ok_or_else(|| EditError::NotThere {
            problem: format!("the provider `{id}` has no key"),
            hint: format!("`keywheel provider keys add --provider {id}` adds one"),
        })
    }

    /// The list of keys, begun if there is none, in the spelling that fits its provider.
    fn keys_for_adding(&mut self, provider: &str) -> Result<Rows<'_>, EditError> {
        self.settle_legacy(provider)?;
        let is_inline = matches!(self.providers(), Some(Rows::Inline(_)));
        let table = self.provider(provider)?;
        let has_none = match table.get("key") {
            None => true,
            // `key = []` says the same, and can't be continued as `[[provider.key]]`.
            Some(item) => item.as_array().is_some_and(Array::is_empty),
        };
        if has_none {
            table.remove("key");
            let list = if is_inline {
                Item::Value(Value::Array(Array::new()))
            } else {
                Item::ArrayOfTables(ArrayOfTables::new())
            };
            table.insert("key", list);
        }
        self.keys(provider)
    }

    /// A key's place among those of its provider.
    fn key_index(&mut self, provider: &str, name: &str) -> Result<usize, EditError> {
        let names: Vec<_> = self
            .keys(provider)?
            .names("name")
            .into_iter()
            .enumerate()
            .map(|(index, name)| Some(name.unwrap_or_else(|| name_by_position(index))))
            .collect();
        match position(&names, name) {
            Some(index) => Ok(index),
            None => Err(no_key(&self.outline()?, provider, name)),
        }
    }

    fn key(&mut self, provider: &str, name: &str) -> Result<&mut dyn TableLike, EditError> {
        let index = self.key_index(provider, name)?;
        let missing = || EditError::NotThere {
            problem: format!("the key `{provider}/{name}` isn't a table"),
            hint: "write `[[provider.key]]` with `name` and `secret`".to_owned(),
        };
        self.keys(provider)?.into_row(index).ok_or_else(missing)
    }

    /// Writes down the names that go by position, before positions change: state and statistics go by names.
    fn name_all_keys(&mut self, provider: &str) -> Result<(), EditError> {
        let mut rows = self.keys(provider)?;
        for (index, name) in rows.names("name").iter().enumerate() {
            if name.is_none()
                && let Some(row) = rows.row(index)
            {
                set(row, "name", name_by_position(index));
            }
        }
        Ok(())
    }

    /// Turns the `api_key` of a provider into the first of its `[[provider.key]]`s.
    fn settle_legacy(&mut self, provider: &str) -> Result<(), EditError> {
        let is_inline = matches!(self.providers(), Some(Rows::Inline(_)));
        let table = self.provider(provider)?;
        let name = if table.contains_key(API_KEY) { API_KEY } else { API_KEY_OF_PROTOTYPE };
        let Some(Item::Value(secret)) = table.get(name) else { return Ok(()) };
        let mut row = Table::new();
        row.decor_mut().set_prefix("");
        set(&mut row, "name", name_by_position(0));
        let mut value = secret.clone();
        value.decor_mut().set_prefix(" ");
        row.insert("secret", Item::Value(value));
        let comment = table.key(name).map(|key| text_of(key.leaf_decor().prefix()));
        if let Some(comment) = comment.filter(|comment| comment.contains('#') && !is_inline) {
            row.decor_mut().set_prefix(comment);
        }
        table.remove(name);
        match table.get_mut("key").and_then(Rows::of).filter(|rows| rows.len() > 0) {
            Some(mut rows) => {
                // The ones behind it went by their positions behind `api_key`.
                for (index, name) in rows.names("name").into_iter().enumerate() {
                    if name.is_none()
                        && let Some(row) = rows.row(index)
                    {
                        set(row, "name", name_by_position(index + 1));
                    }
                }
                rows.push_front(row);
            }
            None => self.keys_for_adding(provider)?.push(row),
        }
        Ok(())
    }
}

fn set_fields(row: &mut dyn TableLike, fields: &KeyFields) {
    match fields.quota_group.as_deref() {
        Some("") => drop(row.remove("quota_group")),
        Some(group) => set(row, "quota_group", group),
        None => {}
    }
    if let Some(weight) = fields.weight {
        set(row, "weight", i64::try_from(weight).unwrap_or(i64::MAX));
    }
    set_limits(row, &fields.limits);
    if let Some(models) = &fields.models {
        set_texts(row, "models", models);
    }
    if let Some(enabled) = fields.enabled {
        set_enabled(row, enabled);
    }
}

/// `true` is the default and needs no words, unless some stand there.
pub(super) fn set_enabled(row: &mut dyn TableLike, enabled: bool) {
    if !enabled || row.contains_key("enabled") {
        set(row, "enabled", enabled);
    }
}

fn no_key(outline: &Outline, provider: &str, name: &str) -> EditError {
    let known: Vec<&str> = outline
        .provider(provider)
        .map(|provider| provider.keys.iter().map(|key| key.name.as_str()).collect())
        .unwrap_or_default();
    EditError::NotThere {
        problem: format!("the provider `{provider}` has no key `{name}`"),
        hint: super::super::suggest::instead_of(name, known),
    }
}
