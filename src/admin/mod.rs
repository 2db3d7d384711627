//! A word with a running keywheel: what it is doing, and what it shall do with a key.
//!
//! The admin interface is HTTP with JSON over a unix socket that only its owner
//! may open. [`Operator`] is the side that asks: it finds the running keywheel,
//! or says that there is none and turns to the durable state.

mod client;
mod durable;
mod home;
mod operator;
mod report;
mod server;
mod status;

pub use home::{Opened, STATE_FILE, prepare};
pub use operator::{Answered, Obeyed, Operator, Order, Reloaded};
pub use report::{KeyReport, ProviderReport, ProviderState, Source, StatusReport};
pub use server::{ReloadRequest, Server, Subject};
