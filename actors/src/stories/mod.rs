//! Stories about the actors together, on a paused clock: no sockets, exact moments, no luck.

mod chaos;
mod counting;
mod crash;
mod departure;
mod fallback;
mod flow;
mod here;
mod incident;
mod memory;
mod prototype;
mod reload;
mod rotation;
mod scenario;
mod secrecy;
mod sticky;
mod streaming;
mod telling;
mod tokens;
