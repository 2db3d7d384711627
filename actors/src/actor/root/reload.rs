//! Reloads, one after the other: who starts, who goes on, who leaves, and when all of it holds.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::board::KeyStatus;
use crate::event::EventKind;
use crate::id::{KeyId, ProviderId};
use crate::reload::ReloadReport;
use crate::spec::{ProviderSpec, WheelSpec};

use super::super::hub::{Door, Hub};
use super::super::kernel::{Me, On};
use super::super::message::{Plan, Reload, ReloadAll, Reloaded};
use super::super::provider::{Provider, ProviderRelic};
use super::super::routing::Routing;
use super::{Root, State, Ward, lose};

/// The reload under way and those that wait for it.
#[derive(Default)]
pub(super) struct Reloads {
    /// How many have begun.
    number: u64,
    under_way: Option<UnderWay>,
    waiting: VecDeque<Wanted>,
}

/// A reload that somebody wants.
struct Wanted {
    spec: WheelSpec,
    done: oneshot::Sender<ReloadReport>,
}

/// A reload that doesn't hold everywhere yet.
struct UnderWay {
    report: ReloadReport,
    awaited: BTreeSet<ProviderId>,
    done: oneshot::Sender<ReloadReport>,
}

impl Root {
    /// Begins the next reload if none is under way. One whose caller has left by then doesn't take place.
    fn next_reload(&mut self) {
        while self.reloads.under_way.is_none() {
            let Some(Wanted { spec, done }) = self.reloads.waiting.pop_front() else { return };
            if !done.is_closed() {
                self.begin_reload(spec, done);
                self.finish_reload();
            }
        }
    }

    fn begin_reload(&mut self, mut spec: WheelSpec, done: oneshot::Sender<ReloadReport>) {
        let Some(hub) = self.hub.clone() else { return };
        self.reloads.number += 1;
        let routing = Routing::of(&spec, self.reloads.number);
        let new: Vec<_> = std::mem::take(&mut spec.providers).into_iter().map(Arc::new).collect();
        let report = ReloadReport::between(&self.spec, &new);
        // Whoever is new must be there before a job can be on its way.
        let mut awaited = BTreeSet::new();
        for spec in &new {
            awaited.extend(self.carry_on(&hub, spec));
        }
        hub.set_routing(Arc::new(routing));
        let named: HashSet<_> = new.iter().map(|provider| provider.id.clone()).collect();
        let gone: Vec<_> = self.providers.keys().filter(|id| !named.contains(*id)).cloned().collect();
        for id in gone {
            awaited.extend(self.send_off(&hub, &id));
        }
        self.spec = new;
        self.reloads.under_way = Some(UnderWay { report, awaited, done });
    }

    /// A provider goes on like this, or starts. Gives its id if it must be waited for.
    fn carry_on(&mut self, hub: &Arc<Hub>, spec: &Arc<ProviderSpec>) -> Option<ProviderId> {
        match self.providers.get(&spec.id).map(|ward| &ward.state) {
            Some(State::Up | State::Down { .. }) => self.tell(hub, &spec.id, Plan::Stay(Arc::clone(spec))),
            // One that was given up gets another chance: somebody has looked after it.
            Some(State::Lost) | None => {
                self.start_new(hub, spec);
                None
            }
        }
    }

    /// Starts a provider that wasn't there.
    fn start_new(&mut self, hub: &Arc<Hub>, spec: &Arc<ProviderSpec>) {
        self.providers.insert(spec.id.clone(), Ward::new(spec));
        for key in &spec.keys {
            // Whoever follows the statuses may know another key by this name.
            let key = KeyId { provider: spec.id.clone(), key: key.name.clone() };
            Self::report(hub, EventKind::KeyChanged { key, status: KeyStatus::default() });
        }
        Self::start_provider(hub, Provider::new(Arc::clone(hub), Arc::clone(spec)), &spec.id, Door::Open);
    }

    /// A provider is to leave. Gives its id if it must be waited for.
    fn send_off(&mut self, hub: &Arc<Hub>, id: &ProviderId) -> Option<ProviderId> {
        match self.providers.get(id).map(|ward| &ward.state) {
            Some(State::Up | State::Down { .. }) => self.tell(hub, id, Plan::Leave),
            Some(State::Lost) | None => {
                self.forget(hub, id);
                None
            }
        }
    }

    fn tell(&mut self, hub: &Hub, id: &ProviderId, plan: Plan) -> Option<ProviderId> {
        let ward = self.providers.get_mut(id)?;
        let door = match &plan {
            Plan::Stay(spec) => {
                ward.spec = Arc::clone(spec);
                Door::Open
            }
            Plan::Leave => Door::Closed,
        };
        ward.door = door;
        hub.set_door(id, door);
        let reload = Reload { plan, number: self.reloads.number };
        ward.unheard = Some(reload.clone());
        if let (State::Up, Some(provider)) = (&ward.state, hub.provider(id)) {
            // If it has crashed since, its successor starts with it.
            let _ = provider.tell(reload);
        }
        Some(id.clone())
    }

    /// A provider that was to leave has ended.
    pub(super) fn left(&mut self, hub: &Arc<Hub>, id: &ProviderId, relic: ProviderRelic) {
        let returns = self.providers.get(id).filter(|ward| ward.door == Door::Open);
        match returns.map(|ward| Arc::clone(&ward.spec)) {
            // It is named again; but that came too late for it.
            Some(spec) => self.start_new(hub, &spec),
            None => self.forget(hub, id),
        }
        for job in relic.jobs {
            lose(hub, job);
        }
        self.heard(id);
    }

    /// Nothing is left of a provider.
    pub(super) fn forget(&mut self, hub: &Hub, id: &ProviderId) {
        hub.remove_provider(id);
        hub.board.remove_provider(id);
        let ward = self.providers.remove(id);
        for key in ward.iter().flat_map(|ward| &ward.spec.keys) {
            hub.board.remove_key(&KeyId { provider: id.clone(), key: key.name.clone() });
        }
    }

    /// The reload under way holds at that provider, or there is nobody left there for whom it could.
    pub(super) fn heard(&mut self, id: &ProviderId) {
        if let Some(ward) = self.providers.get_mut(id) {
            ward.unheard = None;
        }
        if let Some(reload) = &mut self.reloads.under_way {
            reload.awaited.remove(id);
        }
        self.finish_reload();
        self.next_reload();
    }

    fn finish_reload(&mut self) {
        let Some(hub) = &self.hub else { return };
        let Some(UnderWay { report, done, .. }) =
            self.reloads.under_way.take_if(|reload| reload.awaited.is_empty())
        else {
            return;
        };
        Self::report(hub, EventKind::Reloaded { report: report.clone() });
        // Whoever wanted it may have left; it holds all the same.
        let _ = done.send(report);
    }
}

impl On<ReloadAll> for Root {
    fn on(&mut self, ReloadAll(spec): ReloadAll, _: &mut Me<'_, Self>) -> oneshot::Receiver<ReloadReport> {
        let (done, report) = oneshot::channel();
        // So there are never more waiting than there are callers.
        self.reloads.waiting.retain(|wanted| !wanted.done.is_closed());
        self.reloads.waiting.push_back(Wanted { spec: *spec, done });
        self.next_reload();
        report
    }
}

impl On<Reloaded> for Root {
    fn on(&mut self, Reloaded { provider, number }: Reloaded, _: &mut Me<'_, Self>) {
        if number == self.reloads.number {
            self.heard(&provider);
        }
    }
}
