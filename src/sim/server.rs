//! The listening socket and its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keywheel_actors::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::ledger::Ledger;
use super::run::Run;
use super::script::{BadChange, Change};
use super::service::{Era, answer};
use super::spec::SimSpec;

/// Rest after a failed accept, which is mostly a lack of file descriptors: enough to let some be closed.
const ACCEPT_FAILURE_REST: Duration = Duration::from_millis(50);

/// A simulated provider that listens. It stops when dropped.
#[derive(Debug)]
pub struct Sim {
    addr: SocketAddr,
    stage: Arc<Stage>,
    home: Home,
}

/// Where it runs.
#[derive(Debug)]
enum Home {
    /// On the runtime of whoever started it.
    Task(JoinHandle<()>),
    /// On a thread and a runtime of its own. Dropping `stop` ends it.
    Thread {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<std::thread::JoinHandle<()>>,
        schedstat: String,
    },
}

/// What all connections share.
#[derive(Debug)]
struct Stage {
    spec: Arc<SimSpec>,
    era: RwLock<Arc<Era>>,
}

impl Stage {
    fn new(spec: SimSpec) -> Arc<Self> {
        let spec = Arc::new(spec);
        Arc::new(Self { era: RwLock::new(Self::open(&spec)), spec })
    }

    fn open(spec: &Arc<SimSpec>) -> Arc<Era> {
        Arc::new(Era { clock: Clock::start(), run: Run::new(Arc::clone(spec)) })
    }

    fn era(&self) -> Arc<Era> {
        Arc::clone(&self.era.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sim {
    /// Listens and answers on the current tokio runtime. Its time starts now.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with all [`SimSpec::mistakes`], or why it can't listen.
    pub async fn start(spec: SimSpec) -> io::Result<Self> {
        check(&spec)?;
        let listener = TcpListener::bind(spec.listen).await?;
        let addr = listener.local_addr()?;
        let stage = Stage::new(spec);
        let home = Home::Task(tokio::spawn(accept(listener, Arc::clone(&stage))));
        Ok(Self { addr, stage, home })
    }

    /// Listens and answers on a thread of its own, so that its CPU time can be told from its callers'.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub fn start_on_thread(spec: SimSpec) -> io::Result<Self> {
        check(&spec)?;
        let listener = std::net::TcpListener::bind(spec.listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let stage = Stage::new(spec);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell_schedstat, schedstat) = std::sync::mpsc::sync_channel(1);
        let accepting = accept(listener, Arc::clone(&stage));
        let thread = std::thread::Builder::new().name("keywheel-sim".to_owned()).spawn(move || {
            // Linux only; elsewhere the path doesn't exist and CPU time is unknown.
            let task = std::fs::read_link("/proc/thread-self").unwrap_or_default();
            let _ = tell_schedstat.send(format!("/proc/{}/schedstat", task.display()));
            runtime.block_on(async {
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        })?;
        let schedstat = schedstat.recv().unwrap_or_default();
        Ok(Self { addr, stage, home: Home::Thread { stop: Some(stop), thread: Some(thread), schedstat } })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What clients take as their base URL: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// What it was made from.
    pub fn spec(&self) -> &SimSpec {
        &self.stage.spec
    }

    /// A copy of the books, without request ids.
    pub fn ledger(&self) -> Ledger {
        let era = self.stage.era();
        era.run.ledger(era.clock.now())
    }

    /// A copy of the books with what happened to each request id. Slow when there are millions.
    pub fn ledger_with_requests(&self) -> Ledger {
        let era = self.stage.era();
        era.run.ledger_with_requests(era.clock.now())
    }

    /// Makes a change now, beside the script.
    ///
    /// # Errors
    /// [`BadChange`] if it is impossible: no such key, or a share out of range.
    pub fn apply(&self, change: Change) -> Result<(), BadChange> {
        let era = self.stage.era();
        era.run.change_now(era.clock.now(), change)
    }

    /// Starts anew: its time is zero, the script begins, limits are full, the books empty.
    ///
    /// Connections stay open. Calls under way end as they were decided, in the old books.
    pub fn reset(&self) {
        let era = Stage::open(&self.stage.spec);
        *self.stage.era.write().unwrap_or_else(PoisonError::into_inner) = era;
    }

    /// CPU time used so far, if it runs on its own thread and the system (Linux) tells.
    pub fn cpu_time(&self) -> Option<Duration> {
        let Home::Thread { schedstat, .. } = &self.home else { return None };
        // The first number is the time on a CPU in ns. Source: Linux, Documentation/scheduler/sched-stats.rst.
        let nanos = std::fs::read_to_string(schedstat).ok()?.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    }

    /// Stops: its port is free and all its connections are closed when this returns.
    pub async fn stop(mut self) {
        match &mut self.home {
            Home::Task(task) => {
                task.abort();
                // Aborted, so its end is an error by name.
                let _ = task.await;
            }
            Home::Thread { .. } => {}
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        match &mut self.home {
            Home::Task(task) => task.abort(),
            Home::Thread { stop, thread, .. } => {
                drop(stop.take());
                let _ = thread.take().map(std::thread::JoinHandle::join);
            }
        }
    }
}

fn check(spec: &SimSpec) -> io::Result<()> {
    let mistakes = spec.mistakes();
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, mistakes.join("; ")))
}

/// Takes connections until it is dropped; they end with it.
async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let era = stage.era();
                    if !era.run.refuses_connection(era.clock.now()) {
                        connections.spawn(serve(stream, Arc::clone(&stage)));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_FAILURE_REST).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, stage: Arc<Stage>) {
    // Without it a chunk of a stream may wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "can't set TCP_NODELAY");
    }
    let service = service_fn(|request| answer(stage.era(), request));
    // Events that are ready together are copied into one buffer and written at once; in a list of buffers hyper would
    // write every sixteen.
    let mut http = http1::Builder::new();
    http.writev(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
