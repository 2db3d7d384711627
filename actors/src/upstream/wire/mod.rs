//! Calls over real sockets, without a task for each connection.
//!
//! Who calls owns the connection for as long as the call lasts: its future writes the request and reads the head,
//! and the body it gives reads on. So a call costs no hop to another task and back, waits without a buffer, and
//! what is dropped is closed. It speaks HTTP/1.1 and no more: no HTTP/2, no redirects, no proxies, no compression.
//! [`super::Http`] does the same by reqwest; tests hold the two against each other.

mod answer;
mod body;
mod call;
mod chunks;
mod connect;
mod feed;
mod framing;
mod head;
mod pool;
mod socket;
mod target;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use self::call::{Dialling, Request};
use self::feed::Feed;
use self::head::Length;
use self::socket::Outbox;
use self::target::Targets;
use super::{Call, CallFuture, HttpOptions, TransportError, Upstream};

/// The real upstream. Clones share their connections.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Shared>,
}

struct Shared {
    targets: Targets,
    tls: Arc<rustls::ClientConfig>,
    connect_timeout: Duration,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect_timeout = self.shared.connect_timeout;
        f.debug_struct("Wire").field("connect_timeout", &connect_timeout).finish_non_exhaustive()
    }
}

impl Wire {
    /// A client that follows no redirect (a key must not travel to where somebody points it), uses no
    /// proxy of the environment's choosing, and always checks certificates.
    ///
    /// # Errors
    /// [`TransportError::Unsendable`] if TLS can't be set up.
    pub fn new(options: HttpOptions) -> Result<Self, TransportError> {
        Self::trusting(options, Vec::new())
    }

    /// The same, for servers whose certificates come from a root of one's own. The platform's stay trusted.
    ///
    /// # Errors
    /// [`TransportError::Unsendable`] if TLS can't be set up or one of these is no certificate.
    pub fn trusting(
        options: HttpOptions,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, TransportError> {
        let HttpOptions { connect_timeout } = options;
        let shared = Shared { targets: Targets::default(), tls: tls::config(roots)?, connect_timeout };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn request(&self, call: Call) -> Result<Request, TransportError> {
        let Call { key: _, method, base_url, path, headers, body, upload, withdrawn } = call;
        let target = self.shared.targets.of(&base_url)?;
        let length = match &upload {
            None => Length::Known(body.len() as u64),
            Some(upload) => match upload.length() {
                Some(rest) => Length::Known(rest + body.len() as u64),
                None => Length::Chunked,
            },
        };
        let head = head::request(&method, &target, &path, &headers, length)?;
        let outbox = match upload {
            None => Outbox::new(head, body),
            Some(upload) => Outbox::feeding(head, Feed::new(body, upload)),
        };
        Ok(Request { origin: Arc::clone(&target.origin), method, outbox, withdrawn })
    }
}

impl Upstream for Wire {
    fn call(&self, call: Call) -> CallFuture {
        match self.request(call) {
            Ok(request) => {
                let dialling =
                    Dialling { tls: Arc::clone(&self.shared.tls), within: self.shared.connect_timeout };
                Box::pin(call::exchange(request, dialling))
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// What is wrong with an answer. It quotes nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
struct Malformed(&'static str);
