//! A connection's bytes: plain or by TLS, without waiting where there is nothing to wait for.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::feed::Feed;

/// What a buffer begins with: heads and bodies of most answers, and what a stream says at once, in one reading.
const BUFFER_BYTES_FIRST: usize = 16 << 10;
/// What it shrinks to while little comes.
const BUFFER_BYTES_MIN: usize = 4 << 10;
/// What it grows to while whole buffers keep coming. More doesn't make reading cheaper.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// A connection.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Addresses may hold what a user wants unseen.
impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Socket::Plain",
            Self::Tls(_) => "Socket::Tls",
        })
    }
}

impl Socket {
    /// Whether nothing has come on an idle connection: neither its end nor an answer that nobody asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Plain(tcp) => {
                matches!(tcp.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(tls) => {
                let mut nobody = Context::from_waker(Waker::noop());
                Pin::new(tls).poll_read(&mut nobody, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }

    /// Reads what has come; 0 is the end.
    pub(super) fn poll_read(&mut self, inbox: &mut Inbox, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = match self {
            Self::Plain(tcp) => {
                // Whoever waits needs no buffer.
                if tcp.poll_read_ready(task)?.is_pending() {
                    inbox.rest();
                    return Poll::Pending;
                }
                inbox.make_room();
                pin!(tcp.read_buf(&mut inbox.buffer)).poll(task)
            }
            Self::Tls(tls) => {
                inbox.make_room();
                let read = pin!(tls.read_buf(&mut inbox.buffer)).poll(task);
                if read.is_pending() && inbox.buffer.is_empty() {
                    inbox.buffer = BytesMut::new();
                }
                read
            }
        };
        let bytes = ready!(read)?;
        inbox.note(bytes);
        Poll::Ready(Ok(bytes))
    }

    /// Writes `outbox` to its end.
    pub(super) fn poll_write(&mut self, outbox: &mut Outbox, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => poll_write(tcp, outbox, task),
            Self::Tls(tls) => {
                ready!(poll_write(&mut **tls, outbox, task))?;
                Pin::new(tls).poll_flush(task)
            }
        }
    }
}

fn poll_write(
    stream: &mut (impl AsyncWrite + Unpin),
    outbox: &mut Outbox,
    task: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !outbox.is_empty() || ready!(outbox.poll_refill(task))? {
        let parts = [IoSlice::new(&outbox.head), IoSlice::new(&outbox.body)];
        let bytes = ready!(Pin::new(&mut *stream).poll_write_vectored(task, &parts))?;
        if bytes == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        outbox.take(bytes);
    }
    Poll::Ready(Ok(()))
}

/// What is still to be sent of a request.
pub(super) struct Outbox {
    head: BytesMut,
    body: Bytes,
    /// Where more comes from.
    feed: Option<Box<Feed>>,
    has_begun: bool,
    is_starved: bool,
}

impl Outbox {
    pub(super) const fn new(head: BytesMut, body: Bytes) -> Self {
        Self { head, body, feed: None, has_begun: false, is_starved: false }
    }

    /// With a body that comes as it is sent.
    pub(super) fn feeding(head: BytesMut, feed: Feed) -> Self {
        Self { feed: Some(Box::new(feed)), ..Self::new(head, Bytes::new()) }
    }

    /// Whether what was to be sent broke off on its way here.
    pub(super) const fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Takes more to send, once all that was there has been sent. False at the end.
    fn poll_refill(&mut self, task: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(feed) = &mut self.feed else { return Poll::Ready(Ok(false)) };
        match ready!(feed.poll_frame(task)) {
            Ok(Some((head, body))) => {
                (self.head, self.body) = (head, body);
                Poll::Ready(Ok(true))
            }
            Ok(None) => {
                self.feed = None;
                Poll::Ready(Ok(false))
            }
            Err(error) => {
                self.is_starved = true;
                Poll::Ready(Err(error))
            }
        }
    }

    /// Whether any byte has been sent.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    fn take(&mut self, bytes: usize) {
        self.has_begun = true;
        let of_head = bytes.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(bytes - of_head);
        if self.is_empty() {
            // Whoever waits for an answer holds no more than must be.
            (self.head, self.body) = (BytesMut::new(), Bytes::new());
        }
    }
}

/// What has come and isn't read yet, and room for more.
pub(super) struct Inbox {
    pub(super) buffer: BytesMut,
    /// How much room to make.
    room: usize,
    /// How much there was when it was read last.
    offered: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), room: BUFFER_BYTES_FIRST, offered: 0 }
    }

    /// Uses what is left of a buffer as long as reading into it is worth while; whatever of it has been given away
    /// and dropped meanwhile is used again.
    fn make_room(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < self.room / 4 {
            self.buffer.reserve(self.room);
        }
        self.offered = self.buffer.capacity() - self.buffer.len();
    }

    /// Gives a buffer away that has grown: who waits for the next word of a stream holds a small one at most.
    fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_MIN {
            self.buffer = BytesMut::new();
        }
    }

    /// Grows while everything is filled, shrinks when little comes.
    fn note(&mut self, bytes: usize) {
        if bytes >= self.offered {
            self.room = (self.room * 2).min(BUFFER_BYTES_MAX);
        } else if bytes < self.room / 4 {
            self.room = (self.room / 2).max(BUFFER_BYTES_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_under_load_and_shrinks_again() {
        let mut inbox = Inbox::new();
        for room in [32 << 10, 64 << 10, 64 << 10] {
            inbox.make_room();
            inbox.note(inbox.offered);
            assert_eq!(inbox.room, room);
        }
        for room in [32 << 10, 16 << 10, 8 << 10, 4 << 10, 4 << 10] {
            inbox.make_room();
            inbox.note(100);
            assert_eq!(inbox.room, room);
        }
    }

    #[test]
    fn who_waits_holds_a_small_buffer_at_most() {
        let mut inbox = Inbox::new();
        inbox.make_room();
        assert_eq!(inbox.buffer.capacity(), BUFFER_BYTES_FIRST);
        inbox.rest();
        assert_eq!(inbox.buffer.capacity(), 0);
        inbox.room = BUFFER_BYTES_MIN;
        inbox.make_room();
        inbox.rest();
        assert_eq!(inbox.buffer.capacity(), BUFFER_BYTES_MIN);
        inbox.room = BUFFER_BYTES_MAX;
        inbox.make_room();
        inbox.buffer.extend_from_slice(b"begun");
        inbox.rest();
        assert_eq!(&inbox.buffer[..], b"begun");
        inbox.buffer.clear();
        inbox.rest();
        assert_eq!(inbox.buffer.capacity(), 0);
    }

    #[test]
    fn an_outbox_is_sent_part_by_part() {
        let mut outbox = Outbox::new(BytesMut::from("head"), Bytes::from_static(b"body"));
        assert!(!outbox.has_begun());
        outbox.take(3);
        assert!(outbox.has_begun());
        outbox.take(3);
        assert_eq!((&outbox.head[..], &outbox.body[..], outbox.is_empty()), (&b""[..], &b"dy"[..], false));
        outbox.take(2);
        assert!(outbox.is_empty());
    }
}
