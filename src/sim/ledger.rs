//! What the provider accepted and refused, per key and per request id, so that tests can compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::spec::Conduct;

/// What became of one call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered properly.
    Served,
    /// The models were listed: answered properly, costs nothing.
    Listed,
    /// 429: a limit is used up.
    Throttled,
    /// 429: larger than a limit can ever hold.
    TooLarge,
    /// 429: out of money.
    MoneyGone,
    /// 401: an invalid key, an unknown one, or none.
    BadKey,
    /// 403: a disabled key.
    Disabled,
    /// 400, 404, 405, 413: the caller's mistake.
    BadRequest,
    /// 404: no such model.
    UnknownModel,
    /// 503: the provider was down.
    Down,
    /// The connection was closed without an answer: the provider was down.
    Refused,
    /// An injected 500.
    Error,
    /// An injected 503.
    Overloaded,
    /// The answer was cut in the middle.
    Cut,
    /// The answer stalled, then went on.
    Stalled,
    /// An error inside an answer of status 200.
    InBand,
    /// The text of the answer ended in the middle.
    CutShort,
}

/// What an outcome says about the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutcomeClass {
    /// A proper answer.
    Served,
    /// Refused before any work.
    Rejected,
    /// Taken on, and spoilt by an injected fault.
    Failed,
}

impl Outcome {
    /// All outcomes, in order.
    pub const ALL: [Self; 17] = [
        Self::Served,
        Self::Listed,
        Self::Throttled,
        Self::TooLarge,
        Self::MoneyGone,
        Self::BadKey,
        Self::Disabled,
        Self::BadRequest,
        Self::UnknownModel,
        Self::Down,
        Self::Refused,
        Self::Error,
        Self::Overloaded,
        Self::Cut,
        Self::Stalled,
        Self::InBand,
        Self::CutShort,
    ];

    /// What it says about the call.
    pub const fn class(self) -> OutcomeClass {
        match self {
            Self::Served | Self::Listed => OutcomeClass::Served,
            Self::Throttled
            | Self::TooLarge
            | Self::MoneyGone
            | Self::BadKey
            | Self::Disabled
            | Self::BadRequest
            | Self::UnknownModel
            | Self::Down
            | Self::Refused => OutcomeClass::Rejected,
            Self::Error | Self::Overloaded | Self::Cut | Self::Stalled | Self::InBand | Self::CutShort => {
                OutcomeClass::Failed
            }
        }
    }
}

/// A copy of the books.
///
/// A call is entered when it is decided, at its arrival: what was accepted
/// counts, whether or not the answer ever reached its caller.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// When the copy was made, in ms since the start.
    pub at_ms: u64,
    /// Calls of any kind.
    pub calls: u64,
    /// Connections that were closed at once because the provider was down.
    pub connections_refused: u64,
    /// Calls with a credential that is no key's, or with none, by outcome.
    pub strangers: BTreeMap<Outcome, u64>,
    /// The keys, as listed in the spec.
    pub keys: Vec<KeyLedger>,
    /// Calls whose request id was not kept, because so many were kept already.
    pub requests_forgotten: u64,
    /// What happened to each request id, in order. Only if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, Vec<RequestEntry>>>,
}

impl Ledger {
    /// Calls with this outcome, over all keys and strangers.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let of_keys: u64 = self.keys.iter().map(|key| key.count(outcome)).sum();
        of_keys + self.strangers.get(&outcome).copied().unwrap_or(0)
    }

    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&KeyLedger> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// What happened to the calls with this request id. Empty if nothing did, or if it wasn't asked for.
    pub fn request(&self, id: &str) -> &[RequestEntry] {
        self.requests.as_ref().and_then(|requests| requests.get(id)).map_or(&[], Vec::as_slice)
    }
}

/// The books of one key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyLedger {
    /// Its name.
    pub name: String,
    /// Whose limits it shares.
    pub quota_group: Option<String>,
    /// How it behaves now.
    pub conduct: Conduct,
    /// Calls that were taken from its limits.
    pub accepted: u64,
    /// Tokens that were taken from its limits, as reckoned beforehand.
    pub tokens: u64,
    /// All calls by outcome. Outcomes that never were are left out.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Its first call, in ms since the start.
    pub first_ms: Option<u64>,
    /// Its last call, in ms since the start.
    pub last_ms: Option<u64>,
    /// Its limits; in a quota group, the group's.
    pub limits: Vec<LimitLedger>,
}

impl KeyLedger {
    /// Calls with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Calls of this class.
    pub fn class(&self, class: OutcomeClass) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| outcome.class() == class).map(|(_, count)| count).sum()
    }
}

/// The books of one limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitLedger {
    /// Its name: `requests per min (RPM)`.
    pub name: String,
    /// How many it allows in its time, after all changes.
    pub count: u64,
    /// Its time, in ms.
    pub per_ms: u64,
    /// The most that was accepted in any window of that length, wherever it begins.
    pub peak: u64,
    /// `false` if so much was accepted in one window that `peak` is a lower bound.
    pub peak_is_exact: bool,
}

/// One call of a request id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestEntry {
    /// The key's name. `None` for a stranger.
    pub key: Option<String>,
    /// What became of the call.
    pub outcome: Outcome,
    /// When it was decided, in ms since the start.
    pub at_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_listed_in_their_order() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }

    #[test]
    fn survives_its_own_json() {
        let entry = RequestEntry { key: Some("k0".to_owned()), outcome: Outcome::InBand, at_ms: 7 };
        let ledger = Ledger {
            at_ms: 9,
            calls: 1,
            connections_refused: 0,
            strangers: BTreeMap::from([(Outcome::BadKey, 2)]),
            keys: Vec::new(),
            requests_forgotten: 0,
            requests: Some(BTreeMap::from([("r1".to_owned(), vec![entry.clone()])])),
        };
        let json = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&json).unwrap(), ledger);
        assert_eq!(ledger.request("r1"), [entry]);
        assert_eq!((ledger.request("r2"), ledger.count(Outcome::BadKey)), (&[][..], 2));
    }
}
