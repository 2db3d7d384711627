//! Published views: one writer each (the owning actor), many readers.
//!
//! Progress bars, status commands and dashboards read here without asking
//! anybody. Selection never does.

use std::sync::Arc;

use dashmap::DashMap;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::id::{KeyId, ProviderId};
use crate::outcome::{Reason, Scope};

/// The views of all providers and keys. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board {
    keys: Arc<DashMap<KeyId, KeyView>>,
    providers: Arc<DashMap<ProviderId, ProviderView>>,
}

impl Board {
    /// All keys, in order of provider and name.
    pub fn keys(&self) -> Vec<(KeyId, KeyView)> {
        let mut keys: Vec<_> =
            self.keys.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        keys
    }

    /// All providers, in order of their ids.
    pub fn providers(&self) -> Vec<(ProviderId, ProviderView)> {
        let mut providers: Vec<_> =
            self.providers.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        providers.sort_by(|(a, _), (b, _)| a.cmp(b));
        providers
    }

    /// One key.
    pub fn key(&self, id: &KeyId) -> Option<KeyView> {
        self.keys.get(id).map(|view| view.clone())
    }

    pub(crate) fn remove_key(&self, id: &KeyId) {
        self.keys.remove(id);
    }

    pub(crate) fn remove_provider(&self, id: &ProviderId) {
        self.providers.remove(id);
    }

    pub(crate) fn publish_key(&self, id: &KeyId, view: KeyView) {
        match self.keys.get_mut(id) {
            Some(mut place) => *place = view,
            None => drop(self.keys.insert(id.clone(), view)),
        }
    }

    pub(crate) fn publish_provider(&self, id: &ProviderId, view: ProviderView) {
        match self.providers.get_mut(id) {
            Some(mut place) => *place = view,
            None => drop(self.providers.insert(id.clone(), view)),
        }
    }
}

/// A key as others see it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KeyView {
    /// Its status, with reason, scope and until.
    pub status: KeyStatus,
    /// Calls under way.
    pub in_flight: u32,
    /// Calls it may have under way at once.
    pub concurrency: u32,
    /// Calls a second that its known limits permit.
    pub permitted_per_second: Option<f64>,
    /// Its counters since the start.
    pub counts: KeyCounts,
}

/// What a key has done since the wheel started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCounts {
    /// Calls made.
    pub calls: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that the provider refused as too fast or beyond a quota.
    pub throttled: u64,
    /// Calls that failed otherwise, cancelled ones excepted.
    pub failed: u64,
    /// Calls ended by ourselves or by the caller leaving.
    pub cancelled: u64,
    /// Tokens used.
    pub tokens: u64,
}

/// One of the four statuses, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KeyStatus {
    /// Which of the four.
    pub state: KeyState,
    /// Always there unless it is active.
    pub why: Option<Why>,
}

/// The four public statuses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Takes jobs.
    #[default]
    Active,
    /// Rests until a limit of its provider frees.
    RateLimited,
    /// Out of order for now; probed later.
    Failed,
    /// Not used until somebody enables it.
    Disabled,
}

impl KeyState {
    /// How bad it is, from 0; of several the worst is shown.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::RateLimited => 1,
            Self::Failed => 2,
            Self::Disabled => 3,
        }
    }

    /// The word used in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// Why a key isn't active.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// The cause.
    pub cause: Cause,
    /// How far it reaches.
    pub scope: Scope,
    /// Until when. `None`: until somebody acts.
    #[serde(skip)]
    pub until: Option<Moment>,
    /// The provider's message, scrubbed.
    pub message: Box<str>,
}

/// What put a key to rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A call that failed for this reason.
    Fault(Reason),
    /// Somebody's command.
    Operator,
    /// The configuration says `enabled = false`, or doesn't name it any more.
    Configuration,
}

impl Cause {
    /// The word used in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault(reason) => reason.as_str(),
            Self::Operator => "operator",
            Self::Configuration => "configuration",
        }
    }
}

/// A provider as others see it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProviderView {
    /// Jobs waiting in its queue.
    pub queued: usize,
    /// Calls under way on all its keys.
    pub in_flight: usize,
    /// Until when it rests as a whole, if it does.
    #[serde(skip)]
    pub resting_until: Option<Moment>,
    /// Jobs that moved on to the next provider.
    pub fell_over: u64,
}
