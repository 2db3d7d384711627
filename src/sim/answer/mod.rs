//! Proper answers, deterministic: the same prompt always gets the same text. One file for each kind.

mod chat;
mod completion;
mod embedding;
mod events;
mod file;
mod generation;
mod json;
mod message;
mod response;
mod scribe;

pub(crate) use events::Events;
pub(crate) use file::{download, file_object, speech};
pub(crate) use json::write_json_string;
pub(crate) use scribe::{Length, Scribe};
