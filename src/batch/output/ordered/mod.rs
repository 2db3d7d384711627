//! Lines in the order of the input, whatever order they come in.
//!
//! Lines go to a spool as they come, so a slow row stops no other and nothing waits in memory. Which rows the
//! input has the reader tells in a file ([`feed`]); where a row's line is in the spool, another one knows
//! ([`index`]). OUT grows whenever the next row in order has its line ([`sink`]).

pub(in crate::batch) mod feed;
mod index;
pub(super) mod scratch;
pub(super) mod sink;
