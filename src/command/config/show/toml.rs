//! A resolved configuration for people: TOML, with the origin of each value behind it.

use serde_json::Value;

use crate::config::{Content, Effective, Place, Shown, ValueOrigin};
use crate::ui::style::{Colour, Style};

/// Longer lines don't push the comments of all others to the right.
const COMMENT_COLUMN_MAX: usize = 56;

/// The text of `shown`.
pub(super) fn of(shown: &Shown, style: Style) -> String {
    let mut page = Page { style, lines: Vec::new() };
    match &shown.content {
        Content::Value(effective) => page.value(&shown.name, effective),
        Content::Table(inside) => page.table(inside, ""),
        Content::List(items) => page.list(items, &shown.name),
    }
    page.text()
}

struct Page {
    style: Style,
    lines: Vec<Line>,
}

enum Line {
    Plain(String),
    Commented { code: String, comment: String },
}

impl Page {
    /// `header` is what TOML calls this place.
    fn table(&mut self, inside: &[Shown], header: &str) {
        for shown in inside {
            let header =
                if header.is_empty() { shown.name.clone() } else { format!("{header}.{}", shown.name) };
            match &shown.content {
                Content::Value(effective) => self.value(&shown.name, effective),
                Content::Table(inner) => {
                    self.head(&format!("[{header}]"));
                    self.table(inner, &header);
                }
                Content::List(items) => self.list(items, &header),
            }
        }
    }

    fn list(&mut self, items: &[Shown], header: &str) {
        for item in items {
            self.head(&format!("[[{header}]]"));
            if let Content::Table(inside) = &item.content {
                self.table(inside, header);
            }
        }
    }

    fn head(&mut self, head: &str) {
        if !self.lines.is_empty() {
            self.lines.push(Line::Plain(String::new()));
        }
        self.lines.push(Line::Plain(head.to_owned()));
    }

    fn value(&mut self, name: &str, effective: &Effective) {
        let origin = origin(&effective.origin);
        let more = effective.masked.as_deref().or(effective.meaning);
        let comment = more.map_or(origin.clone(), |more| format!("{origin}: {more}"));
        let code = match &effective.value {
            Value::Null => format!("# {name}"),
            value => format!("{name} = {}", literal(value)),
        };
        self.lines.push(Line::Commented { code, comment });
    }

    fn text(&self) -> String {
        let widths = self.lines.iter().filter_map(|line| match line {
            Line::Commented { code, .. } => Some(code.chars().count()),
            Line::Plain(_) => None,
        });
        let column = widths.filter(|width| *width <= COMMENT_COLUMN_MAX).max().unwrap_or_default();
        self.lines.iter().fold(String::new(), |text, line| {
            text + &match line {
                Line::Plain(line) => format!("{line}\n"),
                Line::Commented { code, comment } => {
                    let comment = self.style.paint(Colour::Grey, &format!("# {comment}"));
                    format!("{code:column$}  {comment}\n")
                }
            }
        })
    }
}

fn origin(origin: &ValueOrigin) -> String {
    match origin {
        ValueOrigin::Usual => "default".to_owned(),
        ValueOrigin::Preset(name) => format!("preset {name}"),
        ValueOrigin::Inherited(Place::Line { field, file, line, .. }) => {
            format!("{}:{line}, {field}", file.display())
        }
        ValueOrigin::Written(place) | ValueOrigin::Inherited(place) => spot(place),
    }
}

/// Without the field's path, which the page itself says.
fn spot(place: &Place) -> String {
    match place {
        Place::Line { file, line, .. } => format!("{}:{line}", file.display()),
        Place::Nowhere | Place::File(_) | Place::Variable(_) | Place::Flag(_) => place.to_string(),
    }
}

/// A value as TOML writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(on) => on.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{} = {}", quoted(name), literal(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn leaf(name: &str, value: Value, origin: ValueOrigin) -> Shown {
        let effective = Effective { value, meaning: None, masked: None, origin };
        Shown { name: name.to_owned(), content: Content::Value(effective) }
    }

    fn line(line: usize, field: &str) -> Place {
        Place::Line { file: "k.toml".into(), line, column: 1, field: field.to_owned() }
    }

    #[test]
    fn origins_stand_in_one_column_and_say_what_was_inherited() {
        let inside = vec![
            leaf("weight", json!(2), ValueOrigin::Written(line(7, "provider.p.key.a.weight"))),
            leaf("pick", json!("fastest"), ValueOrigin::Inherited(line(2, "rotation.pick"))),
        ];
        let key = Shown { name: "a".to_owned(), content: Content::Table(inside) };
        let inside = vec![
            leaf("models", json!({ "a b": "c" }), ValueOrigin::Usual),
            Shown { name: "key".to_owned(), content: Content::List(vec![key]) },
        ];
        let top = Shown { name: String::new(), content: Content::Table(inside) };
        let text = "models = { \"a b\" = \"c\" }  # default\n\n[[key]]\n\
                    weight = 2                # k.toml:7\n\
                    pick = \"fastest\"          # k.toml:2, rotation.pick\n";
        assert_eq!(of(&top, Style::Plain), text);
        let dimmed = of(&top, Style::Coloured);
        assert!(dimmed.starts_with("models = { \"a b\" = \"c\" }  \u{1b}[90m# default"), "{dimmed:?}");
    }

    #[test]
    fn a_field_alone_is_one_line() {
        let shown = leaf("weight", json!(2), ValueOrigin::Written(line(7, "provider.p.key.a.weight")));
        assert_eq!(of(&shown, Style::Plain), "weight = 2  # k.toml:7\n");
    }
}
