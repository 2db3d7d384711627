//! As written → layered → resolved.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::path::{Path, PathBuf};

use keywheel_actors::id::ProviderId;
use keywheel_actors::spec::{Rotation, Timeouts, WheelSpec};

use super::address;
use super::admin::{self, AdminConfig};
use super::document::Document;
use super::home::{self, Home};
use super::layer;
use super::ledger::{Ledger, report_repeats};
use super::outline::ProviderOutline;
use super::preset::Validity;
use super::price;
use super::problem::{ConfigError, Place, Problem};
use super::provider::{self, Defaults, Provider};
use super::rotation::{self, Level};
use super::route;
use super::secret::{Purpose, Vault};
use super::server::{self, ServerConfig};
use super::source::{self, Source, Written};
use super::tree::{Fields, Node};
use crate::money::Prices;

/// Permission bits: the group or everybody may read it.
const READABLE_BY_MORE: u32 = 0o044;

/// What the top of a file may say.
pub(super) const FIELDS: [&str; 11] = [
    "fallback_order",
    "rotation",
    "timeouts",
    "provider",
    "route",
    "currency",
    "price",
    "state",
    "failures",
    "server",
    "admin",
];

/// A configuration without mistakes. Its `Debug` hides the secrets.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What the wheel is made of: the enabled providers with all defaults filled in.
    pub wheel: WheelSpec,
    /// How to learn whether a provider's keys are good, where that is known.
    pub validity: BTreeMap<ProviderId, Validity>,
    /// Providers with `enabled = false`; they take no part in the wheel.
    pub disabled: Vec<ProviderId>,
    /// What the models cost.
    pub prices: Prices,
    /// How the gateway listens, and for whom.
    pub server: ServerConfig,
    /// Who reaches a running keywheel over the network.
    pub admin: AdminConfig,
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
    let reading = read(source, &source::find(source)?, Purpose::Run, |_, _| ())?;
    if !reading.problems.is_empty() {
        return Err(ConfigError { problems: reading.problems });
    }
    Ok(reading.config)
}

/// A configuration with what was found wrong. If that is anything, the rest is only what could be read.
pub(super) struct Reading<T> {
    /// What it says, with its warnings.
    pub(super) config: Config,
    /// The providers as written, if it was read for looking after it.
    pub(super) outlines: Vec<ProviderOutline>,
    /// All mistakes.
    pub(super) problems: Vec<Problem>,
    /// What a closer look found. `None` if there are mistakes, for then nobody looks.
    pub(super) seen: Option<T>,
}

/// Puts the overrides over the file and reads the whole. `look` sees the layered tree beside what became of it,
/// and may add warnings.
///
/// # Errors
/// If the file is neither TOML nor the prototype's.
pub(super) fn read<T>(
    source: &Source,
    written: &Written,
    purpose: Purpose,
    look: impl FnOnce(&Node<'_>, &Config) -> T,
) -> Result<Reading<T>, Problem> {
    let document = Document::of(written)?;
    let file = document.map(written)?;
    // The crate's own message could quote a line, and a line may hold a secret.
    let unreadable = |_| Problem::new(file.whole(), "can't be layered: a number or a date is out of range");

    let tree = layer::tree(document.toml(written), &[]).map_err(unreadable)?;
    let (overrides, unaddressed) = address::overrides(source, &tree);
    let tree = layer::tree(document.toml(written), &overrides).map_err(unreadable)?;

    let ledger = Ledger::new(&file, unaddressed);
    document.warn(&ledger);
    let root = Node::root(&tree, &ledger);
    let (mut config, outlines) = resolve(&root, source, written, purpose);
    let seen = ledger.is_clean().then(|| look(&root, &config));
    let (problems, warnings) = ledger.close();
    config.warnings = warnings;
    Ok(Reading { config, outlines, problems, seen })
}

/// Reads the tree, noting mistakes in its ledger.
fn resolve(
    root: &Node<'_>,
    source: &Source,
    written: &Written,
    purpose: Purpose,
) -> (Config, Vec<ProviderOutline>) {
    let Some(fields) = root.fields(&FIELDS) else { return (Config::default(), Vec::new()) };
    let directory = written.path.parent().unwrap_or(Path::new(""));
    let hasher = RandomState::new();
    let vault = Vault { source, directory, hasher: &hasher, purpose };
    let mut providers = read_providers(
        &fields,
        Defaults {
            rotation: &rotation::read(fields.get("rotation"), &Rotation::default(), Level::ManyKeys),
            timeouts: &rotation::read_timeouts(fields.get("timeouts"), &Timeouts::default()),
            vault,
        },
    );
    report_open_secrets(&providers, written);

    let fallback_order = route::read_fallback_order(fields.get("fallback_order"), &providers);
    let routes = route::read(fields.get("route"), &providers);
    let prices = price::read(&fields, &providers);
    let server = server::read(fields.get("server"), directory, &providers);
    let disabled = providers.iter().filter(|provider| !provider.enabled).filter_map(route::id_of).collect();
    let outlines = providers.iter_mut().filter_map(|provider| provider.outline.take()).collect();
    let validity =
        providers.iter().filter_map(|provider| Some((route::id_of(provider)?, provider.validity?))).collect();
    let providers = providers.into_iter().filter_map(|provider| provider.spec).collect();
    let config = Config {
        wheel: WheelSpec { providers, routes, fallback_order, ..WheelSpec::default() },
        validity,
        disabled,
        prices,
        server,
        admin: admin::read(&fields, vault),
        home: home::read(&fields, source, &written.path),
        path: Some(written.path.clone()),
        warnings: Vec::new(),
    };
    (config, outlines)
}

fn read_providers<'a>(fields: &Fields<'a>, defaults: Defaults<'_>) -> Vec<Provider<'a>> {
    let hint = "add a `[[provider]]` with `id`, `preset` and a key";
    let purpose = defaults.vault.purpose;
    let list = match purpose {
        Purpose::Run => fields.need("provider", hint),
        Purpose::LookAfter => fields.get("provider"),
    };
    let Some(list) = list else { return Vec::new() };
    let Some(nodes) = list.tables("id") else { return Vec::new() };
    if nodes.is_empty() && purpose == Purpose::Run {
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
