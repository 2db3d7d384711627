//! What a wheel is made of: resolved, complete, nothing optional left to guess.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;

use crate::dialect::{Dialect, Speech};
use crate::id::{KeyName, Model, ProviderId, QuotaGroup};
use crate::secret::{FingerprintKey, Secret};

/// A whole wheel.
#[derive(Clone, Debug, Default)]
pub struct WheelSpec {
    /// The providers.
    pub providers: Vec<ProviderSpec>,
    /// Routes of single models.
    pub routes: Vec<RouteSpec>,
    /// The providers to try for a model without a route, in this order. Empty: all, as listed.
    pub fallback_order: Vec<ProviderId>,
    /// Seed of every random choice. `None` for a new one each time.
    pub seed: Option<u64>,
    /// Makes the fingerprints of keys.
    pub fingerprints: FingerprintKey,
}

impl WheelSpec {
    /// Looks for contradictions that would make an actor fail later.
    ///
    /// # Errors
    /// The first one found, for people.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = |id: &ProviderId| self.providers.iter().any(|provider| provider.id == *id);
        let routed = self.routes.iter().flat_map(|route| route.candidates.iter().map(|at| &at.provider));
        if let Some(id) = self.fallback_order.iter().chain(routed).find(|id| !known(id)) {
            return Err(format!("there is no provider `{id}` to fall back to"));
        }
        for (index, provider) in self.providers.iter().enumerate() {
            let id = &provider.id;
            if self.providers[..index].iter().any(|other| other.id == *id) {
                return Err(format!("there are two providers `{id}`"));
            }
            for (index, key) in provider.keys.iter().enumerate() {
                let name = &key.name;
                if provider.keys[..index].iter().any(|other| other.name == *name) {
                    return Err(format!("provider `{id}` has two keys `{name}`"));
                }
                if key.limits.windows.iter().any(|limit| limit.count == 0 || limit.window.is_zero()) {
                    return Err(format!("key `{id}/{name}` has a limit of nothing"));
                }
                if let Err(error) = provider.dialect.authenticate(&key.secret, &mut HeaderMap::new()) {
                    return Err(format!("key `{id}/{name}`: {error}"));
                }
            }
        }
        Ok(())
    }
}

/// One provider with its keys.
#[derive(Clone, Debug)]
pub struct ProviderSpec {
    /// Its id.
    pub id: ProviderId,
    /// How it speaks.
    pub dialect: Arc<dyn Dialect>,
    /// Where it answers OpenAI's requests too, if it speaks otherwise: a path below `base_url`, such as `/openai`,
    /// or an empty one. `None`: nowhere.
    pub openai_path: Option<String>,
    /// Where it listens, version path included, without a trailing slash: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Our names of its models. Names that aren't listed pass unchanged.
    pub models: BTreeMap<Model, Model>,
    /// How its keys take turns.
    pub rotation: Rotation,
    /// Which tokens it holds against its limits.
    pub counting: Counting,
    /// How long its answers may take.
    pub timeouts: Timeouts,
    /// Jobs that may wait for it at once; further ones are refused.
    pub queue_jobs_max: usize,
    /// Its keys, the primary one first.
    pub keys: Vec<KeySpec>,
}

/// Jobs that may wait for a provider unless said otherwise: enough for 10,000 in flight.
pub const QUEUE_JOBS_MAX: usize = 16_384;

impl ProviderSpec {
    /// A provider with every default and no keys.
    pub fn new(id: impl Into<ProviderId>, dialect: Arc<dyn Dialect>, base_url: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            counting: dialect.counting(),
            dialect,
            openai_path: None,
            base_url: base_url.into(),
            models: BTreeMap::new(),
            rotation: Rotation::default(),
            timeouts: Timeouts::default(),
            queue_jobs_max: QUEUE_JOBS_MAX,
            keys: Vec::new(),
        }
    }

    /// Adds a key.
    pub fn with_key(mut self, key: KeySpec) -> Self {
        self.keys.push(key);
        self
    }

    /// Whether it speaks from another place than `other`, or in another way: then it is somebody else.
    pub(crate) fn is_elsewhere(&self, other: &Self) -> bool {
        self.base_url != other.base_url || self.dialect.name() != other.dialect.name()
    }

    /// How what goes to `path` is said to it; `None` if it doesn't understand that, and a route passes it over.
    pub fn dialect_for(&self, path: &str) -> Option<Arc<dyn Dialect>> {
        self.speech().for_path(path).map(|tongue| Arc::clone(tongue.dialect))
    }

    /// How it may be spoken to.
    pub(crate) fn speech(&self) -> Speech {
        Speech::new(Arc::clone(&self.dialect), self.openai_path.as_deref())
    }

    /// The provider's own name of `model`.
    pub fn model_there(&self, model: &Model) -> Model {
        self.models.get(model).unwrap_or(model).clone()
    }
}

/// One key.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Its name, unique inside the provider.
    pub name: KeyName,
    /// The credential.
    pub secret: Secret,
    /// The account whose limits it shares with others. `None`: its own.
    pub quota_group: Option<QuotaGroup>,
    /// Its share under [`Pick::Weighted`], at least 1.
    pub weight: u32,
    /// Its limits; for a key in a group, the group's.
    pub limits: Limits,
    /// The models it serves (the provider's names). Empty: all.
    pub models: Vec<Model>,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// Its rules for failures.
    pub rotation: Rotation,
}

impl KeySpec {
    /// A key with every default and no known limit.
    pub fn new(name: impl Into<KeyName>, secret: Secret) -> Self {
        Self {
            name: name.into(),
            secret,
            quota_group: None,
            weight: 1,
            limits: Limits::default(),
            models: Vec::new(),
            enabled: true,
            rotation: Rotation::default(),
        }
    }

    /// With these limits.
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// The limits that the provider told us for a key or a quota group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Requests and tokens per window. Empty: unknown, to be learned.
    pub windows: Vec<WindowLimit>,
    /// Calls at once. `None`: learned, or bounded by the windows.
    pub concurrency: Option<u32>,
}

impl Limits {
    /// So many requests a minute as a token bucket of `burst`.
    pub fn rpm_with_burst(count: u64, burst: u64) -> Self {
        Self::default().and(WindowLimit { burst: Some(burst), ..WindowLimit::requests(count, MINUTE) })
    }

    /// Adds a window.
    pub fn and(mut self, window: WindowLimit) -> Self {
        self.windows.push(window);
        self
    }
}

/// The window of RPM and TPM.
pub const MINUTE: Duration = Duration::from_secs(60);
/// The window of RPD and TPD.
pub const DAY: Duration = Duration::from_secs(86_400);

/// At most `count` in any `window`, or a token bucket of `burst` filled at that rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowLimit {
    /// What is counted.
    pub dimension: Dimension,
    /// How many, at least 1.
    pub count: u64,
    /// In how long.
    pub window: Duration,
    /// `Some`: the provider uses a token bucket of this size. `None`: any window counts.
    pub burst: Option<u64>,
}

impl WindowLimit {
    /// At most `count` requests in any `window`.
    pub const fn requests(count: u64, window: Duration) -> Self {
        Self { dimension: Dimension::Requests, count, window, burst: None }
    }

    /// At most `count` tokens, input and output, in any `window`.
    pub const fn tokens(count: u64, window: Duration) -> Self {
        Self { dimension: Dimension::Tokens, count, window, burst: None }
    }

    /// The same limit of another kind.
    pub const fn of(self, dimension: Dimension) -> Self {
        Self { dimension, ..self }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Calls.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// Tokens of prompts.
    InputTokens,
    /// Tokens of answers.
    OutputTokens,
}

impl Dimension {
    /// Whether it counts tokens, of whatever kind.
    pub const fn is_of_tokens(self) -> bool {
        match self {
            Self::Requests => false,
            Self::Tokens | Self::InputTokens | Self::OutputTokens => true,
        }
    }
}

/// Which tokens a provider holds against its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counting {
    /// The prompt and the most that the model may write, reckoned when the call comes and never corrected.
    UpFront,
    /// The same, until the call has told what it used: then that.
    Corrected,
    /// The prompt, and what the model writes as it writes it: the maximum doesn't matter.
    Used,
}

impl Counting {
    /// All with their names in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("up_front", Self::UpFront), ("corrected", Self::Corrected), ("used", Self::Used)];
}

/// How keys take turns, and what becomes of those that fail. Names follow the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Which of the ready keys serves next.
    pub pick: Pick,
    /// Unclassified failures in a row that make a key `failed`.
    pub max_failures: u32,
    /// Failures older than this are forgotten.
    pub failure_reset: Duration,
    /// Longest rest after throttles that named none.
    pub rate_limit_backoff: Duration,
    /// Whether failures are logged.
    pub log_failures: bool,
    /// How long a job may wait for a resting key while its route has another candidate.
    /// `None`: as long as its deadline allows.
    pub fallback_after: Option<Duration>,
}

/// How long a job waits for resting keys while somebody else could serve it, unless said otherwise. Limits of a
/// minute are waited for; a day's quota, a lack of money or a model that is denied are not.
const FALLBACK_AFTER: Duration = Duration::from_secs(300);

impl Default for Rotation {
    fn default() -> Self {
        Self {
            pick: Pick::RoundRobin,
            max_failures: 5,
            failure_reset: DAY,
            rate_limit_backoff: MINUTE,
            log_failures: true,
            fallback_after: Some(FALLBACK_AFTER),
        }
    }
}

/// Which of the ready keys serves next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pick {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Each in proportion to its weight, smoothly interleaved.
    Weighted,
    /// The one with the fewest calls in flight.
    LeastInFlight,
    /// The faster of two drawn at random, by time to first token × calls in flight.
    Fastest,
    /// The first in order until it rests.
    PrimaryFirst,
    /// The same for jobs whose prompts begin alike, as long as it has credit: for the provider's prompt cache.
    Sticky,
}

impl Pick {
    /// Every strategy with its name in the configuration.
    pub const ALL: [(&'static str, Self); 6] = [
        ("round_robin", Self::RoundRobin),
        ("weighted", Self::Weighted),
        ("least_in_flight", Self::LeastInFlight),
        ("fastest", Self::Fastest),
        ("primary_first", Self::PrimaryFirst),
        ("sticky", Self::Sticky),
    ];
}

/// How long the parts of a call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the first byte of an answer that comes in one piece: a model may think for minutes before it.
    pub whole_content: Duration,
    /// Until the first content of a stream, when the route has another candidate.
    pub first_content_with_fallback: Duration,
    /// Until the first content of a stream, when it hasn't.
    pub first_content: Duration,
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            whole_content: Duration::from_secs(600),
            first_content_with_fallback: Duration::from_secs(15),
            first_content: Duration::from_secs(60),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(600),
        }
    }
}

/// The candidates for one model, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteSpec {
    /// The model as callers name it.
    pub model: Model,
    /// Who serves it.
    pub candidates: Vec<CandidateSpec>,
}

/// A provider and its own name of the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CandidateSpec {
    /// The provider.
    pub provider: ProviderId,
    /// The model there.
    pub model: Model,
}
