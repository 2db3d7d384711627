//! The side that asks: a running keywheel if there is one, else the durable state.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use hyper::Method;
use keywheel_actors::clock::Clock;
use keywheel_actors::id::KeyId;
use keywheel_actors::stats::StatsReport;
use keywheel_actors::store::{Changes, Memory, Store as _, Wall};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::follow::Happenings;
use super::home::Found;
use super::report::{Source, StatusReport};
use super::server::{OrderDone, OrderFor};
use super::{client, durable, home, status};
use crate::config::{self, Home, Outline};

/// Whoever looks after the keys of one configuration.
#[derive(Clone, Debug)]
pub struct Operator {
    home: Home,
}

/// What shall become of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Use it no more.
    Disable,
    /// Use it again, whatever it was.
    Enable,
    /// Let it rest for so long.
    Rest {
        /// How long.
        duration: Duration,
    },
    /// Forget its failures and rests.
    Reset,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Answered {
    /// The running keywheel.
    Running {
        /// Its process.
        pid: u32,
    },
    /// Nothing runs: the durable state was read or written.
    Durable,
}

/// An order that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obeyed {
    /// By whom.
    pub answered: Answered,
    /// Why it won't survive a restart, if it won't: a full or read-only disk.
    pub not_durable: Option<String>,
}

/// A running keywheel has read its configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Its process.
    pub pid: u32,
    /// What changed, a line each, as `added key openai/team-c`.
    pub changes: Vec<String>,
}

impl Operator {
    /// Of the configuration with this home.
    pub fn of(home: &Home) -> Self {
        Self { home: home.clone() }
    }

    /// Gives an order to the running keywheel, or else writes it to the durable state.
    ///
    /// # Errors
    /// If neither can be done, with the reason.
    pub fn order(&self, key: &KeyId, order: Order) -> anyhow::Result<Obeyed> {
        let body =
            serde_json::to_vec(&OrderFor { key: key.clone(), order }).context("can't encode the order")?;
        let ask = || self.ask::<OrderDone>(Method::POST, "/v1/order", body.clone()).transpose();
        let found = match ask() {
            Some(answer) => Found::Running(answer),
            None => home::open_or_ask(&self.home, ask)
                .with_context(|| format!("can't keep the order for `{key}`"))?,
        };
        let store = match found {
            Found::Running(answer) => {
                let OrderDone { pid, not_durable } = answer?;
                return Ok(Obeyed { answered: Answered::Running { pid }, not_durable });
            }
            Found::Store(store) => store,
        };
        let known =
            store.load().context("can't read the durable state")?.keys.remove(key).unwrap_or_default();
        let today = Wall::from(Clock::start().today());
        let keys = BTreeMap::from([(key.clone(), Some(durable::ordered(known, order, today)))]);
        store.save(&Changes { keys, ..Changes::default() }).context("can't write the durable state")?;
        Ok(Obeyed { answered: Answered::Durable, not_durable: None })
    }

    /// Has the running keywheel read its configuration again. `None` if nothing runs.
    ///
    /// # Errors
    /// If the running keywheel refuses it, with its reason.
    pub fn reload(&self) -> anyhow::Result<Option<Reloaded>> {
        let ask = || self.ask::<Reloaded>(Method::POST, "/v1/reload", Vec::new()).transpose();
        if let Some(answer) = ask() {
            return answer.map(Some);
        }
        // One that begins has the state before it reads the configuration, and listens after: without a state
        // nobody has read anything.
        if !self.home.state_dir.join(home::STATE_FILE).exists() {
            return Ok(None);
        }
        match home::open_or_ask(&self.home, ask)? {
            Found::Running(answer) => answer.map(Some),
            Found::Store(_) => Ok(None),
        }
    }

    /// How providers and keys are, as the running keywheel says, or `None` if nothing runs.
    ///
    /// # Errors
    /// If the running keywheel can't be understood.
    pub fn live_status(&self) -> anyhow::Result<Option<StatusReport>> {
        self.ask(Method::GET, "/v1/status", Vec::new())
    }

    /// What happens in the running keywheel from now on. `None` if nothing runs. Call it on a runtime.
    ///
    /// # Errors
    /// If the running keywheel can't be understood.
    pub async fn happenings(&self) -> anyhow::Result<Option<Happenings>> {
        Happenings::of(&self.home.socket).await
    }

    /// How providers and keys are: live, or as the last keywheel left them.
    ///
    /// # Errors
    /// If neither can be read.
    pub fn status(&self, outline: &Outline) -> anyhow::Result<StatusReport> {
        let found = self.memory_unless(|| self.live_status().transpose())?;
        // Without the key of fingerprints there is all the same something to say.
        let fingerprints = config::fingerprint_key(&self.home).ok();
        let today = Wall::from(Clock::start().today());
        Ok(match found {
            Found::Running(status) => status::with_disabled(status?, outline, fingerprints.as_ref()),
            Found::Store(memory) => status::remembered(outline, &memory, fingerprints.as_ref(), today),
        })
    }

    /// What has been counted, by the running keywheel or else up to the end of the last one.
    ///
    /// # Errors
    /// If neither can be read.
    pub fn stats(&self) -> anyhow::Result<(Answered, StatsReport)> {
        match self.memory_unless(|| self.live_stats().transpose())? {
            Found::Running(answer) => answer,
            Found::Store(memory) => {
                Ok((Answered::Durable, StatsReport { keys: memory.stats, ..StatsReport::default() }))
            }
        }
    }

    fn live_stats(&self) -> anyhow::Result<Option<(Answered, StatsReport)>> {
        if let Some(status) = self.live_status()?
            && let Source::Live { pid, .. } = status.source
            && let Some(stats) = self.ask(Method::GET, "/v1/stats", Vec::new())?
        {
            return Ok(Some((Answered::Running { pid }, stats)));
        }
        Ok(None)
    }

    /// What the last keywheel left, unless a running one answers.
    fn memory_unless<T>(&self, answer: impl Fn() -> Option<T>) -> anyhow::Result<Found<T, Memory>> {
        if let Some(answer) = answer() {
            return Ok(Found::Running(answer));
        }
        // Whoever only looks makes nothing.
        if !self.home.state_dir.join(home::STATE_FILE).exists() {
            return Ok(Found::Store(Memory::default()));
        }
        Ok(match home::open_or_ask(&self.home, answer)? {
            Found::Running(answer) => Found::Running(answer),
            Found::Store(store) => Found::Store(store.load().context("can't read the durable state")?),
        })
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Option<T>> {
        client::ask(&self.home.socket, method, path, body)
    }
}
