//! A thin kernel over actix: what an actor is here, and the only file that names actix.
//!
//! An actor is a plain value with three duties: [`Life`] (start, alarm, what it
//! leaves behind) and one [`On`] per message. The kernel adds what actix lacks:
//! mailboxes that never refuse, a message given back when its receiver is gone,
//! one alarm clock per actor, and a monitor that hears of every end, a panic
//! included.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::thread;
use std::time::SystemTime;

use actix::{ActorContext as _, AsyncContext as _};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::clock::{Clock, Moment};

/// A message: its type says what comes back.
pub(crate) trait Message: Send + 'static {
    /// What the sender gets for it; `()` for most.
    type Reply: Send + 'static;
}

/// An actor.
pub(crate) trait Life: Sized + Unpin + 'static {
    /// What is left of it for a successor.
    type Relic: Send + 'static;

    /// Its first moment, before any message.
    fn started(&mut self, me: &mut Me<'_, Self>);

    /// The alarm that it set has gone off; another one may be set.
    fn alarmed(&mut self, me: &mut Me<'_, Self>);

    /// Hands over what a successor needs. Called once, at the end; must not panic.
    fn relic(&mut self) -> Self::Relic;
}

/// What an actor does with one kind of message.
pub(crate) trait On<M: Message>: Life {
    /// Takes microseconds, never blocks, never waits.
    fn on(&mut self, message: M, me: &mut Me<'_, Self>) -> M::Reply;
}

/// How a child ended.
pub(crate) struct Down<R> {
    /// What it left.
    pub(crate) relic: R,
    /// Whether it panicked, or stopped by itself.
    pub(crate) panicked: bool,
}

/// Hears of a child's end.
pub(crate) type Monitor<L> = Box<dyn FnOnce(Down<<L as Life>::Relic>)>;

/// The address of an actor.
pub(crate) struct Ref<L: Life>(actix::Addr<Shell<L>>);

impl<L: Life> Clone for Ref<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L: Life> Ref<L> {
    /// Sends and forgets. Never waits: flow control is the credits' business.
    ///
    /// # Errors
    /// Gives the message back if the actor is gone.
    pub(crate) fn tell<M: Message>(&self, message: M) -> Result<(), M>
    where
        L: On<M>,
    {
        self.post(Mail { message, reply: None })
    }

    /// Sends, and gives the reply to come. `None` if the actor is gone or goes before it replies.
    pub(crate) fn ask<M: Message>(
        &self,
        message: M,
    ) -> impl Future<Output = Option<M::Reply>> + Send + use<M, L>
    where
        L: On<M>,
    {
        let (reply, answer) = oneshot::channel();
        let posted = self.post(Mail { message, reply: Some(reply) });
        async move {
            posted.ok()?;
            answer.await.ok()
        }
    }

    fn post<M: Message>(&self, mail: Mail<M>) -> Result<(), M>
    where
        L: On<M>,
    {
        use actix::dev::SendError;
        self.0.try_send(mail).map_err(|refused| match refused {
            SendError::Full(mail) | SendError::Closed(mail) => mail.message,
        })
    }
}

/// Starts an actor in the System of this thread. `monitor` hears of its end.
pub(crate) fn spawn_child<L: Life>(life: L, clock: Clock, monitor: Monitor<L>) -> Ref<L> {
    use actix::Actor as _;
    let shell = Shell { life, clock, alarm_at: Moment::NEVER, monitor: Some(monitor) };
    Ref(shell.start())
}

/// An actor's view of itself while it handles something.
pub(crate) struct Me<'a, L: Life> {
    alarm_at: &'a mut Moment,
    context: &'a mut actix::Context<Shell<L>>,
    clock: Clock,
}

impl<L: Life> Me<'_, L> {
    /// Now.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The calendar's date now.
    pub(crate) fn wall(&self) -> SystemTime {
        self.clock.wall(self.clock.now())
    }

    /// Its own address.
    pub(crate) fn address(&self) -> Ref<L> {
        Ref(self.context.address())
    }

    /// Sets the one alarm clock, forgetting what it was set to.
    pub(crate) fn alarm_at(&mut self, at: Moment) {
        *self.alarm_at = at;
    }

    /// Ends this actor after the message at hand.
    pub(crate) fn stop(&mut self) {
        self.context.stop();
    }
}

/// The actix actor around a [`Life`].
struct Shell<L: Life> {
    life: L,
    clock: Clock,
    alarm_at: Moment,
    monitor: Option<Monitor<L>>,
}

impl<L: Life> Shell<L> {
    fn with<R>(
        &mut self,
        context: &mut actix::Context<Self>,
        act: impl FnOnce(&mut L, &mut Me<'_, L>) -> R,
    ) -> R {
        let mut me = Me { alarm_at: &mut self.alarm_at, context, clock: self.clock };
        act(&mut self.life, &mut me)
    }
}

impl<L: Life> actix::Actor for Shell<L> {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Zero is actix's word for "never refuse": bounds are kept by credits and queues.
        context.set_mailbox_capacity(0);
        let clock = self.clock;
        context.spawn(AlarmClock {
            clock,
            set_to: Moment::NEVER,
            sleep: Box::pin(tokio::time::sleep_until(clock.instant(Moment::NEVER))),
        });
        self.with(context, Life::started);
    }

    fn stopped(&mut self, _context: &mut Self::Context) {
        if let Some(monitor) = self.monitor.take() {
            monitor(Down { relic: self.life.relic(), panicked: thread::panicking() });
        }
    }
}

/// A message in its envelope.
struct Mail<M: Message> {
    message: M,
    reply: Option<oneshot::Sender<M::Reply>>,
}

impl<M: Message> actix::Message for Mail<M> {
    type Result = ();
}

impl<M: Message, L: On<M>> actix::Handler<Mail<M>> for Shell<L> {
    type Result = ();

    fn handle(&mut self, mail: Mail<M>, context: &mut Self::Context) {
        // While a panic unwinds, actix hands over what is still in the mailbox. A second panic would
        // abort the process, so these messages are dropped; those that matter return to their sender.
        if thread::panicking() {
            return;
        }
        let answer = self.with(context, |life, me| life.on(mail.message, me));
        if let Some(reply) = mail.reply {
            // The asker may have gone; then nobody misses the answer.
            let _ = reply.send(answer);
        }
    }
}

/// The only future that ever lives in an actor's context: actix polls all of them at every wake-up.
struct AlarmClock {
    clock: Clock,
    set_to: Moment,
    sleep: Pin<Box<Sleep>>,
}

impl<L: Life> actix::fut::ActorFuture<Shell<L>> for AlarmClock {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        shell: &mut Shell<L>,
        context: &mut actix::Context<Shell<L>>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        loop {
            if this.set_to != shell.alarm_at {
                this.set_to = shell.alarm_at;
                this.sleep.as_mut().reset(this.clock.instant(this.set_to));
            }
            if this.sleep.as_mut().poll(task).is_pending() {
                return Poll::Pending;
            }
            this.set_to = Moment::NEVER;
            this.sleep.as_mut().reset(this.clock.instant(Moment::NEVER));
            // A far alarm is clamped to what tokio can hold; going off early, it is set again.
            if shell.alarm_at <= this.clock.now() {
                shell.alarm_at = Moment::NEVER;
                shell.with(context, Life::alarmed);
            }
        }
    }
}

/// Runs a System on this thread, over `runtime`, until somebody calls what `begin` was given.
pub(crate) fn run_system(runtime: Arc<tokio::runtime::Runtime>, begin: impl FnOnce(Halt)) {
    let system = actix::System::with_tokio_rt(move || runtime);
    system.block_on(async { begin(halt_of_this_system()) });
    if let Err(error) = system.run() {
        tracing::error!(%error, "the actor system ended badly");
    }
}

/// Runs a System on this thread until `story` ends.
#[cfg(test)]
pub(crate) fn block_on<F: Future>(
    runtime: tokio::runtime::Runtime,
    story: impl FnOnce(Halt) -> F,
) -> F::Output {
    actix::System::with_tokio_rt(move || runtime).block_on(async { story(halt_of_this_system()).await })
}

/// Stops a System.
pub(crate) type Halt = Box<dyn FnOnce()>;

fn halt_of_this_system() -> Halt {
    let system = actix::System::current();
    Box::new(move || system.stop())
}
