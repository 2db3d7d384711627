//! The log of failed calls: one JSON line each, in files by the day, and its reader.
//!
//! Files are `failures-2026-01-02.jsonl`, then `failures-2026-01-02.1.jsonl` when that one is large enough;
//! days are UTC's. Lines never hold a body or a secret. Writing happens on a thread of its own: a disk that
//! is slow, full or read-only costs lines of the log and nothing else.

mod file;
mod follow;
mod logger;
mod read;
mod record;
mod select;
mod show;
mod summary;
mod write;

pub use file::FileName;
pub use follow::Follower;
pub use logger::{FailureLogger, start};
pub use read::{EachLine, Line, read_all};
pub use record::{Entry, Failed, Record, Until};
pub use select::Selection;
pub use show::show;
pub use summary::Summary;
