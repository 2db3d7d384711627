//! The door: a handle that any thread may hold.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures_util::Stream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{broadcast, oneshot, watch};

use crate::actor::hub::{Hub, HubParts};
use crate::actor::job::Job;
use crate::actor::kernel;
use crate::actor::message::{
    CloseState, Command, Crash, CrashKey, DrainAll, GetStats, Halt, ReloadAll, Remember, Submit,
};
use crate::actor::root::Root;
use crate::actor::stream::closing_time::ClosingTime;
use crate::actor::stream::handed::Handed;
use crate::actor::waiting::Hands;
use crate::board::Board;
use crate::clock::Clock;
use crate::error::SendError;
use crate::event::Event;
use crate::id::{JobId, KeyId, ProviderId};
use crate::outcome::{Served, Usage};
use crate::policy::route::Progress;
use crate::reload::{ReloadError, ReloadReport};
use crate::request::{Request, Terms};
#[cfg(test)]
use crate::spec::DAY;
use crate::spec::WheelSpec;
use crate::stats::StatsReport;
use crate::store::{Memory, Store, StoreError};
use crate::upstream::{TransportError, Upstream};

/// A running actor system. Clones are handles to the same one; it stops when the last of them goes.
#[derive(Clone)]
pub struct Wheel {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Arc<Hub>,
    runtime: Handle,
    watchers: broadcast::Sender<Event>,
    next_job: AtomicU64,
    draining: AtomicBool,
    /// The same, for those who wait for it; each job asks the other one.
    drains: watch::Sender<bool>,
}

/// A disk that hasn't answered by then is as good as none.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// Whoever follows what happens has so long to say good-bye, once everything else is done.
const FAREWELLS_WITHIN: Duration = Duration::from_millis(500);

/// Events kept for a watcher that is slow.
const EVENTS_KEPT: usize = 4_096;

impl Wheel {
    /// Starts the actors on a thread of their own, over a multi-thread runtime that HTTP tasks run on.
    ///
    /// # Errors
    /// [`StartError`] if the thread or its runtime can't be had, or the specification contradicts itself.
    pub fn start(spec: WheelSpec, upstream: Arc<dyn Upstream>) -> Result<Self, StartError> {
        Self::begin(spec, upstream, None)
    }

    /// Like [`Wheel::start`], with what `store` remembers, and with everything kept there that a restart
    /// must not forget.
    ///
    /// # Errors
    /// [`StartError`], also if what is remembered can't be read.
    pub fn remembering(
        spec: WheelSpec,
        upstream: Arc<dyn Upstream>,
        store: Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        Self::begin(spec, upstream, Some(store))
    }

    fn begin(
        spec: WheelSpec,
        upstream: Arc<dyn Upstream>,
        store: Option<Arc<dyn Store>>,
    ) -> Result<Self, StartError> {
        spec.check().map_err(StartError::Spec)?;
        let memory = store.as_ref().map_or_else(|| Ok(Memory::default()), |store| store.load())?;
        let runtime = Builder::new_multi_thread().enable_all().thread_name("keywheel").build();
        let runtime = Arc::new(runtime.map_err(StartError::System)?);
        let handle = runtime.handle().clone();
        let parts = hub_parts(&spec, upstream, Clock::start(), store, memory, handle.clone());
        let (started, start) = mpsc::channel();
        let actors = move || {
            kernel::run_system(runtime, |halt| {
                let (beginning, ready) = Beginning::of(spec, parts);
                beginning.spawn(halt);
                // The other end waits below and nowhere else.
                let _ = started.send(ready);
            });
        };
        thread::Builder::new()
            .name("keywheel-actors".to_owned())
            .spawn(actors)
            .map_err(StartError::System)?;
        let ready = start.recv().map_err(|_| StartError::ended())?;
        ready.wait(handle)
    }

    /// The runtime that HTTP tasks run on; surfaces may share it. It ends with the wheel.
    pub fn runtime(&self) -> Handle {
        self.inner.runtime.clone()
    }

    /// The clock of every moment that the wheel tells.
    pub fn clock(&self) -> Clock {
        self.inner.hub.clock
    }

    /// Sends a job and waits for its answer. Dropping the future takes the job back and ends its call.
    ///
    /// # Errors
    /// [`SendError`], by what the caller can do about it.
    pub async fn send(&self, request: Request, terms: Terms) -> Result<Answer, SendError> {
        self.submit(request, terms, Hands::Ours).await
    }

    /// Like [`Wheel::send`], but its calls are made where this future is polled instead of by tasks on the wheel's
    /// runtime, so that neither a call nor its answer crosses from one thread to another.
    ///
    /// For callers within a tokio runtime that has IO and time and ends no sooner than the wheel, and who do nothing
    /// else meanwhile: nobody looks after a call that isn't polled, its deadline included.
    ///
    /// # Errors
    /// As [`Wheel::send`].
    pub async fn send_here(&self, request: Request, terms: Terms) -> Result<Answer, SendError> {
        self.submit(request, terms, Hands::TheCallers).await
    }

    async fn submit(&self, request: Request, terms: Terms, hands: Hands) -> Result<Answer, SendError> {
        let inner = &self.inner;
        if inner.draining.load(Ordering::Acquire) {
            return Err(SendError::Draining);
        }
        let routing = inner.hub.routing();
        let candidates = routing.candidates(&request);
        let asked = routing.asked(&request, &candidates);
        let Some(progress) = Progress::new(candidates) else {
            return Err(SendError::NoRoute { model: request.model });
        };
        let provider = progress.here().provider.clone();
        let id = JobId(inner.next_job.fetch_add(1, Ordering::Relaxed));
        let hub = Arc::clone(&inner.hub);
        let (mut job, waiting) = Job::new(id, request, terms, progress, asked, routing.number, hub);
        job.hands = hands;
        inner.hub.tell_provider(&provider, Submit(job));
        waiting.await
    }

    /// What providers and keys are doing, as they publish it.
    pub fn board(&self) -> &Board {
        &self.inner.hub.board
    }

    /// What happens from now on. A reader that falls behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.watchers.subscribe()
    }

    /// What has been counted so far.
    ///
    /// Of a key without a call under way everything is there, a moment after the caller of the last one has
    /// its answer. Of the others up to 63 calls that didn't fail may still be missing; the board never lags.
    ///
    /// # Errors
    /// [`CommandError::Stopped`] if the wheel has stopped.
    pub async fn stats(&self) -> Result<StatsReport, CommandError> {
        self.inner.hub.stats.ask(GetStats).await.ok_or(CommandError::Stopped)
    }

    /// Commands one key. When this returns the command holds: a disabled key makes no further call. Whether
    /// it also holds after a restart is what it returns.
    ///
    /// # Errors
    /// [`CommandError`] if there is no such key.
    pub async fn command(&self, key: &KeyId, command: KeyCommand) -> Result<Kept, CommandError> {
        let unknown = || CommandError::NoSuchKey(key.clone());
        let provider = self.inner.hub.provider(&key.provider).ok_or_else(unknown)?;
        let order = Command { key: key.key.clone(), command };
        let obeyed = provider.ask(order).await.ok_or(CommandError::Stopped)?.ok_or_else(unknown)?;
        let kept = tokio::time::timeout(KEPT_WITHIN, obeyed).await;
        let late = || Kept::InMemory { why: "the disk doesn't answer".into() };
        kept.map_or_else(|_| Ok(late()), |kept| kept.map_err(|_| CommandError::Stopped))
    }

    /// Exchanges the configuration while jobs run. What stays keeps its state, and no job fails for it.
    ///
    /// When this returns it holds: new jobs take the new routes, and a key that isn't named any more, or is
    /// disabled now, makes no further call; calls under way end by themselves. Reloads take place one after
    /// the other. Once begun, a reload doesn't end with this future.
    ///
    /// Seed and fingerprints stay as they were at the start.
    ///
    /// # Errors
    /// [`ReloadError`]; then nothing has changed.
    pub async fn reload(&self, spec: WheelSpec) -> Result<ReloadReport, ReloadError> {
        spec.check().map_err(ReloadError::Spec)?;
        if self.inner.draining.load(Ordering::Acquire) {
            return Err(ReloadError::Draining);
        }
        let begun = self.inner.hub.root.ask(ReloadAll(Box::new(spec))).await.ok_or(ReloadError::Stopped)?;
        begun.await.map_err(|_| ReloadError::Stopped)
    }

    /// Whether what happens is kept for the next process.
    pub fn keeping(&self) -> Keeping {
        self.inner.hub.keeping.borrow().clone()
    }

    /// Makes a key's actor panic: supervision that was never tried doesn't work. False if there is none.
    pub async fn crash_key(&self, key: &KeyId) -> bool {
        match self.inner.hub.provider(&key.provider) {
            Some(provider) => provider.ask(CrashKey(key.key.clone())).await.unwrap_or(false),
            None => false,
        }
    }

    /// Makes a provider's actor panic. False if there is none.
    pub fn crash_provider(&self, id: &ProviderId) -> bool {
        self.inner.hub.provider(id).is_some_and(|provider| provider.tell(Crash).is_ok())
    }

    /// Whether it takes no more jobs, because somebody called [`Wheel::drain`].
    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    /// For somebody who tells others what happens: hears when a drain begins, and holds its end up for a moment.
    pub fn farewell(&self) -> Farewell {
        Farewell(self.inner.drains.subscribe())
    }

    /// Takes no more jobs, lets those under way end within `grace`, then stops the actors.
    pub async fn drain(&self, grace: Duration) -> DrainReport {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.drains.send_replace(true);
        let mut total = DrainReport::default();
        let until = self.clock().now() + grace;
        // A job may move from a provider that is still busy to one that had reported already.
        loop {
            let grace = until.since(self.clock().now());
            let drains = self.inner.hub.root.ask(DrainAll { grace }).await.unwrap_or_default();
            let mut round = DrainReport::default();
            for report in drains {
                let report = report.await.unwrap_or_default();
                round.finished += report.finished;
                round.cut_off += report.cut_off;
            }
            total.finished += round.finished;
            total.cut_off += round.cut_off;
            // What is left after the grace is a stream that nobody reads.
            if round == DrainReport::default() || self.clock().now() >= until {
                break;
            }
        }
        self.remember().await;
        // Whoever drains may be on a runtime without a clock.
        if self.inner.drains.receiver_count() > 0
            && tokio::time::timeout(FAREWELLS_WITHIN, self.inner.drains.closed()).await.is_err()
        {
            tracing::debug!("somebody who follows what happens doesn't hear of its end");
        }
        // Without Root the actors have stopped already.
        let _ = self.inner.hub.root.tell(Halt);
        total
    }

    /// Has everything kept that the next process should know.
    async fn remember(&self) {
        let Some(state) = &self.inner.hub.state else { return };
        for provider in self.inner.hub.providers() {
            for key in provider.ask(Remember).await.unwrap_or_default() {
                // A key that has died meanwhile told State what it had to.
                let _ = key.await;
            }
        }
        if let Some(closed) = state.ask(CloseState).await
            && tokio::time::timeout(KEPT_WITHIN, closed).await.is_err()
        {
            tracing::error!("the disk doesn't answer: the next process will remember less");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // After a drain there is nobody left to stop.
        let _ = self.hub.root.tell(Halt);
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel").finish_non_exhaustive()
    }
}

fn hub_parts(
    spec: &WheelSpec,
    upstream: Arc<dyn Upstream>,
    clock: Clock,
    store: Option<Arc<dyn Store>>,
    memory: Memory,
    runtime: Handle,
) -> HubParts {
    let cut_off = watch::Sender::new(false);
    HubParts {
        clock,
        upstream,
        board: Board::default(),
        dead_letters: Arc::default(),
        closing_time: Arc::new(ClosingTime::new(cut_off.clone(), runtime)),
        cut_off,
        seed: spec.seed.unwrap_or_else(|| fastrand::u64(..)),
        fingerprints: spec.fingerprints.clone(),
        keeping: watch::Sender::new(if store.is_some() { Keeping::Durably } else { Keeping::Nothing }),
        store,
        memory: Arc::new(Mutex::new(memory)),
    }
}

/// A wheel whose Root is about to start.
struct Beginning {
    spec: WheelSpec,
    parts: HubParts,
    watchers: broadcast::Sender<Event>,
    ready: oneshot::Sender<Arc<Hub>>,
}

/// A wheel whose Root is starting.
struct Ready {
    hub: oneshot::Receiver<Arc<Hub>>,
    watchers: broadcast::Sender<Event>,
}

impl Beginning {
    fn of(spec: WheelSpec, parts: HubParts) -> (Self, Ready) {
        let (ready, hub) = oneshot::channel();
        let (watchers, _) = broadcast::channel(EVENTS_KEPT);
        let ready_end = Ready { hub, watchers: watchers.clone() };
        (Self { spec, parts, watchers, ready }, ready_end)
    }

    /// In the System of this thread.
    fn spawn(self, halt: kernel::Halt) {
        let clock = self.parts.clock;
        let root = Root::new(self.spec, self.parts, self.watchers, self.ready, halt);
        kernel::spawn_child(root, clock, Box::new(|_| {}));
    }
}

impl Ready {
    fn wait(self, runtime: Handle) -> Result<Wheel, StartError> {
        let Self { hub, watchers } = self;
        // Whoever starts a wheel may be on a runtime of its own, where tokio's channels refuse to block.
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move { hub.await.map(|hub| tell.send(hub)) });
        let hub = told.recv().map_err(|_| StartError::ended())?;
        Ok(wheel(hub, watchers, runtime))
    }
}

fn wheel(hub: Arc<Hub>, watchers: broadcast::Sender<Event>, runtime: Handle) -> Wheel {
    let inner = Inner {
        hub,
        runtime,
        watchers,
        next_job: AtomicU64::new(1),
        draining: AtomicBool::new(false),
        drains: watch::Sender::new(false),
    };
    Wheel { inner: Arc::new(inner) }
}

/// Runs `story` with a wheel on a paused clock: hours pass in milliseconds, and to the nanosecond.
#[cfg(test)]
pub(crate) fn paused<F: Future>(
    spec: WheelSpec,
    upstream: Arc<dyn Upstream>,
    story: impl FnOnce(Wheel) -> F,
) -> F::Output {
    paused_remembering(spec, upstream, None, std::time::UNIX_EPOCH + DAY * 20_000, story)
}

/// Like [`paused`], with a store, beginning at `date`.
#[cfg(test)]
pub(crate) fn paused_remembering<F: Future>(
    spec: WheelSpec,
    upstream: Arc<dyn Upstream>,
    store: Option<Arc<dyn Store>>,
    date: std::time::SystemTime,
    story: impl FnOnce(Wheel) -> F,
) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    kernel::block_on(runtime, |halt| async {
        spec.check().expect("a sound specification");
        let spec = WheelSpec { seed: spec.seed.or(Some(1)), ..spec };
        let memory = store.as_ref().map(|store| store.load().expect("the store can be read"));
        let clock = Clock::starting_at(date);
        let parts = hub_parts(&spec, upstream, clock, store, memory.unwrap_or_default(), Handle::current());
        let (beginning, ready) = Beginning::of(spec, parts);
        beginning.spawn(halt);
        let Ready { hub, watchers } = ready;
        let hub = hub.await.expect("Root starts");
        story(wheel(hub, watchers, Handle::current())).await
    })
}

/// What somebody wants of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyCommand {
    /// Use it no more.
    Disable,
    /// Use it again, whatever it was.
    Enable,
    /// Let it rest for so long.
    Rest(Duration),
    /// Forget its failures and rests.
    Reset,
}

/// Held by those who tell others what happens: a drain ends when all of them are dropped, or a moment later.
#[derive(Debug)]
pub struct Farewell(watch::Receiver<bool>);

impl Farewell {
    /// Waits until somebody calls [`Wheel::drain`], or for ever when the wheel is gone without.
    pub async fn said(&mut self) {
        if self.0.wait_for(|drains| *drains).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether something that holds now also holds after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It is on disk.
    Durably,
    /// It isn't.
    InMemory {
        /// Why.
        why: Arc<str>,
    },
}

impl Kept {
    pub(crate) fn not() -> Self {
        Self::InMemory { why: "this wheel has no store".into() }
    }
}

/// Whether what happens is kept for the next process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// There is no store.
    Nothing,
    /// All of it, within seconds.
    Durably,
    /// Not at the moment.
    Failing {
        /// Why.
        why: Arc<str>,
    },
}

/// A served job.
#[derive(Debug)]
pub struct Answer {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
    /// Who served it, after which attempts.
    pub served: Served,
    /// Tokens used, when the body is whole and told.
    pub usage: Option<Usage>,
}

/// The body of an answer.
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// From the first event on. An error inside is the only sign of a cut; a clean end is a whole answer.
    Stream(AnswerStream),
}

/// An answer that comes in pieces. Dropped before its closing event, it cancels its call.
pub struct AnswerStream(Handed);

impl AnswerStream {
    pub(crate) fn new(handed: Handed) -> Self {
        Self(handed)
    }

    /// Tokens used, once it has ended well and if it told.
    pub fn usage(&self) -> Option<Usage> {
        self.0.usage()
    }

    /// Tokens that have been seen to be used so far, wherever it ends: what it has told, and at least as much output as
    /// its events amount to. `None` of bytes that aren't events.
    pub fn seen(&self) -> Option<Usage> {
        self.0.seen()
    }

    /// Whether all of it has been handed out, as far as the stream says so itself: with its closing event. Nothing is
    /// missing then, though its end may not have come.
    pub fn is_handed_out(&self) -> bool {
        self.0.is_handed_out()
    }
}

impl Stream for AnswerStream {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.get_mut().0).poll_next(task)
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// How a drain went.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DrainReport {
    /// Jobs that ended by themselves while draining.
    pub finished: u64,
    /// Jobs that were still there when the grace was over; each was answered with an error.
    pub cut_off: u64,
}

/// Why a wheel didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread or no runtime.
    #[error("can't start the actor system")]
    System(#[source] std::io::Error),
    /// The specification contradicts itself.
    #[error("{0}")]
    Spec(String),
    /// What an earlier process left can't be read.
    #[error("can't read what is remembered")]
    Store(#[from] StoreError),
}

impl StartError {
    fn ended() -> Self {
        Self::System(std::io::Error::other("its thread ended at once"))
    }
}

/// Why a command wasn't carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such key.
    #[error("there is no key `{0}`")]
    NoSuchKey(KeyId),
    /// The wheel has stopped.
    #[error("the wheel has stopped")]
    Stopped,
}
