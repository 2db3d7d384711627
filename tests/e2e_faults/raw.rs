//! A provider over raw TCP or TLS that does, byte by byte, what a story tells it to, and keeps books.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::run::Books;

/// What the system may keep of what a provider has written: so little that the books tell what was taken.
const SEND_BUFFER_BYTES: u32 = 256 << 10;

/// What a provider does when it has heard a request. Behind the last step it waits for the next request.
#[derive(Clone)]
pub(crate) enum Step {
    /// Writes this.
    Say(Bytes),
    /// Writes this so many times.
    Repeat(Bytes, usize),
    /// Writes this byte by byte, each in a packet of its own, with such a pause before each.
    Drip(Bytes, Duration),
    /// Does nothing for so long.
    Pause(Duration),
    /// Waits for [`Raw::cue`].
    AwaitCue,
    /// Does nothing more until the other side hangs up.
    Stop,
    /// Closes the connection.
    HangUp,
    /// Resets the connection.
    Reset,
}

/// A request that it has heard.
pub(crate) struct Heard {
    /// How many it has heard before.
    pub(crate) number: usize,
    pub(crate) is_stream: bool,
}

/// Who gets in.
pub(crate) enum Door {
    /// Everybody.
    Open,
    /// Every other one: the first connection is closed as soon as it stands.
    Flapping,
    /// Whoever ends the handshake.
    Tls(TlsAcceptor),
}

/// What a provider has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// The names of the requests, in their order.
    pub(crate) calls: Vec<String>,
    /// So many bytes of its answers have been taken from it.
    pub(crate) written: u64,
    /// How often the other side hung up before all was done that was to be.
    pub(crate) left: usize,
    /// Why handshakes came to nothing.
    pub(crate) refusals: Vec<String>,
}

type Answer = Box<dyn Fn(&Heard) -> Vec<Step> + Send + Sync>;

struct Stage {
    door: Door,
    answer: Answer,
    seen: Mutex<Seen>,
    /// So many requests may be answered further than to [`Step::AwaitCue`].
    cued: watch::Sender<usize>,
}

/// A provider that listens until it is dropped.
pub(crate) struct Raw {
    address: SocketAddr,
    stage: Arc<Stage>,
    /// Of its own: stories wait for programs with their whole thread.
    runtime: Option<Runtime>,
}

impl Raw {
    pub(crate) fn start(answer: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::behind(Door::Open, answer)
    }

    pub(crate) fn behind(door: Door, answer: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_send_buffer_size(SEND_BUFFER_BYTES).expect("a size");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("port 0 is always free");
        let listener = socket.listen(1_024).expect("it is bound");
        drop(entered);
        let address = listener.local_addr().expect("it listens");
        let stage =
            Stage { door, answer: Box::new(answer), seen: Mutex::default(), cued: watch::Sender::new(0) };
        let stage = Arc::new(stage);
        runtime.spawn(accept(listener, Arc::clone(&stage)));
        Self { address, stage, runtime: Some(runtime) }
    }

    /// Where it listens, as a provider's `base_url`.
    pub(crate) fn base_url(&self) -> String {
        let scheme = if matches!(self.stage.door, Door::Tls(_)) { "https" } else { "http" };
        format!("{scheme}://{}/v1", self.address)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.stage.seen()
    }

    /// So many requests it has heard.
    pub(crate) fn calls(&self) -> usize {
        self.seen().calls.len()
    }

    /// Lets the answers to all that it has heard go on.
    pub(crate) fn cue(&self) {
        self.stage.cued.send_replace(self.calls());
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // To wait for its end isn't allowed everywhere, and nobody needs it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Books for Raw {
    fn calls(&self) -> (usize, HashMap<String, usize>) {
        let calls = self.seen().calls.clone();
        let total = calls.len();
        let mut by_request = HashMap::new();
        for id in calls {
            *by_request.entry(id).or_default() += 1;
        }
        (total, by_request)
    }
}

impl Stage {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics with it")
    }

    /// Hears and answers until one of both has enough. Tells whether the connection is to be reset.
    async fn converse(&self, peer: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Parting {
        while let Some(heard) = self.hear(peer).await {
            for step in (self.answer)(&heard) {
                match self.act(step, heard.number, peer).await {
                    Ok(None) => {}
                    Ok(Some(parting)) => return parting,
                    Err(_) => {
                        self.seen().left += 1;
                        return Parting::Close;
                    }
                }
            }
        }
        Parting::Close
    }

    /// Does one step.
    async fn act(
        &self,
        step: Step,
        number: usize,
        peer: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> io::Result<Option<Parting>> {
        match step {
            Step::Say(bytes) => self.write(&bytes, peer).await?,
            Step::Repeat(bytes, times) => {
                for _ in 0..times {
                    self.write(&bytes, peer).await?;
                }
            }
            Step::Drip(bytes, gap) => {
                for byte in bytes.chunks(1) {
                    pause(gap, peer).await?;
                    self.write(byte, peer).await?;
                }
            }
            Step::Pause(time) => pause(time, peer).await?,
            Step::AwaitCue => {
                // The stage outlives its connections, and with it the sender.
                let _ = self.cued.subscribe().wait_for(|cued| *cued > number).await;
            }
            Step::Stop => return Err(gone(peer.read(&mut [0]).await)),
            Step::HangUp => return Ok(Some(Parting::Close)),
            Step::Reset => return Ok(Some(Parting::Reset)),
        }
        Ok(None)
    }

    async fn write(&self, mut bytes: &[u8], peer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = peer.write(bytes).await?;
            peer.flush().await?;
            self.seen().written += written as u64;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Reads a request to its end; `None` if there is no further one.
    async fn hear(&self, peer: &mut (impl AsyncRead + Unpin)) -> Option<Heard> {
        let mut heard = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&heard);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
                let length = line("content-length: ").map_or(0, |length| length.parse().expect("a number"));
                if body.len() >= length {
                    let id = line("x-request-id: ").expect("the gateway names its requests").to_owned();
                    let mut seen = self.seen();
                    let number = seen.calls.len();
                    seen.calls.push(id);
                    return Some(Heard { number, is_stream: body.contains("\"stream\":true") });
                }
            }
            if peer.read_buf(&mut heard).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    Close,
    Reset,
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    while let Ok((peer, _)) = listener.accept().await {
        peer.set_nodelay(true).expect("a socket");
        let number = stage.seen().connections;
        stage.seen().connections += 1;
        tokio::spawn(serve(peer, number, Arc::clone(&stage)));
    }
}

async fn serve(mut peer: TcpStream, number: usize, stage: Arc<Stage>) {
    match &stage.door {
        Door::Flapping if number.is_multiple_of(2) => {}
        Door::Open | Door::Flapping => {
            if stage.converse(&mut peer).await == Parting::Reset {
                peer.set_zero_linger().expect("a socket");
            }
        }
        Door::Tls(acceptor) => match acceptor.accept(peer).await {
            Ok(mut peer) => drop(stage.converse(&mut peer).await),
            Err(error) => stage.seen().refusals.push(error.to_string()),
        },
    }
}

/// Waits for so long, unless the other side hangs up.
async fn pause(time: Duration, peer: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    if time.is_zero() {
        return Ok(());
    }
    match timeout(time, peer.read(&mut [0])).await {
        Ok(ended) => Err(gone(ended)),
        Err(_) => Ok(()),
    }
}

/// What it means that a connection was read on which nobody was to say anything.
fn gone(read: io::Result<usize>) -> io::Error {
    match read {
        Ok(0) => io::ErrorKind::UnexpectedEof.into(),
        Ok(_) => panic!("the gateway speaks before it is answered"),
        Err(error) => error,
    }
}
