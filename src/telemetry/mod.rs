//! What the gateway tells of itself: metrics, a line for each request, and where a request belongs in a trace.

mod access_log;
mod labels;
mod log_file;
mod metrics;
mod otlp;
mod record;
mod semantics;
mod trace_context;

pub use access_log::AccessLogger;
pub use metrics::Metrics;
pub use otlp::Otlp;
pub use record::{Ended, Ending, Place};
pub use trace_context::TraceContext;
