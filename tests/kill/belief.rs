//! What must be true of a key after what was acknowledged, and what may be true after what wasn't.

use std::collections::BTreeSet;

use keywheel_actors::board::{Cause, KeyState};
use keywheel_actors::id::KeyId;
use keywheel_actors::store::Memory;
use serde_json::Value;

/// A change of one key, by its name.
#[derive(Debug)]
pub(crate) enum Change {
    Add(String),
    Remove(String),
    Disable(String),
    Enable(String),
    Rest(String),
    Reset(String),
}

impl Change {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Add(key)
            | Self::Remove(key)
            | Self::Disable(key)
            | Self::Enable(key)
            | Self::Rest(key)
            | Self::Reset(key) => key,
        }
    }

    pub(crate) fn words(&self) -> String {
        let words = match self {
            Self::Add(key) => format!("add --provider sim --name {key} --key sk-{}", &key[1..]),
            Self::Remove(key) => format!("remove --key {key} --yes"),
            Self::Disable(key) => format!("disable --key {key}"),
            Self::Enable(key) => format!("enable --key {key}"),
            Self::Rest(key) => format!("rest --key {key} --for 1h"),
            Self::Reset(key) => format!("reset --key {key}"),
        };
        format!("provider keys {words} --json")
    }

    /// Whether no call with the key begins once it is acknowledged.
    pub(crate) fn silences(&self) -> bool {
        matches!(self, Self::Remove(_) | Self::Disable(_) | Self::Rest(_))
    }

    /// Whether the key may be called from the moment when it is asked for.
    pub(crate) fn may_end_silence(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Enable(_) | Self::Reset(_))
    }
}

/// The operator's word on a key, as it is remembered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Word {
    None,
    Rest,
    Off,
}

impl Word {
    pub(crate) fn remembered(memory: &Memory, key: &str) -> Self {
        let id = KeyId { provider: "sim".into(), key: key.into() };
        let rests = memory.keys.get(&id).into_iter().flat_map(|key| &key.rests);
        let word = rests.filter(|rest| rest.cause == Cause::Operator).map(|rest| match rest.state {
            KeyState::Disabled => Self::Off,
            KeyState::RateLimited => Self::Rest,
            KeyState::Active | KeyState::Failed => panic!("no word of an operator: {rest:?}"),
        });
        word.max().unwrap_or(Self::None)
    }
}

/// A key that is in the configuration, as it really is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Truth {
    /// By the configuration.
    pub(crate) enabled: bool,
    /// By the durable state.
    pub(crate) word: Word,
}

impl Truth {
    pub(crate) fn is_active(self) -> bool {
        self.status() == "active"
    }

    /// What `status` calls it.
    pub(crate) fn status(self) -> &'static str {
        match (self.enabled, self.word) {
            (false, _) | (true, Word::Off) => "disabled",
            (true, Word::Rest) => "rate_limited",
            (true, Word::None) => "active",
        }
    }
}

/// What may be true of a key.
#[derive(Debug)]
pub(crate) struct Belief {
    there: BTreeSet<bool>,
    enabled: BTreeSet<bool>,
    word: BTreeSet<Word>,
}

impl Belief {
    /// In the configuration from the start.
    pub(crate) fn configured() -> Self {
        Self { there: [true].into(), enabled: [true].into(), word: [Word::None].into() }
    }

    /// Nobody has named it yet.
    pub(crate) fn unheard_of() -> Self {
        Self { there: [false].into(), ..Self::configured() }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.there == [true].into()
    }

    /// What follows from a change. `told` is what was printed, if it was acknowledged; else it may have been done.
    pub(crate) fn hear(&mut self, change: &Change, told: Option<&Value>) {
        let (there, enabled, word) = match change {
            Change::Add(_) => (Some(true), None, None),
            Change::Remove(_) => (Some(false), None, None),
            Change::Disable(_) => (None, Some(false), Some(Word::Off)),
            Change::Enable(_) => (None, Some(true), Some(Word::None)),
            Change::Rest(_) => (None, None, Some(Word::Rest)),
            Change::Reset(_) => (None, None, Some(Word::None)),
        };
        // A key that is off and is told to rest stays off where it runs, and rests where it doesn't.
        let was_off = word == Some(Word::Rest) && self.word.contains(&Word::Off);
        turn_into(&mut self.there, there, told.is_some());
        turn_into(&mut self.enabled, enabled, told.is_some());
        // Off by the configuration alone is off: its owner is told that nothing else knows.
        let word_is_kept = match change {
            Change::Disable(_) => told.is_some_and(|told| is_durable(&told["what"]["told"])),
            Change::Enable(_) => told.is_some(),
            _ => told.is_some_and(|told| is_durable(&told[0]["done"])),
        };
        turn_into(&mut self.word, word, word_is_kept);
        if was_off {
            self.word.insert(Word::Off);
        }
    }

    /// Whether this may be how it is; `None` is a key that isn't there.
    pub(crate) fn allows(&self, truth: Option<Truth>) -> bool {
        self.there.contains(&truth.is_some())
            && truth
                .is_none_or(|truth| self.enabled.contains(&truth.enabled) && self.word.contains(&truth.word))
    }

    /// From now on it is known how it is.
    pub(crate) fn settle(&mut self, truth: Option<Truth>) {
        self.there = [truth.is_some()].into();
        if let Some(Truth { enabled, word }) = truth {
            (self.enabled, self.word) = ([enabled].into(), [word].into());
        }
    }
}

/// Somebody has it, and it survives a restart.
fn is_durable(obeyed: &Value) -> bool {
    obeyed["answered"].is_object() && obeyed["not_durable"].is_null()
}

fn turn_into<T: Ord>(possible: &mut BTreeSet<T>, outcome: Option<T>, is_certain: bool) {
    if let Some(outcome) = outcome {
        if is_certain {
            possible.clear();
        }
        possible.insert(outcome);
    }
}
