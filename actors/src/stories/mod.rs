//! Stories about the actors together, on a paused clock: no sockets, exact moments, no luck.

mod chaos;
mod crash;
mod fallback;
mod flow;
mod memory;
mod prototype;
mod rotation;
mod scenario;
mod streaming;
