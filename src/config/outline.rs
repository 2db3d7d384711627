//! The configuration as it is written, for those who look after it.
//!
//! It is read by the same code as a wheel's, but from another chair: the secret of a key may lie in a variable
//! that only the running keywheel has, and a provider may be about to get its first key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use keywheel_actors::id::{KeyName, Model, ProviderId, QuotaGroup};
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::Pick;

use super::home::Home;
use super::key::Key;
use super::load::{self, Config, Reading};
use super::problem::{ConfigError, Problem};
use super::secret::{Purpose, Written, shouts};
use super::source::{self, Source};

/// A configuration as far as it can be told without every secret. Its `Debug` hides those that are there.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The file.
    pub path: PathBuf,
    /// The files that belong to it.
    pub home: Home,
    /// The providers, enabled or not, as listed.
    pub providers: Vec<ProviderOutline>,
    /// What is no mistake, but probably not meant.
    pub warnings: Vec<Problem>,
}

/// One provider as written.
#[derive(Clone, Debug)]
pub struct ProviderOutline {
    /// Its id.
    pub id: ProviderId,
    /// Whether it takes part.
    pub enabled: bool,
    /// The preset that it names.
    pub preset: Option<&'static str>,
    /// How it speaks. `None` only in an outline of something that has mistakes.
    pub dialect: Option<&'static str>,
    /// Where it listens. `None` only in an outline of something that has mistakes.
    pub base_url: Option<String>,
    /// Our names of its models.
    pub models: BTreeMap<Model, Model>,
    /// How its keys take turns.
    pub pick: Pick,
    /// Its keys, the primary one first.
    pub keys: Vec<KeyOutline>,
}

/// One key as written.
#[derive(Clone, Debug)]
pub struct KeyOutline {
    /// Its name, given or by its position.
    pub name: KeyName,
    /// Where its secret comes from.
    pub origin: Origin,
    /// The secret, or why it can't be had here.
    pub secret: Result<Secret, String>,
    /// The account whose limits it shares.
    pub quota_group: Option<QuotaGroup>,
    /// Its share under `pick = "weighted"`.
    pub weight: u32,
    /// Its own limits, by their names in the configuration.
    pub limits: BTreeMap<&'static str, u64>,
    /// The models it serves. Empty: all.
    pub models: Vec<Model>,
    /// Whether it may be used at all.
    pub enabled: bool,
}

/// Where a key's secret comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// `env:NAME`
    Variable(String),
    /// `file:PATH`, as written: relative to the configuration.
    File(PathBuf),
    /// `credential:NAME`
    Credential(String),
    /// The value itself stands there.
    Literal,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) if shouts(name) => write!(f, "env:{name}"),
            // It may be a key that somebody took for the name of a variable.
            Self::Variable(_) => f.write_str("env:…"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Literal => f.write_str("inline"),
        }
    }
}

/// Finds the file, puts the overrides over it and tells what it says.
///
/// Secrets that can't be had in this process are no mistakes, nor is it that something is still to be added:
/// a provider, or the key of one.
///
/// # Errors
/// [`ConfigError`] with every other mistake that [`load`](super::load()) would find.
pub fn outline(source: &Source) -> Result<Outline, ConfigError> {
    let reading = load::read(source, &source::find(source)?, Purpose::LookAfter, |_, _| ())?;
    if !reading.problems.is_empty() {
        return Err(ConfigError { problems: reading.problems });
    }
    Ok(Outline::of(reading))
}

/// The same, with the wheel that can be made of it: keys whose secrets can't be had here have no part in it.
///
/// # Errors
/// As [`outline`].
pub fn outline_with_wheel(source: &Source) -> Result<(Outline, Config), ConfigError> {
    let reading = load::read(source, &source::find(source)?, Purpose::LookAfter, |_, _| ())?;
    if !reading.problems.is_empty() {
        return Err(ConfigError { problems: reading.problems });
    }
    let config = reading.config.clone();
    Ok((Outline::of(reading), config))
}

/// The same for those who may be about to mend it: mistakes are handed over instead of ending it.
///
/// What is wrong may be missing from the outline.
///
/// # Errors
/// [`ConfigError`] if there is no file, or if it can't be read or isn't TOML.
pub fn outline_with_mistakes(source: &Source) -> Result<(Outline, Vec<Problem>), ConfigError> {
    let mut reading = load::read(source, &source::find(source)?, Purpose::LookAfter, |_, _| ())?;
    let problems = std::mem::take(&mut reading.problems);
    Ok((Outline::of(reading), problems))
}

impl Outline {
    /// What a reading says, whatever is wrong with it.
    pub(super) fn of<T>(reading: Reading<T>) -> Self {
        Self {
            path: reading.config.path.unwrap_or_default(),
            home: reading.config.home,
            providers: reading.outlines,
            warnings: reading.config.warnings,
        }
    }

    /// The provider of this id.
    pub fn provider(&self, id: &str) -> Option<&ProviderOutline> {
        self.providers.iter().find(|provider| provider.id.as_str() == id)
    }
}

impl ProviderOutline {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&KeyOutline> {
        self.keys.iter().find(|key| key.name.as_str() == name)
    }
}

impl KeyOutline {
    pub(super) fn of(key: &Key<'_>) -> Self {
        let secret = match (&key.secret, &key.unavailable) {
            (Some(fetched), _) => Ok(fetched.secret.clone()),
            (None, Some(reason)) => Err(reason.clone()),
            (None, None) => Err("it is missing or no good".to_owned()),
        };
        Self {
            name: KeyName::from(key.name.as_str()),
            origin: key.written.map_or(Origin::Literal, Origin::of),
            secret,
            quota_group: key.quota_group.map(QuotaGroup::from),
            weight: key.weight,
            limits: key.limits.counts(),
            models: key.models.clone(),
            enabled: key.enabled,
        }
    }
}

impl Origin {
    fn of(written: Written<'_>) -> Self {
        match written {
            Written::Variable(name) => Self::Variable(name.to_owned()),
            Written::File(path) => Self::File(PathBuf::from(path)),
            Written::Credential(name) => Self::Credential(name.to_owned()),
            Written::Literal(_) => Self::Literal,
        }
    }
}
