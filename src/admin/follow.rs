//! Hears what happens in a running keywheel, over the admin socket.

use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;

use super::client;
use super::event::EventReport;

/// No event is longer: a message has 300 bytes, and names are short. Only a reload of thousands of keys comes near.
const LINE_BYTES_MAX: usize = 4 << 20;

/// What comes from a running keywheel.
#[derive(Debug)]
pub struct Happenings {
    body: Incoming,
    read: BytesMut,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Happenings {
    /// Follows whoever listens on `socket`; `None` if nobody does. Call it on a runtime.
    pub(super) async fn of(socket: &Path) -> anyhow::Result<Option<Self>> {
        let Some(stream) = client::connect(socket).await? else { return Ok(None) };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request =
            Request::get("/v1/events").header(header::HOST, "keywheel").body(Full::<Bytes>::default())?;
        let answer = sender.send_request(request).await.context("the running keywheel broke off")?;
        match answer.status() {
            StatusCode::OK => {}
            status => bail!("the running keywheel tells nothing: {status}"),
        }
        Ok(Some(Self { body: answer.into_body(), read: BytesMut::new(), connection }))
    }

    /// The next event; `None` when the process has told the last one.
    ///
    /// # Errors
    /// If it is gone without a word, or can't be understood.
    pub async fn next(&mut self) -> anyhow::Result<Option<EventReport>> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end);
                self.read.advance(1);
                if let Some(json) = line.strip_prefix(b"data: ") {
                    let event = serde_json::from_slice(json);
                    return Ok(Some(event.context("the running keywheel has another version")?));
                }
            }
            if self.read.len() > LINE_BYTES_MAX {
                bail!("the running keywheel tells a line without an end");
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            // A process that is killed doesn't end its answer.
            let frame = frame.context("the running keywheel broke off")?;
            if let Ok(bytes) = frame.into_data() {
                self.read.extend_from_slice(&bytes);
            }
        }
    }
}

impl Drop for Happenings {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
