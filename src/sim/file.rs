//! `sim.toml`: a simulated provider as people write it down. Described in `docs/sim.md`.

use std::net::SocketAddr;
use std::time::Duration;

use keywheel_actors::spec::{Counting, Dimension};
use keywheel_actors::unit::parse_duration;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::fault::FaultRates;
use super::latency::Latency;
use super::script::{Availability, Change, Event};
use super::spec::{Charge, Conduct, HeaderStyle, KeySpec, LimitSpec, Pace, Shape, SimSpec, Words};

/// Reads a whole file.
///
/// # Errors
/// [`FileError`] with all mistakes at once, if the file is TOML of the right shape.
pub fn parse(text: &str) -> Result<SimSpec, FileError> {
    let file: File = toml_edit::de::from_str(text).map_err(FileError::Shape)?;
    let mut mistakes = Vec::new();
    let spec = file.resolve(&mut mistakes);
    mistakes.extend(spec.mistakes());
    if mistakes.is_empty() { Ok(spec) } else { Err(FileError::Mistakes(mistakes)) }
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is no TOML, or it has a field that isn't known.
    #[error("{0}hint: docs/sim.md shows every field")]
    Shape(toml_edit::de::Error),
    /// It can be read, and it asks for something impossible.
    #[error("{}\nhint: docs/sim.md shows every field with an example", .0.join("\n"))]
    Mistakes(Vec<String>),
}

/// How a limit is counted, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Fills continuously, up to the burst
    TokenBucket,
    /// Starts again at every full minute since the start
    Fixed,
    /// Holds in any window, wherever it begins
    Sliding,
}

impl Window {
    /// The shape of a limit of `count`, for which a burst and a window may or may not be given.
    ///
    /// A burst alone means a token bucket, neither a sliding window; a bucket without a burst holds `count`.
    pub fn shape(window: Option<Self>, burst: Option<u64>, count: u64) -> Shape {
        match (window, burst) {
            (Some(Self::TokenBucket), burst) => Shape::TokenBucket { burst: burst.unwrap_or(count) },
            (Some(Self::Fixed), _) => Shape::FixedWindow,
            (None, Some(burst)) => Shape::TokenBucket { burst },
            (Some(Self::Sliding), _) | (None, None) => Shape::SlidingWindow,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    seed: Option<u64>,
    #[serde(default)]
    models: Vec<String>,
    headers: Option<HeaderStyle>,
    refused_calls: Option<Charge>,
    failed_calls: Option<Charge>,
    #[serde(default, deserialize_with = "read_counting")]
    token_counting: Option<Counting>,
    #[serde(default)]
    pace: Pace,
    words: Option<Words>,
    #[serde(default)]
    faults: FaultRates,
    #[serde(default, rename = "key")]
    keys: Vec<KeyEntry>,
    #[serde(default, rename = "event")]
    events: Vec<EventEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: Option<String>,
    secret: Option<String>,
    repeat: Option<usize>,
    conduct: Option<Conduct>,
    quota_group: Option<String>,
    #[serde(default)]
    limits: Vec<LimitEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitEntry {
    requests: Option<u64>,
    tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(deserialize_with = "read_duration")]
    per: Duration,
    burst: Option<u64>,
    window: Option<Window>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventEntry {
    #[serde(deserialize_with = "read_duration")]
    at: Duration,
    #[serde(default, deserialize_with = "read_some_duration")]
    until: Option<Duration>,
    key: Option<String>,
    conduct: Option<Conduct>,
    quota: Option<f64>,
    provider: Option<Availability>,
    faults: Option<FaultRates>,
    first_byte: Option<Latency>,
}

impl File {
    fn resolve(self, mistakes: &mut Vec<String>) -> SimSpec {
        let usual = SimSpec::default();
        let mut keys = Vec::new();
        for entry in self.keys {
            entry.resolve(&mut keys, mistakes);
        }
        let mut spec = SimSpec {
            listen: self.listen.unwrap_or(usual.listen),
            keys,
            models: self.models,
            headers: self.headers.unwrap_or(usual.headers),
            refused_calls: self.refused_calls.unwrap_or(usual.refused_calls),
            failed_calls: self.failed_calls.unwrap_or(usual.failed_calls),
            token_counting: self.token_counting.unwrap_or(usual.token_counting),
            pace: self.pace,
            words: self.words.unwrap_or(usual.words),
            faults: self.faults,
            script: Vec::new(),
            seed: self.seed.unwrap_or(usual.seed),
        };
        for (place, event) in self.events.iter().enumerate() {
            match event.resolve(&spec) {
                Ok(events) => spec.script.extend(events),
                Err(mistake) => mistakes.push(format!("[[event]] {} {mistake}", place + 1)),
            }
        }
        spec
    }
}

impl KeyEntry {
    fn resolve(self, keys: &mut Vec<KeySpec>, mistakes: &mut Vec<String>) {
        let first = keys.len();
        let repeat = self.repeat.unwrap_or(1);
        if first.saturating_add(repeat) > SimSpec::KEYS_MAX {
            mistakes.push(format!("[[key]] {} makes more than {} keys", first + 1, SimSpec::KEYS_MAX));
            return;
        }
        if repeat > 1 && (self.name.is_some() || self.secret.is_some()) {
            mistakes.push("a [[key]] with `repeat` can't have one `name` or `secret` for all".to_owned());
        }
        let mut limits = Vec::new();
        for limit in &self.limits {
            match limit.resolve() {
                Ok(limit) => limits.push(limit),
                Err(mistake) => mistakes.push(format!("a limit of [[key]] {} {mistake}", first + 1)),
            }
        }
        for place in first..first + repeat {
            let usual = KeySpec::numbered(place);
            keys.push(KeySpec {
                name: self.name.clone().unwrap_or(usual.name),
                secret: self.secret.clone().unwrap_or(usual.secret),
                limits: limits.clone(),
                conduct: self.conduct.unwrap_or(usual.conduct),
                quota_group: self.quota_group.clone(),
            });
        }
    }
}

impl LimitEntry {
    fn resolve(&self) -> Result<LimitSpec, &'static str> {
        let kinds = [
            (Dimension::Requests, self.requests),
            (Dimension::Tokens, self.tokens),
            (Dimension::InputTokens, self.input_tokens),
            (Dimension::OutputTokens, self.output_tokens),
        ];
        let said: Vec<_> =
            kinds.into_iter().filter_map(|(dimension, count)| Some((dimension, count?))).collect();
        let [(dimension, count)] = said[..] else {
            return Err("needs one of `requests`, `tokens`, `input_tokens`, `output_tokens`");
        };
        if self.burst.is_some() && matches!(self.window, Some(Window::Fixed | Window::Sliding)) {
            return Err("has a `burst`, which only a token bucket has");
        }
        let shape = Window::shape(self.window, self.burst, count);
        Ok(LimitSpec { dimension, count, per: self.per, shape })
    }
}

impl EventEntry {
    /// The change, and its undoing if it ends.
    fn resolve(&self, spec: &SimSpec) -> Result<Vec<Event>, String> {
        let (change, undoing) = self.change(spec)?;
        let mut events = vec![Event { at: self.at, change }];
        if let Some(until) = self.until {
            if until <= self.at {
                return Err("ends before it begins".to_owned());
            }
            events.push(Event { at: until, change: undoing });
        }
        Ok(events)
    }

    fn change(&self, spec: &SimSpec) -> Result<(Change, Change), String> {
        let key = || {
            let name = self.key.as_ref().ok_or("needs the name of a `key`")?;
            let place = spec.keys.iter().position(|key| key.name == *name);
            place.ok_or_else(|| format!("names the key `{name}`, which isn't there"))
        };
        let mut changes = Vec::new();
        if let Some(conduct) = self.conduct {
            let key = key()?;
            let before = spec.keys[key].conduct;
            changes.push((Change::Conduct { key, conduct }, Change::Conduct { key, conduct: before }));
        }
        if let Some(factor) = self.quota {
            let key = key()?;
            changes.push((Change::Quota { key, factor }, Change::Quota { key, factor: 1.0 }));
        }
        if let Some(availability) = self.provider {
            changes.push((Change::Availability(availability), Change::Availability(Availability::Up)));
        }
        if let Some(faults) = self.faults {
            changes.push((Change::Faults(faults), Change::Faults(spec.faults)));
        }
        if let Some(first_byte) = self.first_byte {
            changes.push((Change::FirstByte(first_byte), Change::FirstByte(spec.pace.first_byte)));
        }
        let [change] = changes[..] else {
            return Err(
                "needs exactly one of `conduct`, `quota`, `provider`, `faults`, `first_byte`".to_owned()
            );
        };
        let of_key = matches!(change.0, Change::Conduct { .. } | Change::Quota { .. });
        if self.key.is_some() && !of_key {
            return Err("names a `key`, but changes the whole provider".to_owned());
        }
        Ok(change)
    }
}

/// A duration as people write it, `1m30s`.
pub(super) fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::custom(format!("`{text}` is no duration such as `250ms`, `1m30s` or `24h`")))
}

fn read_counting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Counting>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let known = Counting::ALL.into_iter().find(|(name, _)| *name == text);
    let (_, counting) = known
        .ok_or_else(|| D::Error::custom(format!("`{text}` is none of `up_front`, `corrected`, `used`")))?;
    Ok(Some(counting))
}

fn read_some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    read_duration(deserializer).map(Some)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
