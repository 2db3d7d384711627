//! Calls over real sockets, by reqwest.
//!
//! Our own client, [`super::Wire`], is what keywheel uses. This one is for embedders who need what that
//! one doesn't do (HTTP/2), and it is the oracle of that one's tests.

use std::error::Error as _;
use std::sync::{Arc, Once};
use std::time::Duration;

use ::http::header::ACCEPT_ENCODING;
use ::http::{HeaderMap, HeaderValue};
use futures_util::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use url::Url;

use super::off_limits::{OffLimits, is_off_limits, permitted};
use super::{Call, CallFuture, LEADS_OUT, Response, TransportError, UNCOMPRESSED, Upstream, stays_below};

/// Connections kept open per host beyond those in use: as many as jobs in flight, or each wave of
/// jobs would connect anew.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 16_384;
/// Idle connections are closed before most servers and load balancers would (60 s and more), so that a
/// call rarely meets a connection that is being closed.
pub(super) const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(50);

/// How to reach providers.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Until a connection stands, TLS included.
    pub connect_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5) }
    }
}

/// One HTTP client of reqwest's for the whole wheel. A key that is disabled while a connection comes about for its call
/// makes this call all the same.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// A client that follows no redirect (a key must not travel to where somebody points it), uses no
    /// proxy of the environment's choosing, and always checks certificates.
    ///
    /// # Errors
    /// [`TransportError::Unsendable`] if TLS can't be set up.
    pub fn new(options: HttpOptions) -> Result<Self, TransportError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An embedder may have installed one already; that one serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let client = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(Lookup))
            .tcp_nodelay(true)
            .default_headers(HeaderMap::from_iter([(
                ACCEPT_ENCODING,
                HeaderValue::from_static(UNCOMPRESSED),
            )]))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_CONNECTION_AGE)
            .build()
            .map_err(|error| TransportError::Unsendable(chain(&error)))?;
        Ok(Self { client })
    }
}

/// Looks names up as reqwest would, but for addresses that no key may be sent to.
struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's, and comes later.
            let found = permitted(tokio::net::lookup_host((name.as_str(), 0)).await?)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Upstream for Http {
    fn call(&self, call: Call) -> CallFuture {
        // When a request of reqwest's leaves, nobody else is told.
        let Call { key: _, method, base_url, path, headers, body, upload, withdrawn: _ } = call;
        let unsendable = |why: &str| -> CallFuture {
            Box::pin(std::future::ready(Err(TransportError::Unsendable(why.to_owned()))))
        };
        if upload.is_some() {
            return unsendable("this client sends no uploads");
        }
        if !path.starts_with('/') {
            return unsendable("its path doesn't begin with a slash");
        }
        let base_url = base_url.trim_end_matches('/');
        let url = format!("{base_url}{path}");
        let parsed = Url::parse(&url).ok();
        // What is written as an address isn't looked up.
        if parsed.as_ref().and_then(Url::host).is_some_and(|host| is_off_limits(&host)) {
            return Box::pin(std::future::ready(Err(TransportError::Connect(OffLimits.to_string()))));
        }
        let is_below = Url::parse(base_url).ok().zip(parsed);
        if is_below.is_some_and(|(base, url)| !stays_below(base.path().trim_end_matches('/'), &url)) {
            return unsendable(LEADS_OUT);
        }
        let request = self.client.request(method, url).headers(headers).body(body);
        Box::pin(async move {
            let response = request.send().await.map_err(|error| before_answer(&error))?;
            Ok(Response {
                status: response.status(),
                headers: response.headers().clone(),
                body: Box::pin(
                    response
                        .bytes_stream()
                        .map(|chunk| chunk.map_err(|error| TransportError::Cut(chain(&error)))),
                ),
            })
        })
    }
}

fn before_answer(error: &reqwest::Error) -> TransportError {
    let text = chain(error);
    if error.is_builder() {
        TransportError::Unsendable(text)
    } else if error.is_connect() {
        TransportError::Connect(text)
    } else {
        TransportError::Lost(text)
    }
}

/// The causes of an error in one line, without the address: it may hold what a user wants unseen.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    if causes.is_empty() { "no cause given".to_owned() } else { causes.join(": ") }
}
