//! The client without tasks over real sockets: what becomes of connections, what broken answers become, whose
//! certificate is taken, and that it gives what reqwest gives.

mod broken;
mod connections;
mod desk;
mod likeness;
mod tls;
mod uploads;
