//! One file, `keywheel.toml`, with the environment and flags over it.
//!
//! A configuration passes three forms: as written (a file, variables, flags),
//! layered (one tree in which every value knows where it came from), resolved
//! (a [`keywheel_actors::spec::WheelSpec`] with nothing left to guess). Every
//! mistake is found in one go, with its place and a hint; no message ever
//! quotes a secret. The fields are described in `docs/configuration.md`.

mod address;
mod endpoint;
mod file;
mod home;
mod key;
mod layer;
mod ledger;
mod limits;
mod load;
mod model;
mod place;
mod preset;
mod problem;
mod provider;
mod rotation;
mod route;
mod secret;
mod source;
mod suggest;
mod tree;

pub use address::VARIABLE_PREFIX;
pub use home::{FailureLog, Home};
pub use load::{Config, load};
pub use preset::{DIALECTS, PRESETS, Preset};
pub use problem::{ConfigError, Place, Problem};
pub use source::Source;
