//! Every message of the actor system.
//!
//! Commands are verbs, events are in the past tense. The doc of each says who
//! sends it to whom, what comes back, and what becomes of it when the receiver
//! is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::board::Cause;
use crate::clock::Moment;
use crate::event::Event;
pub(crate) use crate::event::Logging;
use crate::id::{JobId, KeyId, KeyName, Model, ProviderId, QuotaGroup};
use crate::outcome::{Fault, Gauges, Usage};
use crate::policy::breaker::Epoch;
use crate::policy::budget::RetryKind;
use crate::policy::key_state::Rest;
use crate::policy::pick::KeyIndex;
use crate::policy::quota::{NotUntil, Quota, Taken};
use crate::policy::route::Charge;
use crate::reload::ReloadReport;
use crate::request::Delivery;
use crate::spec::{KeySpec, ProviderSpec, WheelSpec};
use crate::stats::{KeyStats, StatsReport};
use crate::store::Changes;
use crate::tokens::Tokens;
use crate::wheel::{DrainReport, Kept, KeyCommand};

use super::call::Line;
use super::job::Job;
use super::kernel::{Down, Message};
use super::key::KeyRelic;
use super::slip::OutcomeLetter;
use super::state::Told;
use super::stats::Tally;

macro_rules! messages {
    ($($name:ident => $reply:ty),* $(,)?) => {
        $(impl Message for $name { type Reply = $reply; })*
    };
}

messages! {
    Submit => (), Visit => (), Declined => (), Spare => (), Reload => (),
    Adopted => (), Amended => (), Committed => (), Ready => (), Rested => (), LaneRested => (), ShareRest => (), Ended => (), Bounced => (), Stray => (), KeyDown => (),
    Command => Option<oneshot::Receiver<Kept>>, Remember => Vec<oneshot::Receiver<()>>, Drain => oneshot::Receiver<DrainReport>,
    Dispatch => (), Expect => (), OutcomeLetter => (), Recalled => (), Impose => (), Reinstate => (), Obey => oneshot::Receiver<Kept>, RememberKey => (), Granted => (), GroupGranted => (), Adopt => (), Amend => (), Leave => (), Retire => (),
    Report => (), Tallied => (), GetStats => StatsReport, TakeChanged => BTreeMap<KeyId, KeyStats>,
    Persist => (), Saved => (), CloseState => oneshot::Receiver<()>, Finish => (),
    ProviderDown => (), ReloadAll => oneshot::Receiver<ReloadReport>, Reloaded => (), DrainAll => Vec<oneshot::Receiver<DrainReport>>, Halt => (), Crash => (), CrashKey => bool,
}

// ── to a provider, from outside ──────────────────────────────────────────────

/// Handle, or a provider that can't serve the job, or a job that was dropped on its way → provider.
/// If it is gone, Root keeps the job for its successor.
pub(crate) struct Submit(pub(crate) Job);

/// Provider that rests → next provider on the job's route: serve it if you can at once.
/// Answered by nothing (it is served) or by [`Declined`].
pub(crate) struct Visit {
    pub(crate) job: Job,
    pub(crate) home: ProviderId,
}

/// Provider visited → provider it came from: no room now; a [`Spare`] will follow.
pub(crate) struct Declined {
    pub(crate) job: Job,
    pub(crate) by: ProviderId,
}

/// Provider → one whose visitors it declined: so many could be served now.
pub(crate) struct Spare {
    pub(crate) by: ProviderId,
    pub(crate) jobs: usize,
}

/// Handle → provider → key. Gives a receiver that hears when the key has obeyed, and whether that is kept;
/// `None` if there is no such key.
pub(crate) struct Command {
    pub(crate) key: KeyName,
    pub(crate) command: KeyCommand,
}

/// Root → provider: take nothing new, end what is there within the grace. The report comes at the end.
pub(crate) struct Drain {
    pub(crate) grace: Duration,
}

/// Root → provider: the configuration has changed. Answered by [`Reloaded`] when all keys have heard what
/// concerns them. If the provider is gone, its successor starts with it.
#[derive(Clone)]
pub(crate) struct Reload {
    pub(crate) plan: Plan,
    /// Which reload this is.
    pub(crate) number: u64,
}

/// What becomes of a provider.
#[derive(Clone)]
pub(crate) enum Plan {
    /// It goes on, like this.
    Stay(Arc<ProviderSpec>),
    /// It isn't in the configuration any more: it takes nothing new, ends what it has, and stops.
    Leave,
}

/// Handle → provider, at the end of a drain: have everything kept. The receivers hear when the keys have
/// told State.
pub(crate) struct Remember;

/// State → provider: what its quota groups asked to reserve is kept.
pub(crate) struct GroupGranted;

// ── to a provider, from its keys ─────────────────────────────────────────────

/// Key → successor of its provider: so many calls are under way.
pub(crate) struct Adopted {
    pub(crate) key: KeyIndex,
    pub(crate) in_flight: u32,
}

/// Key → provider: I have heard an [`Amend`] or a [`Leave`], and it holds. If the provider is gone, its
/// successor tells the key again.
pub(crate) struct Amended {
    pub(crate) key: KeyIndex,
    pub(crate) reload: u64,
}

/// Key → provider: I can take so many more jobs.
pub(crate) struct Ready {
    pub(crate) key: KeyIndex,
    pub(crate) credits: u32,
}

/// Key → provider: I rest until then, or (`None`) I am back. With `recall`, credits come back as
/// [`Recalled`].
pub(crate) struct Rested {
    pub(crate) key: KeyIndex,
    pub(crate) until: Option<Moment>,
    pub(crate) recall: bool,
}

/// Key → provider: send me no job of this model until then.
pub(crate) struct LaneRested {
    pub(crate) key: KeyIndex,
    pub(crate) model: Model,
    pub(crate) until: Moment,
    pub(crate) cause: Cause,
}

/// Key → provider → the other keys of its quota group.
pub(crate) struct ShareRest {
    pub(crate) key: KeyIndex,
    pub(crate) rest: Rest,
}

/// Key → provider: a call ended. A job that comes along needs another way.
pub(crate) struct Ended {
    pub(crate) key: KeyIndex,
    pub(crate) made: Made,
    pub(crate) took: Duration,
    pub(crate) first_content: Option<Duration>,
    pub(crate) group_taken: Option<GroupTaken>,
    /// What the call was reckoned to take.
    pub(crate) reckoned: Tokens,
    /// What it used, as its provider counts it.
    pub(crate) used: Option<Tokens>,
    pub(crate) verdict: Verdict,
    /// The rest that follows from it, if any.
    pub(crate) rested: Option<Rested>,
}

/// A call as it was begun.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) job: JobId,
    /// Its caller's name of it; a cheap copy, for it is only read when the call fails.
    pub(crate) request_id: Option<HeaderValue>,
    /// The how-manieth call of its job, from 1.
    pub(crate) attempt: u32,
    pub(crate) model: Model,
    pub(crate) delivery: Delivery,
    pub(crate) epoch: Epoch,
    pub(crate) charge: Charge,
    /// The tokens that it counts for at least, however little it uses.
    pub(crate) floor: Tokens,
    pub(crate) started: Moment,
}

/// HTTP task → provider: the stream that probes an ill provider has brought content; its end may be far.
pub(crate) struct Committed(pub(crate) Epoch);

/// What was taken from the limits of a quota group, which a reload may exchange for another.
#[derive(Clone, Debug)]
pub(crate) struct GroupTaken {
    pub(crate) group: QuotaGroup,
    pub(crate) taken: Taken,
}

/// How a call ended, for its provider.
pub(crate) enum Verdict {
    /// The provider served it; `paid` is what the retry had cost.
    Served { paid: Option<RetryKind> },
    /// The provider answered as it should, or we ended the call: nobody is to blame.
    Neutral,
    /// It failed.
    Failed { fault: Fault, back: Option<Back> },
}

/// A job whose call failed before anything reached its caller.
pub(crate) struct Back {
    pub(crate) job: Job,
    pub(crate) answer: Option<Box<RawAnswer>>,
}

/// A provider's answer as it came, the key scrubbed.
pub(crate) struct RawAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Provider → key: jobs as small as this wait. For a key that gives no credits because the last ones were larger.
pub(crate) struct Expect(pub(crate) Tokens);

/// Key → provider: its last word; it can't serve this one after all. Costs the job nothing.
pub(crate) struct Bounced {
    pub(crate) key: KeyIndex,
    pub(crate) dispatch: Dispatch,
    /// Until when its limits refuse such a job, if that is why.
    pub(crate) refused: Option<NotUntil>,
}

/// Dropped outcome → provider → the key's successor.
pub(crate) struct Stray(pub(crate) OutcomeLetter);

/// Kernel → provider: a key's actor ended. Dropped unopened, in the mailbox of a provider that crashes
/// too, it goes to the provider's successor.
pub(crate) struct KeyDown {
    pub(crate) key: KeyIndex,
    down: Option<Down<KeyRelic>>,
    line: Arc<Line>,
}

impl KeyDown {
    pub(crate) fn new(key: KeyIndex, down: Down<KeyRelic>, line: Arc<Line>) -> Self {
        Self { key, down: Some(down), line }
    }

    /// Whether it is about the key of that line, and not about one that had its place before.
    pub(crate) fn is_of(&self, line: &Line) -> bool {
        self.line.is_of(line)
    }

    /// Takes out what the key left; from here on its holder answers for it.
    pub(crate) fn open(mut self) -> Option<Down<KeyRelic>> {
        self.down.take()
    }
}

impl Drop for KeyDown {
    fn drop(&mut self) {
        let Some(down) = self.down.take() else { return };
        let message = Self::new(self.key, down, Arc::clone(&self.line));
        let forward = Forward { provider: self.line.key.provider.clone(), message };
        // By way of Root: the provider itself may be the one that is crashing.
        if let Err(Forward { message, .. }) = self.line.hub.root.tell(forward) {
            // Without Root the wheel is stopping, and nobody is started again.
            drop(message.open());
        }
    }
}

// ── to a key ─────────────────────────────────────────────────────────────────

/// Provider → key: one job against one credit. If the key is gone the job finds its way back itself.
pub(crate) struct Dispatch {
    pub(crate) job: Job,
    pub(crate) epoch: Epoch,
    pub(crate) charge: Charge,
    /// What was taken from the quota group's limits.
    pub(crate) group_taken: Option<GroupTaken>,
}

/// HTTP task, or the body stream it handed out → key, in an [`OutcomeLetter`]: if the key is gone, its
/// successor gets it as a [`Stray`].
pub(crate) struct Outcome {
    pub(crate) key: KeyIndex,
    pub(crate) made: Made,
    pub(crate) group_taken: Option<GroupTaken>,
    pub(crate) key_taken: Taken,
    pub(crate) took: Duration,
    pub(crate) first_content: Option<Duration>,
    pub(crate) gauges: Gauges,
    pub(crate) usage: Option<Usage>,
    pub(crate) end: End,
}

/// How a call ended, for its key.
pub(crate) enum End {
    /// Well.
    Served { paid: Option<RetryKind> },
    /// Ended by ourselves or by the caller.
    Cancelled,
    /// Badly. The job is there unless part of the answer had reached its caller.
    Failed { fault: Fault, back: Option<Back> },
}

/// Provider → key: the answer to [`Rested`] with `recall`; so many credits lay in the ring.
pub(crate) struct Recalled(pub(crate) u32);

/// Provider → key: a rest that another key of the quota group met with.
pub(crate) struct Impose(pub(crate) Rest);

/// Provider → key: that your credential was refused was the provider's fault, for calls that began before.
pub(crate) struct Reinstate {
    pub(crate) began_before: Moment,
}

/// Provider → key: an operator's command. The receiver hears whether it is kept.
pub(crate) struct Obey(pub(crate) KeyCommand);

/// Provider → key, when no more jobs come: tell State everything.
pub(crate) struct RememberKey;

/// State → key: what its quota asked to reserve is kept.
pub(crate) struct Granted;

/// Successor of a crashed provider → key: I know of none of your credits; offer them anew.
/// Answered by [`Adopted`].
pub(crate) struct Adopt;

/// Provider → key: this is what your configuration says now. Answered by [`Amended`]. If the key is gone,
/// its successor starts with it.
#[derive(Clone)]
pub(crate) struct Amend {
    pub(crate) spec: Arc<KeySpec>,
    pub(crate) line: Arc<Line>,
    /// What the quota group used that the key has left for itself.
    pub(crate) uses: Option<Quota>,
    pub(crate) reload: u64,
}

/// Provider → key: the configuration doesn't name you any more. Make no further call, let those under way
/// end, then stop. Answered by [`Amended`]. If the key is gone, its successor hears it.
pub(crate) struct Leave {
    pub(crate) reload: u64,
}

/// Root → key whose provider was given up: stop; nobody needs you any more.
pub(crate) struct Retire;

// ── to Stats ─────────────────────────────────────────────────────────────────

/// Anybody → Stats: what happened. If Stats is gone, reports are lost and nothing else.
pub(crate) struct Report {
    pub(crate) events: Vec<Event>,
    pub(crate) log: Logging,
}

/// Key → Stats, in batches: calls that ended without failing. Calls that failed are events.
pub(crate) struct Tallied {
    pub(crate) key: KeyId,
    pub(crate) calls: Tally,
}

/// Handle → Stats.
pub(crate) struct GetStats;

/// State → Stats: the counters that changed since this was last asked.
pub(crate) struct TakeChanged;

// ── to State ─────────────────────────────────────────────────────────────────

/// Key, provider or State itself → State: keep this. `told` hears whether it is, in its own time. If State is
/// gone the wheel is stopping.
pub(crate) struct Persist {
    pub(crate) changes: Changes,
    pub(crate) told: Option<Told>,
}

/// The save → State: it is over; what failed comes back.
pub(crate) struct Saved {
    pub(crate) failure: Option<(String, Box<Changes>)>,
    pub(crate) told: Vec<Told>,
}

/// Handle → State: nothing more will happen. The receiver hears when everything is written.
pub(crate) struct CloseState;

/// State → itself: the last counters, and then the end. `done` hears when they are written, or can't be.
pub(crate) struct Finish {
    pub(crate) last: Changes,
    pub(crate) done: oneshot::Sender<()>,
}

// ── to Root ──────────────────────────────────────────────────────────────────

/// Kernel → Root: a provider's actor ended.
pub(crate) struct ProviderDown {
    pub(crate) provider: ProviderId,
    pub(crate) down: Down<super::provider::ProviderRelic>,
}

/// Handle → Root: this is the configuration from now on; it is sound. The receiver hears when it holds.
/// Reloads take place one after the other.
pub(crate) struct ReloadAll(pub(crate) Box<WheelSpec>);

/// Provider → Root: that [`Reload`] holds here.
pub(crate) struct Reloaded {
    pub(crate) provider: ProviderId,
    pub(crate) number: u64,
}

/// Handle → Root: drain every provider.
pub(crate) struct DrainAll {
    pub(crate) grace: Duration,
}

/// Handle → Root: stop the System.
pub(crate) struct Halt;

/// Handle → any actor: panic. For drills: supervision that was never tried doesn't work.
pub(crate) struct Crash;

/// Handle → provider: tell that key to [`Crash`]. False if there is none.
pub(crate) struct CrashKey(pub(crate) KeyName);

/// Anything for a provider that was not there → Root, which keeps it for the successor.
pub(crate) struct Forward<M> {
    pub(crate) provider: ProviderId,
    pub(crate) message: M,
}

impl<M: Send + 'static> Message for Forward<M> {
    type Reply = ();
}
