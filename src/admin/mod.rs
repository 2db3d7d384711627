//! A word with a running keywheel: what it is doing, and what it shall do with a key.
//!
//! The admin interface is HTTP with JSON over a unix socket that only its owner
//! may open, and over TCP with a token; there it has a page for people.
//! [`Operator`] is the side that asks: it finds the running keywheel, or says
//! that there is none and turns to the durable state.

mod client;
mod durable;
mod event;
mod follow;
mod history;
mod home;
mod operator;
mod report;
mod server;
mod status;

pub use event::{Changes, EventReport, FailureReport, KeyChange, What};
pub use follow::Happenings;
pub use history::{FailuresReport, HistoryReport, KeyHistory, ProviderHistory};
pub use home::{Opened, STATE_FILE, prepare};
pub use operator::{Answered, Obeyed, Operator, Order, Reloaded};
pub use report::{KeyReport, ProviderReport, ProviderState, Source, StatusReport};
pub use server::{Listening, Metrics, ReloadRequest, Server, Subject};
