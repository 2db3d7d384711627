//! The `providers.json` of the TypeScript prototype, read liberally and without loss.
//!
//! Pure: JSON text in; a TOML text, notes and the secrets to write out. Names
//! are known in any spelling, numbers and switches also in quotes. What has no
//! counterpart stands in a comment, and no comment and no note holds a secret.

mod bag;
mod convert;
mod desk;
mod endpoint;
mod json;
mod key;
mod kind;
mod limits;
mod name;
mod note;
mod order;
mod provider;
mod reference;
mod rotation;
mod section;
mod top;
mod write;

pub use convert::{Conversion, NoConversion, convert, is_legacy};
pub use note::{Note, SecretFile, SecretsAs, Weight};
