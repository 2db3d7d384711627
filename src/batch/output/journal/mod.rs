//! The journal beside OUT: which row has which line, how long the files are, and what of them is certain.
//!
//! Lines are written before the records that tell of them, and a commit record stands behind those. What no
//! commit tells of is cut off at the next start, so a torn line is never taken for an answer. Records are in
//! the order of the lines: the n-th record is the n-th line's, and lengths are enough to find it.

pub(super) mod compact;
pub(super) mod header;
pub(super) mod log;
pub(super) mod read;
pub(super) mod record;
pub(super) mod recover;
pub(super) mod rewrite;
pub(super) mod superseded;
