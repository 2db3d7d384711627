//! From what is written to what is shown of it.

use keywheel_actors::secret::Secret;
use serde_json::{Value, json};

use super::shown::{Effective, ValueOrigin};
use crate::config::field::{Field, Kind, Usual};
use crate::config::secret::Written;
use crate::config::tree::{Fields, Node};

/// What the nearest of `levels`, its own the first, says about `field`, or what holds otherwise.
pub(super) fn nearest(field: &Field, levels: &[Option<Fields<'_>>]) -> Effective {
    let said = |(level, fields): (usize, &Option<Fields<'_>>)| {
        let node = fields.as_ref()?.get(field.name)?;
        let effective = written(value_of(&node, field.kind), &node);
        let origin = if level == 0 { effective.origin } else { ValueOrigin::Inherited(node.place()) };
        Some(Effective { origin, ..effective })
    };
    levels.iter().enumerate().find_map(said).unwrap_or_else(|| usual(field))
}

/// `value`, which stands at `node`.
pub(super) fn written(value: Value, node: &Node<'_>) -> Effective {
    Effective { value, meaning: None, masked: None, origin: ValueOrigin::Written(node.place()) }
}

/// What holds where nobody says anything.
pub(super) fn usual(field: &Field) -> Effective {
    let (value, meaning) = match field.usual {
        Usual::Value(value) => (value(), None),
        Usual::Words(words) => (Value::Null, Some(words)),
        // A configuration without mistakes has it.
        Usual::Required => (Value::Null, None),
    };
    Effective { value, meaning, masked: None, origin: ValueOrigin::Usual }
}

/// A secret as the reference that is written, or masked; `fetched` is what it led to.
pub(super) fn secret(node: &Node<'_>, fetched: Option<&Secret>) -> Effective {
    let text = node.text().unwrap_or_default();
    let reference = match Written::of(text) {
        // Somebody may have put the key itself behind `env:`. Names of variables shout, keys don't.
        Written::Variable(name) if fetched.is_none() && name.chars().any(|c| c.is_ascii_lowercase()) => None,
        Written::Variable(_) | Written::File(_) | Written::Credential(_) => Some(text),
        Written::Literal(_) => None,
    };
    match reference {
        Some(reference) => {
            Effective { masked: fetched.map(Secret::masked), ..written(json!(reference), node) }
        }
        None => written(json!(fetched.map_or_else(|| Secret::new(text).masked(), Secret::masked)), node),
    }
}

fn value_of(node: &Node<'_>, kind: Kind) -> Value {
    match kind {
        Kind::Switch => json!(node.switch()),
        Kind::Whole { least, most } => json!(node.whole(least..=most)),
        Kind::Amount => node
            .amount()
            .and_then(|amount| serde_json::from_str(&amount.to_string()).ok())
            .unwrap_or_default(),
        Kind::Names | Kind::Texts | Kind::Models | Kind::Candidates => {
            let texts = node.texts().unwrap_or_default();
            json!(texts.iter().map(|(text, _)| text).collect::<Vec<_>>())
        }
        Kind::Aliases => {
            let all = node.any_fields().map(|fields| fields.all()).unwrap_or_default();
            all.into_iter().map(|(ours, theirs)| (ours.to_owned(), json!(theirs.text()))).collect()
        }
        Kind::Secret => secret(node, None).value,
        Kind::Name
        | Kind::Model
        | Kind::Address
        | Kind::Header
        | Kind::Path
        | Kind::Text
        | Kind::Choice(_)
        | Kind::Currency
        | Kind::Duration
        | Kind::DurationOrNever => json!(node.text()),
        // Sections have no value of their own; the walk goes inside.
        Kind::Table(_) | Kind::Tables(_) => Value::Null,
    }
}
