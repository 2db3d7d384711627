//! Through the tree beside the table of fields.

use std::path::Path;

use keywheel_actors::spec::ProviderSpec;
use serde_json::json;

use super::keys;
use super::shown::{Content, Effective, Resolved, Shown, ValueOrigin};
use super::value;
use crate::config::field::{Field, Kind, PRICE, PROVIDER, ROUTE, TOP};
use crate::config::load::{self, Config};
use crate::config::preset::{PRESETS, Preset};
use crate::config::problem::ConfigError;
use crate::config::provider::API_KEY;
use crate::config::secret::Purpose;
use crate::config::source::{self, Source};
use crate::config::tree::{Fields, Node};

/// Reads the configuration as [`load`](crate::config::load()) does, and tells what it comes to.
///
/// # Errors
/// [`ConfigError`] with every mistake.
pub fn show(source: &Source) -> Result<Resolved, ConfigError> {
    let reading = load::read(source, &source::find(source)?, Purpose::Run, top)?;
    let file = reading.config.path.as_deref().map(|path| source.shown(path)).unwrap_or_default();
    match reading.seen {
        Some(top) => Ok(Resolved { file, top }),
        None => Err(ConfigError { problems: reading.problems }),
    }
}

fn top(root: &Node<'_>, config: &Config) -> Shown {
    let fields = root.any_fields();
    let levels = Levels { top: fields.clone(), ..Levels::default() };
    let inside = TOP.iter().filter_map(|field| match (field.name, field.kind) {
        ("fallback_order", _) => Some(leaf(field, fallback_order(field, &levels, config))),
        ("provider", _) => {
            Some(list(field, levels.top.as_ref(), "id", |node| provider(node, &levels, config)))
        }
        ("route", _) => Some(list(field, levels.top.as_ref(), "model", |node| flat(ROUTE, node))),
        ("price", _) => Some(list(field, levels.top.as_ref(), "model", |node| flat(PRICE, node))),
        ("currency", _) => Some(leaf(field, value::nearest(field, std::slice::from_ref(&levels.top)))),
        ("server", Kind::Table(inside)) => Some(server(field, inside, &levels)),
        (section, Kind::Table(inside)) => Some(table(field, inside, |inner| {
            let effective = value::nearest(inner, &levels.sections(section));
            path_of(section, inner.name, config).map_or(effective.clone(), |path| Effective {
                value: json!(path),
                meaning: None,
                ..effective
            })
        })),
        // What nothing reads has no effect to show.
        (_, _) => None,
    });
    Shown { name: String::new(), content: Content::Table(inside.collect()) }
}

/// Who may say something, from far to near.
#[derive(Clone, Default)]
pub(super) struct Levels<'a> {
    pub(super) top: Option<Fields<'a>>,
    pub(super) provider: Option<Fields<'a>>,
    pub(super) key: KeyLevel<'a>,
    /// Of a key: those of its quota group, whose limits hold for it.
    pub(super) group: Vec<Fields<'a>>,
}

/// What a key itself may say.
#[derive(Clone, Default)]
pub(super) enum KeyLevel<'a> {
    /// Nothing: it isn't a key that is looked at.
    #[default]
    Outside,
    /// Nothing but its secret: it is the `api_key` of its provider.
    Bare,
    /// The fields of its table.
    Table(Fields<'a>),
}

impl<'a> Levels<'a> {
    /// All sections of this name, the nearest first.
    pub(super) fn sections(&self, name: &str) -> Vec<Option<Fields<'a>>> {
        let limits_only = if name == "limits" { self.group.as_slice() } else { &[] };
        // Limits at the top there are none, so a level without the section does no harm.
        let further = limits_only.iter().chain(&self.provider).chain(&self.top).map(Some);
        let own = match &self.key {
            KeyLevel::Outside => None,
            KeyLevel::Bare => Some(None),
            KeyLevel::Table(fields) => Some(Some(fields)),
        };
        own.into_iter().chain(further).map(|fields| fields?.get(name)?.any_fields()).collect()
    }
}

fn provider<'a>(node: &Node<'a>, levels: &Levels<'a>, config: &Config) -> Vec<Shown> {
    let levels = Levels { provider: node.any_fields(), ..levels.clone() };
    let text_of = |name: &str| levels.provider.as_ref()?.get(name)?.text();
    let preset = text_of("preset").and_then(|name| PRESETS.into_iter().find(|preset| preset.name == name));
    let spec = text_of("id").and_then(|id| config.wheel.providers.iter().find(|spec| spec.id.as_str() == id));
    PROVIDER
        .iter()
        .map(|field| match (field.name, field.kind) {
            ("key", _) => {
                Shown { name: field.name.to_owned(), content: Content::List(keys::all(&levels, spec)) }
            }
            (API_KEY, _) => leaf(field, keys::api_key(field, &levels, spec)),
            (section, Kind::Table(inside)) => {
                table(field, inside, |inner| value::nearest(inner, &levels.sections(section)))
            }
            (name, _) => {
                let effective = value::nearest(field, std::slice::from_ref(&levels.provider));
                leaf(field, endpoint(name, effective, preset, spec))
            }
        })
        .collect()
}

/// What the preset says instead, and the address as it is really called.
fn endpoint(
    name: &str,
    effective: Effective,
    preset: Option<Preset>,
    spec: Option<&ProviderSpec>,
) -> Effective {
    let from_preset = |value: &str, preset: Preset| Effective {
        value: json!(value),
        meaning: None,
        masked: None,
        origin: ValueOrigin::Preset(preset.name.to_owned()),
    };
    match (name, preset, effective.value.is_null()) {
        ("dialect", Some(preset), true) => from_preset(preset.dialect, preset),
        ("base_url", Some(preset), true) => {
            preset.base_url.map_or(effective, |base_url| from_preset(base_url, preset))
        }
        ("key_header", Some(preset), true) => {
            preset.key_header.map_or(effective, |header| from_preset(header, preset))
        }
        ("openai_path", Some(preset), true) => {
            preset.openai_path.map_or(effective, |path| from_preset(path, preset))
        }
        ("base_url", _, false) => match spec {
            Some(spec) => Effective { value: json!(spec.base_url), ..effective },
            None => effective,
        },
        (_, _, _) => effective,
    }
}

/// A table of plain fields.
fn flat(inside: &[Field], node: &Node<'_>) -> Vec<Shown> {
    let fields = [node.any_fields()];
    inside.iter().map(|field| leaf(field, value::nearest(field, &fields))).collect()
}

/// `[server]` with its clients.
fn server(field: &Field, inside: &[Field], levels: &Levels<'_>) -> Shown {
    let fields = levels.sections(field.name);
    let above = fields.first().cloned().flatten();
    let shown = inside.iter().map(|inner| match inner.kind {
        Kind::Tables(of_client) => list(inner, above.as_ref(), "name", |node| client(of_client, node)),
        _ => leaf(inner, value::nearest(inner, &fields)),
    });
    Shown { name: field.name.to_owned(), content: Content::Table(shown.collect()) }
}

/// One client with its limits.
fn client(inside: &[Field], node: &Node<'_>) -> Vec<Shown> {
    let fields = [node.any_fields()];
    let shown = inside.iter().map(|inner| match inner.kind {
        Kind::Table(limits) => {
            let section = fields[0].as_ref().and_then(|fields| fields.get(inner.name)?.any_fields());
            table(inner, limits, |limit| value::nearest(limit, std::slice::from_ref(&section)))
        }
        _ => leaf(inner, value::nearest(inner, &fields)),
    });
    shown.collect()
}

/// The order that holds: without one of its own, all enabled providers as listed.
fn fallback_order(field: &Field, levels: &Levels<'_>, config: &Config) -> Effective {
    let effective = value::nearest(field, std::slice::from_ref(&levels.top));
    if !effective.value.is_null() {
        return effective;
    }
    let all: Vec<&str> = config.wheel.providers.iter().map(|spec| spec.id.as_str()).collect();
    Effective { value: json!(all), ..effective }
}

/// The paths of a configuration's own files are resolved beside it, and so are the usual ones.
fn path_of<'c>(section: &str, name: &str, config: &'c Config) -> Option<&'c Path> {
    match (section, name) {
        ("state", "dir") => Some(&config.home.state_dir),
        ("failures", "dir") => Some(&config.home.failures.dir),
        ("admin", "socket") => Some(&config.home.socket),
        (_, _) => None,
    }
}

pub(super) fn leaf(field: &Field, effective: Effective) -> Shown {
    Shown { name: field.name.to_owned(), content: Content::Value(effective) }
}

pub(super) fn table(field: &Field, inside: &[Field], effective: impl Fn(&Field) -> Effective) -> Shown {
    let inside = inside.iter().map(|inner| leaf(inner, effective(inner))).collect();
    Shown { name: field.name.to_owned(), content: Content::Table(inside) }
}

/// A list of tables, each under what its field `naming` comes to.
fn list<'a>(
    field: &Field,
    above: Option<&Fields<'a>>,
    naming: &str,
    inside: impl Fn(&Node<'a>) -> Vec<Shown>,
) -> Shown {
    let nodes = above.and_then(|above| above.get(field.name)?.tables(naming)).unwrap_or_default();
    let items = nodes.iter().enumerate().map(|(index, node)| item_called(naming, index, inside(node)));
    Shown { name: field.name.to_owned(), content: Content::List(items.collect()) }
}

/// An item of a list under what its field `naming` comes to, else under its position.
pub(super) fn item_called(naming: &str, index: usize, inside: Vec<Shown>) -> Shown {
    let name = inside.iter().find(|shown| shown.name == naming).and_then(|shown| match &shown.content {
        Content::Value(effective) => effective.value.as_str(),
        Content::Table(_) | Content::List(_) => None,
    });
    let name = name.map_or_else(|| index.to_string(), str::to_owned);
    Shown { name, content: Content::Table(inside) }
}
