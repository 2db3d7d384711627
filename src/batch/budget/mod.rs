//! What a run costs, and how far it may go: money, rows and time.
//!
//! All of it is decided from what it is told; who sends and who shows lives elsewhere.

pub(in crate::batch) mod costs;
pub(in crate::batch) mod gate;
pub(in crate::batch) mod limits;
pub(in crate::batch) mod reckon;
pub(in crate::batch) mod so_far;
mod tokens;

pub use costs::{CostSummary, ModelCost};
pub use limits::{Budget, RunLimits};
pub use reckon::Reckoner;
