//! How many calls a key, or a quota group, may start now.
//!
//! Every limit that the provider told us is kept as a window: a sliding log
//! where any window counts, a token bucket where the provider has a burst. A
//! call is taken from all windows or from none; what wasn't sent is given back,
//! and a wrong estimate of tokens is corrected. What long windows were used is
//! remembered by the next process: never less than it was, whenever this one ends.

mod bucket;
mod history;
mod log;
mod memory;
mod relimit;
mod reserve;
mod windows;

#[cfg(test)]
mod properties;

pub use memory::{Extent, Past};
pub use windows::{GUARD_MAX, NotUntil, Quota, Taken, default_guard};
