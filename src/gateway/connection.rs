//! A client's connection, and how slowly one may ask and listen there.
//!
//! actix measures the time of a connection's first head only, drains a refused body for as long as it comes, and
//! waits for ever for a client that takes nothing of its answer. Here each head has its time, from its first byte
//! on, and who takes nothing for long is left: the answer is dropped, and with it the call and its key's place.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::Extensions;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use keywheel_actors::clock::{Clock, Moment};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a client may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a request to the end of its head.
    pub(super) head: Duration,
    /// Until its next request.
    pub(super) idle: Duration,
    /// Until it takes the next byte of its answer.
    pub(super) send: Duration,
}

/// What a connection is at.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its last answer ended then, and nothing has come since.
    Idle(Moment),
    /// Bytes come since then that aren't a whole head yet; or they are the rest of a body that nobody wants.
    Asking(Moment),
    /// A request has come and hasn't been answered to its end.
    Answering,
}

/// A connection that its client can't hold for ever.
pub(super) struct Connection {
    socket: TcpStream,
    clock: Clock,
    patience: Patience,
    stage: Rc<Cell<Stage>>,
    asked_by: Alarm,
    /// Since when its client takes nothing although there is something.
    stuck: Option<Moment>,
    taken_by: Alarm,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, clock: Clock, patience: Patience) -> Self {
        // Without it the pieces of a stream wait for each other's acknowledgements.
        let _ = socket.set_nodelay(true);
        let stage = Rc::new(Cell::new(Stage::Idle(clock.now())));
        let (asked_by, taken_by) = (Alarm::default(), Alarm::default());
        Self { socket, clock, patience, stage, asked_by, stuck: None, taken_by }
    }

    /// Has its requests know of it.
    pub(super) fn introduce(&self, data: &mut Extensions) {
        data.insert(Introduced { stage: Rc::clone(&self.stage), clock: self.clock });
    }

    /// Whether its client has had its time to ask.
    fn is_late(&mut self, task: &mut Context<'_>) -> bool {
        let due = match self.stage.get() {
            Stage::Answering => return false,
            Stage::Asking(since) => since + self.patience.head,
            // A head may have begun behind the last one, with the same bytes.
            Stage::Idle(since) => since + self.patience.idle + self.patience.head,
        };
        self.asked_by.poll(due, self.clock, task).is_ready()
    }

    /// Takes note of what became of bytes to be sent.
    fn sent(&mut self, sent: Poll<io::Result<usize>>, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if sent.is_ready() {
            self.stuck = None;
            return sent;
        }
        let since = *self.stuck.get_or_insert_with(|| self.clock.now());
        ready!(self.taken_by.poll(since + self.patience.send, self.clock, task));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_late(task) {
            // As if it had closed its side: what it was told already still reaches it.
            return Poll::Ready(Ok(()));
        }
        let filled = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(task, buffer);
        if let Stage::Idle(_) = this.stage.get()
            && buffer.filled().len() > filled
        {
            this.stage.set(Stage::Asking(this.clock.now()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.socket).poll_write(task, bytes);
        this.sent(sent, task)
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(task)
    }
}

/// Rings at a moment that is mostly put off before it comes: it is set anew only when it has rung too early.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn poll(&mut self, due: Moment, clock: Clock, task: &mut Context<'_>) -> Poll<()> {
        let at = clock.instant(due);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(task));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

/// What the requests of a connection know of it.
struct Introduced {
    stage: Rc<Cell<Stage>>,
    clock: Clock,
}

/// A request's hold on its connection: until it is dropped, the client needn't ask for anything.
pub(super) struct Attention {
    of: Option<(Rc<Cell<Stage>>, Clock)>,
}

impl Attention {
    /// Of a request whose head has come.
    pub(super) fn paid_to(request: &HttpRequest) -> Self {
        let of = request.conn_data::<Introduced>().map(|of| (Rc::clone(&of.stage), of.clock));
        if let Some((stage, _)) = &of {
            stage.set(Stage::Answering);
        }
        Self { of }
    }

    /// Is paid until the answer has been handed over to its end.
    pub(super) fn until_answered(self, answer: HttpResponse) -> HttpResponse<Attended> {
        answer.map_body(|_, body| Attended { body, _attention: self })
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        if let Some((stage, clock)) = &self.of {
            stage.set(Stage::Idle(clock.now()));
        }
    }
}

/// The body of an answer, as long as it holds its connection.
pub(super) struct Attended {
    body: BoxBody,
    _attention: Attention,
}

impl MessageBody for Attended {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(task)
    }
}
