//! The Root actor: owns the providers, restarts those that crash, and gives up those that won't live.

mod reload;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use tokio::sync::{broadcast, oneshot};

use crate::clock::Moment;
use crate::error::{Obstacle, SendError};
use crate::event::{Event, EventKind};
use crate::id::{KeyId, ProviderId};
use crate::policy::restart::{self, Remedy, Restarts};
use crate::spec::{ProviderSpec, WheelSpec};
use crate::stats::KeyStats;
use crate::store::Store;
use crate::wheel::DrainReport;

use super::hub::{Door, Hub, HubParts};
use super::job::Job;
use super::kernel::{self, Down, Life, Me, On, Ref};
use super::message::{
    Adopted, Amended, Bounced, Committed, Declined, Drain, DrainAll, Ended, Forward, Halt, KeyDown,
    LaneRested, Logging, ProviderDown, Ready, Reload, Report, Rested, Retire, ShareRest, Spare, Stray,
    Submit,
};
use super::provider::{Exit, Provider, ProviderRelic};
use super::routing::Routing;
use super::slip::OutcomeLetter;
use super::state;
use super::stats::Stats;

use reload::Reloads;

/// The first actor.
pub(crate) struct Root {
    parts: HubParts,
    watchers: broadcast::Sender<Event>,
    /// As the configuration has them now.
    spec: Vec<Arc<ProviderSpec>>,
    /// The first routes; the hub has those that count.
    routing: Arc<Routing>,
    reloads: Reloads,
    ready: Option<oneshot::Sender<Arc<Hub>>>,
    hub: Option<Arc<Hub>>,
    providers: HashMap<ProviderId, Ward>,
    halt: Option<Box<dyn FnOnce()>>,
}

/// A provider under Root's care.
struct Ward {
    restarts: Restarts,
    state: State,
    spec: Arc<ProviderSpec>,
    /// Whether the configuration names it.
    door: Door,
    /// The reload that it hasn't confirmed yet.
    unheard: Option<Reload>,
}

impl Ward {
    fn new(spec: &Arc<ProviderSpec>) -> Self {
        let (restarts, spec) = (Restarts::new(restart::PROVIDER), Arc::clone(spec));
        Self { restarts, state: State::Up, spec, door: Door::Open, unheard: None }
    }
}

enum State {
    Up,
    /// Crashed; what it left and what came for it since wait for the restart.
    Down {
        relic: ProviderRelic,
        restart_at: Moment,
        mail: Vec<Parcel>,
    },
    /// Given up.
    Lost,
}

/// A message for a provider that isn't there right now.
pub(crate) enum Parcel {
    Job(Job),
    Stray(OutcomeLetter),
    Down(KeyDown),
}

impl Root {
    /// `ready` gets the hub once every provider is up; `halt` stops the System.
    pub(crate) fn new(
        spec: WheelSpec,
        parts: HubParts,
        watchers: broadcast::Sender<Event>,
        ready: oneshot::Sender<Arc<Hub>>,
        halt: Box<dyn FnOnce()>,
    ) -> Self {
        let routing = Arc::new(Routing::of(&spec, 0));
        let spec = spec.providers.into_iter().map(Arc::new).collect();
        Self {
            parts,
            watchers,
            spec,
            routing,
            reloads: Reloads::default(),
            ready: Some(ready),
            hub: None,
            providers: HashMap::new(),
            halt: Some(halt),
        }
    }

    fn known_stats(&self) -> BTreeMap<KeyId, KeyStats> {
        self.parts.memory.lock().unwrap_or_else(PoisonError::into_inner).stats.clone()
    }

    fn start_state(&self, store: Arc<dyn Store>, stats: Ref<Stats>) -> Ref<state::State> {
        let HubParts { clock, memory, keeping, .. } = &self.parts;
        let writer = state::State::new(store, *clock, stats, Arc::clone(memory), keeping.clone());
        let monitor = Box::new(|down: Down<()>| {
            if down.panicked {
                tracing::error!("the State actor crashed: nothing is kept any more");
            }
        });
        kernel::spawn_child(writer, *clock, monitor)
    }

    fn start_provider(hub: &Arc<Hub>, provider: Provider, id: &ProviderId, door: Door) {
        let (root, name) = (hub.root.clone(), id.clone());
        let monitor = Box::new(move |down| {
            // Without Root the wheel is stopping; the relic's jobs then say so to their callers.
            let _ = root.tell(ProviderDown { provider: name, down });
        });
        let address = kernel::spawn_child(provider, hub.clock, monitor);
        hub.set_provider(id.clone(), address, door);
    }

    fn report(hub: &Hub, kind: EventKind) {
        let events = vec![Event { at: hub.clock.now(), kind }];
        hub.report(Report { events, log: Logging::On });
    }

    fn restart_due(&mut self, me: &mut Me<'_, Self>) {
        let now = me.now();
        let Some(hub) = self.hub.clone() else { return };
        let mut next = Moment::NEVER;
        for (id, ward) in &mut self.providers {
            match &ward.state {
                State::Down { restart_at, .. } if *restart_at <= now => {}
                State::Down { restart_at, .. } => {
                    next = next.min(*restart_at);
                    continue;
                }
                State::Up | State::Lost => continue,
            }
            if let State::Down { mut relic, mail, .. } = std::mem::replace(&mut ward.state, State::Up) {
                relic.reload.clone_from(&ward.unheard);
                Self::start_provider(&hub, Provider::succeeding(Arc::clone(&hub), relic), id, ward.door);
                for parcel in mail {
                    parcel.deliver(&hub, id);
                }
                Self::report(&hub, EventKind::ProviderRestarted { provider: id.clone() });
            }
        }
        me.alarm_at(next);
    }

    fn give_up(hub: &Arc<Hub>, id: &ProviderId, relic: ProviderRelic) {
        tracing::error!(provider = %id, "crashes too often and is given up");
        hub.remove_provider(id);
        for key in relic.keys.iter().flatten().filter_map(|key| key.living()) {
            // One that has died needs no ending.
            let _ = key.tell(Retire);
        }
        for job in relic.jobs {
            lose(hub, job);
        }
        Self::report(hub, EventKind::ProviderLost { provider: id.clone() });
    }

    fn keep(&mut self, id: &ProviderId, parcel: Parcel) {
        let Some(hub) = &self.hub else { return };
        match self.providers.get_mut(id).map(|ward| &mut ward.state) {
            // It is up again, or its end has not been reported yet: then this comes back once more.
            Some(State::Up) => parcel.deliver(hub, id),
            Some(State::Down { mail, .. }) => mail.push(parcel),
            Some(State::Lost) | None => match parcel {
                Parcel::Job(job) => lose(hub, job),
                // Nobody counts for it any more.
                Parcel::Stray(letter) => drop(letter.open()),
                Parcel::Down(down) => drop(down.open()),
            },
        }
    }
}

impl Parcel {
    fn deliver(self, hub: &Hub, id: &ProviderId) {
        match self {
            Self::Job(job) => hub.tell_provider(id, Submit(job)),
            Self::Stray(letter) => hub.tell_provider(id, Stray(letter)),
            Self::Down(down) => hub.tell_provider(id, down),
        }
    }
}

/// A job whose provider is gone for good: where the routes lead now, or on along its own, or back to its caller.
fn lose(hub: &Arc<Hub>, job: Job) {
    let Some(mut job) = hub.reroute(job) else { return };
    if job.progress.advance() {
        job.avoid = None;
        job.paid = None;
        let next = job.progress.here().provider.clone();
        return hub.tell_provider(&next, Submit(job));
    }
    let attempts = job.take_attempts();
    let why = format!("the provider `{}` was given up after repeated crashes", job.progress.here().provider);
    job.end(Err(SendError::Unavailable { why, obstacle: Obstacle::Provider, retry_after: None, attempts }));
}

impl Life for Root {
    type Relic = ();

    fn started(&mut self, me: &mut Me<'_, Self>) {
        let stats =
            Stats::new(self.watchers.clone(), Arc::clone(&self.parts.dead_letters), self.known_stats());
        let monitor = Box::new(|down: Down<()>| {
            if down.panicked {
                tracing::error!("the Stats actor crashed: nothing is counted or logged any more");
            }
        });
        let stats = kernel::spawn_child(stats, self.parts.clock, monitor);
        let state = self.parts.store.clone().map(|store| self.start_state(store, stats.clone()));
        let routing = Arc::clone(&self.routing);
        let hub = Arc::new(Hub::new(self.parts.clone(), me.address(), stats, state, routing));
        self.hub = Some(Arc::clone(&hub));
        for spec in &self.spec {
            self.providers.insert(spec.id.clone(), Ward::new(spec));
            let provider = Provider::new(Arc::clone(&hub), Arc::clone(spec));
            Self::start_provider(&hub, provider, &spec.id, Door::Open);
        }
        if let Some(ready) = self.ready.take() {
            // Whoever started the wheel may have left; it stops when its last handle goes.
            let _ = ready.send(hub);
        }
    }

    fn alarmed(&mut self, me: &mut Me<'_, Self>) {
        self.restart_due(me);
    }

    fn relic(&mut self) {}
}

impl On<ProviderDown> for Root {
    fn on(&mut self, ProviderDown { provider, down }: ProviderDown, me: &mut Me<'_, Self>) {
        let (Some(ward), Some(hub)) = (self.providers.get_mut(&provider), self.hub.clone()) else { return };
        if down.relic.exit == Exit::Left {
            return self.left(&hub, &provider, down.relic);
        }
        tracing::error!(%provider, panicked = down.panicked, exit = ?down.relic.exit, "a provider's actor ended");
        match ward.restarts.crashed(me.now()) {
            Remedy::RestartAt(restart_at) => {
                ward.state = State::Down { relic: down.relic, restart_at, mail: Vec::new() };
            }
            Remedy::Escalate => {
                ward.state = State::Lost;
                let door = ward.door;
                Self::give_up(&hub, &provider, down.relic);
                if door == Door::Closed {
                    self.forget(&hub, &provider);
                }
                self.heard(&provider);
            }
        }
        self.restart_due(me);
    }
}

impl On<DrainAll> for Root {
    fn on(
        &mut self,
        DrainAll { grace }: DrainAll,
        _: &mut Me<'_, Self>,
    ) -> Vec<oneshot::Receiver<DrainReport>> {
        let Some(hub) = &self.hub else { return Vec::new() };
        let drains = self.providers.keys().filter_map(|id| hub.provider(id)).map(|provider| {
            let (done, report) = oneshot::channel();
            let asked = provider.ask(Drain { grace });
            tokio::spawn(async move {
                // A provider that died meanwhile has nothing left to end.
                if let Some(drained) = asked.await {
                    let _ = done.send(drained.await.unwrap_or_default());
                }
            });
            report
        });
        drains.collect()
    }
}

impl On<Halt> for Root {
    fn on(&mut self, _: Halt, me: &mut Me<'_, Self>) {
        me.stop();
        if let Some(halt) = self.halt.take() {
            halt();
        }
    }
}

impl On<Forward<Submit>> for Root {
    fn on(&mut self, forward: Forward<Submit>, _: &mut Me<'_, Self>) {
        self.keep(&forward.provider, Parcel::Job(forward.message.0));
    }
}

impl On<Forward<Stray>> for Root {
    fn on(&mut self, forward: Forward<Stray>, _: &mut Me<'_, Self>) {
        self.keep(&forward.provider, Parcel::Stray(forward.message.0));
    }
}

impl On<Forward<Declined>> for Root {
    fn on(&mut self, forward: Forward<Declined>, _: &mut Me<'_, Self>) {
        let mut job = forward.message.job;
        job.progress.step_back();
        self.keep(&forward.provider, Parcel::Job(job));
    }
}

/// What only matters to the provider that was: its successor starts without it.
macro_rules! outlived {
    ($($message:ident),*) => {
        $(impl On<Forward<$message>> for Root {
            fn on(&mut self, _: Forward<$message>, _: &mut Me<'_, Self>) {}
        })*
    };
}

outlived!(Adopted, Amended, Committed, Ready, Rested, LaneRested, ShareRest, Ended, Bounced, Spare);

impl On<Forward<KeyDown>> for Root {
    fn on(&mut self, forward: Forward<KeyDown>, _: &mut Me<'_, Self>) {
        self.keep(&forward.provider, Parcel::Down(forward.message));
    }
}
