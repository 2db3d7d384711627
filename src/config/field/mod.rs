//! Every field of a configuration, described once.
//!
//! The reader decides what is right and says what is wrong; this table says
//! what there is: for the JSON schema that editors use and for
//! `keywheel config show`. That both know the same fields is tested.

mod kind;
mod schema;
mod table;

pub(super) use kind::{Field, Kind, Usual};
pub use schema::schema;
pub(super) use table::{KEY, PRICE, PROVIDER, ROUTE, TOP};

#[cfg(test)]
mod tests;
