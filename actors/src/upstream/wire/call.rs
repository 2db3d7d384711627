//! One call: it owns its connection until its answer has ended well.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::Method;
use bytes::Bytes;
use futures_util::Stream;

use super::super::{Response, TransportError};
use super::Malformed;
use super::answer::{Head, HeadReader};
use super::body::{AtClose, Decoder};
use super::connect::{connect, words};
use super::framing::Connection;
use super::socket::{Inbox, Outbox, Socket};
use super::target::Origin;

/// A request that is ready to leave.
pub(super) struct Request {
    pub(super) origin: Arc<Origin>,
    pub(super) method: Method,
    pub(super) outbox: Outbox,
    /// Turns true when it must not leave any more.
    pub(super) withdrawn: Option<Arc<AtomicBool>>,
}

/// How to connect, if it must be.
pub(super) struct Dialling {
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) within: Duration,
}

/// Sends a request, and gives the answer when its head is there.
///
/// A request goes out on a second connection only if the first was an idle one that took not a single byte: then
/// the server can't have seen it. Whatever has left may have been heard, and paid for.
pub(super) async fn exchange(request: Request, dialling: Dialling) -> Result<Response, TransportError> {
    let Request { origin, method, mut outbox, withdrawn } = request;
    let mut idle = origin.take_idle();
    loop {
        let is_reused = idle.is_some();
        let socket = match idle.take() {
            Some(socket) => socket,
            // Rare and large: it isn't part of each call's future.
            None => Box::pin(connect(&origin, &dialling.tls, dialling.within)).await?,
        };
        // To connect takes long enough for an operator to say that it must not leave.
        if withdrawn.as_ref().is_some_and(|withdrawn| withdrawn.load(Ordering::Acquire)) {
            origin.give_back(socket);
            return Err(TransportError::Withdrawn);
        }
        tracing::trace!(server = origin.authority, method = %method, is_reused, "request leaves");
        let mut exchange = Exchange {
            socket,
            outbox,
            inbox: Inbox::new(),
            method: &method,
            reader: HeadReader::default(),
            sending: Sending::Under,
        };
        match poll_fn(|task| exchange.poll_head(task)).await {
            Ok(head) => return Ok(exchange.respond(head, &origin)),
            Err(_) if is_reused && !exchange.outbox.has_begun() => outbox = exchange.outbox,
            Err(error) => return Err(error),
        }
    }
}

/// A request on its way out and its answer's head on its way in.
struct Exchange<'a> {
    socket: Socket,
    outbox: Outbox,
    inbox: Inbox,
    method: &'a Method,
    reader: HeadReader,
    sending: Sending,
}

/// How far the request is.
#[derive(Debug)]
enum Sending {
    Under,
    Sent,
    /// The server takes no more; it may have said why.
    Broken(io::Error),
}

impl Exchange<'_> {
    /// Sends and receives at once: a server may answer a long request before it has read all of it.
    fn poll_head(&mut self, task: &mut Context<'_>) -> Poll<Result<Head, TransportError>> {
        if let Sending::Under = self.sending
            && let Poll::Ready(sent) = self.socket.poll_write(&mut self.outbox, task)
        {
            self.sending = match sent {
                Ok(()) => Sending::Sent,
                Err(_) if self.outbox.is_starved() => {
                    let why = "the request's body broke off".to_owned();
                    return Poll::Ready(Err(TransportError::Unsendable(why)));
                }
                Err(error) if self.outbox.has_begun() => Sending::Broken(error),
                Err(error) => return Poll::Ready(Err(self.lost(&error))),
            };
        }
        loop {
            match ready!(self.socket.poll_read(&mut self.inbox, task)) {
                Ok(0) => return Poll::Ready(Err(self.lost(&io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.lost(&error))),
            }
            let head = self.reader.read(&mut self.inbox.buffer, self.method);
            if let Some(head) = head.map_err(malformed)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// The end without an answer. What went wrong first tells most.
    fn lost(&self, error: &io::Error) -> TransportError {
        let what = match &self.sending {
            Sending::Under | Sending::Sent if error.kind() == io::ErrorKind::UnexpectedEof => {
                return TransportError::Lost("the connection was closed".to_owned());
            }
            Sending::Under | Sending::Sent => words(error),
            Sending::Broken(first) => words(first),
        };
        TransportError::Lost(what)
    }

    fn respond(self, head: Head, origin: &Arc<Origin>) -> Response {
        let Head { status, headers, framing, connection } = head;
        tracing::trace!(server = origin.authority, %status, ?framing, ?connection, "answer begins");
        let (unsent, is_sent) = match self.sending {
            Sending::Under => (Some(Box::new(self.outbox)), false),
            Sending::Sent => (None, true),
            Sending::Broken(_) => (None, false),
        };
        let home = (is_sent && connection == Connection::Keep).then(|| Arc::clone(origin));
        let open = Some(Open { socket: self.socket, unsent, home });
        let mut body = Body { decoder: Decoder::new(framing), inbox: self.inbox, open };
        body.release_if_whole();
        Response { status, headers, body: Box::pin(body) }
    }
}

fn malformed(mistake: Malformed) -> TransportError {
    TransportError::Lost(format!("the answer can't be understood: {mistake}"))
}

/// The body of an answer, with the connection it comes by.
struct Body {
    decoder: Decoder,
    inbox: Inbox,
    /// Until the answer has ended, well or not. Dropped before, it is closed.
    open: Option<Open>,
}

struct Open {
    socket: Socket,
    /// The rest of a request that was answered before its end. The server may want it before it goes on.
    unsent: Option<Box<Outbox>>,
    /// Where the connection goes after a good end; nowhere if it must be closed.
    home: Option<Arc<Origin>>,
}

impl Open {
    /// Sends what can be sent. A server that takes no more has said so in its answer.
    fn send_on(&mut self, task: &mut Context<'_>) {
        if let Some(outbox) = &mut self.unsent
            && self.socket.poll_write(outbox, task).is_ready()
        {
            self.unsent = None;
        }
    }
}

impl Body {
    /// Gives the connection back at the moment of the last byte: whoever reads the body may take his time, or may
    /// not look for its end at all. Bytes behind the end belong to no answer, and with such a connection nobody can
    /// tell what comes next.
    fn release_if_whole(&mut self) {
        if self.decoder.is_whole()
            && let Some(Open { socket, unsent: None, home: Some(origin) }) = self.open.take()
            && self.inbox.buffer.is_empty()
        {
            tracing::trace!(server = origin.authority, "connection waits for its next call");
            origin.give_back(socket);
        }
    }

    fn cut(&mut self, why: String) -> Poll<Option<Result<Bytes, TransportError>>> {
        self.open = None;
        Poll::Ready(Some(Err(TransportError::Cut(why))))
    }
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(open) = &mut this.open else { return Poll::Ready(None) };
            let data = match this.decoder.decode(&mut this.inbox.buffer) {
                Ok(data) => data,
                Err(mistake) => return this.cut(mistake.to_string()),
            };
            if !data.is_empty() {
                this.release_if_whole();
                return Poll::Ready(Some(Ok(data)));
            }
            if this.decoder.is_whole() {
                this.release_if_whole();
                return Poll::Ready(None);
            }
            open.send_on(task);
            match ready!(open.socket.poll_read(&mut this.inbox, task)) {
                Ok(0) => match this.decoder.close() {
                    AtClose::Whole => this.open = None,
                    AtClose::Cut => return this.cut("the connection was closed too early".to_owned()),
                },
                Ok(_) => {}
                Err(error) => return this.cut(words(&error)),
            }
        }
    }
}
