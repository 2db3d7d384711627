//! Keywheel's actor system: many API keys of many providers as one dependable, fast upstream.
//!
//! [`Wheel::start`] takes a [`spec::WheelSpec`] and an [`upstream::Upstream`]; [`Wheel::send`] takes a
//! [`request::Request`] and brings its [`Answer`], through whichever key and provider can serve it.

mod wheel;

mod actor;

pub mod store;
pub mod upstream;

pub mod dialect;

pub mod policy;

pub mod board;
pub mod clock;
pub mod error;
pub mod event;
pub mod id;
pub mod outcome;
mod reload;
pub mod request;
pub mod secret;
pub mod span;
pub mod spec;
pub mod stats;
pub mod tokens;
pub mod unit;
pub mod upload;

#[cfg(test)]
mod stories;

pub use reload::{Differences, ReloadError, ReloadReport};
pub use wheel::{
    Answer, AnswerBody, AnswerStream, CommandError, DrainReport, Farewell, Keeping, Kept, KeyCommand,
    StartError, Wheel,
};
