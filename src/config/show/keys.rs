//! The keys of a provider, beside their fields.

use std::collections::BTreeMap;

use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{KeySpec, ProviderSpec};
use serde_json::json;

use super::shown::{Effective, Shown};
use super::value;
use super::walk::{KeyLevel, Levels, item_called, leaf, table};
use crate::config::field::{Field, KEY, Kind};
use crate::config::key::name_by_position;
use crate::config::provider;
use crate::config::tree::{Fields, Node};

/// A key as it stands in the file: in a table of its own, or as the `api_key` of its provider.
struct WrittenKey<'a> {
    fields: Option<Fields<'a>>,
    secret: Option<Node<'a>>,
}

fn written_keys<'a>(provider: Option<&Fields<'a>>) -> Vec<WrittenKey<'a>> {
    let Some(provider) = provider else { return Vec::new() };
    let only = provider::api_key(provider).map(|node| WrittenKey { fields: None, secret: Some(node) });
    let listed = provider.get("key").and_then(|list| list.tables("name")).unwrap_or_default();
    let listed = listed.into_iter().map(|node| {
        let fields = node.any_fields();
        WrittenKey { secret: fields.as_ref().and_then(|fields| fields.get("secret")), fields }
    });
    only.into_iter().chain(listed).collect()
}

/// What the `api_key` of a provider comes to: the secret of its first key.
pub(super) fn api_key(field: &Field, levels: &Levels<'_>, spec: Option<&ProviderSpec>) -> Effective {
    let first = spec.and_then(|spec| spec.keys.first()).map(|key| &key.secret);
    let node = levels.provider.as_ref().and_then(provider::api_key);
    node.map_or_else(|| value::usual(field), |node| value::secret(&node, first))
}

/// All of them, in the order of the wheel.
pub(super) fn all(levels: &Levels<'_>, spec: Option<&ProviderSpec>) -> Vec<Shown> {
    let groups = groups(levels);
    let written = written_keys(levels.provider.as_ref()).into_iter().enumerate();
    let shown = written.map(|(index, written)| {
        let spec = spec.and_then(|spec| spec.keys.get(index));
        item_called("name", index, key(index, written, levels, &groups, spec))
    });
    shown.collect()
}

fn key<'a>(
    index: usize,
    written: WrittenKey<'a>,
    levels: &Levels<'a>,
    groups: &Groups<'a>,
    spec: Option<&KeySpec>,
) -> Vec<Shown> {
    let WrittenKey { fields, secret } = written;
    let group = fields.as_ref().and_then(group_of).and_then(|group| groups.get(group));
    let group = group.cloned().unwrap_or_default();
    let own = fields.clone().map_or(KeyLevel::Bare, KeyLevel::Table);
    let levels = Levels { key: own, group, ..levels.clone() };
    let fetched: Option<&Secret> = spec.map(|spec| &spec.secret);
    KEY.iter()
        .map(|field| match (field.name, field.kind) {
            (section, Kind::Table(inside)) => {
                table(field, inside, |inner| value::nearest(inner, &levels.sections(section)))
            }
            ("secret", _) => {
                let shown = secret.as_ref().map(|node| value::secret(node, fetched));
                leaf(field, shown.unwrap_or_else(|| value::usual(field)))
            }
            (name, _) => {
                let effective = value::nearest(field, std::slice::from_ref(&fields));
                let unnamed = name == "name" && effective.value.is_null();
                let given = || Effective {
                    value: json!(name_by_position(index)),
                    meaning: None,
                    ..effective.clone()
                };
                leaf(field, if unnamed { given() } else { effective })
            }
        })
        .collect()
}

/// The keys of each quota group that have limits, in order: what one says holds for all.
type Groups<'a> = BTreeMap<&'a str, Vec<Fields<'a>>>;

fn groups<'a>(levels: &Levels<'a>) -> Groups<'a> {
    let keys = levels.provider.as_ref().and_then(|provider| provider.get("key")?.tables("name"));
    let mut groups = Groups::new();
    for fields in keys.unwrap_or_default().into_iter().filter_map(|node| node.any_fields()) {
        if let Some(group) = group_of(&fields).filter(|_| fields.get("limits").is_some()) {
            groups.entry(group).or_default().push(fields);
        }
    }
    groups
}

fn group_of<'a>(key: &Fields<'a>) -> Option<&'a str> {
    key.get("quota_group")?.text()
}
