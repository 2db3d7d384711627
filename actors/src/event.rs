//! What happened, in the past tense, for whoever wants to watch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::board::KeyStatus;
use crate::clock::Moment;
use crate::id::{JobId, KeyId, Model, ProviderId};
use crate::outcome::Fault;
use crate::reload::ReloadReport;
use crate::secret::Fingerprint;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When.
    #[serde(skip)]
    pub at: Moment,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A call failed. Never with a body, never with a secret.
    CallFailed {
        /// Whose call.
        job: JobId,
        /// The caller's own name of the job: [`Request::id`](crate::request::Request::id).
        request_id: Option<Box<str>>,
        /// The how-manieth call of this job, from 1.
        attempt: u32,
        /// By which key.
        key: KeyId,
        /// Of that key's secret.
        fingerprint: Fingerprint,
        /// The model as sent.
        model: Model,
        /// What went wrong.
        fault: Fault,
        /// What becomes of the job.
        decision: Decision,
        /// Until when the one who pays for it (key, lane or provider) rests, if it does;
        /// [`Moment::NEVER`] until somebody acts.
        #[serde(skip)]
        until: Option<Moment>,
        /// How long the call took.
        took: Duration,
        /// Whether it belongs into logs.
        log: Logging,
    },
    /// A key's status changed.
    KeyChanged {
        /// The key.
        key: KeyId,
        /// What it is now.
        status: KeyStatus,
    },
    /// A key's actor crashed and was started again from its snapshot.
    KeyRestarted {
        /// The key.
        key: KeyId,
    },
    /// A provider rests as a whole.
    ProviderRested {
        /// The provider.
        provider: ProviderId,
        /// Until when.
        #[serde(skip)]
        until: Moment,
        /// Why.
        why: String,
    },
    /// A provider serves again.
    ProviderResumed {
        /// The provider.
        provider: ProviderId,
    },
    /// A provider's actor crashed and was started again with its keys and its queue.
    ProviderRestarted {
        /// The provider.
        provider: ProviderId,
    },
    /// A provider's actor crashed too often and was given up.
    ProviderLost {
        /// The provider.
        provider: ProviderId,
    },
    /// The configuration was exchanged, and holds.
    Reloaded {
        /// What is different.
        report: ReloadReport,
    },
    /// A job moved along its route.
    FellBack {
        /// The job.
        job: JobId,
        /// From here.
        from: ProviderId,
        /// To there.
        to: ProviderId,
        /// Why.
        why: String,
    },
    /// What happens can't be kept: a restart will forget it.
    StateNotKept {
        /// Why.
        why: String,
    },
    /// What happens is kept again.
    StateKept,
}

/// Whether failures are logged, besides being counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Logging {
    /// As a rule.
    On,
    /// The configuration doesn't want it: `log_failures = false`.
    Off,
}

/// What becomes of a job whose call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Another key, or the same one later.
    Rotate,
    /// The next candidate on its route.
    FallBack,
    /// Back to the caller.
    Return,
}

impl Decision {
    /// The word used in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::FallBack => "fall_back",
            Self::Return => "return",
        }
    }
}
