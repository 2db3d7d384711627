//! `keywheel batch`: JSONL in, JSONL out, as fast as the keys' quotas allow.
//!
//! Rows flow through bounded channels: a reader thread parses them, one loop
//! hands them to the wheel, a writer thread writes their answers. The loop
//! knows the wheel only as a function, so that tests can script it.

mod accounts;
mod deaths;
mod display;
mod drive;
mod face;
mod ideal;
mod ledger;
mod output;
mod progress;
mod read;
mod report;
mod row;
mod run;
mod seen;
mod stop;
mod summary;
mod tally;
mod write;

pub use accounts::Accounts;
pub use ideal::{KeyCapacity, ideal};
pub use progress::{Progress, RowCounts};
pub use read::Input;
pub use report::report;
pub use row::RunId;
pub use run::{Options, run};
pub use stop::{Stage, Stop};
pub use summary::{Ending, KeySummary, Summary, TokenSummary};
