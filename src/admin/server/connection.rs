//! HTTP on one connection, with a limit on all of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::careful;
use super::gate::Gate;
use super::route::{self, Asked};
use super::service::Service;

/// A client that sends no request within this is none.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);

/// No browser sends longer heads; hyper answers a longer one with 431.
const HEADERS_BYTES_MAX: usize = 16 << 10;

/// A request and its answer take no longer: a reload of many keys takes some seconds, a reader on a bad line too.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(60);

/// Readers of events come back by themselves. One that is gone without a word, or reads nothing any more, has kept
/// its place long enough by then. Over TCP; who is on the socket is known.
const STREAM_LIFE: Duration = Duration::from_secs(3_600);

/// Either kind of connection.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Answers one request.
pub(super) async fn serve(stream: Box<dyn Pipe>, service: Arc<Service>, gate: Option<Arc<Gate>>) {
    let streams = Arc::new(AtomicBool::new(false));
    let stream_life = gate.as_ref().map(|_| STREAM_LIFE);
    let answering = service_fn(|request| {
        let (service, streams) = (Arc::clone(&service), Arc::clone(&streams));
        let asked = Asked { service, gate: gate.clone(), streams, stream_life };
        async move { Ok::<_, Infallible>(careful(route::answer(&asked, request).await)) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    connection.max_buf_size(HEADERS_BYTES_MAX).keep_alive(false);
    let exchange = connection.serve_connection(TokioIo::new(stream), answering);
    tokio::pin!(exchange);
    let mut ended = tokio::time::timeout(EXCHANGE_WITHIN, &mut exchange).await;
    if ended.is_err() && streams.load(Ordering::Relaxed) {
        ended = match stream_life {
            // By then it has been told to end.
            Some(life) => tokio::time::timeout(life, exchange).await,
            None => Ok(exchange.await),
        };
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended early"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}
