//! The table as a JSON schema, for editors that complete and check as one types.

use serde_json::{Map, Value, json};

use super::kind::{Field, Kind, Usual};
use super::table::{PROVIDER, TOP};

/// Numbers with units, as `keywheel_actors::unit::parse_duration` reads them.
const DURATION: &str = "([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+";

/// A JSON schema (draft 2020-12) of `keywheel.toml`.
///
/// It knows the form of every field. What depends on several of them, such as references to providers,
/// only `keywheel config check` knows.
pub fn schema() -> Value {
    let mut schema = table(TOP);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("keywheel.toml"));
    schema.insert("description".to_owned(), json!("The configuration of Keywheel."));
    Value::Object(schema)
}

fn table(fields: &[Field]) -> Map<String, Value> {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), Value::Object(property(field)))).collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| matches!(field.usual, Usual::Required))
        .map(|field| field.name)
        .collect();
    let mut schema = object(json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    }));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(field: &Field) -> Map<String, Value> {
    let mut schema = form(field);
    let (description, default) = match field.usual {
        Usual::Required => (format!("{} Required.", field.about), None),
        Usual::Value(value) => (field.about.to_owned(), Some(value())),
        Usual::Words(words) => (format!("{} Default: {words}.", field.about), None),
    };
    schema.insert("description".to_owned(), json!(description));
    if let Some(default) = default {
        schema.insert("default".to_owned(), default);
    }
    schema
}

fn form(field: &Field) -> Map<String, Value> {
    object(match field.kind {
        Kind::Name => {
            json!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^/\\s\\x00-\\x1f]+$" })
        }
        Kind::Header => json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" }),
        Kind::Address => json!({ "type": "string", "pattern": "^https?://[^?#]+$" }),
        Kind::Model | Kind::Path | Kind::Secret => json!({ "type": "string", "minLength": 1 }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words() }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Amount => json!({ "type": "number", "minimum": 0 }),
        Kind::Currency => json!({ "type": "string", "pattern": "^[A-Z]{3}$" }),
        Kind::Duration => json!({ "type": "string", "pattern": format!("^{DURATION}$") }),
        Kind::DurationOrNever => json!({ "type": "string", "pattern": format!("^(never|{DURATION})$") }),
        Kind::Names | Kind::Texts | Kind::Models => {
            json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
        }
        Kind::Candidates => {
            json!({ "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^[^/]+/.+$" } })
        }
        Kind::Aliases => {
            json!({ "type": "object", "additionalProperties": { "type": "string", "minLength": 1 } })
        }
        Kind::Table(fields) => Value::Object(table(fields)),
        Kind::Tables(fields) => {
            json!({ "type": "array", "minItems": least_of(field), "items": item(fields) })
        }
    })
}

/// Providers and keys have to be there if their list is; routes needn't.
const fn least_of(list: &Field) -> u64 {
    match list.kind {
        Kind::Tables(_) if matches!(list.usual, Usual::Required) => 1,
        _ => 0,
    }
}

fn item(fields: &'static [Field]) -> Value {
    let mut schema = table(fields);
    if std::ptr::eq(fields, PROVIDER) {
        // A preset says the dialect; without one both must be said. The keys come in one of two forms.
        let endpoint = json!({ "anyOf": [
            { "required": ["preset"] },
            { "required": ["dialect", "base_url"] },
        ]});
        let keys = json!({ "anyOf": [{ "required": ["key"] }, { "required": ["api_key"] }] });
        schema.insert("allOf".to_owned(), json!([endpoint, keys]));
    }
    Value::Object(schema)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
