//! Single fields of a table.

use std::collections::BTreeMap;

use toml_edit::{Array, InlineTable, Item, TableLike, Value};

use super::rows::text_of;

/// Writes a field; one that is there keeps its place and its comment.
pub(super) fn set(table: &mut dyn TableLike, name: &str, value: impl Into<Value>) {
    let mut value = value.into();
    match table.get_mut(name) {
        Some(Item::Value(before)) => {
            *value.decor_mut() = before.decor().clone();
            *before = value;
        }
        Some(other) => *other = Item::Value(value),
        None => {
            take_over_last_space(table, &mut value);
            table.insert(name, Item::Value(value));
        }
    }
}

/// The space before the brace of `{ rpm = 5 }` belongs to the last value.
fn take_over_last_space(table: &mut dyn TableLike, value: &mut Value) {
    let last = table.iter_mut().filter_map(|(_, item)| item.as_value_mut()).last();
    if let Some(last) = last {
        let suffix = text_of(last.decor().suffix());
        if !suffix.is_empty() && suffix.trim().is_empty() {
            last.decor_mut().set_suffix("");
            value.decor_mut().set_prefix(" ");
            value.decor_mut().set_suffix(suffix);
        }
    }
}

/// Writes a list of texts, or takes the field away if there are none.
pub(super) fn set_texts(table: &mut dyn TableLike, name: &str, texts: &[String]) {
    if texts.is_empty() {
        table.remove(name);
    } else {
        set(table, name, texts.iter().map(String::as_str).collect::<Array>());
    }
}

/// Writes limits; one of 0 is taken away.
pub(super) fn set_limits(table: &mut dyn TableLike, limits: &BTreeMap<&'static str, u64>) {
    if limits.is_empty() {
        return;
    }
    if table.get("limits").and_then(Item::as_table_like).is_none() {
        set(table, "limits", InlineTable::new());
    }
    let Some(written) = table.get_mut("limits").and_then(Item::as_table_like_mut) else { return };
    for (name, count) in limits {
        match i64::try_from(*count) {
            Ok(0) => drop(written.remove(name)),
            Ok(count) => set(written, name, count),
            // Beyond what TOML can write; the check tells the most that is allowed.
            Err(_) => set(written, name, i64::MAX),
        }
    }
    if written.is_empty() {
        table.remove("limits");
    }
}
