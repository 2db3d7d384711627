//! From `KEYWHEEL__PROVIDER__OPENAI__BASE_URL` and `--set provider.openai.base_url=…`
//! to the field that they mean.
//!
//! Names are matched without case, and with `_` for whatever a variable's name
//! can't hold: `TEAM_A` is the key `team-a`.

use ::config::{Value, ValueKind};
use toml_edit::Key;

use super::place::Step;
use super::problem::{Place, Problem};
use super::source::Source;
use super::suggest;

/// What the variables that override a field begin with.
pub const VARIABLE_PREFIX: &str = "KEYWHEEL__";

/// What stands between the parts of such a variable.
const VARIABLE_SEPARATOR: &str = "__";

/// What a flag's origin begins with, in contrast to a variable's name.
const FLAG_PREFIX: &str = "--set ";

/// A list whose items go by a name.
struct List {
    /// The fields that lead there.
    path: &'static [&'static str],
    /// The field that names an item.
    naming: &'static str,
    /// What an item is called.
    item: &'static str,
}

const LISTS: [List; 5] = [
    List { path: &["provider"], naming: "id", item: "provider" },
    List { path: &["provider", "key"], naming: "name", item: "key" },
    List { path: &["route"], naming: "model", item: "route" },
    List { path: &["price"], naming: "model", item: "price" },
    List { path: &["server", "client"], naming: "name", item: "client" },
];

/// A value from outside of the file.
pub(super) struct Override {
    /// What it overrides.
    pub(super) steps: Vec<Step>,
    /// Whose word it is; [`place_of`] reads it.
    pub(super) origin: String,
    /// The value, still bare text.
    pub(super) value: String,
}

/// The place that an [`Override::origin`] stands for.
pub(super) fn place_of(origin: &str) -> Place {
    match origin.strip_prefix(FLAG_PREFIX) {
        Some(path) => Place::Flag(path.to_owned()),
        None => Place::Variable(origin.to_owned()),
    }
}

/// All overrides against the tree of the file: variables by name, then flags as given.
pub(super) fn overrides(source: &Source, written: &Value) -> (Vec<Override>, Vec<Problem>) {
    let mut variables: Vec<_> = source.environment.iter().filter_map(of_variable).collect();
    variables.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let flags = source.overrides.iter().map(of_flag);

    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (origin, segments, value) in variables.into_iter().chain(flags) {
        match segments.and_then(|segments| resolve(written, &segments)) {
            Ok(steps) => found.push(Override { steps, origin, value: value.to_owned() }),
            Err((message, hint)) => problems.push(Problem { place: place_of(&origin), message, hint }),
        }
    }
    (found, problems)
}

/// Why something addresses nothing, and a hint.
type Unaddressed = (String, Option<String>);

/// An override before it is understood: its origin, its segments, its value.
type Spoken<'a> = (String, Result<Vec<String>, Unaddressed>, &'a str);

fn of_variable((name, value): &(String, String)) -> Option<Spoken<'_>> {
    let prefix = name.get(..VARIABLE_PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(VARIABLE_PREFIX) {
        return None;
    }
    let path = name[VARIABLE_PREFIX.len()..].to_lowercase();
    let segments = path.split(VARIABLE_SEPARATOR).map(str::to_owned).collect();
    Some((name.clone(), Ok(segments), value))
}

fn of_flag((path, value): &(String, String)) -> Spoken<'_> {
    // The parts are TOML's own dotted keys, so that a model with dots can be quoted.
    let segments = Key::parse(path)
        .map(|keys| keys.iter().map(|key| key.get().to_owned()).collect())
        .map_err(|_| not_a_path("write it as in TOML: `--set rotation.pick=fastest`"));
    (format!("{FLAG_PREFIX}{path}"), segments, value)
}

fn not_a_path(hint: &str) -> Unaddressed {
    ("not the path of a field".to_owned(), Some(hint.to_owned()))
}

/// Follows `segments` down the tree as far as it goes; what is new below becomes fields.
fn resolve(root: &Value, segments: &[String]) -> Result<Vec<Step>, Unaddressed> {
    let mut here = Some(root);
    let mut steps = Vec::new();
    for segment in segments {
        if segment.is_empty() {
            return Err(not_a_path("between two `__` stands the name of a field"));
        }
        let list = LISTS.iter().find(|list| leads_to(&steps, list.path));
        let items = here.and_then(items_of);
        if list.is_some() || items.is_some() {
            let index = item_called(items.unwrap_or_default(), list, segment)?;
            here = items.and_then(|items| items.get(index));
            steps.push(Step::Item(index));
        } else {
            let (name, value) = field_called(here, segment);
            here = value;
            steps.push(Step::Field(name));
        }
    }
    Ok(steps)
}

/// Whether `steps` end at the list that these fields lead to.
fn leads_to(steps: &[Step], path: &[&str]) -> bool {
    steps.last().is_some_and(|last| last.name().is_some())
        && steps.iter().filter_map(Step::name).eq(path.iter().copied())
}

fn items_of(value: &Value) -> Option<&[Value]> {
    match &value.kind {
        ValueKind::Array(items) => Some(items),
        _ => None,
    }
}

fn field_called<'a>(table: Option<&'a Value>, segment: &str) -> (String, Option<&'a Value>) {
    let Some(ValueKind::Table(fields)) = table.map(|value| &value.kind) else {
        return (segment.to_owned(), None);
    };
    let exact = fields.get_key_value(segment);
    match exact.or_else(|| fields.iter().find(|(name, _)| loose(name) == loose(segment))) {
        Some((name, value)) => (name.clone(), Some(value)),
        None => (segment.to_owned(), None),
    }
}

fn item_called(items: &[Value], list: Option<&List>, segment: &str) -> Result<usize, Unaddressed> {
    let naming = list.map(|list| list.naming);
    let names: Vec<&str> = items.iter().map(|item| name_in(item, naming).unwrap_or_default()).collect();
    let exactly = names.iter().position(|name| *name == segment);
    let roughly = || names.iter().position(|name| loose(name) == loose(segment));
    let by_number = || segment.parse().ok().filter(|index| *index < items.len());
    exactly.or_else(roughly).or_else(by_number).ok_or_else(|| {
        let item = list.map_or("item", |list| list.item);
        let known = names.iter().copied().filter(|name| !name.is_empty());
        (format!("the file has no {item} `{segment}`"), Some(suggest::instead_of(segment, known)))
    })
}

/// What an item of a list calls itself.
pub(super) fn name_in<'a>(item: &'a Value, naming: Option<&str>) -> Option<&'a str> {
    let ValueKind::Table(fields) = &item.kind else { return None };
    match &fields.get(naming?)?.kind {
        ValueKind::String(name) => Some(name),
        _ => None,
    }
}

/// A name as a variable can hold it.
pub(super) fn loose(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}
