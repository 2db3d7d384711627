//! What follows from what happened: every decision as a plain value.
//!
//! Time and randomness are passed in, so a test can tell any story with exact
//! numbers. Nothing here knows a clock, a socket or an actor.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod concurrency;
pub mod credits;
pub mod incident;
pub mod key_state;
pub mod pace;
pub mod pick;
pub mod queue;
pub mod quota;
pub mod reckoning;
pub mod refusals;
pub mod restart;
pub mod route;
pub mod sizes;
