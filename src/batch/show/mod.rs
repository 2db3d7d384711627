//! A run as people and programs see it while it goes on.

pub(in crate::batch) mod display;
pub(in crate::batch) mod eta;
pub(in crate::batch) mod face;
pub(in crate::batch) mod progress;
pub(in crate::batch) mod told;

pub use progress::{Progress, RowCounts};
