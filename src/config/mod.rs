//! One file, `keywheel.toml`, with the environment and flags over it.
//!
//! A configuration passes three forms: as written (a file, variables, flags),
//! layered (one tree in which every value knows where it came from), resolved
//! (a [`keywheel_actors::spec::WheelSpec`] with nothing left to guess). Every
//! mistake is found in one go, with its place and a hint; no message ever
//! quotes a secret. The fields are described in `docs/configuration.md`.

mod address;
mod admin;
mod check;
mod document;
mod duration;
mod edit;
mod endpoint;
mod field;
mod file;
mod fingerprint;
mod home;
mod key;
mod layer;
mod ledger;
mod legacy;
mod limits;
mod lint;
mod load;
pub(crate) mod lookalike;
mod model;
mod outline;
mod place;
mod placeholder;
mod preset;
mod price;
mod problem;
mod provider;
mod rotation;
mod route;
mod secret;
mod server;
mod show;
mod source;
pub(crate) mod suggest;
mod tree;
mod variable;

pub use address::VARIABLE_PREFIX;
pub use admin::AdminConfig;
pub use check::{Findings, check};
pub use edit::{EditError, Editor, KeyFields, Mentions, NewProvider, NewSecret, Saved, WrittenSecret};
pub use field::schema;
pub use fingerprint::fingerprint_key;
pub use home::{FailureLog, Home};
pub use legacy::{Conversion, NoConversion, Note, SecretFile, SecretsAs, Weight, convert, is_legacy};
pub use load::{Config, load};
pub use outline::{
    KeyOutline, Origin, Outline, ProviderOutline, outline, outline_with_mistakes, outline_with_wheel,
};
pub use preset::{DIALECTS, KeyNeed, Method, PRESETS, Preset, Validity};
pub use problem::{ConfigError, Place, Problem};
pub use server::{AccessLog, ServerConfig};
pub use show::{Content, Effective, NoSuchField, Resolved, Shown, ValueOrigin, show};
pub use source::Source;
pub use variable::usual_variable;
