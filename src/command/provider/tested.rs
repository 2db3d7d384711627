//! What both tests share: where they begin, how they run, how they end.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::Context as _;
use keywheel_actors::id::KeyId;
use keywheel_actors::spec::ProviderSpec;
use keywheel_actors::upstream::{HttpOptions, Upstream, Wire};
use tokio::runtime;

use super::tell::Reader;
use crate::check::{self, Report, Tested};
use crate::command::{engine, stdout};
use crate::config::{self, Config, Source};
use crate::exit::{Exit, UsageError};
use crate::ui::screen::{self, Screen};

/// The configuration and a client: all that a test needs.
pub(super) struct Desk<'a> {
    pub(super) config: Config,
    /// Keys of enabled providers whose secrets can't be had here, and why.
    missing: Vec<(KeyId, String)>,
    source: &'a Source,
    upstream: Wire,
}

impl<'a> Desk<'a> {
    /// Reads the configuration.
    pub(super) fn open(source: &'a Source) -> anyhow::Result<Self> {
        let (outline, config) = config::outline_with_wheel(source)?;
        for warning in &config.warnings {
            screen::say(&format!("warning: {warning}"));
        }
        let connect = config.wheel.providers.iter().map(|provider| provider.timeouts.connect).max();
        let options =
            connect.map_or_else(HttpOptions::default, |connect_timeout| HttpOptions { connect_timeout });
        let upstream = Wire::new(options).context("can't set up the HTTP client")?;
        let enabled = outline.providers.iter().filter(|provider| provider.enabled);
        let missing = enabled.flat_map(|provider| {
            provider.keys.iter().filter_map(|key| {
                let why = key.secret.as_ref().err()?;
                Some((KeyId { provider: provider.id.clone(), key: key.name.clone() }, why.clone()))
            })
        });
        Ok(Self { config, missing: missing.collect(), source, upstream })
    }

    /// Tells of the keys that can't be tested here, of those that are meant. Gives how many there are.
    pub(super) fn tell_missing(&self, is_meant: impl Fn(&KeyId) -> bool) -> usize {
        let missing = self.missing.iter().filter(|(key, _)| is_meant(key));
        missing.map(|(key, why)| screen::say(&format!("warning: {key} can't be tested here: {why}"))).count()
    }

    /// Whether there is a key of this name whose secret can't be had here.
    pub(super) fn misses(&self, name: &str) -> bool {
        self.missing.iter().any(|(key, _)| key.key.as_str() == name)
    }

    /// The enabled provider of this id.
    pub(super) fn provider(&self, id: &str) -> Result<&ProviderSpec, UsageError> {
        let providers = &self.config.wheel.providers;
        providers.iter().find(|provider| provider.id.as_str() == id).ok_or_else(|| {
            if self.config.disabled.iter().any(|disabled| disabled.as_str() == id) {
                return UsageError {
                    problem: format!("the provider `{id}` is disabled, and its secrets aren't fetched"),
                    hint: "write `enabled = true` in it first".to_owned(),
                };
            }
            UsageError {
                problem: format!("there is no provider `{id}`"),
                hint: choose_among(providers.iter().map(|provider| provider.id.as_str())),
            }
        })
    }

    /// Runs `tests`, of which there are `count`, and shows on a terminal how far they are.
    pub(super) fn run(
        &self,
        count: usize,
        tests: impl AsyncFnOnce(&dyn Upstream, &dyn Fn(usize)) -> Vec<Tested>,
    ) -> anyhow::Result<Vec<Tested>> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("can't start a runtime")?;
        let screen = RefCell::new(engine::screen(engine::style(self.source)));
        let show = |done: usize| {
            if let Screen::Live(block) = &mut *screen.borrow_mut() {
                block.show(&[format!("{done} of {count} tested")]);
            }
        };
        show(0);
        let tested = runtime.block_on(tests(&self.upstream, &show));
        if let Screen::Live(block) = &mut *screen.borrow_mut() {
            block.clear();
        }
        Ok(tested)
    }
}

/// The hint for a name that is none of these.
pub(super) fn choose_among<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut seen = BTreeSet::new();
    let names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
    format!("choose among {}", names.join(", "))
}

/// Prints what was found, and says how the command ends.
///
/// `missing` keys couldn't be tested: who asks for all to be valid must not be told that they are.
pub(super) fn tell(
    tests: &[Tested],
    missing: usize,
    source: &Source,
    reader: Reader,
) -> anyhow::Result<Exit> {
    let report = Report::of(tests);
    match reader {
        Reader::Person if tests.is_empty() => stdout::print_line("there is no key to test")?,
        Reader::Person => stdout::print(&check::text(tests, engine::stdout_style(source)))?,
        Reader::Program => stdout::print_json(&report)?,
    }
    Ok(if report.is_all_valid() && missing == 0 { Exit::Done } else { Exit::RowsFailed })
}
