//! One question over the admin socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::server::Refused;

/// A reload of many keys takes a while; nothing takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Asks whoever listens on `socket`; `None` if nobody does.
///
/// # Errors
/// If it refuses, with its reason, or can't be understood.
pub(super) fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("can't ask the running keywheel")?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(ANSWER_WITHIN, exchange(socket, method, path, body))
            .await
            .context("the running keywheel doesn't answer")?
    });
    let Some((status, body)) = answer.with_context(|| format!("on {}", socket.display()))? else {
        return Ok(None);
    };
    if status == StatusCode::OK {
        return Ok(Some(serde_json::from_slice(&body).context("the running keywheel has another version")?));
    }
    match serde_json::from_slice::<Refused>(&body) {
        Ok(Refused { error }) => bail!("{error}"),
        Err(_) => bail!("the running keywheel answers with {status}"),
    }
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<Option<(StatusCode, Bytes)>> {
    let Some(stream) = connect(socket).await? else { return Ok(None) };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "keywheel")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answered = async {
        let response: Response<_> = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        anyhow::Ok(Some((head.status, body.collect().await?.to_bytes())))
    };
    let (answer, _) = tokio::join!(answered, connection);
    answer.context("the running keywheel broke off")
}

/// A connection to whoever listens on `socket`; `None` if nobody does.
pub(super) async fn connect(socket: &Path) -> anyhow::Result<Option<UnixStream>> {
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(error).context("can't open the admin socket"),
    }
}

/// No socket, or one that a killed process left.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
