//! The pass-through that people write first: a hyper server, a reqwest client, and nothing between them.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What belongs to one connection, or is written anew for the next.
const HOP_BY_HOP: [header::HeaderName; 4] =
    [header::CONNECTION, header::HOST, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];

/// Passes everything on to `upstream` until it is killed; prints where it listens.
pub(crate) fn serve(upstream: &str) -> anyhow::Result<()> {
    // It is the only user of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().tcp_nodelay(true).build().context("no HTTP client")?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("http://{}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (client, upstream) = (client.clone(), upstream.to_owned());
            tokio::spawn(async move {
                let service = service_fn(|request| pass(&client, &upstream, request));
                // Its client has left.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
        }
    })
}

async fn pass(
    client: &reqwest::Client,
    upstream: &str,
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = BoxError> + use<>>, Infallible> {
    let (head, body) = request.into_parts();
    let asked = async {
        let body = body.collect().await.map_err(drop)?.to_bytes();
        let url = format!("{upstream}{}", head.uri.path());
        let request = client.request(head.method, url).headers(end_to_end(head.headers)).body(body);
        request.send().await.map_err(drop)
    };
    let Ok(answer) = asked.await else {
        let mut failed = Response::new(Either::Left(Full::default()));
        *failed.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(failed);
    };
    let (status, headers, length) =
        (answer.status(), answer.headers().clone(), answer.headers().get(header::CONTENT_LENGTH).cloned());
    let stream = StreamBody::new(answer.bytes_stream().map_ok(Frame::data));
    let mut response = Response::new(Either::Right(stream));
    *response.status_mut() = status;
    *response.headers_mut() = end_to_end(headers);
    response.headers_mut().extend(length.map(|length| (header::CONTENT_LENGTH, length)));
    Ok(response)
}

fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}
