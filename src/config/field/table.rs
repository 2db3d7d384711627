//! The table itself, in the order of `docs/configuration.md`.

use std::time::Duration;

use keywheel_actors::spec::{Counting, Pick, QUEUE_JOBS_MAX, Rotation, Timeouts};
use serde_json::{Value, json};

use super::kind::{Field, Kind, Usual};
use crate::config::duration::exact;
use crate::config::home::{FILE_MIB_MOST, FILES_MOST, FailureLog};
use crate::config::key::WEIGHT_MAX;
use crate::config::preset::{DIALECTS, PRESETS};
use crate::config::provider::QUEUE_JOBS_MOST;
use crate::config::rotation::FAILURES_MAX;
use crate::config::server::{
    BODY_MIB_MOST, CONNECTIONS_MOST, HOLD_BACKS, PRIORITIES, ServerConfig, TRACE_ONE_IN_MOST,
    UPLOAD_MIB_MOST, WORKERS_MOST,
};
use crate::money::Currency;

/// The top of the file.
pub(in crate::config) const TOP: &[Field] = &[
    field(
        "fallback_order",
        "Ids of the providers to try for a model without a route, in this order.",
        Kind::Names,
        Usual::Words("all enabled providers, as listed"),
    ),
    field(
        "rotation",
        "How keys take turns, and what becomes of those that fail. Providers and keys may say otherwise.",
        Kind::Table(ROTATION),
        Usual::Words("what its fields say"),
    ),
    field(
        "timeouts",
        "How long the parts of a call may take. Providers may say otherwise.",
        Kind::Table(TIMEOUTS),
        Usual::Words("what its fields say"),
    ),
    field(
        "state",
        "Where health and counters are kept between runs.",
        Kind::Table(STATE),
        Usual::Words("what its fields say"),
    ),
    field("failures", "The log of failed calls.", Kind::Table(FAILURES), Usual::Words("what its fields say")),
    field(
        "admin",
        "How a running keywheel is reached by its operator.",
        Kind::Table(ADMIN),
        Usual::Words("what its fields say"),
    ),
    field(
        "server",
        "How `keywheel serve` listens, and for whom.",
        Kind::Table(SERVER),
        Usual::Words("what its fields say"),
    ),
    field("provider", "The providers, at least one.", Kind::Tables(PROVIDER), Usual::Required),
    field(
        "route",
        "The candidates for single models.",
        Kind::Tables(ROUTE),
        Usual::Words("none: `fallback_order` holds for every model"),
    ),
    field(
        "currency",
        "What all prices are in, by its three letters.",
        Kind::Currency,
        Usual::Value(|| json!(Currency::default())),
    ),
    field(
        "price",
        "What the models cost, for `keywheel batch`.",
        Kind::Tables(PRICE),
        Usual::Words("none: what a run costs is unknown"),
    ),
];

/// One `[[provider]]`.
pub(in crate::config) const PROVIDER: &[Field] = &[
    field("id", "Its name, unique among the providers.", Kind::Name, Usual::Required),
    field(
        "preset",
        "A provider known by name: says `dialect` and `base_url`.",
        Kind::Choice(presets),
        Usual::Words("none: `dialect` and `base_url` say it"),
    ),
    field(
        "dialect",
        "How it speaks; `http` is any API with a bearer token.",
        Kind::Choice(dialects),
        Usual::Words("the preset's; required without one"),
    ),
    field(
        "base_url",
        "Where it listens, version path included: https, or http on loopback.",
        Kind::Address,
        Usual::Words("the preset's; required without one"),
    ),
    field(
        "allow_http",
        "Lets `base_url` be plain http beyond loopback.",
        Kind::Switch,
        Usual::Value(|| json!(false)),
    ),
    field(
        "key_header",
        "The header that carries the key, where the dialect's own won't do.",
        Kind::Header,
        Usual::Words("the dialect's own"),
    ),
    field(
        "openai_path",
        "Where it answers OpenAI's requests, if it speaks otherwise: a path below `base_url`.",
        Kind::Text,
        Usual::Words("the preset's: `/openai` for Gemini, empty for Anthropic"),
    ),
    field(
        "api_key",
        "Its only key, in short for one `[[provider.key]]` with this `secret`.",
        Kind::Secret,
        Usual::Words("none: `[[provider.key]]` says it"),
    ),
    field(
        "models",
        "Our names of its models with its own; names that aren't listed pass unchanged.",
        Kind::Aliases,
        Usual::Value(|| json!({})),
    ),
    field(
        "enabled",
        "`false` leaves the provider out; its secrets aren't fetched.",
        Kind::Switch,
        Usual::Value(|| json!(true)),
    ),
    field(
        "queue_jobs_max",
        "Jobs that may wait for it; further ones are refused.",
        Kind::Whole { least: 1, most: QUEUE_JOBS_MOST },
        Usual::Value(|| json!(QUEUE_JOBS_MAX)),
    ),
    field(
        "token_counting",
        "Which tokens count in its limits: those reckoned up front, those as corrected after the call, or those used.",
        Kind::Choice(countings),
        Usual::Words("as its dialect does: `up_front` for openai, else `used`"),
    ),
    field(
        "limits",
        "The limits of its keys, where they say nothing else.",
        Kind::Table(LIMITS),
        Usual::Words("learned"),
    ),
    field(
        "rotation",
        "Nearer than `[rotation]` at the top, field by field.",
        Kind::Table(ROTATION),
        Usual::Words("what the top says"),
    ),
    field(
        "timeouts",
        "Nearer than `[timeouts]` at the top, field by field.",
        Kind::Table(TIMEOUTS),
        Usual::Words("what the top says"),
    ),
    field(
        "key",
        "Its keys, at least one; the first is the primary one.",
        Kind::Tables(KEY),
        Usual::Words("required without `api_key`"),
    ),
];

/// One `[[provider.key]]`.
pub(in crate::config) const KEY: &[Field] = &[
    field("name", "Its name, unique in the provider.", Kind::Name, Usual::Words("`key-1`, by position")),
    field(
        "secret",
        "`env:NAME`, `file:PATH`, `credential:NAME` (systemd's), or the value itself.",
        Kind::Secret,
        Usual::Required,
    ),
    field(
        "quota_group",
        "The account whose limits it shares with other keys of this provider.",
        Kind::Name,
        Usual::Words("its own"),
    ),
    field(
        "weight",
        "Its share under `pick = \"weighted\"`.",
        Kind::Whole { least: 1, most: WEIGHT_MAX },
        Usual::Value(|| json!(1)),
    ),
    field("models", "The models it serves, by the provider's own names.", Kind::Models, Usual::Words("all")),
    field(
        "enabled",
        "`false`: not used until somebody enables it.",
        Kind::Switch,
        Usual::Value(|| json!(true)),
    ),
    field("limits", "What the provider grants to it.", Kind::Table(LIMITS), Usual::Words("learned")),
    field(
        "rotation",
        "Nearer than the provider's, field by field; `pick` does nothing here.",
        Kind::Table(ROTATION),
        Usual::Words("what the provider says"),
    ),
];

/// One `[[route]]`.
pub(in crate::config) const ROUTE: &[Field] = &[
    field("model", "The model as callers name it; one route for each.", Kind::Model, Usual::Required),
    field(
        "candidates",
        "Who serves it, in this order, each with the provider's own name of the model.",
        Kind::Candidates,
        Usual::Required,
    ),
];

/// One `[[price]]`.
pub(in crate::config) const PRICE: &[Field] = &[
    field(
        "model",
        "The model by the provider's own name, or the beginning of several names and `*`.",
        Kind::Model,
        Usual::Required,
    ),
    field(
        "provider",
        "The provider that asks it.",
        Kind::Name,
        Usual::Words("every provider without a price of its own for the model"),
    ),
    field("input", "The price of a million tokens of input.", Kind::Amount, Usual::Required),
    field("output", "The price of a million tokens of output.", Kind::Amount, Usual::Required),
    field(
        "cached",
        "The price of a million tokens of input that came from the provider's cache.",
        Kind::Amount,
        Usual::Words("that of `input`"),
    ),
];

/// `rotation`, on all three levels.
const ROTATION: &[Field] = &[
    field(
        "pick",
        "Which of the ready keys serves next.",
        Kind::Choice(picks),
        Usual::Value(|| json!(name_of(Rotation::default().pick))),
    ),
    field(
        "max_failures",
        "Unclassified failures in a row that make a key `failed`.",
        Kind::Whole { least: 1, most: FAILURES_MAX },
        Usual::Value(|| json!(Rotation::default().max_failures)),
    ),
    field(
        "failure_reset",
        "Failures older than this are forgotten.",
        Kind::Duration,
        Usual::Value(|| duration(Rotation::default().failure_reset)),
    ),
    field(
        "rate_limit_backoff",
        "Longest rest after a throttle that named none.",
        Kind::Duration,
        Usual::Value(|| duration(Rotation::default().rate_limit_backoff)),
    ),
    field(
        "log_failures",
        "Whether failures are logged.",
        Kind::Switch,
        Usual::Value(|| json!(Rotation::default().log_failures)),
    ),
    field(
        "fallback_after",
        "How long a job waits for a resting key while its route has another candidate.",
        Kind::DurationOrNever,
        Usual::Value(|| Rotation::default().fallback_after.map_or(json!("never"), duration)),
    ),
];

/// `timeouts`, on both levels.
const TIMEOUTS: &[Field] = &[
    field(
        "connect",
        "Until the connection stands, TLS included.",
        Kind::Duration,
        Usual::Value(|| duration(Timeouts::default().connect)),
    ),
    field(
        "whole_content",
        "Until the first byte of an answer that comes in one piece.",
        Kind::Duration,
        Usual::Value(|| duration(Timeouts::default().whole_content)),
    ),
    field(
        "first_content",
        "Until the first content of a stream, when nobody else could serve.",
        Kind::Duration,
        Usual::Value(|| duration(Timeouts::default().first_content)),
    ),
    field(
        "first_content_with_fallback",
        "Until the first content of a stream, when the route has another candidate.",
        Kind::Duration,
        Usual::Value(|| duration(Timeouts::default().first_content_with_fallback)),
    ),
    field(
        "idle",
        "Until the next piece of the answer.",
        Kind::Duration,
        Usual::Value(|| duration(Timeouts::default().idle)),
    ),
    field(
        "total",
        "Until the end of the call.",
        Kind::Duration,
        Usual::Value(|| duration(Timeouts::default().total)),
    ),
];

/// `limits`, on both levels. The most of each is checked against the reader's by a test.
const LIMITS: &[Field] = &[
    limit("rps", "Requests in any second.", COUNT_MOST),
    limit("rpm", "Requests in any minute.", COUNT_MOST),
    limit("rpd", "Requests in any day.", COUNT_MOST),
    field(
        "burst",
        "Makes the shortest request window a token bucket of this size.",
        Kind::Whole { least: 1, most: COUNT_MOST },
        Usual::Words("none: limits hold in any window"),
    ),
    limit("tpm", "Tokens, input and output, in any minute.", COUNT_MOST),
    limit("tpd", "Tokens, input and output, in any day.", COUNT_MOST),
    limit("itpm", "Tokens of input in any minute.", COUNT_MOST),
    limit("itpd", "Tokens of input in any day.", COUNT_MOST),
    limit("otpm", "Tokens of output in any minute.", COUNT_MOST),
    limit("otpd", "Tokens of output in any day.", COUNT_MOST),
    limit("concurrency", "Calls at once.", 65_535),
];

/// No provider grants more, and no sum of such limits overflows.
const COUNT_MOST: u64 = 1_000_000_000_000;

const STATE: &[Field] = &[field(
    "dir",
    "The directory of the durable state.",
    Kind::Path,
    Usual::Words("a directory of this configuration's own in the user's state directory"),
)];

const FAILURES: &[Field] = &[
    field(
        "log",
        "Whether failed calls are logged to files.",
        Kind::Switch,
        Usual::Value(|| json!(FailureLog::default().enabled)),
    ),
    field("dir", "The directory of the log.", Kind::Path, Usual::Words("`failures` in the state directory")),
    field(
        "file_mib_max",
        "MiB after which a new file is begun.",
        Kind::Whole { least: 1, most: FILE_MIB_MOST },
        Usual::Value(|| json!(FailureLog::default().file_bytes_max >> 20)),
    ),
    field(
        "files_max",
        "Older files than this many are deleted.",
        Kind::Whole { least: 1, most: FILES_MOST },
        Usual::Value(|| json!(FailureLog::default().files_max)),
    ),
];

const ADMIN: &[Field] = &[
    field(
        "socket",
        "The unix socket of a running keywheel.",
        Kind::Path,
        Usual::Words("`admin.sock` in the state directory"),
    ),
    field(
        "listen",
        "Where it also listens for an operator and for the dashboard, as an IP address and a port.",
        Kind::Text,
        Usual::Words("nowhere"),
    ),
    field(
        "token",
        "What an operator must show there: `env:NAME`, `file:PATH` or at least 20 characters.",
        Kind::Secret,
        Usual::Words("none, which only loopback may do without"),
    ),
];

/// `[server]`.
const SERVER: &[Field] = &[
    field(
        "listen",
        "Where the gateway listens, as an IP address and a port.",
        Kind::Text,
        Usual::Value(|| json!(ServerConfig::default().listen)),
    ),
    field(
        "client",
        "Who may call. Beyond loopback at least one is needed.",
        Kind::Tables(CLIENT),
        Usual::Words("whoever reaches it"),
    ),
    field(
        "deadline",
        "How long a request may take in all. Clients may say less.",
        Kind::Duration,
        Usual::Value(|| duration(ServerConfig::default().deadline)),
    ),
    field(
        "hold_back",
        "How much of a stream is held back: what no client has seen can still come from elsewhere.",
        Kind::Choice(hold_backs),
        Usual::Value(|| json!("first_content")),
    ),
    field(
        "body_mib_max",
        "The longest body of a request that is routed, in MiB.",
        Kind::Whole { least: 1, most: BODY_MIB_MOST },
        Usual::Value(|| json!(ServerConfig::default().body_bytes_max >> 20)),
    ),
    field(
        "upload_mib_max",
        "The longest body of a request to one provider, in MiB.",
        Kind::Whole { least: 1, most: UPLOAD_MIB_MOST },
        Usual::Value(|| json!(ServerConfig::default().upload_bytes_max >> 20)),
    ),
    field(
        "body_timeout",
        "The longest pause inside the body of a request.",
        Kind::Duration,
        Usual::Value(|| duration(ServerConfig::default().body_timeout)),
    ),
    field(
        "header_timeout",
        "How long the head of a request may take.",
        Kind::Duration,
        Usual::Value(|| duration(ServerConfig::default().header_timeout)),
    ),
    field(
        "send_timeout",
        "How long a client may take nothing of its answer before it is left.",
        Kind::Duration,
        Usual::Value(|| duration(ServerConfig::default().send_timeout)),
    ),
    field(
        "connections_max",
        "Connections at once; further ones wait.",
        Kind::Whole { least: 1, most: CONNECTIONS_MOST },
        Usual::Value(|| json!(ServerConfig::default().connections_max)),
    ),
    field(
        "drain_grace",
        "How long requests under way may go on when it is to end.",
        Kind::Duration,
        Usual::Value(|| duration(ServerConfig::default().drain_grace)),
    ),
    field(
        "workers",
        "Threads that speak with clients.",
        Kind::Whole { least: 1, most: WORKERS_MOST },
        Usual::Words("one for each processor"),
    ),
    field(
        "access_log",
        "Where a line goes for each request that has ended: `off`, `stderr` or a file.",
        Kind::Text,
        Usual::Value(|| json!("off")),
    ),
    field(
        "forward_headers",
        "Headers of clients that providers are sent beside the usual ones.",
        Kind::Texts,
        Usual::Words("none"),
    ),
    field(
        "otlp_endpoint",
        "Where OpenTelemetry's traces and metrics are sent, by OTLP over HTTP.",
        Kind::Address,
        Usual::Words("nowhere, or what OTEL_EXPORTER_OTLP_ENDPOINT says"),
    ),
    field(
        "service_name",
        "What this gateway is called there.",
        Kind::Text,
        Usual::Value(|| json!(ServerConfig::default().service_name)),
    ),
    field(
        "trace_one_in",
        "Of so many traces that begin here one is sent; those that a client has begun go by its own word.",
        Kind::Whole { least: 1, most: TRACE_ONE_IN_MOST },
        Usual::Value(|| json!(ServerConfig::default().trace_one_in)),
    ),
];

/// One `[[server.client]]`.
const CLIENT: &[Field] = &[
    field("name", "Its name, unique among the clients.", Kind::Name, Usual::Required),
    field(
        "token_hashes",
        "The hashes of its tokens, as `keywheel client new` writes them.",
        Kind::Texts,
        Usual::Required,
    ),
    field(
        "models",
        "The models that it may ask for, or the beginnings of names and `*`.",
        Kind::Texts,
        Usual::Words("all"),
    ),
    field(
        "pass_through",
        "The providers that it may call by their ids, at `/providers/ID/…`.",
        Kind::Texts,
        Usual::Words("all; none for a client with `models`"),
    ),
    field("limits", "How much it may use.", Kind::Table(LIMITS), Usual::Words("none")),
    field(
        "cost_per_day",
        "What its calls may cost from midnight to midnight, UTC, by `[[price]]`.",
        Kind::Amount,
        Usual::Words("anything"),
    ),
    field(
        "priority",
        "The highest priority that its requests may have.",
        Kind::Choice(priorities),
        Usual::Value(|| json!("high")),
    ),
    field("enabled", "Whether it may call at all.", Kind::Switch, Usual::Value(|| json!(true))),
];

const fn field(name: &'static str, about: &'static str, kind: Kind, usual: Usual) -> Field {
    Field { name, about, kind, usual }
}

const fn limit(name: &'static str, about: &'static str, most: u64) -> Field {
    field(name, about, Kind::Whole { least: 1, most }, Usual::Words("learned"))
}

fn hold_backs() -> Vec<&'static str> {
    HOLD_BACKS.map(|(word, _)| word).to_vec()
}

fn priorities() -> Vec<&'static str> {
    PRIORITIES.map(|(word, _)| word).to_vec()
}

fn presets() -> Vec<&'static str> {
    PRESETS.iter().map(|preset| preset.name).collect()
}

fn dialects() -> Vec<&'static str> {
    DIALECTS.to_vec()
}

fn countings() -> Vec<&'static str> {
    Counting::ALL.map(|(name, _)| name).to_vec()
}

fn picks() -> Vec<&'static str> {
    Pick::ALL.iter().map(|(name, _)| *name).collect()
}

fn name_of(pick: Pick) -> &'static str {
    Pick::ALL.iter().find(|(_, known)| *known == pick).map_or("", |(name, _)| name)
}

fn duration(duration: Duration) -> Value {
    json!(exact(duration))
}
