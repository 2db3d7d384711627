//! A table of the configuration that is made, with the comments that belong to it.

use toml_edit::Value;

use super::bag::{Bag, Found};
use super::desk::Desk;

/// A table: its fields in order, and what stands beside them.
#[derive(Clone, Default)]
pub(super) struct Section {
    pub(super) fields: Vec<Field>,
    pub(super) comments: Vec<String>,
}

/// A field with the place of what it was made from.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: Value,
    pub(super) offset: usize,
}

impl Section {
    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Adds a field.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<Value>, offset: usize) {
        self.fields.push(Field { name, value: value.into(), offset });
    }

    /// Adds what `value` makes of a member; what it makes nothing of, and what is there already, is kept.
    pub(super) fn convert<V: Into<Value>>(
        &mut self,
        desk: &mut Desk,
        name: &'static str,
        found: Option<&Found<'_>>,
        expected: &str,
        value: impl Fn(&Found<'_>) -> Option<V>,
    ) {
        let Some(found) = found else { return };
        if self.has(name) {
            self.comments.push(desk.keep(found));
            return;
        }
        match value(found) {
            Some(value) => self.set(name, value, found.json.offset),
            None => self.comments.push(desk.misfit(found, expected)),
        }
    }

    /// Keeps what is left in a bag.
    pub(super) fn keep_rest(&mut self, desk: &mut Desk, bag: &mut Bag<'_>) {
        self.comments.extend(bag.keep_rest(desk));
    }

    /// Keeps one member.
    pub(super) fn keep(&mut self, desk: &mut Desk, found: &Found<'_>) {
        self.comments.push(desk.keep(found));
    }

    /// Whether nothing would be written.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.comments.is_empty()
    }
}
