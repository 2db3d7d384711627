//! A client at one end, a socket that a test writes on at the other, and one thread for both.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use futures_util::{FutureExt as _, TryStreamExt as _};
use http::{HeaderMap, Method};
use keywheel_actors::id::KeyId;
use keywheel_actors::upstream::{Call, HttpOptions, Response, TransportError, Upstream, Wire};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// What a test works at.
pub(crate) struct Desk {
    pub(crate) wire: Wire,
    pub(crate) listener: TcpListener,
}

/// A whole answer.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Runs a story on one thread: then what a test does comes before what it does next.
pub(crate) fn story(tell: impl AsyncFnOnce(&Desk)) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let wire = Wire::new(HttpOptions::default()).expect("a client");
        tell(&Desk { wire, listener }).await;
    });
}

impl Desk {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("it listens")
    }

    /// A call to the listener.
    pub(crate) fn call(&self, method: Method, body: impl Into<Bytes>) -> Call {
        call(&format!("http://{}/v1", self.addr()), method, body)
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> TcpStream {
        self.listener.accept().await.expect("it listens").0
    }

    /// Whether somebody wants to connect.
    pub(crate) async fn is_called(&self) -> bool {
        self.settle().await;
        self.listener.accept().now_or_never().is_some()
    }

    /// Sends a byte through a pair of sockets of its own: whatever came before has been noticed by then.
    pub(crate) async fn settle(&self) {
        let side = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = side.local_addr().expect("it listens");
        let (near, far) = join(TcpStream::connect(there), side.accept()).await;
        near.expect("a connection").write_all(b"x").await.expect("it is open");
        assert_eq!(far.expect("a connection").0.read(&mut [0]).await.ok(), Some(1));
    }

    /// A call and what its server says to it, on a connection of its own. The server keeps it.
    pub(crate) async fn answered(
        &self,
        call: Call,
        says: &[u8],
    ) -> (Result<Whole, TransportError>, TcpStream) {
        join(ask(&self.wire, call), async {
            let mut peer = self.accept().await;
            hear(&mut peer).await;
            peer.write_all(says).await.expect("the client listens");
            peer
        })
        .await
    }

    /// The same, but the server hangs up behind it.
    pub(crate) async fn answered_last(&self, call: Call, says: &[u8]) -> Result<Whole, TransportError> {
        let served = async {
            let mut peer = self.accept().await;
            hear(&mut peer).await;
            // Who has refused the beginning doesn't wait for the end.
            let _ = peer.write_all(says).await;
        };
        join(ask(&self.wire, call), served).await.0
    }

    /// The same on a connection that is there already.
    pub(crate) async fn answered_on(
        &self,
        peer: &mut TcpStream,
        call: Call,
        says: &[u8],
    ) -> Result<Whole, TransportError> {
        let served = async {
            hear(peer).await;
            peer.write_all(says).await.expect("the client listens");
        };
        join(ask(&self.wire, call), served).await.0
    }
}

/// A call to some base URL.
pub(crate) fn call(base_url: &str, method: Method, body: impl Into<Bytes>) -> Call {
    let key = KeyId { provider: "p".into(), key: "k".into() };
    let path = "/chat".to_owned();
    Call {
        key,
        method,
        base_url: Arc::from(base_url),
        path,
        headers: HeaderMap::new(),
        body: body.into(),
        upload: None,
        withdrawn: None,
    }
}

/// A call and all of its answer.
pub(crate) async fn ask(upstream: &dyn Upstream, call: Call) -> Result<Whole, TransportError> {
    read(upstream.call(call).await?).await
}

/// The rest of an answer.
pub(crate) async fn read(response: Response) -> Result<Whole, TransportError> {
    let Response { status, headers, body } = response;
    let pieces: Vec<Bytes> = body.try_collect().await?;
    Ok(Whole { status: status.as_u16(), headers, body: pieces.concat() })
}

/// Reads one request to its end.
pub(crate) async fn hear(peer: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return text.into_owned();
            }
        }
        let bytes = peer.read_buf(&mut heard).await.expect("the client is there");
        assert!(bytes > 0, "the request breaks off: {}", String::from_utf8_lossy(&heard));
    }
}

/// Whether the client has hung up.
pub(crate) async fn is_closed(peer: &mut TcpStream) -> bool {
    matches!(peer.read(&mut [0]).await, Ok(0) | Err(_))
}
