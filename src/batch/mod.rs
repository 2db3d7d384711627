//! `keywheel batch`: rows in, lines out, as fast as the keys' quotas allow.
//!
//! Rows flow through bounded channels: a reader thread parses them
//! (`input`), one loop hands them to whoever answers (`run`, `answer`),
//! a writer thread writes what came of them (`output`). The loop knows the
//! wheel only as a function, so that tests can script it. Threads tell how far
//! they are (`show`), and the rows' own records what it came to (`books`).

mod answer;
mod books;
mod budget;
mod chronicle;
mod forecast;
pub mod html;
mod input;
mod output;
mod run;
mod show;

pub use answer::{Answers, Cache, CacheSummary, Expectation, SchemaError};
pub use books::{Accounts, Ending, KeyCapacity, KeySummary, Summary, TokenSummary, ideal, report};
pub use budget::{Budget, CostSummary, ModelCost, Reckoner, RunLimits};
pub use chronicle::{Chronicle, Recorder};
pub use forecast::{
    Bottleneck, Forecast, ForecastCost, ForecastModel, ForecastRows, ForecastTime, forecast, forecast_text,
};
pub use input::{
    Duplicate, Form, Input, OnDuplicate, Packing, Reading, RunId, Separator, Source, TableReading, Template,
    duplicates, table_by_name,
};
pub use output::{
    DoneBefore, ERROR_FILE, Existing, Format, Order, Output, OutputSpec, Resumed, Retry, errors_beside,
};
pub use run::{Options, Stage, Stop, run};
pub use show::{Progress, RowCounts};
