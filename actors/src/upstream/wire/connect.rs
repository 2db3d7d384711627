//! How a connection comes about: a name becomes addresses, one of them answers, and TLS stands if it must.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

use super::super::TransportError;
use super::super::off_limits::{OffLimits, is_off_limits, permitted};
use super::socket::Socket;
use super::target::{Origin, Security};

/// How long an address has before the next one is tried beside it: RFC 8305 §8 has 250 ms, curl 200.
const HEAD_START: Duration = Duration::from_millis(300);

/// Connects, within this time.
pub(super) async fn connect(
    origin: &Origin,
    tls: &Arc<rustls::ClientConfig>,
    within: Duration,
) -> Result<Socket, TransportError> {
    tracing::debug!(server = origin.authority, "connecting");
    let connected = timeout(within, async {
        let tcp = reach(addresses(origin).await?).await?;
        match &origin.security {
            Security::Plain => Ok(Socket::Plain(tcp)),
            Security::Tls(name) => {
                let connecting = TlsConnector::from(Arc::clone(tls)).connect(name.clone(), tcp);
                let stream = connecting.await.map_err(|error| failed("tls handshake error", &error))?;
                Ok(Socket::Tls(Box::new(stream)))
            }
        }
    });
    connected.await.unwrap_or_else(|_| Err(TransportError::Connect("the operation timed out".to_owned())))
}

async fn addresses(origin: &Origin) -> Result<VecDeque<SocketAddr>, TransportError> {
    let port = origin.port;
    if is_off_limits(&origin.host) {
        return Err(off_limits(OffLimits));
    }
    match &origin.host {
        Host::Ipv4(address) => Ok(VecDeque::from([SocketAddr::from((*address, port))])),
        Host::Ipv6(address) => Ok(VecDeque::from([SocketAddr::from((*address, port))])),
        Host::Domain(name) => {
            let found = lookup_host((name.as_str(), port)).await;
            let found = found.map_err(|error| failed("dns error", &error))?;
            Ok(in_turns(permitted(found).map_err(off_limits)?))
        }
    }
}

fn off_limits(error: OffLimits) -> TransportError {
    TransportError::Connect(error.to_string())
}

/// The addresses in the system's order, but the two families in turns: where one is out of order, often all of it
/// is (RFC 8305 §4).
fn in_turns(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let mut found = VecDeque::from(found);
    let first_is_ipv6 = found.front().is_some_and(SocketAddr::is_ipv6);
    let (mut of_first, mut others): (VecDeque<_>, VecDeque<_>) =
        found.drain(..).partition(|address| address.is_ipv6() == first_is_ipv6);
    while !(of_first.is_empty() && others.is_empty()) {
        found.extend(of_first.pop_front());
        found.extend(others.pop_front());
    }
    found
}

/// The first connection that stands. Each address gets its head start, or until the ones before have failed.
async fn reach(mut addresses: VecDeque<SocketAddr>) -> Result<TcpStream, TransportError> {
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        attempts.extend(addresses.pop_front().map(TcpStream::connect));
        let ended = if addresses.is_empty() {
            attempts.next().await
        } else {
            match timeout(HEAD_START, attempts.next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(tcp)) => {
                // Small requests and events must not wait for company.
                tcp.set_nodelay(true).map_err(|error| failed("tcp set_nodelay error", &error))?;
                return Ok(tcp);
            }
            Some(Err(error)) => last = error,
            None => return Err(failed("tcp connect error", &last)),
        }
    }
}

fn failed(what: &str, error: &io::Error) -> TransportError {
    TransportError::Connect(format!("{what}: {}", words(error)))
}

/// An error of the network with its causes.
pub(super) fn words(error: &io::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say their cause themselves.
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().expect("an address")).collect()
    }

    #[test]
    fn families_are_tried_in_turns() {
        let found = listed(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let expected = listed(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(in_turns(found), expected);
        assert!(in_turns(Vec::new()).is_empty());
    }

    #[test]
    fn an_address_that_refuses_makes_way_for_the_next() {
        let refusing = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let closed = refusing.local_addr().expect("an address");
        drop(refusing);
        let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listening.local_addr().expect("an address");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let tcp = runtime.block_on(reach([closed, open].into())).expect("one of them listens");
        assert_eq!(tcp.peer_addr().ok(), Some(open));
        let error = runtime.block_on(reach([closed, closed].into())).expect_err("nobody listens");
        assert!(error.to_string().contains("Connection refused"), "{error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
}
