//! `keywheel batch`: rows in, lines out, as fast as the keys' quotas allow.
//!
//! Rows flow through bounded channels: a reader thread parses them
//! ([`input`]), one loop hands them to whoever answers ([`run`], [`answer`]),
//! a writer thread writes what came of them ([`output`]). The loop knows the
//! wheel only as a function, so that tests can script it. Threads tell how far
//! they are ([`show`]), and the rows' own records what it came to ([`books`]).

#[cfg_attr(not(test), expect(dead_code, reason = "the text is wanted by the formats that are written next"))]
mod answer;
mod books;
mod input;
mod output;
mod run;
mod show;

pub use books::{Accounts, Ending, KeyCapacity, KeySummary, Summary, TokenSummary, ideal, report};
pub use input::{Input, RunId};
pub use run::{Options, Stage, Stop, run};
pub use show::{Progress, RowCounts};
