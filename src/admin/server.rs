//! The side that answers: HTTP with JSON on a unix socket.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use keywheel_actors::id::KeyId;
use keywheel_actors::store::Wall;
use keywheel_actors::{CommandError, Kept, KeyCommand, Wheel};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::operator::{Order, Reloaded};
use super::status;
use crate::config::Config;
use crate::config::lookalike::hushed;

/// Nobody needs more words at once with a running keywheel. Whoever comes later waits in the system's queue.
const CONNECTIONS_MAX: usize = 256;

/// An order is a few words.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A client that sends no request within this is none; nor one that doesn't finish it.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// How long to leave the socket alone when the system has no file descriptors left.
const ACCEPT_FAILURE_REST: Duration = Duration::from_millis(100);

/// Asks for the configuration to be read again, and hears what changed or what is wrong with it.
pub type ReloadRequest = oneshot::Sender<Result<Vec<String>, String>>;

/// What the admin interface tells about and acts on.
#[derive(Debug)]
pub struct Subject {
    /// The running wheel.
    pub wheel: Wheel,
    /// The configuration that it runs with.
    pub config: watch::Receiver<Arc<Config>>,
    /// Reads the configuration again.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// The verb that is being carried out.
    pub verb: &'static str,
    /// Since when.
    pub since: Wall,
}

/// A socket that answers until this is dropped; then its file is gone.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

/// An order and the key that it is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrderFor {
    pub(super) key: KeyId,
    pub(super) order: Order,
}

/// How an order went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrderDone {
    pub(super) pid: u32,
    pub(super) not_durable: Option<String>,
}

/// Why something wasn't done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) error: String,
}

impl Server {
    /// Listens on `path`, in place of a socket that a killed process left there.
    ///
    /// Call it inside a runtime with its I/O driver on.
    ///
    /// # Errors
    /// If the socket can't be made.
    pub fn start(path: &Path, subject: Subject) -> io::Result<Self> {
        let listener = listen(path)?;
        let task = tokio::spawn(accept(listener, Arc::new(subject)));
        Ok(Self { path: path.to_owned(), task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // It may have been removed by hand.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
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

async fn accept(listener: UnixListener, subject: Arc<Subject>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let owner = listener.local_addr().ok().and_then(|address| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(address.as_pathname()?).ok().map(|file| file.uid())
    });
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) if is_trusted(&stream, owner) => {
                let subject = Arc::clone(&subject);
                connections.spawn(async move {
                    serve(stream, subject).await;
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("another user tried the admin socket"),
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection to the admin socket");
                tokio::time::sleep(ACCEPT_FAILURE_REST).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// The file's mode keeps others out; a socket whose mode was changed must do so, too.
fn is_trusted(stream: &UnixStream, owner: Option<u32>) -> bool {
    const ROOT: u32 = 0;
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ROOT || Some(peer.uid()) == owner)
}

async fn serve(stream: UnixStream, subject: Arc<Subject>) {
    let service = service_fn(|request| {
        let subject = Arc::clone(&subject);
        async move { Ok::<_, Infallible>(answer(&subject, request).await) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).keep_alive(false);
    if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

async fn answer(subject: &Subject, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/v1/status") => json(StatusCode::OK, &live_status(subject)),
        (&Method::GET, "/v1/stats") => match subject.wheel.stats().await {
            Ok(stats) => json(StatusCode::OK, &stats),
            Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        },
        (&Method::POST, "/v1/order") => match read_order(request).await {
            Ok(order) => carry_out(subject, order).await,
            Err((status, problem)) => refused(status, &problem),
        },
        (&Method::POST, "/v1/reload") => reload(subject).await,
        (_, "/v1/status" | "/v1/stats" | "/v1/order" | "/v1/reload") => {
            refused(StatusCode::METHOD_NOT_ALLOWED, &format!("`{path}` isn't asked like that"))
        }
        _ => refused(StatusCode::NOT_FOUND, &format!("there is no `{path}`")),
    }
}

fn live_status(subject: &Subject) -> super::StatusReport {
    let source =
        super::Source::Live { pid: std::process::id(), verb: subject.verb.to_owned(), since: subject.since };
    let config = Arc::clone(&subject.config.borrow());
    status::live(&config, &subject.wheel, source)
}

async fn read_order(request: Request<Incoming>) -> Result<OrderFor, (StatusCode, String)> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind != Some("application/json") {
        return Err((StatusCode::BAD_REQUEST, "an order is JSON".to_owned()));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = match tokio::time::timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "an order is a few words".to_owned()));
        }
        Ok(Err(_)) => return Err((StatusCode::BAD_REQUEST, "the order can't be read".to_owned())),
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the order doesn't end".to_owned())),
    };
    serde_json::from_slice(&body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("the order can't be understood: {error}")))
}

async fn carry_out(subject: &Subject, OrderFor { key, order }: OrderFor) -> Response<Full<Bytes>> {
    let command = match order {
        Order::Disable => KeyCommand::Disable,
        Order::Enable => KeyCommand::Enable,
        Order::Rest { duration } => KeyCommand::Rest(duration),
        Order::Reset => KeyCommand::Reset,
    };
    match subject.wheel.command(&key, command).await {
        Ok(kept) => {
            let not_durable = match kept {
                Kept::Durably => None,
                Kept::InMemory { why } => Some(why.to_string()),
            };
            json(StatusCode::OK, &OrderDone { pid: std::process::id(), not_durable })
        }
        Err(error @ CommandError::NoSuchKey(_)) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ CommandError::Stopped) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn reload(subject: &Subject) -> Response<Full<Bytes>> {
    let (tell, told) = oneshot::channel();
    let ending = || refused(StatusCode::SERVICE_UNAVAILABLE, "it is about to end");
    if subject.reload.send(tell).await.is_err() {
        return ending();
    }
    match told.await {
        Ok(Ok(changes)) => json(StatusCode::OK, &Reloaded { pid: std::process::id(), changes }),
        Ok(Err(problem)) => refused(StatusCode::UNPROCESSABLE_ENTITY, &problem),
        Err(_) => ending(),
    }
}

fn refused(status: StatusCode, error: &str) -> Response<Full<Bytes>> {
    // A path or an order is quoted, and a key may stand in the place of a name.
    json(status, &Refused { error: hushed(error).into_owned() })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    // What is told are strings and numbers; they can always be encoded.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
