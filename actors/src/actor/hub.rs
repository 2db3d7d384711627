//! What every actor shares: addresses, the board, and the way to a provider that may be restarting.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use crate::board::Board;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::error::SendError;
use crate::id::{KeyId, ProviderId};
use crate::secret::FingerprintKey;
use crate::store::{Changes, Memory, Store};
use crate::upstream::Upstream;
use crate::wheel::Keeping;

use super::job::Job;
use super::kernel::{Message, On, Ref};
use super::memory::Recollection;
use super::message::{Forward, Persist, Report, Submit, Tallied};
use super::provider::Provider;
use super::root::Root;
use super::routing::Routing;
use super::state::{State, Told};
use super::stats::{Stats, Tally};
use super::stream::closing_time::ClosingTime;

/// What there is before the first actor.
#[derive(Clone)]
pub(crate) struct HubParts {
    pub(crate) clock: Clock,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) board: Board,
    pub(crate) dead_letters: Arc<AtomicU64>,
    /// Turns true when calls under way must end: the grace of a drain is over.
    pub(crate) cut_off: watch::Sender<bool>,
    /// Ends streams that nobody reads any more.
    pub(crate) closing_time: Arc<ClosingTime>,
    pub(crate) seed: u64,
    pub(crate) fingerprints: FingerprintKey,
    /// Where what outlives the process is kept.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// What an earlier process left, and what was kept since.
    pub(crate) memory: Arc<Mutex<Memory>>,
    /// Whether the store keeps what it is given.
    pub(crate) keeping: watch::Sender<Keeping>,
}

/// Shared by all actors of one wheel.
pub(crate) struct Hub {
    pub(crate) parts: HubParts,
    pub(crate) root: Ref<Root>,
    pub(crate) stats: Ref<Stats>,
    /// `None`: nothing outlives the process.
    pub(crate) state: Option<Ref<State>>,
    directory: RwLock<HashMap<ProviderId, Listed>>,
    routing: RwLock<Arc<Routing>>,
}

/// A provider in the directory.
struct Listed {
    address: Ref<Provider>,
    door: Door,
}

/// Whether a provider takes jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Door {
    Open,
    /// It isn't in the configuration any more and only ends what it has.
    Closed,
}

impl Deref for Hub {
    type Target = HubParts;

    fn deref(&self) -> &HubParts {
        &self.parts
    }
}

impl Hub {
    pub(crate) fn new(
        parts: HubParts,
        root: Ref<Root>,
        stats: Ref<Stats>,
        state: Option<Ref<State>>,
        routing: Arc<Routing>,
    ) -> Self {
        Self { parts, root, stats, state, directory: RwLock::default(), routing: RwLock::new(routing) }
    }

    /// The routes as they are now.
    pub(crate) fn routing(&self) -> Arc<Routing> {
        Arc::clone(&self.routing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Root alone does this.
    pub(crate) fn set_routing(&self, routing: Arc<Routing>) {
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = routing;
    }

    /// Every provider as it lives now.
    pub(crate) fn providers(&self) -> Vec<Ref<Provider>> {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.values().map(|listed| listed.address.clone()).collect()
    }

    /// Looks into what is remembered.
    pub(crate) fn recollect<T>(&self, now: Moment, look: impl FnOnce(&Recollection<'_>) -> T) -> T {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        look(&Recollection::of(&memory, self.clock, now))
    }

    /// Has State keep this. Gives `told` back if there is nobody to keep anything.
    pub(crate) fn persist(&self, changes: Changes, told: Option<Told>) -> Option<Told> {
        match &self.state {
            Some(state) => state.tell(Persist { changes, told }).err().and_then(|persist| persist.told),
            None => told,
        }
    }

    /// The provider as it lives now. Root alone writes; a start or a restart is rare.
    pub(crate) fn provider(&self, id: &ProviderId) -> Option<Ref<Provider>> {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.get(id).map(|listed| listed.address.clone())
    }

    /// The provider, if it takes jobs.
    pub(crate) fn open_provider(&self, id: &ProviderId) -> Option<Ref<Provider>> {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.get(id).filter(|listed| listed.door == Door::Open).map(|listed| listed.address.clone())
    }

    /// Whether there is such a provider that takes jobs.
    pub(crate) fn is_open(&self, id: &ProviderId) -> bool {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.get(id).is_some_and(|listed| listed.door == Door::Open)
    }

    pub(crate) fn set_provider(&self, id: ProviderId, address: Ref<Provider>, door: Door) {
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        directory.insert(id, Listed { address, door });
    }

    pub(crate) fn set_door(&self, id: &ProviderId, door: Door) {
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = directory.get_mut(id) {
            listed.door = door;
        }
    }

    pub(crate) fn remove_provider(&self, id: &ProviderId) {
        self.directory.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Sends to a provider, through Root if it is restarting right now.
    pub(crate) fn tell_provider<M: Message>(&self, id: &ProviderId, message: M)
    where
        Provider: On<M>,
        Root: On<Forward<M>>,
    {
        let message = match self.provider(id) {
            Some(provider) => match provider.tell(message) {
                Ok(()) => return,
                Err(message) => message,
            },
            None => message,
        };
        // Without Root the wheel is stopping: the message is dropped, and a job in it says so to its caller.
        let _ = self.root.tell(Forward { provider: id.clone(), message });
    }

    /// Routes a job anew; gives it back if the routes haven't changed since it was routed. What it has paid
    /// where it was must have been given back.
    pub(crate) fn reroute(&self, mut job: Job) -> Option<Job> {
        let routing = self.routing();
        if job.routing >= routing.number {
            return Some(job);
        }
        job.rerouted(routing.number);
        let candidates = routing.candidates(&job.request);
        if job.progress.reroute(candidates) {
            let to = job.progress.here().provider.clone();
            self.tell_provider(&to, Submit(job));
        } else {
            let model = job.request.model.clone();
            job.end(Err(SendError::NoRoute { model }));
        }
        None
    }

    /// Tells Stats; if it is gone, nobody listens.
    pub(crate) fn report(&self, report: Report) {
        let _ = self.stats.tell(report);
    }

    /// Tells Stats of calls that didn't fail, and empties the tally.
    pub(crate) fn report_calls(&self, key: &KeyId, calls: &mut Tally) {
        let calls = std::mem::take(calls);
        let _ = self.stats.tell(Tallied { key: key.clone(), calls });
    }
}
