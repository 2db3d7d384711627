//! Takes connections: on a unix socket that only its owner may open, and over TCP.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keywheel_actors::secret::Secret;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Pipe};
use super::gate::Gate;
use super::service::{Metrics, Service, Subject};

/// Nobody needs more words at once with a running keywheel. Whoever comes later waits in the system's queue. Each
/// listener has its own places, so that nobody on the network can keep commands from being heard.
const CONNECTIONS_MAX: usize = 256;

/// How long to leave a listener alone when the system has no file descriptors left.
const ACCEPT_FAILURE_REST: Duration = Duration::from_millis(100);

/// When the server ends, answers under way have so long to be written.
const ENDING_WITHIN: Duration = Duration::from_millis(500);

/// Where to listen over TCP, and who may ask there.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The address; port 0 for any free one.
    pub address: SocketAddr,
    /// What one has to know. `None`: whoever can reach it may ask, and so it must be a loopback address.
    pub token: Option<Secret>,
}

impl Listening {
    /// The configuration is refused for the same, with a hint; here nobody can forget to look.
    fn check(&self) -> Result<(), ListenError> {
        match &self.token {
            None if !self.address.ip().is_loopback() => Err(ListenError::Open(self.address)),
            Some(token) if token.matches(b"") => Err(ListenError::Empty),
            None | Some(_) => Ok(()),
        }
    }
}

/// Why nobody listens over TCP.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Others could reach it, and nothing would keep them out.
    #[error("the admin interface would be open to everybody who reaches {0}")]
    Open(SocketAddr),
    /// A token that everybody has.
    #[error("the admin interface's token is empty")]
    Empty,
    /// The system refuses the address.
    #[error("can't listen on {address}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Answers until this is dropped; then its socket's file is gone.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    socket: Option<PathBuf>,
    /// Everything ends when this is dropped.
    _alive: watch::Sender<()>,
}

impl Server {
    /// A server that nobody hears yet. It watches the wheel from now on.
    ///
    /// Call it inside a runtime with its timer on.
    pub fn new(subject: Subject) -> Self {
        let (alive, seen) = watch::channel(());
        let events = subject.wheel.events();
        let service = Arc::new(Service::new(subject, seen));
        let watching = Arc::clone(&service);
        tokio::spawn(async move {
            tokio::select! {
                () = watching.recorder.watch(&watching.subject.wheel, events) => {}
                () = watching.end() => {}
            }
        });
        Self { service, socket: None, _alive: alive }
    }

    /// Where it listens over TCP, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.service.address.get().copied()
    }

    /// Says what `/metrics` tells from now on. Only the first word counts.
    pub fn tell_metrics(&self, metrics: Metrics) {
        // A second one would be ours to notice while writing it, not the user's.
        let _ = self.service.subject.metrics.set(metrics);
    }

    /// Listens on `path`, in place of a socket that a killed process left there.
    ///
    /// Call it inside a runtime with its I/O driver on.
    ///
    /// # Errors
    /// If the socket can't be made.
    pub fn on_socket(&mut self, path: &Path) -> io::Result<()> {
        let listener = own_socket(path)?;
        let owner = listener.local_addr().ok().and_then(|address| {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(address.as_pathname()?).ok().map(|file| file.uid())
        });
        self.socket = Some(path.to_owned());
        tokio::spawn(accept(Door::Socket { listener, owner }, Arc::clone(&self.service)));
        Ok(())
    }

    /// Listens over TCP and tells where.
    ///
    /// Call it inside a runtime with its I/O driver on.
    ///
    /// # Errors
    /// If everybody could ask there, or the address can't be had.
    pub fn on_tcp(&self, listening: Listening) -> Result<SocketAddr, ListenError> {
        listening.check()?;
        let Listening { address, token } = listening;
        let refused = |source| ListenError::Refused { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let listener = TcpListener::from_std(listener).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        // Of several the first one is told.
        let _ = self.service.address.set(bound);
        let gate = Arc::new(Gate::new(bound, token));
        tokio::spawn(accept(Door::Tcp { listener, gate }, Arc::clone(&self.service)));
        Ok(bound)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(path) = &self.socket {
            // It may have been removed by hand.
            let _ = fs::remove_file(path);
        }
    }
}

/// Where connections come in.
enum Door {
    Socket { listener: UnixListener, owner: Option<u32> },
    Tcp { listener: TcpListener, gate: Arc<Gate> },
}

impl Door {
    /// The next connection; `None` if whoever came may not come in.
    async fn next(&self) -> io::Result<Option<(Box<dyn Pipe>, Option<Arc<Gate>>)>> {
        match self {
            Self::Socket { listener, owner } => {
                let (stream, _) = listener.accept().await?;
                if is_trusted(&stream, *owner) {
                    return Ok(Some((Box::new(stream), None)));
                }
                tracing::warn!("another user tried the admin socket");
                Ok(None)
            }
            Self::Tcp { listener, gate } => {
                let (stream, _) = listener.accept().await?;
                // Without it events wait for each other's receipts.
                let _ = stream.set_nodelay(true);
                Ok(Some((Box::new(stream), Some(Arc::clone(gate)))))
            }
        }
    }
}

async fn accept(door: Door, service: Arc<Service>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let ending = service.end();
    tokio::pin!(ending);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, door.next().await)
        };
        let (place, came) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut ending => break,
        };
        match came {
            Ok(Some((stream, gate))) => {
                let service = Arc::clone(&service);
                connections.spawn(async move {
                    connection::serve(stream, service, gate).await;
                    drop(place);
                });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection to the admin interface");
                tokio::time::sleep(ACCEPT_FAILURE_REST).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(door);
    let all = async { while connections.join_next().await.is_some() {} };
    // Whoever hasn't read to the end by now is cut off.
    let _ = tokio::time::timeout(ENDING_WITHIN, all).await;
}

fn own_socket(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    remove_leftover(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes a socket that a killed process left. Another configuration may name the same one, and a path may be
/// misspelt: what is in use, or no socket at all, stays.
fn remove_leftover(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file of that name is no socket"));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
    }
    fs::remove_file(path)
}

/// The file's mode keeps others out; a socket whose mode was changed must do so, too.
fn is_trusted(stream: &UnixStream, owner: Option<u32>) -> bool {
    const ROOT: u32 = 0;
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ROOT || Some(peer.uid()) == owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_reach_has_a_token_that_is_one() {
        let checked = |address: &str, token: Option<&str>| {
            Listening { address: address.parse().unwrap(), token: token.map(Secret::new) }.check()
        };
        assert!(checked("127.0.0.1:1", None).is_ok() && checked("[::1]:1", None).is_ok());
        assert!(checked("0.0.0.0:1", Some("t")).is_ok());
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(matches!(checked(address, None), Err(ListenError::Open(_))), "{address}");
        }
        assert!(matches!(checked("127.0.0.1:1", Some("")), Err(ListenError::Empty)));
    }
}
