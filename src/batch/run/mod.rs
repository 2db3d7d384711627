//! The run itself: rows under way, and the word to end early.

pub(in crate::batch) mod drive;
#[cfg(test)]
mod drive_tests;
#[cfg(test)]
mod limits_tests;
pub(in crate::batch) mod stop;
pub(in crate::batch) mod whole;

pub use stop::{Stage, Stop};
pub use whole::{Options, run};
