//! What a simulated provider is to be: plain data, every part with a default.

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use keywheel_actors::spec::{Counting, DAY, Dimension, MINUTE};
use keywheel_actors::unit::format_duration;

use super::fault::FaultRates;
use super::latency::Latency;
use super::script::{Change, Event};

/// A whole simulated provider.
#[derive(Clone, PartialEq, Debug)]
pub struct SimSpec {
    /// Where it listens; port 0 for any free one.
    pub listen: SocketAddr,
    /// Its keys. Any other credential is answered with 401.
    pub keys: Vec<KeySpec>,
    /// The models it knows. Empty: any.
    pub models: Vec<String>,
    /// How it tells of limits.
    pub headers: HeaderStyle,
    /// Whether a request that is refused for its rate counts against the request limits.
    pub refused_calls: Charge,
    /// Whether a request that fails with an injected 500 or 503 counts against the limits.
    pub failed_calls: Charge,
    /// What a call takes from limits on tokens, and whether that is corrected once it is answered.
    pub token_counting: Counting,
    /// How fast it answers.
    pub pace: Pace,
    /// What its texts are.
    pub words: Words,
    /// What fails by chance.
    pub faults: FaultRates,
    /// What happens when.
    pub script: Vec<Event>,
    /// Seed of every random draw: the n-th call always gets the same draws.
    pub seed: u64,
}

impl Default for SimSpec {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keys: vec![KeySpec::numbered(0)],
            models: Vec::new(),
            headers: HeaderStyle::OpenAi,
            refused_calls: Charge::Free,
            failed_calls: Charge::Counted,
            token_counting: Counting::UpFront,
            pace: Pace::default(),
            words: Words::Excerpt,
            faults: FaultRates::default(),
            script: Vec::new(),
            seed: 0,
        }
    }
}

impl SimSpec {
    /// More keys than this are a typing mistake that would fill the memory.
    pub const KEYS_MAX: usize = 1_000_000;

    /// So many keys `k0`, `k1`, … with the secrets `sk-0`, `sk-1`, …, without limits.
    pub fn with_keys(count: usize) -> Self {
        Self { keys: (0..count).map(KeySpec::numbered).collect(), ..Self::default() }
    }

    /// Gives every key this limit, besides those it has.
    pub fn limited(mut self, limit: LimitSpec) -> Self {
        for key in &mut self.keys {
            key.limits.push(limit);
        }
        self
    }

    /// Changes one key.
    ///
    /// # Panics
    /// If there is no such key.
    pub fn key(mut self, index: usize, change: impl FnOnce(KeySpec) -> KeySpec) -> Self {
        self.keys[index] = change(self.keys[index].clone());
        self
    }

    /// Sets the time to the first byte.
    pub fn first_byte(mut self, latency: Latency) -> Self {
        self.pace.first_byte = latency;
        self
    }

    /// Adds a change at a time after the start.
    pub fn at(mut self, at: Duration, change: Change) -> Self {
        self.script.push(Event { at, change });
        self
    }

    /// Everything that makes it impossible, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.keys.is_empty() {
            mistakes.push("there are no keys, so nobody could call".to_owned());
        }
        let mut secrets = HashSet::new();
        let mut names = HashSet::new();
        let mut groups = BTreeMap::new();
        for key in &self.keys {
            if !secrets.insert(&key.secret) {
                mistakes.push(format!("the secret of key `{}` is another key's already", key.name));
            }
            if !names.insert(&key.name) {
                mistakes.push(format!("two keys are named `{}`", key.name));
            }
            mistakes.extend(key.limits.iter().filter_map(|limit| limit.mistake(&key.name)));
            let Some(group) = &key.quota_group else { continue };
            if *groups.entry(group).or_insert(&key.limits) != &key.limits {
                mistakes.push(format!("keys of the quota group `{group}` have different limits"));
            }
        }
        mistakes.extend(self.pace.first_byte.mistake());
        mistakes.extend(self.pace.chunk_gap.mistake());
        if !(1..=Pace::CHUNKS_MAX).contains(&self.pace.chunks) {
            mistakes.push(format!("a stream has from 1 to {} chunks", Pace::CHUNKS_MAX));
        }
        mistakes.extend(self.faults.mistake());
        mistakes.extend(self.script.iter().filter_map(|event| event.change.mistake(self.keys.len())));
        mistakes
    }
}

/// One key.
#[derive(Clone, PartialEq, Debug)]
pub struct KeySpec {
    /// The name in the ledger.
    pub name: String,
    /// What callers send as their bearer token.
    pub secret: String,
    /// Its limits, all of which hold at once. Empty: none.
    pub limits: Vec<LimitSpec>,
    /// How it behaves at the start.
    pub conduct: Conduct,
    /// The account whose limits it shares with other keys. `None`: its own.
    pub quota_group: Option<String>,
}

impl KeySpec {
    /// The key `k7` with the secret `sk-7`: valid and without limits.
    pub fn numbered(number: usize) -> Self {
        Self {
            name: format!("k{number}"),
            secret: format!("sk-{number}"),
            limits: Vec::new(),
            conduct: Conduct::Valid,
            quota_group: None,
        }
    }

    /// Adds a limit.
    pub fn limited(mut self, limit: LimitSpec) -> Self {
        self.limits.push(limit);
        self
    }

    /// Sets its conduct.
    pub fn conducting(mut self, conduct: Conduct) -> Self {
        self.conduct = conduct;
        self
    }

    /// Puts it into a quota group.
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.quota_group = Some(group.into());
        self
    }
}

/// How a key behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conduct {
    /// Serves within its limits.
    Valid,
    /// Unknown to the provider: 401 `invalid_api_key`.
    Invalid,
    /// Its account can't pay: 429 `insufficient_quota`.
    OutOfMoney,
    /// Its account is banned: 403 `access_terminated`.
    Disabled,
}

/// At most `count` of something in a time, by one of three ways of counting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitSpec {
    /// What is counted.
    pub dimension: Dimension,
    /// How many, at least 1.
    pub count: u64,
    /// In how long, more than zero.
    pub per: Duration,
    /// How it is counted.
    pub shape: Shape,
}

impl LimitSpec {
    /// At most `count` requests in any window of `per`.
    pub const fn requests(count: u64, per: Duration) -> Self {
        Self { dimension: Dimension::Requests, count, per, shape: Shape::SlidingWindow }
    }

    /// At most `count` tokens in any window of `per`.
    pub const fn tokens(count: u64, per: Duration) -> Self {
        Self { dimension: Dimension::Tokens, count, per, shape: Shape::SlidingWindow }
    }

    /// The same limit of another kind.
    pub const fn of(self, dimension: Dimension) -> Self {
        Self { dimension, ..self }
    }

    /// Counted so.
    pub const fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// What is counted and in how long, as OpenAI's messages say it: `requests per min (RPM)`.
    pub fn name(&self) -> String {
        let (what, initials) = match self.dimension {
            Dimension::Requests => ("requests", "R"),
            Dimension::Tokens => ("tokens", "T"),
            Dimension::InputTokens => ("input tokens", "IT"),
            Dimension::OutputTokens => ("output tokens", "OT"),
        };
        match self.per {
            MINUTE => format!("{what} per min ({initials}PM)"),
            DAY => format!("{what} per day ({initials}PD)"),
            other => format!("{what} per {}", format_duration(other)),
        }
    }

    fn mistake(&self, key: &str) -> Option<String> {
        let burst = match self.shape {
            Shape::TokenBucket { burst } => burst,
            Shape::FixedWindow | Shape::SlidingWindow => 1,
        };
        let impossible = self.count == 0 || self.per.is_zero() || burst == 0;
        impossible.then(|| format!("a limit of key `{key}` has a count, a time or a burst of zero"))
    }
}

/// How a provider counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Fills continuously at `count` in `per`, up to `burst`; full at the start.
    TokenBucket {
        /// The most it can hold.
        burst: u64,
    },
    /// Starts again from zero at every multiple of `per` since the start.
    FixedWindow,
    /// Never more than `count` in any window of `per`, wherever it begins.
    SlidingWindow,
}

/// How a provider tells callers of its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum HeaderStyle {
    /// `x-ratelimit-*` on every answer; on 429 also `retry-after`, `retry-after-ms` and words in the message
    #[serde(rename = "openai")]
    #[value(name = "openai")]
    OpenAi,
    /// `retry-after` in whole seconds, on 429 only
    RetryAfter,
    /// `retry-after` as a date, on 429 only
    HttpDate,
    /// Nothing at all
    None,
}

/// What the texts of answers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// The prompt's checksum and its beginning.
    Excerpt,
    /// The prompt's checksum as a JSON array of eight numbers from 0 to 255.
    Numbers,
}

/// Whether something costs quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// It does.
    Counted,
    /// It doesn't.
    Free,
}

/// How fast answers come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Time from the request to the first byte of its answer.
    pub first_byte: Latency,
    /// Content chunks of a streamed answer.
    pub chunks: usize,
    /// Time between two chunks.
    pub chunk_gap: Latency,
}

impl Pace {
    /// Answers are rendered whole before they are sent, at about 250 bytes a chunk.
    pub const CHUNKS_MAX: usize = 100_000;
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_byte: Latency::NONE, chunks: 8, chunk_gap: Latency::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_as_openai_names_them() {
        assert_eq!(LimitSpec::requests(3, MINUTE).name(), "requests per min (RPM)");
        assert_eq!(LimitSpec::tokens(3, DAY).name(), "tokens per day (TPD)");
        assert_eq!(
            LimitSpec::tokens(3, DAY).of(Dimension::InputTokens).name(),
            "input tokens per day (ITPD)"
        );
        assert_eq!(LimitSpec::requests(3, Duration::from_secs(10)).name(), "requests per 10.0s");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let spec = SimSpec::with_keys(3)
            .key(1, |key| {
                KeySpec { secret: "sk-0".to_owned(), ..key }.limited(LimitSpec::requests(0, MINUTE))
            })
            .key(2, |key| KeySpec { name: "k0".to_owned(), ..key })
            .at(MINUTE, Change::Quota { key: 9, factor: 0.1 });
        assert_eq!(
            spec.mistakes(),
            [
                "the secret of key `k1` is another key's already",
                "a limit of key `k1` has a count, a time or a burst of zero",
                "two keys are named `k0`",
                "an event names key 9, but there are 3, counted from 0",
            ]
        );
        assert_eq!(SimSpec::default().mistakes(), [""; 0]);
    }

    #[test]
    fn a_quota_group_has_one_set_of_limits() {
        let spec = SimSpec::with_keys(2)
            .key(0, |key| key.in_group("org").limited(LimitSpec::requests(1, MINUTE)))
            .key(1, |key| key.in_group("org"));
        assert_eq!(spec.mistakes(), ["keys of the quota group `org` have different limits"]);
    }
}
