//! A record while it is read: what was taken, and what is left.

use super::desk::{Desk, name_shown};
use super::json::{Json, JsonKind};

/// The members of a record that nobody took yet.
pub(super) struct Bag<'a> {
    pub(super) path: String,
    members: Vec<(&'a str, &'a Json)>,
}

/// A member with its path.
pub(super) struct Found<'a> {
    pub(super) name: &'a str,
    pub(super) path: String,
    pub(super) json: &'a Json,
}

impl<'a> Bag<'a> {
    /// All members of `json`, none if it is no record.
    pub(super) fn of(path: impl Into<String>, json: &'a Json) -> Self {
        let members = json.members().unwrap_or_default();
        Self {
            path: path.into(),
            members: members.iter().map(|(name, json)| (name.as_str(), json)).collect(),
        }
    }

    /// Takes the member with one of these names: without case and `_`, and with `*` for any ending.
    ///
    /// The first of the names counts; of two members of one name it is the last, as in JavaScript. What
    /// says nothing is noted and left out.
    pub(super) fn take(&mut self, desk: &mut Desk, names: &[&str]) -> Option<Found<'a>> {
        for name in names {
            while let Some(at) = self.members.iter().rposition(|(member, _)| matches(member, name)) {
                let (member, json) = self.members.remove(at);
                let found = self.found(member, json);
                if !json.is_nothing() {
                    return Some(found);
                }
                leave_out(desk, &found);
            }
        }
        None
    }

    /// Whether a member has one of these names.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.members.iter().any(|(member, _)| matches(member, name)))
    }

    /// Everything that is left.
    pub(super) fn drain(&mut self) -> Vec<Found<'a>> {
        let members = std::mem::take(&mut self.members);
        members.into_iter().map(|(name, json)| self.found(name, json)).collect()
    }

    /// The comments that keep what is left.
    pub(super) fn keep_rest(&mut self, desk: &mut Desk) -> Vec<String> {
        let mut comments = Vec::new();
        for found in self.drain() {
            if found.json.is_nothing() {
                leave_out(desk, &found);
            } else {
                comments.push(desk.keep(&found));
            }
        }
        comments
    }

    fn found(&self, name: &'a str, json: &'a Json) -> Found<'a> {
        Found { name, path: joined(&self.path, &name_shown(name)), json }
    }
}

fn leave_out(desk: &mut Desk, found: &Found<'_>) {
    let what = if matches!(found.json.kind, JsonKind::Null) { "null" } else { "empty" };
    desk.told(&found.path, found.json, format!("is {what}: left out"));
}

/// `a.b`, or `b` at the top.
pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn matches(member: &str, name: &str) -> bool {
    let member = plain(member);
    match name.strip_suffix('*') {
        Some(beginning) => member.starts_with(beginning),
        None => member == name,
    }
}

/// Without case and without what separates words: `api_key` is `apiKey`.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
