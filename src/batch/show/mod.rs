//! A run as people see it while it goes on.

pub(in crate::batch) mod display;
pub(in crate::batch) mod face;
pub(in crate::batch) mod progress;

pub use progress::{Progress, RowCounts};
