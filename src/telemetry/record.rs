//! One request of a client, when it has ended. No bodies, no headers, no secrets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyName, Model, ProviderId};
use keywheel_actors::outcome::{Attempt, Usage};
use keywheel_actors::store::Wall;
use serde::Serialize;

use super::TraceContext;
use crate::money::Money;

/// A request that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When it came.
    pub at: Wall,
    /// The same by the wheel's clock.
    pub began: Moment,
    /// Its name.
    pub request_id: String,
    /// Where it belongs in a trace.
    pub trace: TraceContext,
    /// Who sent it.
    pub client: Option<Arc<str>>,
    /// From where; behind a reverse proxy that is the proxy.
    pub peer: Option<IpAddr>,
    /// How it was asked.
    pub method: &'static str,
    /// For what, without a query and without what looks like a key.
    pub path: String,
    /// What was called, one of a few words.
    pub surface: &'static str,
    /// The model that was asked for.
    pub model: Option<Model>,
    /// Who served it.
    pub served: Option<Place>,
    /// The status that its client got.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// The word for what was wrong.
    pub code: Option<String>,
    /// Its calls.
    pub attempts: Vec<Attempt>,
    /// Whether it wasn't served by the first provider of its route.
    pub fell_back: bool,
    /// Whether its answer came in pieces.
    pub streamed: bool,
    /// From its coming to the head of its answer; `None` if it became no job, or its client left before.
    pub first_byte: Option<Duration>,
    /// From its coming to its end.
    pub took: Duration,
    /// Waiting for a key, of that.
    pub waited: Duration,
    /// Our own part, from the end of its body to the head of the answer.
    pub overhead: Duration,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of its answer's body.
    pub bytes_out: u64,
    /// Tokens used, if they were told.
    pub usage: Option<Usage>,
    /// What they cost, if the price is known.
    pub cost: Option<Money>,
}

/// Who serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The provider.
    pub provider: ProviderId,
    /// Its key.
    pub key: KeyName,
    /// The model, by its own name.
    pub model: Model,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With its whole answer.
    Served,
    /// It was refused: by this gateway, or by a provider for what it says.
    Refused,
    /// Nobody could serve it.
    Failed,
    /// Its answer broke off.
    Cut,
    /// Its client left.
    ClientGone,
}

impl Ending {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
        }
    }
}
