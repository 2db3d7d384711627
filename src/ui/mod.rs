//! What people see in a terminal.
//!
//! Everything here is a pure function of what it is given, except
//! [`screen`]: the only place that prints while something runs.

pub mod bar;
pub mod feed;
pub mod fit;
pub mod happening;
pub mod keys;
pub mod meter;
pub mod number;
pub mod screen;
pub mod stats_table;
pub mod status;
pub mod strip;
pub mod style;
