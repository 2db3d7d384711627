//! How a call ended, in the words that the rules use.
//!
//! A [`Fault`] is what a dialect read out of an answer; what follows from it is
//! the policies' business.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::id::{KeyId, Model, ProviderId};

/// What went wrong with one call.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Fault {
    /// What it means.
    pub reason: Reason,
    /// How far it reaches.
    pub scope: Scope,
    /// The provider's own word on how long to stay away.
    pub rest: Option<Duration>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The provider's own code, such as `insufficient_quota`.
    pub code: Option<Box<str>>,
    /// The provider's message or ours: at most [`Fault::MESSAGE_BYTES_MAX`], with the key scrubbed.
    pub message: Box<str>,
}

impl Fault {
    /// Longer messages are cut: they go to logs and to terminals.
    pub const MESSAGE_BYTES_MAX: usize = 300;

    /// A fault with the reason's usual scope and nothing known beside it.
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        Self {
            reason,
            scope: reason.usual_scope(),
            rest: None,
            status: None,
            code: None,
            message: cut(message.as_ref(), Self::MESSAGE_BYTES_MAX).into(),
        }
    }

    /// Says how long the provider asked to stay away.
    pub fn resting(mut self, rest: Option<Duration>) -> Self {
        self.rest = rest;
        self
    }

    /// Says how far it reaches, where that isn't the reason's usual scope.
    pub fn reaching(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Adds the HTTP status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds the provider's code.
    pub fn with_code(mut self, code: Option<&str>) -> Self {
        self.code = code.map(|code| cut(code, Self::MESSAGE_BYTES_MAX).into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(status) = self.status {
            write!(f, " (HTTP {status})")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// At most so many bytes of a text, in whole characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What a failed call means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The key is wrong, revoked or expired.
    BadCredential,
    /// The account behind the key is banned.
    AccountBanned,
    /// No money, or a spending limit.
    MoneyGone,
    /// Too fast for a per-minute limit.
    Throttled,
    /// A day's or month's quota is used up.
    QuotaUsedUp,
    /// The provider asks everybody to slow down.
    SlowDown,
    /// The provider has no capacity.
    Overloaded,
    /// A 5xx without a better word.
    ServerError,
    /// DNS, connect, TLS, a reset before the first byte of the answer, or a redirect to elsewhere.
    Unreachable,
    /// Nothing came for too long.
    Stalled,
    /// The answer broke off, or could not be understood.
    Cut,
    /// The key may not use this model.
    ModelDenied,
    /// Nobody may use this model any more.
    ModelGone,
    /// The provider doesn't serve our region.
    RegionDenied,
    /// The prompt is longer than the model's context.
    TooLong,
    /// The request alone is larger than the key's quota: it can never fit.
    NeverFits,
    /// The provider's content policy refused it.
    PolicyRefused,
    /// The caller's mistake: bad JSON, bad parameter.
    CallerMistake,
    /// The caller went away.
    CallerGone,
    /// The job's own deadline passed.
    DeadlineOver,
    /// We stopped it: draining, or a key was removed.
    Stopped,
    /// None of the above. Counted, so that the tables can be mended.
    Unclassified,
}

impl Reason {
    /// All reasons, in the order of the tables.
    pub const ALL: [Self; 22] = [
        Self::BadCredential,
        Self::AccountBanned,
        Self::MoneyGone,
        Self::Throttled,
        Self::QuotaUsedUp,
        Self::SlowDown,
        Self::Overloaded,
        Self::ServerError,
        Self::Unreachable,
        Self::Stalled,
        Self::Cut,
        Self::ModelDenied,
        Self::ModelGone,
        Self::RegionDenied,
        Self::TooLong,
        Self::NeverFits,
        Self::PolicyRefused,
        Self::CallerMistake,
        Self::CallerGone,
        Self::DeadlineOver,
        Self::Stopped,
        Self::Unclassified,
    ];

    /// The word used in logs, JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadCredential => "bad_credential",
            Self::AccountBanned => "account_banned",
            Self::MoneyGone => "money_gone",
            Self::Throttled => "throttled",
            Self::QuotaUsedUp => "quota_used_up",
            Self::SlowDown => "slow_down",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::Stalled => "stalled",
            Self::Cut => "cut",
            Self::ModelDenied => "model_denied",
            Self::ModelGone => "model_gone",
            Self::RegionDenied => "region_denied",
            Self::TooLong => "too_long",
            Self::NeverFits => "never_fits",
            Self::PolicyRefused => "policy_refused",
            Self::CallerMistake => "caller_mistake",
            Self::CallerGone => "caller_gone",
            Self::DeadlineOver => "deadline_over",
            Self::Stopped => "stopped",
            Self::Unclassified => "unclassified",
        }
    }

    /// Whether a call that ended so may have to be paid for all the same.
    ///
    /// Providers charge for what a model has read or written. Who is refused, throttled or told of a breakdown pays
    /// nothing; whose answer was on its way when it broke, was given up or was taken for unfit may.
    /// Source: Azure's page on content filters, of a prompt that was refused with 400: "there will be a charge for this
    /// request as the prompt was evaluated".
    pub const fn may_be_billed(self) -> bool {
        match self {
            Self::Stalled
            | Self::Cut
            | Self::PolicyRefused
            | Self::CallerGone
            | Self::DeadlineOver
            | Self::Unclassified => true,
            Self::BadCredential
            | Self::AccountBanned
            | Self::MoneyGone
            | Self::Throttled
            | Self::QuotaUsedUp
            | Self::SlowDown
            | Self::Overloaded
            | Self::ServerError
            | Self::Unreachable
            | Self::ModelDenied
            | Self::ModelGone
            | Self::RegionDenied
            | Self::TooLong
            | Self::NeverFits
            | Self::CallerMistake
            | Self::Stopped => false,
        }
    }

    /// How far such a fault reaches unless the provider says otherwise.
    pub const fn usual_scope(self) -> Scope {
        match self {
            Self::BadCredential | Self::RegionDenied | Self::Unclassified => Scope::Key,
            Self::AccountBanned | Self::MoneyGone => Scope::Group,
            Self::Throttled | Self::QuotaUsedUp | Self::ModelDenied => Scope::Lane,
            Self::SlowDown
            | Self::Overloaded
            | Self::ServerError
            | Self::Unreachable
            | Self::Stalled
            | Self::Cut
            | Self::ModelGone => Scope::Provider,
            Self::TooLong | Self::NeverFits | Self::PolicyRefused | Self::CallerMistake => Scope::Request,
            Self::CallerGone | Self::DeadlineOver | Self::Stopped => Scope::Us,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who or what a fault belongs to; only that one pays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One key.
    Key,
    /// All keys of one quota group.
    Group,
    /// One model on one key or quota group.
    Lane,
    /// The provider.
    Provider,
    /// The request itself: no key could serve it.
    Request,
    /// Ourselves, or the caller leaving.
    Us,
}

impl Scope {
    /// The word used in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Group => "group",
            Self::Lane => "lane",
            Self::Provider => "provider",
            Self::Request => "request",
            Self::Us => "us",
        }
    }
}

/// Tokens that a call used, as the provider counted them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Prompt tokens that came from the provider's cache.
    pub cached_tokens: u64,
}

impl Usage {
    /// Input and output together: what most token limits count.
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

impl AddAssign for Usage {
    /// Providers tell the numbers, so they may be anything: sums stop at the largest.
    fn add_assign(&mut self, more: Self) {
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(more.cached_tokens);
    }
}

/// What a provider's headers say about one of its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gauge {
    /// The limit, if named.
    pub limit: Option<u64>,
    /// What is left of it.
    pub remaining: u64,
    /// Time until it is full again (or until the window ends).
    pub reset: Option<Duration>,
}

/// The limits that an answer's headers tell about.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Gauges {
    /// Requests.
    pub requests: Option<Gauge>,
    /// Tokens.
    pub tokens: Option<Gauge>,
}

/// One call on a job's record.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// The key that made it.
    pub key: KeyId,
    /// The model's name as sent to the provider.
    pub model: Model,
    /// When the call began.
    #[serde(skip)]
    pub started: Moment,
    /// How long it took.
    pub took: Duration,
    /// What went wrong; `None` for the one that served the job.
    pub fault: Option<Fault>,
}

/// Where a job was served, for the caller's records.
#[derive(Clone, Debug, Serialize)]
pub struct Served {
    /// The provider.
    pub provider: ProviderId,
    /// Whether it isn't the first on the job's route.
    pub fell_back: bool,
    /// Attempts so far, the serving one last.
    pub attempts: Vec<Attempt>,
}
