//! The actors: state and timers. Decisions are asked of [`crate::policy`], calls go out as tasks.

pub(crate) mod kernel;

pub(crate) mod message;

pub(crate) mod root;

pub(crate) mod provider;

pub(crate) mod key;

pub(crate) mod stats;

pub(crate) mod state;

pub(crate) mod job;

mod body;
mod call;
mod limits;
pub(crate) mod slip;
pub(crate) mod waiting;

pub(crate) mod stream;

pub(crate) mod hub;

pub(crate) mod routing;

mod joined;
mod memory;
