//! A request on its way. It carries everything: who waits for it, where it may go, what was tried.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::error::SendError;
use crate::id::{JobId, Model};
use crate::outcome::Attempt;
use crate::policy::budget::RetryKind;
use crate::policy::pick::KeyIndex;
use crate::policy::queue::Ticket;
use crate::policy::route::Progress;
use crate::request::{Request, Terms};
use crate::tokens::{Estimate, Tokens};
use crate::wheel::Answer;

use super::hub::Hub;
use super::message::{Forward, Submit};
use super::waiting::{Errand, Hands, Waiting, Word};

/// A job that was dropped so often by crashing actors is probably what makes them crash.
const CRASHES_MAX: u32 = 3;

/// What a caller gets in the end.
pub(crate) type Ending = Result<Answer, SendError>;

/// One request on its way. Whoever holds it owes it an ending. Dropped without one (an actor
/// crashed with the job in its hands or in its mailbox) it goes back to its provider by itself; after
/// [`CRASHES_MAX`] times, or when there is no way back, its caller gets [`SendError::Lost`] and a
/// dead letter is counted.
pub(crate) struct Job {
    state: Option<Box<State>>,
    hub: Arc<Hub>,
}

/// What a job carries.
pub(crate) struct State {
    pub(crate) id: JobId,
    pub(crate) request: Request,
    pub(crate) terms: Terms,
    pub(crate) progress: Progress,
    /// The calls so far, the latest last.
    pub(crate) attempts: Vec<Attempt>,
    /// Equal for jobs whose prompts begin alike, where that decides anything.
    pub(crate) affinity: u64,
    /// What the request says about its tokens.
    pub(crate) estimate: Estimate,
    /// What the call under way, or the last one, is reckoned to take.
    pub(crate) tokens: Tokens,
    /// What that call counts for at least, however little it uses.
    pub(crate) floor: Tokens,
    /// How often smaller jobs have passed it while it waited for tokens.
    pub(crate) passed: u32,
    /// What the call under way has cost its provider's retry budget.
    pub(crate) paid: Option<RetryKind>,
    /// The key that failed it last; others are preferred.
    pub(crate) avoid: Option<KeyIndex>,
    /// The number of the routes that it follows.
    pub(crate) routing: u64,
    /// When it has waited long enough where it is, if somebody else is there.
    pub(crate) restless_at: Moment,
    place: Place,
    crashes: u32,
    /// Who makes its calls.
    pub(crate) hands: Hands,
    reply: oneshot::Sender<Word>,
}

/// Whether a job has had its place in a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    None,
    Elsewhere,
}

/// What was read out of a request for those who choose a key.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) estimate: Estimate,
    pub(crate) affinity: u64,
}

impl Job {
    /// A new job, and where its ending will come.
    pub(crate) fn new(
        id: JobId,
        request: Request,
        terms: Terms,
        progress: Progress,
        Asked { estimate, affinity }: Asked,
        routing: u64,
        hub: Arc<Hub>,
    ) -> (Self, Waiting) {
        let (reply, word) = oneshot::channel();
        let state = State {
            id,
            request,
            terms,
            progress,
            attempts: Vec::new(),
            affinity,
            estimate,
            tokens: Tokens::NONE,
            floor: Tokens::NONE,
            passed: 0,
            paid: None,
            avoid: None,
            routing,
            restless_at: Moment::NEVER,
            place: Place::None,
            crashes: 0,
            hands: Hands::Ours,
            reply,
        };
        (Self { state: Some(Box::new(state)), hub }, Waiting::new(word))
    }

    /// Gives it its ending. False if nobody was there to take it.
    pub(crate) fn end(mut self, ending: Ending) -> bool {
        self.state.take().is_some_and(|state| state.reply.send(Word::End(ending)).is_ok())
    }
}

impl State {
    /// The model as the provider at hand calls it.
    pub(crate) fn model(&self) -> &Model {
        &self.progress.here().model
    }

    /// What a queue must know of it.
    pub(crate) fn ticket(&self) -> Ticket {
        let Terms { caller, deadline, priority, .. } = self.terms;
        let restless_at = if self.progress.next().is_some() { self.restless_at } else { Moment::NEVER };
        Ticket { model: self.model().clone(), caller, deadline, restless_at, priority }
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Where its caller takes a call to make, if that is how it wants its calls made.
    pub(crate) fn errands(&mut self) -> Option<impl FnOnce(Errand) + use<>> {
        if self.hands == Hands::Ours {
            return None;
        }
        let (reply, next) = oneshot::channel();
        let word = std::mem::replace(&mut self.reply, reply);
        // Whoever has left takes no call: it is dropped, and reported as cancelled.
        Some(move |call| drop(word.send(Word::Make { next, call })))
    }

    /// Waits until nobody waits for it any more.
    pub(crate) async fn abandoned(&mut self) {
        self.reply.closed().await;
    }

    /// Whether a crashing actor has dropped it before.
    pub(crate) fn was_dropped(&self) -> bool {
        self.crashes > 0
    }

    /// Whether a reload took its place in another queue from it.
    pub(crate) fn was_rerouted(&self) -> bool {
        self.place == Place::Elsewhere
    }

    /// It follows other routes from here on.
    pub(crate) fn rerouted(&mut self, routing: u64) {
        self.routing = routing;
        self.place = Place::Elsewhere;
        self.avoid = None;
        self.paid = None;
    }

    /// Takes its record.
    pub(crate) fn take_attempts(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }
}

impl Deref for Job {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_deref().expect("a job has its state until it ends or is dropped")
    }
}

impl DerefMut for Job {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_deref_mut().expect("a job has its state until it ends or is dropped")
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({:?})", self.state.as_ref().map(|state| state.id))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        if state.reply.is_closed() {
            return;
        }
        state.crashes += 1;
        if state.crashes <= CRASHES_MAX {
            let provider = state.progress.here().provider.clone();
            let job = Self { state: Some(state), hub: Arc::clone(&self.hub) };
            // By way of Root: the provider may be the one that is crashing, with its mailbox still open.
            // Without Root the wheel is stopping, and the job is dropped again until it is lost.
            let _ = self.hub.root.tell(Forward { provider, message: Submit(job) });
        } else if state.reply.send(Word::End(Err(SendError::Lost))).is_ok() {
            self.hub.dead_letters.fetch_add(1, Ordering::Relaxed);
        }
    }
}
