//! A reader that goes on after a mistake, so that all of them are found at once.
//!
//! Each question to a [`Node`] gives `None` for a value that is wrong, after
//! noting what was expected and what is there. The asker goes on without it.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use ::config::{Value, ValueKind};
use keywheel_actors::unit::{format_duration, parse_duration};

use super::address;
use super::ledger::Ledger;
use super::lookalike::looks_secret;
use super::place::{Spot, Step};
use super::problem::{Place, Problem};
use super::suggest;
use crate::money::{Money, NotMoney};

/// Longer durations are slips of the unit.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Names go to logs, tables and command lines.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// A value with its place.
#[derive(Clone)]
pub(super) struct Node<'a> {
    value: &'a Value,
    steps: Vec<Step>,
    /// The path as people and `--set` say it: `provider.openai.limits.rpm`.
    path: String,
    ledger: &'a Ledger<'a>,
}

impl<'a> Node<'a> {
    /// The whole tree.
    pub(super) fn root(value: &'a Value, ledger: &'a Ledger<'a>) -> Self {
        Self { value, steps: Vec::new(), path: String::new(), ledger }
    }

    /// Where this value is written.
    pub(super) fn place(&self) -> Place {
        self.place_of(Spot::Value)
    }

    fn place_of(&self, spot: Spot) -> Place {
        if let Some(origin) = self.value.origin() {
            return address::place_of(origin);
        }
        if let Some(place) = self.ledger.file().exactly(&self.steps, spot, &self.path) {
            return place;
        }
        // A table that only overrides made has its place in one of them.
        match origin_inside(self.value) {
            Some(origin) => address::place_of(origin),
            None => self.ledger.file().nearest(&self.steps, spot, &self.path),
        }
    }

    /// Whether the value came in as bare text, by a variable or a flag.
    fn is_bare(&self) -> bool {
        self.value.origin().is_some()
    }

    /// Notes a mistake here.
    pub(super) fn wrong(&self, message: impl Into<String>, hint: Option<String>) {
        self.ledger.wrong(Problem { place: self.place(), message: message.into(), hint });
    }

    /// Notes a warning here.
    pub(super) fn warn(&self, message: impl Into<String>, hint: Option<String>) {
        self.ledger.warn(Problem { place: self.place(), message: message.into(), hint });
    }

    fn wrong_kind(&self, expected: &str, hint: Option<&str>) {
        self.wrong(format!("expected {expected}, found {}", kind(self.value)), hint.map(str::to_owned));
    }

    /// A table with no other fields than the `known` ones.
    pub(super) fn fields(&self, known: &[&str]) -> Option<Fields<'a>> {
        self.fields_and_legacy(known, &[])
    }

    /// A table with no other fields than the `known` ones and the `legacy` ones, which no hint recommends.
    pub(super) fn fields_and_legacy(&self, known: &[&str], legacy: &[&str]) -> Option<Fields<'a>> {
        let fields = self.any_fields()?;
        let allowed = |name: &str| known.contains(&name) || legacy.contains(&name);
        for name in fields.table.keys().filter(|name| !allowed(name)) {
            let Some(node) = fields.get(name) else { continue };
            let problem = Problem::new(node.place_of(Spot::Name), format!("there is no field `{name}`"));
            self.ledger.wrong(problem.hinting(suggest::instead_of(name, known.iter().copied())));
        }
        Some(fields)
    }

    /// A table whose fields the user names.
    pub(super) fn any_fields(&self) -> Option<Fields<'a>> {
        if let ValueKind::Table(table) = &self.value.kind {
            return Some(Fields { node: self.clone(), table });
        }
        self.wrong_kind("a table", self.is_bare().then_some("name one field of the table"));
        None
    }

    /// A list of tables, each shown by what its field `naming` says.
    pub(super) fn tables(&self, naming: &str) -> Option<Vec<Self>> {
        let ValueKind::Array(items) = &self.value.kind else {
            let fields: Vec<&str> = self.steps.iter().filter_map(Step::name).collect();
            let hint = format!("write `[[{}]]`, with two brackets on each side", fields.join("."));
            self.wrong_kind("a list of tables", Some(&hint));
            return None;
        };
        Some(items.iter().enumerate().map(|(index, item)| self.item(index, item, Some(naming))).collect())
    }

    /// A list of texts, each with its place. Bare text is split at commas.
    pub(super) fn texts(&self) -> Option<Vec<(&'a str, Self)>> {
        match &self.value.kind {
            ValueKind::Array(items) => {
                let nodes = items.iter().enumerate().map(|(index, item)| self.item(index, item, None));
                Some(nodes.filter_map(|node| Some((node.text()?, node))).collect())
            }
            ValueKind::String(text) if self.is_bare() => {
                let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                Some(texts.map(|text| (text, self.clone())).collect())
            }
            _ => {
                self.wrong_kind("a list", Some("put it in brackets"));
                None
            }
        }
    }

    fn item(&self, index: usize, value: &'a Value, naming: Option<&str>) -> Self {
        let mut steps = self.steps.clone();
        steps.push(Step::Item(index));
        let name = address::name_in(value, naming).map_or_else(|| index.to_string(), str::to_owned);
        Self { value, steps, path: format!("{}.{name}", self.path), ledger: self.ledger }
    }

    /// Any text.
    pub(super) fn text(&self) -> Option<&'a str> {
        if let ValueKind::String(text) = &self.value.kind {
            return Some(text);
        }
        self.wrong_kind("text", Some("put it in quotes"));
        None
    }

    /// A name of something: short, printable, without the `/` that divides a provider from its key or model.
    pub(super) fn name(&self) -> Option<&'a str> {
        let name = self.text()?;
        let wrong = if name.is_empty() {
            "a name can't be empty".to_owned()
        } else if name.chars().count() > NAME_CHARS_MAX {
            format!("a name has at most {NAME_CHARS_MAX} characters")
        } else if name.contains('/') || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            "a name holds no `/`, no spaces and no control characters".to_owned()
        } else if looks_secret(name) {
            "this looks like a secret, and names are shown everywhere".to_owned()
        } else {
            return Some(name);
        };
        self.wrong(wrong, None);
        None
    }

    /// A model's name.
    pub(super) fn model(&self) -> Option<&'a str> {
        self.text().and_then(|name| self.as_model(name))
    }

    /// `name`, which stands here, if it can be a model's.
    pub(super) fn as_model<'n>(&self, name: &'n str) -> Option<&'n str> {
        if name.is_empty() || name.chars().any(char::is_control) {
            self.wrong("a model's name can't be empty and holds no control characters", None);
            return None;
        }
        Some(name)
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Option<bool> {
        match &self.value.kind {
            ValueKind::Boolean(on) => Some(*on),
            ValueKind::String(text) if self.is_bare() && text == "true" => Some(true),
            ValueKind::String(text) if self.is_bare() && text == "false" => Some(false),
            _ => {
                self.wrong_kind("true or false", Some("write the word without quotes"));
                None
            }
        }
    }

    /// A whole number in `range`.
    pub(super) fn whole(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match &self.value.kind {
            ValueKind::I64(number) => Ok(i128::from(*number)),
            ValueKind::String(text) => match text.replace('_', "").parse() {
                Ok(number) if self.is_bare() => Ok(number),
                Ok(_) => Err(Some("write it without quotes")),
                Err(_) => Err(None),
            },
            _ => Err(None),
        };
        let number = number.map_err(|hint| self.wrong_kind("a whole number", hint)).ok()?;
        let fitting = u64::try_from(number).ok().filter(|number| range.contains(number));
        if fitting.is_none() {
            self.wrong(format!("must be from {} to {}, is {number}", range.start(), range.end()), None);
        }
        fitting
    }

    /// An amount of money, exactly as it is written.
    pub(super) fn amount(&self) -> Option<Money> {
        const HINT: &str = "write a plain number such as 0.15";
        let text = match &self.value.kind {
            ValueKind::I64(number) => number.to_string(),
            // The shortest decimal that reads as this float is the one that was written: all with at most
            // fifteen digits are told apart.
            ValueKind::Float(number) => number.to_string(),
            ValueKind::String(text) if self.is_bare() => text.trim().to_owned(),
            ValueKind::String(text) if text.parse::<Money>().is_ok() => {
                self.wrong_kind("an amount of money", Some("write it without quotes"));
                return None;
            }
            _ => {
                self.wrong_kind("an amount of money", Some(HINT));
                return None;
            }
        };
        text.parse().map_err(|error: NotMoney| self.wrong(error.to_string(), Some(HINT.to_owned()))).ok()
    }

    /// A duration of at least `least`.
    pub(super) fn duration(&self, least: Duration) -> Option<Duration> {
        const HINT: &str = "write numbers with units, such as \"250ms\", \"60s\", \"1h30m\" or \"1d\"";
        let ValueKind::String(text) = &self.value.kind else {
            self.wrong_kind("a duration", Some(HINT));
            return None;
        };
        let Some(duration) = parse_duration(text) else {
            self.wrong("not a duration", Some(HINT.to_owned()));
            return None;
        };
        if duration < least || duration > DURATION_MAX {
            let (least, most) = (format_duration(least), format_duration(DURATION_MAX));
            self.wrong(format!("must be from {least} to {most}, is {}", format_duration(duration)), None);
            return None;
        }
        Some(duration)
    }

    /// Whether this is the text `word`.
    pub(super) fn says(&self, word: &str) -> bool {
        matches!(&self.value.kind, ValueKind::String(text) if text == word)
    }

    /// One of a few words; `what` they are goes into the message.
    pub(super) fn choice<T: Clone>(&self, what: &str, words: &[(&str, T)]) -> Option<T> {
        let said = self.text()?;
        let chosen = words.iter().find(|(word, _)| *word == said).map(|(_, meaning)| meaning.clone());
        if chosen.is_none() {
            let hint = suggest::instead_of(said, words.iter().map(|(word, _)| *word));
            self.wrong(format!("there is no {what} `{said}`"), Some(hint));
        }
        chosen
    }
}

/// A table's fields.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    node: Node<'a>,
    table: &'a HashMap<String, Value>,
}

impl<'a> Fields<'a> {
    /// A field, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.table.get(name)?;
        let mut steps = self.node.steps.clone();
        steps.push(Step::Field(name.to_owned()));
        let above = &self.node.path;
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        Some(Node { value, steps, path, ledger: self.node.ledger })
    }

    /// A field that has to be there; `hint` is an example of it.
    pub(super) fn need(&self, name: &str, hint: &str) -> Option<Node<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.node.wrong(format!("`{name}` is missing"), Some(hint.to_owned()));
        }
        found
    }

    /// All fields with their names, in the order of the names.
    pub(super) fn all(&self) -> Vec<(&'a str, Node<'a>)> {
        let mut all: Vec<_> =
            self.table.keys().filter_map(|name| Some((name.as_str(), self.get(name)?))).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }
}

fn origin_inside(value: &Value) -> Option<&str> {
    value.origin().or_else(|| match &value.kind {
        ValueKind::Table(fields) => fields.values().filter_map(origin_inside).min(),
        ValueKind::Array(items) => items.iter().find_map(origin_inside),
        _ => None,
    })
}

/// What a value is, without saying which: it may be a secret.
fn kind(value: &Value) -> &'static str {
    match &value.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(text) if text.is_empty() => "nothing",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}
