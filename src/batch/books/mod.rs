//! What a run came to: calls, keys, and the least time that it could have taken.

pub(in crate::batch) mod accounts;
pub(in crate::batch) mod deaths;
pub(in crate::batch) mod ideal;
pub(in crate::batch) mod ledger;
mod report;
pub(in crate::batch) mod summary;
pub(in crate::batch) mod tally;

pub use accounts::Accounts;
pub use ideal::{KeyCapacity, ideal};
pub use report::report;
pub use summary::{Ending, KeySummary, Summary, TokenSummary};
