//! What a run will take, told before it is made: rows, tokens, cost and time.
//!
//! Nothing is sent and nothing written. The input is walked through once, a row
//! at a time; what is kept of it is a count for each model.

mod survey;
mod text;
mod time;

pub use survey::{Forecast, ForecastCost, ForecastModel, ForecastRows, forecast};
pub use text::forecast_text;
pub use time::{Bottleneck, ForecastTime};
