//! Metrics for Prometheus. What requests come to is counted as they end; what providers and keys are doing is read
//! from the board when somebody asks.

use std::iter;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use keywheel_actors::board::KeyState;
use keywheel_actors::id::Model;
use keywheel_actors::stats::StatsReport;
use keywheel_actors::{Keeping, Wheel};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Ended;
use super::labels::Names;
use crate::config::Config;
use crate::money::PricedModels;

/// Seconds: from the quickest refusal to the longest thought.
const DURATIONS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Seconds: what a gateway may cost.
const OVERHEADS: [f64; 11] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1];

type Text = Arc<str>;
type FloatCounter = Counter<f64, AtomicU64>;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfRequest {
    surface: &'static str,
    client: Text,
    provider: Text,
    model: Text,
    status: u16,
    ending: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfSurface {
    surface: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfModel {
    provider: Text,
    model: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfTokens {
    provider: Text,
    model: Text,
    kind: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfCost {
    provider: Text,
    model: Text,
    client: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfAttempt {
    provider: Text,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfProvider {
    provider: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfKeys {
    provider: Text,
    status: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfKey {
    provider: Text,
    key: Text,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfCalls {
    provider: Text,
    key: Text,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfBuild {
    version: &'static str,
}

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    providers: Names,
    models: Names,
    requests: Family<OfRequest, Counter>,
    durations: Family<OfSurface, Histogram>,
    first_bytes: Family<OfModel, Histogram>,
    overheads: Family<OfSurface, Histogram>,
    waits: Family<OfSurface, Histogram>,
    tokens: Family<OfTokens, Counter>,
    costs: Family<OfCost, FloatCounter>,
    fallbacks: Family<OfProvider, Counter>,
    attempts: Family<OfAttempt, Counter>,
    seen: Seen,
    /// Held by whoever looks: two at once would count everything twice.
    looking: Mutex<()>,
}

/// What is read when somebody asks.
#[derive(Debug, Default)]
struct Seen {
    in_flight: Gauge,
    queued: Family<OfProvider, Gauge>,
    provider_in_flight: Family<OfProvider, Gauge>,
    resting: Family<OfProvider, Gauge>,
    keys: Family<OfKeys, Gauge>,
    key_in_flight: Family<OfKey, Gauge>,
    key_calls: Family<OfCalls, Counter>,
    dead_letters: Counter,
    durable: Gauge,
    resident: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at nothing.
    pub fn new() -> Self {
        let durations = || Histogram::new(DURATIONS);
        let overheads = || Histogram::new(OVERHEADS);
        let mut metrics = Self {
            registry: Registry::with_prefix("keywheel"),
            providers: Names::default(),
            models: Names::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations as fn() -> Histogram),
            first_bytes: Family::new_with_constructor(durations as fn() -> Histogram),
            overheads: Family::new_with_constructor(overheads as fn() -> Histogram),
            waits: Family::new_with_constructor(durations as fn() -> Histogram),
            tokens: Family::default(),
            costs: Family::default(),
            fallbacks: Family::default(),
            attempts: Family::default(),
            seen: Seen::default(),
            looking: Mutex::new(()),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, seen, .. } = self;
        registry.register("requests", "Requests of clients that have ended", self.requests.clone());
        let mut seconds = |name: &str, help: &str, family: &Family<OfSurface, Histogram>| {
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        };
        seconds("request_duration", "From a request's coming to its end", &self.durations);
        seconds("overhead", "Time of a request that is this gateway's own", &self.overheads);
        seconds("wait", "Time of a request in which it waited for a key", &self.waits);
        registry.register_with_unit(
            "first_byte",
            "From a request's coming to the head of its answer",
            Unit::Seconds,
            self.first_bytes.clone(),
        );
        registry.register("tokens", "Tokens that providers told of", self.tokens.clone());
        registry.register("cost", "What the tokens cost, in the currency of the prices", self.costs.clone());
        registry.register(
            "fallbacks",
            "Requests served by another provider than the first of their route",
            self.fallbacks.clone(),
        );
        registry.register("attempts", "Calls of requests that have ended, by outcome", self.attempts.clone());
        registry.register("requests_in_flight", "Requests under way", seen.in_flight.clone());
        registry.register("provider_queued", "Jobs that wait for a provider", seen.queued.clone());
        registry.register(
            "provider_in_flight",
            "Calls of a provider under way",
            seen.provider_in_flight.clone(),
        );
        registry.register(
            "provider_resting",
            "Whether a provider rests as a whole (1) or not (0)",
            seen.resting.clone(),
        );
        registry.register("keys", "Keys by status", seen.keys.clone());
        registry.register("key_in_flight", "Calls of a key under way", seen.key_in_flight.clone());
        registry.register("key_calls", "Calls of a key since the start, by outcome", seen.key_calls.clone());
        registry.register(
            "dead_letters",
            "Jobs that were lost inside since the start; not 0 is a defect",
            seen.dead_letters.clone(),
        );
        registry.register(
            "state_durable",
            "Whether what happens is kept (1) or a restart will forget it (0)",
            seen.durable.clone(),
        );
        registry.register_with_unit("resident_memory", "Memory in use", Unit::Bytes, seen.resident.clone());
        let build = Family::<OfBuild, Gauge>::default();
        build.get_or_create(&OfBuild { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build", "What runs", build);
    }

    /// Takes over the names that the configuration has now: these always have labels of their own.
    pub fn configure(&self, config: &Config) {
        let providers = &config.wheel.providers;
        self.providers.configure(providers.iter().map(|provider| provider.id.as_str()));
        let routes = config.wheel.routes.iter();
        let routed = routes.flat_map(|route| {
            iter::once(&route.model).chain(route.candidates.iter().map(|candidate| &candidate.model))
        });
        let named = providers.iter().flat_map(|provider| {
            provider.models.values().chain(provider.keys.iter().flat_map(|key| &key.models))
        });
        let priced = config.prices.list.iter().filter_map(|price| match &price.models {
            PricedModels::One(model) => Some(model),
            PricedModels::BeginningWith(_) => None,
        });
        self.models.configure(routed.chain(named).chain(priced).map(Model::as_str));
    }

    /// Counts a request that has ended. Models have a label once they have served: who makes names up has none.
    pub fn record(&self, ended: &Ended) {
        let none = || Text::from("");
        let client = ended.client.clone().unwrap_or_else(none);
        let (provider, model) = match &ended.served {
            Some(place) => {
                (self.providers.label(place.provider.as_str()), self.models.label(place.model.as_str()))
            }
            None => (none(), none()),
        };
        let of_surface = OfSurface { surface: ended.surface };
        self.requests
            .get_or_create(&OfRequest {
                surface: ended.surface,
                client: Arc::clone(&client),
                provider: Arc::clone(&provider),
                model: Arc::clone(&model),
                status: ended.status,
                ending: ended.ending.as_str(),
            })
            .inc();
        self.durations.get_or_create(&of_surface).observe(ended.took.as_secs_f64());
        // Who was refused at once, or left before its answer, has nothing to tell of these.
        if ended.first_byte.is_some() {
            self.overheads.get_or_create(&of_surface).observe(ended.overhead.as_secs_f64());
            self.waits.get_or_create(&of_surface).observe(ended.waited.as_secs_f64());
        }
        for attempt in &ended.attempts {
            let provider = self.providers.label(attempt.key.provider.as_str());
            let outcome = attempt.fault.as_ref().map_or("served", |fault| fault.reason.as_str());
            self.attempts.get_or_create(&OfAttempt { provider, outcome }).inc();
        }
        if ended.fell_back {
            self.fallbacks.get_or_create(&OfProvider { provider: Arc::clone(&provider) }).inc();
        }
        if let Some(cost) = ended.cost.and_then(|cost| cost.to_string().parse().ok()) {
            let of = OfCost { provider: Arc::clone(&provider), model: Arc::clone(&model), client };
            self.costs.get_or_create(&of).inc_by(cost);
        }
        if let Some(usage) = ended.usage {
            let kinds = [
                ("input", usage.input_tokens),
                ("output", usage.output_tokens),
                ("cached", usage.cached_tokens),
            ];
            for (kind, tokens) in kinds {
                let of = OfTokens { provider: Arc::clone(&provider), model: Arc::clone(&model), kind };
                self.tokens.get_or_create(&of).inc_by(tokens);
            }
        }
        if let Some(first_byte) = ended.first_byte.filter(|_| ended.served.is_some()) {
            self.first_bytes.get_or_create(&OfModel { provider, model }).observe(first_byte.as_secs_f64());
        }
    }

    /// All of them as text, with what the board says now.
    pub fn text(&self, wheel: &Wheel, stats: &StatsReport, in_flight: usize) -> String {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(wheel, stats, in_flight);
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn look(&self, wheel: &Wheel, stats: &StatsReport, in_flight: usize) {
        let seen = &self.seen;
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        seen.in_flight.set(gauge(in_flight));
        seen.dead_letters.inc_by(stats.dead_letters.saturating_sub(seen.dead_letters.get()));
        seen.durable.set(i64::from(wheel.keeping() == Keeping::Durably));
        seen.resident.set(resident_bytes());
        // Who has left the configuration is told of no more.
        seen.queued.clear();
        seen.provider_in_flight.clear();
        seen.resting.clear();
        seen.keys.clear();
        seen.key_in_flight.clear();
        seen.key_calls.clear();
        let now = wheel.clock().now();
        for (id, view) in wheel.board().providers() {
            let of = OfProvider { provider: Arc::from(id.as_str()) };
            seen.queued.get_or_create(&of).set(gauge(view.queued));
            seen.provider_in_flight.get_or_create(&of).set(gauge(view.in_flight));
            let is_resting = view.resting_until.is_some_and(|until| until > now);
            seen.resting.get_or_create(&of).set(i64::from(is_resting));
            for status in [KeyState::Active, KeyState::RateLimited, KeyState::Failed, KeyState::Disabled] {
                let of = OfKeys { provider: Arc::clone(&of.provider), status: status.as_str() };
                seen.keys.get_or_create(&of).set(0);
            }
        }
        for (id, view) in wheel.board().keys() {
            let provider: Text = Arc::from(id.provider.as_str());
            let key: Text = Arc::from(id.key.as_str());
            let status = view.status.state.as_str();
            seen.keys.get_or_create(&OfKeys { provider: Arc::clone(&provider), status }).inc();
            let of = OfKey { provider: Arc::clone(&provider), key: Arc::clone(&key) };
            seen.key_in_flight.get_or_create(&of).set(i64::from(view.in_flight));
            let counts = view.counts;
            for (outcome, number) in [
                ("succeeded", counts.succeeded),
                ("throttled", counts.throttled),
                ("failed", counts.failed),
                ("cancelled", counts.cancelled),
            ] {
                let of = OfCalls { provider: Arc::clone(&provider), key: Arc::clone(&key), outcome };
                seen.key_calls.get_or_create(&of).inc_by(number);
            }
        }
    }
}

/// Memory in use, as the kernel says; 0 where it doesn't.
fn resident_bytes() -> i64 {
    const KIB: i64 = 1_024;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
    number.and_then(|number| number.parse::<i64>().ok()).map_or(0, |kib| kib * KIB)
}
