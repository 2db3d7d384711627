//! The only socket: how a call leaves. [`Wire`] is our own client, [`Http`] is reqwest's, [`Scripted`] has no socket.

mod http;
mod off_limits;
mod scripted;
mod wire;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use futures_util::Stream;
use url::Url;

use crate::id::KeyId;
use crate::upload::Upload;

pub use http::{Http, HttpOptions};
pub use off_limits::is_off_limits;
pub use scripted::{Piece, Scripted, Step};
pub use wire::Wire;

/// Something that answers calls.
pub trait Upstream: Send + Sync + 'static {
    /// Makes one call. Dropping the future, or the body it gave, ends the call.
    fn call(&self, call: Call) -> CallFuture;
}

/// A call under way until its headers are there.
pub type CallFuture = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send>>;

/// A body under way.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// One HTTP call, complete with its credential.
#[derive(Debug)]
pub struct Call {
    /// Whose credential is in the headers; for tests and traces.
    pub key: KeyId,
    /// The method.
    pub method: Method,
    /// Where the provider is, without a query: `https://api.example.com/v1`.
    pub base_url: Arc<str>,
    /// What is called there, with its query. It begins with a slash, or it could name another server.
    pub path: String,
    /// Headers, the credential among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What follows it, as it comes.
    pub upload: Option<Upload>,
    /// Turns true when the call must not leave any more, because its key has been disabled. Whoever connects for it
    /// looks at it once the connection stands, and gives [`TransportError::Withdrawn`].
    pub withdrawn: Option<Arc<AtomicBool>>,
}

/// What `accept-encoding` says of calls that don't say it themselves. Without it a server may compress as it likes
/// (RFC 9110 §12.5.3), and nobody here unpacks it.
const UNCOMPRESSED: &str = "identity";

/// What is said of a path with dots that leaves the base URL behind.
const LEADS_OUT: &str = "its path leads out of the base URL";

/// Whether `url` lies below the path of a base URL, which has no slash at its end. Dots in a call's path are resolved
/// by then: a caller who writes them must not reach, with somebody else's key, what the base URL doesn't mean.
fn stays_below(prefix: &str, url: &Url) -> bool {
    // Some servers read these as slashes, and resolve the dots between them.
    let rest = url.path().strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    rest.is_some_and(|rest| {
        let read = rest.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
        !read.split('/').any(|part| part == "..")
    })
}

/// The head of an answer, and its body to come.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: BodyStream,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no (whole) answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The name doesn't resolve, nobody listens, TLS failed, or connecting took too long.
    #[error("can't connect: {0}")]
    Connect(String),
    /// The connection broke before the headers came.
    #[error("connection lost before an answer: {0}")]
    Lost(String),
    /// The connection broke inside the body.
    #[error("answer broke off: {0}")]
    Cut(String),
    /// The call can't be made at all: a bad address or header.
    #[error("can't make the call: {0}")]
    Unsendable(String),
    /// The call was withdrawn before any of it left.
    #[error("the call was withdrawn before it left")]
    Withdrawn,
}
