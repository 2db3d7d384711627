//! The client of all measurements: raw sockets, one request after the other on each, and as little work as can be.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How a plain request ends its answer with `content-length`, and a stream in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// More than any head here has.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// No answer of any bench takes longer; what does, failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked, as it goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Plain,
    Streamed,
}

impl Kind {
    fn request(self) -> Vec<u8> {
        let stream = match self {
            Self::Plain => "",
            Self::Streamed => r#","stream":true"#,
        };
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"How many keys has a piano?"}}]{stream}}}"#
        );
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-0\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// One connection that is used again and again.
struct Connection {
    socket: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, kind: Kind) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, request: kind.request(), answer: Vec::with_capacity(64 << 10) })
    }

    /// Sends the request and reads its answer to the end. Gives the answer's status.
    async fn ask(&mut self) -> anyhow::Result<u16> {
        self.answer.clear();
        self.socket.write_all(&self.request).await?;
        let (status, head, length) = loop {
            self.read().await?;
            if let Some(head) = head(&self.answer)? {
                break head;
            }
            ensure!(self.answer.len() < HEAD_BYTES_MAX, "an endless head");
        };
        match length {
            Some(length) => {
                while self.answer.len() < head + length {
                    self.read().await?;
                }
            }
            None => {
                while !self.answer[head..].ends_with(LAST_CHUNK) {
                    self.read().await?;
                }
            }
        }
        Ok(status)
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        ensure!(self.socket.read_buf(&mut self.answer).await? > 0, "the connection was closed");
        Ok(())
    }
}

/// Status, length of the head, and length of the body if it is told; `None` while the head isn't whole.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, Option<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.context("an answer without a status")?;
    let body = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = body.map(|header| std::str::from_utf8(header.value)?.parse().context("a strange length"));
    Ok(Some((status, length, body.transpose()?)))
}

/// What came of a load.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Done {
    pub(crate) served: u64,
    pub(crate) failed: u64,
    pub(crate) took_s: f64,
}

/// As many requests as can be over so many connections for so long.
pub(crate) async fn saturate(address: SocketAddr, kind: Kind, connections: usize, time: Duration) -> Done {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(async move {
            let mut done = Done::default();
            let mut connection = None;
            while begun.elapsed() < time {
                match ask(&mut connection, address, kind).await {
                    Ok(200) => done.served += 1,
                    Ok(_) => done.failed += 1,
                    Err(_) => {
                        done.failed += 1;
                        connection = None;
                    }
                }
            }
            done
        });
    }
    let mut sum = Done::default();
    for done in tasks.join_all().await {
        sum.served += done.served;
        sum.failed += done.failed;
    }
    Done { took_s: begun.elapsed().as_secs_f64(), ..sum }
}

async fn ask(connection: &mut Option<Connection>, address: SocketAddr, kind: Kind) -> anyhow::Result<u16> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(address, kind).await?),
    };
    tokio::time::timeout(PATIENCE, connection.ask()).await?
}

/// So many requests, one after the other on one connection: how long each took, in µs.
pub(crate) async fn one_by_one(address: SocketAddr, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::open(address, Kind::Plain).await?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let status = connection.ask().await?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
        ensure!(status == 200, "status {status} at low load");
    }
    Ok(took)
}

/// So many streams at once, each to its end. Gives how many came whole.
pub(crate) async fn streams(address: SocketAddr, count: usize) -> usize {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        tasks.spawn(async move {
            let mut connection = Connection::open(address, Kind::Streamed).await?;
            tokio::time::timeout(PATIENCE, connection.ask()).await?
        });
    }
    tasks.join_all().await.into_iter().filter(|status| matches!(status, Ok(200))).count()
}
