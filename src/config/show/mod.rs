//! What a configuration comes to: every field with its effective value and where that is from.
//!
//! The layered tree is walked beside the table of fields, so that no field can
//! be forgotten. Secrets appear masked, or as the reference that is written.

mod keys;
mod shown;
mod value;
mod walk;

pub use shown::{Content, Effective, NoSuchField, Resolved, Shown, ValueOrigin};
pub use walk::show;
