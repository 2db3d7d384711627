//! Changing the configuration without an editor.
//!
//! Comments, order and formatting stay as their author left them. A change is checked with the rules of
//! [`load`](super::load()) before anything is written, and what is written replaces the file at once or not at
//! all; of two editors at the same time the second waits for the first.

mod client;
mod editor;
mod error;
mod fields;
mod key;
mod lock;
mod new_secret;
mod provider;
mod rows;
mod save;
mod secret_files;

#[cfg(test)]
mod tests;

pub use editor::Editor;
pub use error::EditError;
pub use key::{KeyFields, WrittenSecret};
pub use new_secret::NewSecret;
pub use provider::{Mentions, NewProvider};
pub use save::Saved;
