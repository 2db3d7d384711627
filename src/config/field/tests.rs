//! The table, the reader and the documentation mean the same fields.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kind::{Field, Kind};
use super::table::TOP;
use super::{KEY, PRICE, PROVIDER, ROUTE, schema};
use crate::config::{admin, home, key, limits, load, price, provider, rotation, route, server};

fn names(fields: &[Field]) -> BTreeSet<&'static str> {
    fields.iter().map(|field| field.name).collect()
}

#[track_caller]
fn section<'a>(fields: &'a [Field], name: &str) -> &'a [Field] {
    let found = fields.iter().find(|field| field.name == name).expect("the table has the section");
    match found.kind {
        Kind::Table(fields) | Kind::Tables(fields) => fields,
        _ => panic!("`{name}` is no table"),
    }
}

#[test]
fn the_reader_knows_what_the_table_has() {
    let levels: [(&str, &[Field], &[&str]); 14] = [
        ("top", TOP, &load::FIELDS),
        ("provider", section(TOP, "provider"), &provider::FIELDS),
        ("key", section(PROVIDER, "key"), &key::FIELDS),
        ("route", section(TOP, "route"), &route::FIELDS),
        ("price", section(TOP, "price"), &price::FIELDS),
        ("rotation", section(TOP, "rotation"), &rotation::ROTATION_FIELDS),
        ("provider.rotation", section(PROVIDER, "rotation"), &rotation::ROTATION_FIELDS),
        ("key.rotation", section(KEY, "rotation"), &rotation::ROTATION_FIELDS),
        ("timeouts", section(TOP, "timeouts"), &rotation::TIMEOUT_FIELDS),
        ("state", section(TOP, "state"), &home::STATE_FIELDS),
        ("failures", section(TOP, "failures"), &home::FAILURE_FIELDS),
        ("admin", section(TOP, "admin"), &admin::FIELDS),
        ("server", section(TOP, "server"), &server::FIELDS),
        ("client", section(section(TOP, "server"), "client"), &server::CLIENT_FIELDS),
    ];
    for (level, table, reader) in levels {
        let known: BTreeSet<&str> = reader.iter().copied().collect();
        let mut said = names(table);
        if level == "provider" {
            // Read beside the others: it stands for a whole key.
            assert!(said.remove(provider::API_KEY));
        }
        assert_eq!(said, known, "{level}");
    }
    assert_eq!(names(ROUTE), route::FIELDS.into());
    assert_eq!(names(PRICE), price::FIELDS.into());
}

#[test]
fn limits_end_where_the_readers_do() {
    for table in [section(PROVIDER, "limits"), section(KEY, "limits")] {
        let said: BTreeMap<&str, u64> = table
            .iter()
            .map(|field| match field.kind {
                Kind::Whole { least: 1, most } => (field.name, most),
                _ => panic!("`{}` is a count", field.name),
            })
            .collect();
        assert_eq!(said, limits::FIELDS.into());
    }
}

#[test]
fn every_field_says_what_it_means_and_what_holds_without_it() {
    fn walk(schema: &Value, path: &str, seen: &mut usize) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let about = field["description"].as_str().unwrap_or_default();
            let says = about.contains("Default: ") || about.ends_with("Required.");
            assert!(says || field.get("default").is_some(), "{path}: {about}");
            *seen += 1;
            walk(field, &path, seen);
            walk(&field["items"], &path, seen);
        }
    }
    let mut seen = 0;
    walk(&schema(), "", &mut seen);
    assert_eq!(seen, 11 + 6 + 6 + 1 + 4 + 3 + 2 + 5 + 17 + (8 + 11) + (16 + 11 + 6 + 6) + (8 + 11 + 6));
}

/// What a schema with only our keywords has against a value.
fn against(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let is_type = match schema["type"].as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        other => panic!("{path}: no such type: {other}"),
    };
    if !is_type {
        found.push(format!("{path}: not {}", schema["type"]));
        return;
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{path}: none of {}", schema["enum"]));
    }
    if schema["type"] == "integer"
        && let Some(number) = value.as_u64()
        && !(schema["minimum"].as_u64().unwrap()..=schema["maximum"].as_u64().unwrap()).contains(&number)
    {
        found.push(format!("{path}: out of range"));
    }
    let missing = |schema: &Value| {
        let required = schema["required"].as_array().into_iter().flatten();
        required.filter_map(Value::as_str).any(|name| value.get(name).is_none())
    };
    if missing(schema) {
        found.push(format!("{path}: lacks one of {}", schema["required"]));
    }
    for choice in schema["allOf"].as_array().into_iter().flatten() {
        if choice["anyOf"].as_array().unwrap().iter().all(missing) {
            found.push(format!("{path}: lacks all of {}", choice["anyOf"]));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => against(schema, inner, &path, found),
            (None, Value::Bool(false)) => found.push(format!("{path}: no such field")),
            (None, Value::Object(_)) => against(&schema["additionalProperties"], inner, &path, found),
            (None, _) => {}
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        against(&schema["items"], inner, &format!("{path}.{index}"), found);
    }
}

fn found_in(toml: &str) -> Vec<String> {
    let value: Value = toml_edit::de::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    let mut found = Vec::new();
    against(&schema(), &value, "", &mut found);
    found
}

#[test]
fn the_examples_of_the_documentation_fit_the_schema() {
    let text = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        assert_eq!(found_in(example), [""; 0], "{example}");
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let toml = "colour = 1\n[rotation]\npick = \"best\"\n[[provider]]\nid = \"a\"\nenabled = 1\n\
                [[provider.key]]\nsecret = \"env:A\"\nweight = 0\n[[provider]]\nid = \"b\"\npreset = \"openai\"\n";
    let found = found_in(toml);
    for part in [
        ".colour: no such field",
        ".rotation.pick: none of",
        ".provider.0: lacks all of",
        ".provider.0.enabled: not \"boolean\"",
        ".provider.0.key.0.weight: out of range",
        ".provider.1: lacks all of",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(part)), "{part}: {found:#?}");
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}
