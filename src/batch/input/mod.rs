//! From lines to rows: what is read, in which form, and what of it is new.
//!
//! An [`Input`] is opened from bytes ([`source`]), which may be packed and are
//! counted as they lie on the disk. Its [`rows`] are lines or records of a
//! table, each parsed as its form wants it ([`parse`]). What is a duplicate, or
//! was done by an earlier run, is left out ([`sift`]) before the loop sees it.

mod address;
mod duplicates;
mod form;
pub(in crate::batch) mod hash;
mod lines;
mod members;
mod meter;
mod packing;
pub(in crate::batch) mod parse;
pub(in crate::batch) mod read;
mod reading;
mod records;
pub(in crate::batch) mod row;
pub(in crate::batch) mod rows;
pub(in crate::batch) mod seen;
pub(in crate::batch) mod sift;
mod sorted;
mod source;
mod table;
mod template;
mod written;

pub use duplicates::{Duplicate, duplicates};
pub use form::{Form, Separator, table_by_name};
pub use packing::Packing;
pub use reading::{OnDuplicate, Reading, TableReading};
pub use row::RunId;
pub use source::{Input, Source};
pub use template::Template;
