//! The layers put together: the file, variables over it, flags over both.

use std::fmt;

use ::config::{Config, ConfigError, File, FileFormat, Map, Value, ValueKind};

use super::address::Override;
use super::place::Step;

/// The tree of the file, under the overrides.
///
/// Every overriding value keeps its [`Override::origin`]; a value without one is the file's.
///
/// # Errors
/// Whatever the `config` crate makes of TOML that is otherwise in order.
pub(super) fn tree(text: &str, overrides: &[Override]) -> Result<Value, ConfigError> {
    let mut layers = Config::builder().add_source(File::from_str(text, FileFormat::Toml));
    for value in overrides {
        layers = layers.add_source(Layer::of(value));
    }
    Ok(layers.build()?.cache)
}

/// One override as a source of its own, so that the later one wins.
#[derive(Clone)]
struct Layer {
    /// In the crate's notation: `provider[0].limits`.
    expression: String,
    value: Value,
}

impl Layer {
    fn of(value: &Override) -> Self {
        let text = Value::new(Some(&value.origin), value.value.as_str());
        // A model's name may hold dots and slashes, which an expression can't. So the last field goes in a table.
        match value.steps.split_last() {
            Some((Step::Field(leaf), above)) if !above.is_empty() => {
                let table = Map::from([(leaf.clone(), text)]);
                Self { expression: expression(above), value: Value::new(None, ValueKind::Table(table)) }
            }
            _ => Self { expression: expression(&value.steps), value: text },
        }
    }
}

impl ::config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from([(self.expression.clone(), self.value.clone())]))
    }
}

/// Without the value, which may be a secret.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("expression", &self.expression).finish_non_exhaustive()
    }
}

fn expression(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => text = format!("{text}.{name}"),
            Step::Item(index) => text = format!("{text}[{index}]"),
        }
    }
    text
}
