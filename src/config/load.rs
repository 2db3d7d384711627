//! As written → layered → resolved.

use std::hash::RandomState;
use std::path::{Path, PathBuf};

use keywheel_actors::id::ProviderId;
use keywheel_actors::spec::{Rotation, Timeouts, WheelSpec};

use super::address;
use super::home::{self, Home};
use super::layer;
use super::ledger::{Ledger, report_repeats};
use super::place::FileMap;
use super::problem::{ConfigError, Place, Problem};
use super::provider::{self, Defaults, Provider};
use super::rotation::{self, Level};
use super::route;
use super::secret::Vault;
use super::source::{self, Source, Written};
use super::tree::{Fields, Node};

/// Permission bits: the group or everybody may read it.
const READABLE_BY_MORE: u32 = 0o044;

/// Sections that the format names, but this version doesn't act on.
const UNUSED_SECTIONS: [&str; 1] = ["server"];

/// A configuration without mistakes. Its `Debug` hides the secrets.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What the wheel is made of: the enabled providers with all defaults filled in.
    pub wheel: WheelSpec,
    /// Providers with `enabled = false`; they take no part in the wheel.
    pub disabled: Vec<ProviderId>,
    /// The files that belong to it.
    pub home: Home,
    /// The file that was read. `None` for a configuration made in memory.
    pub path: Option<PathBuf>,
    /// What is no mistake, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// Finds the file, puts the overrides over it and reads the whole.
///
/// # Errors
/// [`ConfigError`] with every mistake at once. Only a file that can't be found, read or parsed is alone.
pub fn load(source: &Source) -> Result<Config, ConfigError> {
    let written = source::find(source)?;
    let file = FileMap::parse(written.shown.clone(), &written.text)?;
    // The crate's own message could quote a line, and a line may hold a secret.
    let unreadable = |_| Problem::new(file.whole(), "can't be layered: a number or a date is out of range");

    let tree = layer::tree(&written.text, &[]).map_err(unreadable)?;
    let (overrides, unaddressed) = address::overrides(source, &tree);
    let tree = layer::tree(&written.text, &overrides).map_err(unreadable)?;

    let ledger = Ledger::new(&file, unaddressed);
    let mut config = resolve(&Node::root(&tree, &ledger), source, &written);
    let (problems, warnings) = ledger.close();
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    config.warnings = warnings;
    Ok(config)
}

/// Reads the tree, noting mistakes in its ledger. What comes back is of use only if there are none.
fn resolve(root: &Node<'_>, source: &Source, written: &Written) -> Config {
    let known = [
        "fallback_order",
        "rotation",
        "timeouts",
        "provider",
        "route",
        "state",
        "failures",
        "server",
        "admin",
    ];
    let Some(fields) = root.fields(&known) else { return Config::default() };
    for name in UNUSED_SECTIONS {
        if let Some(section) = fields.get(name) {
            section.warn(format!("this version does nothing with `[{name}]`"), None);
        }
    }

    let directory = written.path.parent().unwrap_or(Path::new(""));
    let providers = read_providers(
        &fields,
        Defaults {
            rotation: &rotation::read(fields.get("rotation"), &Rotation::default(), Level::ManyKeys),
            timeouts: &rotation::read_timeouts(fields.get("timeouts"), &Timeouts::default()),
            vault: Vault { source, directory, hasher: &RandomState::new() },
        },
    );
    report_open_secrets(&providers, written);

    let fallback_order = route::read_fallback_order(fields.get("fallback_order"), &providers);
    let routes = route::read(fields.get("route"), &providers);
    let disabled = providers.iter().filter(|provider| !provider.enabled).filter_map(route::id_of).collect();
    let providers = providers.into_iter().filter_map(|provider| provider.spec).collect();
    Config {
        wheel: WheelSpec { providers, routes, fallback_order, ..WheelSpec::default() },
        disabled,
        home: home::read(&fields, source, &written.path),
        path: Some(written.path.clone()),
        warnings: Vec::new(),
    }
}

fn read_providers<'a>(fields: &Fields<'a>, defaults: Defaults<'_>) -> Vec<Provider<'a>> {
    let hint = "add a `[[provider]]` with `id`, `preset` and a key";
    let Some(list) = fields.need("provider", hint) else { return Vec::new() };
    let Some(nodes) = list.tables("id") else { return Vec::new() };
    if nodes.is_empty() {
        list.wrong("there is no provider", Some(hint.to_owned()));
    }
    let providers: Vec<_> = nodes.iter().filter_map(|node| provider::read(node, defaults)).collect();
    report_repeats("provider", providers.iter().filter_map(|p| p.id.as_ref()).map(|(id, node)| (*id, node)));
    if !providers.is_empty() && providers.iter().all(|provider| !provider.enabled) {
        list.wrong("all providers are disabled", Some("write `enabled = true` in one".to_owned()));
    }
    providers
}

/// Refuses a file of secrets that others can read, and warns of secrets in command lines.
fn report_open_secrets(providers: &[Provider<'_>], written: &Written) {
    let literals = || providers.iter().flat_map(|provider| &provider.literals);
    let mut in_file = literals().filter(|node| matches!(node.place(), Place::Line { .. }));
    if written.mode & READABLE_BY_MORE != 0
        && let Some(first) = in_file.next()
    {
        let what = match in_file.count() {
            0 => "a secret stands here".to_owned(),
            more => format!("this is the first of {} secrets that stand", more + 1),
        };
        first.wrong(
            format!("{what} in a file that others can read (mode {:04o})", written.mode),
            Some(format!(
                "chmod 600 {}, or write `env:NAME` or `file:PATH` instead",
                written.shown.display()
            )),
        );
    }
    for node in literals().filter(|node| matches!(node.place(), Place::Flag(_))) {
        let hint = "write `env:NAME` or `file:PATH` instead".to_owned();
        node.warn("process lists and the shell's history keep this secret", Some(hint));
    }
}
