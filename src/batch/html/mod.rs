//! The report of a run: one page that needs nothing but itself.
//!
//! No scripts, nothing from elsewhere; pictures are inline SVG, each drawn for
//! a wide and for a narrow page, with a table behind it. Everything here is a
//! pure function of what it is given, and every text goes through
//! `markup`, which leaves no way around escaping.

mod flow;
mod latency;
pub(in crate::batch) mod markup;
mod numbers;
mod page;
mod picture;
mod rate;
mod setting;
mod span;
mod tables;
mod verdict;
mod work;

pub use page::{Page, render};
pub use setting::Setting;
