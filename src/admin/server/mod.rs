//! The side that answers: HTTP with JSON, on a unix socket for its owner and, where somebody wants it, over TCP for
//! whoever has the token.
//!
//! `listen` takes connections, `connection` speaks HTTP on one, `gate` says who may ask what over TCP, `route` finds
//! who answers.

mod answer;
mod connection;
mod events;
mod gate;
mod listen;
mod orders;
mod page;
mod route;
mod service;
mod sessions;
mod turned;

pub(super) use answer::Refused;
pub use listen::{Listening, Server};
pub(super) use orders::{OrderDone, OrderFor};
pub use service::{Metrics, ReloadRequest, Subject};
