//! From lines to rows: what is read, in which form, and what of it is new.

pub(in crate::batch) mod hash;
pub(in crate::batch) mod read;
pub(in crate::batch) mod row;
pub(in crate::batch) mod seen;
mod sorted;

pub use read::Input;
pub use row::RunId;
