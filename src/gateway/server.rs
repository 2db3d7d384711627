//! The listening side: workers, limits of connections, and the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::gate::Gate;
use super::handle::handle;
use crate::config::ServerConfig;

/// How long a connection may wait for its next request: longer than the clients' own pools keep theirs, so that
/// it is they who close, and no request meets a connection that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// A client has so long to take note that its connection ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// A gateway that answers until it is stopped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Starts to listen there, in the way that `config` says. Call it inside a System of actix.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn start(listen: SocketAddr, config: &ServerConfig, gate: Arc<Gate>) -> anyhow::Result<Self> {
        let ServerConfig { workers, connections_max, header_timeout, .. } = *config;
        let listener = TcpListener::bind(listen).with_context(|| format!("can't listen on {listen}"))?;
        let address = listener.local_addr().context("can't tell where it listens")?;
        let gate = Data::from(gate);
        let server =
            HttpServer::new(move || App::new().app_data(gate.clone()).default_service(web::to(handle)))
                .workers(workers)
                .max_connections(connections_max.div_ceil(workers))
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(header_timeout)
                .client_disconnect_timeout(GOODBYE)
                // A client that closes its side has left: nobody else stops its call.
                .h1_allow_half_closed(false)
                .on_connect(|connection, _| {
                    if let Some(stream) = connection.downcast_ref::<TcpStream>() {
                        // Without it the pieces of a stream wait for each other's acknowledgements.
                        let _ = stream.set_nodelay(true);
                    }
                })
                .disable_signals()
                .listen(listener)
                .with_context(|| format!("can't listen on {listen}"))?
                .run();
        let handle = server.handle();
        let serving = tokio::task::spawn_local(server);
        Ok(Self { address, handle, serving })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections.
    pub async fn close_the_door(&self) {
        self.handle.pause().await;
    }

    /// Ends what is left of it.
    pub async fn stop(self) {
        self.handle.stop(false).await;
        // Whether its workers ended well is of no use to anybody any more.
        let _ = self.serving.await;
    }
}
