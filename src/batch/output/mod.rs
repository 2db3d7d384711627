//! From answers to lines: what is written, in which form, and what of it survives a kill.

mod error_file;
mod format;
mod journal;
pub(in crate::batch) mod line;
mod open;
mod order;
pub(in crate::batch) mod ordered;
mod pack;
mod paths;
mod peek;
mod sink;
pub(in crate::batch) mod write;

pub use format::Format;
pub(in crate::batch) use open::Opened;
pub use open::{ERROR_FILE, Existing, Output, OutputSpec, Resumed, Retry};
pub use order::Order;
pub use paths::errors_beside;
pub use peek::DoneBefore;
