//! What has been done over the last minutes, for people who look at it now.
//!
//! The board tells sums and nothing of when. `recorder` looks at it every ten seconds and keeps the differences in
//! `bins`, never more than a quarter of an hour of them; `latency` does the same for latencies, and only while
//! somebody asks. `recent` keeps the last failures.

mod bins;
mod latency;
mod recent;
mod recorder;
mod report;

pub(super) use recorder::Recorder;
pub use report::{FailuresReport, HistoryReport, KeyHistory, ProviderHistory};
