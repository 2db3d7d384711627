//! The gateway: HTTP in front of a wheel, for programs that speak to a provider.
//!
//! A request is read as far as it must be (its model, and whether a stream is wanted) and goes on as bytes; the
//! answer comes back as bytes. What a client gets instead of an answer is in the words of its own API.

mod answer;
mod arrival;
mod ask;
mod body;
mod connection;
mod gate;
mod handle;
mod headers;
mod laps;
mod models;
mod peek;
mod refusal;
mod room;
mod server;
mod surface;
mod underway;
mod wanted;

pub use gate::Gate;
pub use server::Server;
