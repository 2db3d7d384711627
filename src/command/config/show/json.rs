//! A resolved configuration for programs.

use serde_json::{Map, Value, json};

use crate::config::{Content, Effective, Place, Shown, ValueOrigin};

/// Tables as objects, lists as arrays in the file's order, values as `{"value", "origin"}`.
///
/// `meaning` says what holds where the value is `null`; `masked` is what a person may see of a secret.
pub(super) fn of(shown: &Shown) -> Value {
    match &shown.content {
        Content::Value(effective) => of_value(effective),
        Content::Table(inside) => inside.iter().map(|inner| (inner.name.clone(), of(inner))).collect(),
        Content::List(items) => items.iter().map(of).collect(),
    }
}

fn of_value(effective: &Effective) -> Value {
    let mut object = Map::new();
    object.insert("value".to_owned(), effective.value.clone());
    object.insert("origin".to_owned(), of_origin(&effective.origin));
    if let Some(meaning) = effective.meaning {
        object.insert("meaning".to_owned(), json!(meaning));
    }
    if let Some(masked) = &effective.masked {
        object.insert("masked".to_owned(), json!(masked));
    }
    Value::Object(object)
}

fn of_origin(origin: &ValueOrigin) -> Value {
    match origin {
        ValueOrigin::Usual => json!({ "kind": "default" }),
        ValueOrigin::Preset(name) => json!({ "kind": "preset", "name": name }),
        ValueOrigin::Written(place) => of_place(place),
        ValueOrigin::Inherited(place) => {
            let mut origin = of_place(place);
            origin["inherited"] = json!(true);
            origin
        }
    }
}

fn of_place(place: &Place) -> Value {
    match place {
        Place::Nowhere => json!({ "kind": "file" }),
        Place::File(file) => json!({ "kind": "file", "file": file }),
        Place::Line { file, line, column, field } => {
            json!({ "kind": "file", "file": file, "line": line, "column": column, "field": field })
        }
        Place::Variable(name) => json!({ "kind": "variable", "name": name }),
        Place::Flag(path) => json!({ "kind": "flag", "path": path }),
    }
}
