//! Connections that wait for their next call.
//!
//! The one that was used last is used next: the others age, and go. A connection that waits has no buffer and no
//! task; whether its server has hung up is looked at when somebody wants it.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::super::http::{IDLE_CONNECTION_AGE, IDLE_CONNECTIONS_MAX};
use super::socket::Socket;
use super::target::Origin;

/// How long idle connections may stay beyond their age: one look for all whose time comes meanwhile.
const SWEEP_GRACE: Duration = Duration::from_secs(1);

/// The idle connections to one server, the one used last at the back.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    idle: VecDeque<Idle>,
    sweeper: Sweeper,
}

#[derive(Debug)]
struct Idle {
    socket: Socket,
    since: Instant,
}

/// Whether somebody will come for those that grow old.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Sweeper {
    #[default]
    None,
    Coming,
}

impl Origin {
    /// Takes a connection whose server hasn't hung up, as far as is known here.
    pub(super) fn take_idle(&self) -> Option<Socket> {
        loop {
            // Whatever is closed is closed behind the lock.
            let mut idle = self.shelf().idle.pop_back()?;
            if idle.since.elapsed() >= IDLE_CONNECTION_AGE {
                // The others are older still.
                let others = std::mem::take(&mut self.shelf().idle);
                drop(others);
                return None;
            }
            if idle.socket.is_quiet() {
                return Some(idle.socket);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn give_back(self: &Arc<Self>, socket: Socket) {
        let idle = Idle { socket, since: Instant::now() };
        let mut shelf = self.shelf();
        let eldest = if shelf.idle.len() >= IDLE_CONNECTIONS_MAX { shelf.idle.pop_front() } else { None };
        shelf.idle.push_back(idle);
        let sweeper = std::mem::replace(&mut shelf.sweeper, Sweeper::Coming);
        drop(shelf);
        drop(eldest);
        if sweeper == Sweeper::None {
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(Round { origin: Arc::downgrade(self) }.walk())),
                // Without a runtime nothing can wait; the next call looks after the old ones.
                Err(_) => self.shelf().sweeper = Sweeper::None,
            }
        }
    }

    /// Closes the connections that are too old, and says when to come again; never, if there are none.
    fn sweep(&self) -> Option<Instant> {
        let mut shelf = self.shelf();
        let young = shelf.idle.partition_point(|idle| idle.since.elapsed() >= IDLE_CONNECTION_AGE);
        let old: Vec<Idle> = shelf.idle.drain(..young).collect();
        let next = shelf.idle.front().map(|idle| idle.since + IDLE_CONNECTION_AGE + SWEEP_GRACE);
        if next.is_none() {
            shelf.sweeper = Sweeper::None;
            shelf.idle.shrink_to_fit();
        }
        drop(shelf);
        drop(old);
        next
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round for connections that grow old while nobody calls. Dropped before its end, with a caller's runtime, it has
/// the next call send another.
struct Round {
    origin: Weak<Origin>,
}

impl Round {
    /// Goes on until no connection is left.
    async fn walk(mut self) {
        let mut next = Instant::now() + IDLE_CONNECTION_AGE + SWEEP_GRACE;
        loop {
            sleep_until(next).await;
            let Some(origin) = self.origin.upgrade() else { return };
            match origin.sweep() {
                Some(again) => next = again,
                None => break,
            }
        }
        // Somebody else may have been sent since.
        self.origin = Weak::new();
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if let Some(origin) = self.origin.upgrade() {
            origin.shelf().sweeper = Sweeper::None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net;

    use tokio::net::TcpStream;
    use tokio::runtime::Builder;
    use tokio::time::advance;

    use super::super::target::Targets;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A server, an origin that leads to it, and a clock that stands still.
    struct Desk {
        listener: net::TcpListener,
        origin: Arc<Origin>,
    }

    impl Desk {
        fn story(tell: impl AsyncFnOnce(&Desk)) {
            Self::new().run(tell);
        }

        fn new() -> Self {
            let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("it listens");
            let target = Targets::default().of(&format!("http://{address}").into()).expect("an address");
            Self { listener, origin: Arc::clone(&target.origin) }
        }

        /// Runs this on a runtime of its own, which ends with it.
        fn run(&self, tell: impl AsyncFnOnce(&Desk)) {
            let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.expect("a runtime").block_on(tell(self));
        }

        /// Puts a connection on the shelf. Gives its other end.
        fn give_back(&self) -> net::TcpStream {
            let near = net::TcpStream::connect(self.listener.local_addr().expect("it listens"));
            let near = near.expect("a connection");
            near.set_nonblocking(true).expect("a socket");
            let near = TcpStream::from_std(near).expect("a socket");
            self.origin.give_back(Socket::Plain(near));
            self.listener.accept().expect("a connection").0
        }
    }

    fn leads_to(socket: Option<Socket>, peer: &net::TcpStream) -> bool {
        let Some(Socket::Plain(near)) = socket else { return false };
        near.local_addr().ok() == peer.peer_addr().ok()
    }

    #[test]
    fn the_one_used_last_is_used_next() {
        Desk::story(async |desk| {
            let peers = [desk.give_back(), desk.give_back(), desk.give_back()];
            for peer in peers.iter().rev() {
                assert!(leads_to(desk.origin.take_idle(), peer));
            }
            assert!(desk.origin.take_idle().is_none());
        });
    }

    #[test]
    fn what_is_too_old_is_not_used() {
        Desk::story(async |desk| {
            let _old = desk.give_back();
            advance(10 * SECOND).await;
            let young = desk.give_back();
            advance(49 * SECOND).await;
            assert!(leads_to(desk.origin.take_idle(), &young));
            assert!(desk.origin.take_idle().is_none());
        });
    }

    #[test]
    fn what_is_too_old_is_closed_also_when_nobody_calls() {
        Desk::story(async |desk| {
            let mut old = desk.give_back();
            tokio::time::sleep(10 * SECOND).await;
            let mut young = desk.give_back();
            tokio::time::sleep(42 * SECOND).await;
            assert_eq!(old.read(&mut [0]).ok(), Some(0));
            young.set_nonblocking(true).expect("a socket");
            assert!(young.read(&mut [0]).is_err());
            tokio::time::sleep(10 * SECOND).await;
            assert_eq!(young.read(&mut [0]).ok(), Some(0));
            // Another sweeper comes for those that are given back later.
            let mut later = desk.give_back();
            tokio::time::sleep(52 * SECOND).await;
            assert_eq!(later.read(&mut [0]).ok(), Some(0));
        });
    }

    #[test]
    fn what_is_too_old_is_closed_though_the_runtime_of_its_sweeper_has_ended() {
        let desk = Desk::new();
        let mut peers = Vec::new();
        desk.run(async |desk| peers.push(desk.give_back()));
        desk.run(async |desk| {
            peers.push(desk.give_back());
            tokio::time::sleep(62 * SECOND).await;
        });
        for mut peer in peers {
            assert_eq!(peer.read(&mut [0]).ok(), Some(0));
        }
    }
}
