//! The listening side: workers, limits of connections, and the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService};
use actix_server::{ServerBuilder, ServerHandle};
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Data};
use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::connection::{Connection, Patience};
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
        let ServerConfig { workers, connections_max, header_timeout, send_timeout, .. } = *config;
        let listener = TcpListener::bind(listen).with_context(|| format!("can't listen on {listen}"))?;
        let address = listener.local_addr().context("can't tell where it listens")?;
        let clock = gate.wheel.clock();
        let patience = Patience { head: header_timeout, idle: KEEP_ALIVE, send: send_timeout };
        let gate = Data::from(gate);
        let serve = move || {
            let app = App::new().app_data(gate.clone()).default_service(web::to(handle));
            let http = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(header_timeout)
                .client_disconnect_timeout(GOODBYE)
                // A client that closes its side has left: nobody else stops its call.
                .h1_allow_half_closed(false)
                .on_connect_ext(|connection: &Connection, data: &mut Extensions| connection.introduce(data))
                .h1(map_config(app, |()| AppConfig::default()));
            fn_service(move |socket: TcpStream| async move {
                let peer = socket.peer_addr().ok();
                Ok::<_, DispatchError>((Connection::new(socket, clock, patience), peer))
            })
            .and_then(http)
        };
        let server = ServerBuilder::new()
            .workers(workers)
            .max_concurrent_connections(connections_max.div_ceil(workers))
            .disable_signals()
            .listen("gateway", listener, serve)
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
