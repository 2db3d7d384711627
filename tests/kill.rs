//! Killed at any moment, again and again: it always opens, nothing that was acknowledged is lost, and what was used
//! of a day's limit is never undercounted.
//!
//! Four loops: the store alone, counting, changes of keys, and the rows of a batch. Moments are drawn from seeds, so that a failure can
//! be looked for where it was.
#![cfg(unix)]

mod support;

#[path = "kill/belief.rs"]
mod belief;
#[path = "kill/changes.rs"]
mod changes;
#[path = "kill/counting.rs"]
mod counting;
#[path = "kill/house.rs"]
mod house;
#[path = "kill/rows.rs"]
mod rows;
#[path = "kill/store.rs"]
mod store;
