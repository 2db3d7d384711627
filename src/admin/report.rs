//! What `status` tells, live or from the durable state, in the form of its `--json`.

use keywheel_actors::board::{KeyCounts, KeyState};
use keywheel_actors::outcome::Scope;
use keywheel_actors::secret::Fingerprint;
use keywheel_actors::store::Wall;
use serde::{Deserialize, Serialize};

/// All providers and keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Where this comes from.
    pub source: Source,
    /// When it was put together.
    pub at: Wall,
    /// Why what happens now isn't kept for the next process, if it isn't.
    pub not_durable: Option<String>,
    /// The providers, as the configuration lists them.
    pub providers: Vec<ProviderReport>,
}

/// Where a report comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// A running keywheel.
    Live {
        /// Its process.
        pid: u32,
        /// The verb that it carries out: `batch`.
        verb: String,
        /// When it began.
        since: Wall,
        /// Where its dashboard is, if it has one.
        #[serde(default)]
        dashboard: Option<String>,
    },
    /// Nothing runs; this is what the last one left.
    Durable {
        /// When it was written. `None`: nothing has ever run with this configuration.
        saved: Option<Wall>,
    },
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderReport {
    /// Its id.
    pub id: String,
    /// Whether it takes part and serves.
    pub state: ProviderState,
    /// Until when it rests as a whole.
    pub until: Option<Wall>,
    /// Jobs waiting for it.
    pub queued: usize,
    /// Calls under way.
    pub in_flight: usize,
    /// Jobs that went on to the next provider.
    pub fell_over: u64,
    /// Its keys, as the configuration lists them.
    pub keys: Vec<KeyReport>,
}

/// Whether a provider takes part and serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// It serves.
    Active,
    /// It rests as a whole.
    Resting,
    /// Left out by the configuration.
    Disabled,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyReport {
    /// Its name.
    pub name: String,
    /// Of its secret. `None` if the secret can't be had here.
    pub fingerprint: Option<Fingerprint>,
    /// What a person may see of the secret.
    pub masked: Option<String>,
    /// The account whose limits it shares.
    pub quota_group: Option<String>,
    /// One of the four statuses.
    pub status: KeyState,
    /// Why, unless it is active: `operator`, `configuration`, or the reason of a failed call.
    pub cause: Option<String>,
    /// What is blocked: the key, its group, one model, or the provider.
    pub scope: Option<Scope>,
    /// Until when. `None`: until somebody acts, or not blocked at all.
    pub until: Option<Wall>,
    /// The provider's message, scrubbed.
    pub message: Option<String>,
    /// Calls under way.
    pub in_flight: u32,
    /// Calls it may have under way at once. `None` if nothing runs and none was learned.
    pub concurrency: Option<u32>,
    /// Calls a second that its known limits permit.
    pub permitted_per_second: Option<f64>,
    /// What it has done since its process began; of the durable state, nothing.
    pub counts: KeyCounts,
}
