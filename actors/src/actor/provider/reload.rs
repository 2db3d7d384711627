//! What a reload changes here: keys come, change and leave, while jobs run.
//!
//! Whoever stays keeps its state. A key that leaves is told so, ends its calls
//! and stops; only then its place is free. A provider that leaves is one whose
//! keys all leave, and whose jobs are routed anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::board::KeyStatus;
use crate::clock::Moment;
use crate::event::EventKind;
use crate::id::KeyName;
use crate::policy::incident::IncidentGuard;
use crate::policy::pick::KeyIndex;
use crate::spec::{KeySpec, ProviderSpec};

use super::super::kernel::{Me, On};
use super::super::key::KeyRelic;
use super::super::message::{Amend, Amended, Leave, Plan, Reload, Reloaded};
use super::children::{Capacity, Existence, Stage, Unconfirmed};
use super::{Exit, Provider, Standing};

/// What becomes of the keys that are not replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Address {
    Same,
    /// The provider speaks from elsewhere now: what its keys did before was done to somebody else.
    Moved,
}

impl Provider {
    /// Follows the configuration from here on.
    pub(super) fn reload(&mut self, reload: Reload, me: &Me<'_, Self>) {
        self.reloading = Some(reload.number);
        match reload.plan {
            Plan::Stay(spec) => self.stay(&spec, reload.number, me),
            Plan::Leave => self.depart(reload.number),
        }
    }

    fn stay(&mut self, spec: &Arc<ProviderSpec>, reload: u64, me: &Me<'_, Self>) {
        let address = if spec.is_elsewhere(&self.spec) { Address::Moved } else { Address::Same };
        self.spec = Arc::clone(spec);
        if address == Address::Moved {
            let change = self.breaker.renew();
            self.report_change(me.now(), change, "");
            self.incident = IncidentGuard::default();
            self.probe = None;
        }
        self.smallest = Capacity::of_all(&spec.keys);
        self.held = None;
        self.standing = Standing::Staying;
        self.picker.set_pick(spec.rotation.pick);
        self.queue.set_jobs_max(spec.queue_jobs_max);
        // What was decided for waiting jobs, and who had no room, was so in another configuration.
        self.settled.clear();
        self.forget_neighbours();
        let groups = self.regroup(me.now());
        let left = std::mem::replace(&mut self.groups, groups);
        let left: HashMap<_, _> = left.into_iter().map(|group| (group.name, group.quota)).collect();
        let wanted: HashMap<_, _> =
            spec.keys.iter().enumerate().map(|(rank, key)| (&key.name, (rank, key))).collect();
        let mut stayed = HashSet::new();
        for key in self.children.serving().map(|(key, _)| key).collect::<Vec<_>>() {
            let Some(child) = self.children.get(key) else { continue };
            let new = wanted.get(&child.spec.name).filter(|(_, new)| child.spec.secret.is(&new.secret));
            let Some((rank, new)) = new.filter(|_| address == Address::Same) else {
                self.dismiss(key, reload);
                continue;
            };
            stayed.insert(&new.name);
            let group = child.spec.quota_group.as_ref().filter(|_| new.quota_group.is_none());
            let uses = group.and_then(|group| left.get(group)).cloned();
            let line = self.line_of(new, Some(&child.line));
            self.amend(key, *rank, Amend { spec: Arc::new((*new).clone()), line, uses, reload });
        }
        self.supersede(|name| wanted.contains_key(name));
        for (rank, new) in spec.keys.iter().enumerate().filter(|(_, new)| !stayed.contains(&new.name)) {
            self.hire(rank, new, address, me);
        }
        self.regroup_children();
    }

    /// Ends what it has, and takes nothing new.
    fn depart(&mut self, reload: u64) {
        self.standing = Standing::Leaving;
        self.spec = Arc::new(ProviderSpec { keys: Vec::new(), ..ProviderSpec::clone(&self.spec) });
        for key in self.children.serving().map(|(key, _)| key).collect::<Vec<_>>() {
            self.dismiss(key, reload);
        }
    }

    /// A key goes on as the configuration says now.
    fn amend(&mut self, key: KeyIndex, rank: usize, amend: Amend) {
        let Some(child) = self.children.get_mut(key) else { return };
        child.spec = Arc::clone(&amend.spec);
        child.line = Arc::clone(&amend.line);
        child.capacity = Capacity::of(&child.spec);
        child.refusals.clear();
        self.picker.seat(key, rank, child.spec.weight);
        if !child.spec.enabled {
            // The key sees to it as well; but calls that one has prepared who is dead must not be sent.
            child.line.barred.store(true, Ordering::Release);
        }
        match &mut child.life {
            Existence::Up(address) => {
                // If it has died since, its successor starts with it.
                let _ = address.tell(amend.clone());
                child.unconfirmed = Some(Unconfirmed::Amend(Box::new(amend)));
            }
            Existence::Down { relic, .. } => relic.amend(&amend),
        }
    }

    /// A key takes no more jobs from here on, ends its calls, and stops.
    fn dismiss(&mut self, key: KeyIndex, reload: u64) {
        let Some(child) = self.children.get_mut(key) else { return };
        child.stage = Stage::Leaving;
        child.rests_until = Some(Moment::NEVER);
        child.line.barred.store(true, Ordering::Release);
        if let Existence::Up(address) = &child.life {
            // If it has died since, its successor is told.
            let _ = address.tell(Leave { reload });
            child.unconfirmed = Some(Unconfirmed::Leave);
        }
        self.picker.set_ready(key, false);
        self.forget_key(key);
    }

    /// Tells a key that was started again that it is still to leave.
    pub(super) fn remind_to_leave(&mut self, key: KeyIndex) {
        let leaving = self.children.get(key).filter(|child| child.stage == Stage::Leaving);
        if let Some(address) = leaving.and_then(|child| child.address()) {
            // If it has died again, its successor is told.
            let _ = address.tell(Leave { reload: self.reloading.unwrap_or_default() });
        }
    }

    /// Those who leave say nothing any more under a name that is given anew.
    fn supersede(&self, given: impl Fn(&KeyName) -> bool) {
        let leaving = self.children.iter().filter(|(_, child)| child.stage == Stage::Leaving);
        for (_, child) in leaving.filter(|(_, child)| given(&child.spec.name)) {
            child.line.superseded.store(true, Ordering::Release);
        }
    }

    /// Starts a key that is new, be it only its secret.
    fn hire(&mut self, rank: usize, spec: &KeySpec, address: Address, me: &Me<'_, Self>) {
        let (now, key) = (me.now(), self.children.vacancy());
        let line = self.line_of(spec, None);
        let relic = match address {
            Address::Same => KeyRelic::recalled(spec, &line, now),
            Address::Moved => KeyRelic::fresh(spec, &line, now),
        };
        // Whoever follows the statuses may know another key by this name.
        self.report(now, EventKind::KeyChanged { key: line.key.clone(), status: KeyStatus::default() });
        let life = Existence::Up(self.start_key(key, spec, &line, relic, me));
        let child = Self::child(Arc::new(spec.clone()), line, life);
        self.seat(key, rank, child);
    }

    /// A key has ended for good: its place is free.
    pub(super) fn vacate(&mut self, key: KeyIndex) {
        self.set_in_flight(key, 0);
        self.picker.vacate(key);
        self.forget_key(key);
        let Some(child) = self.children.take(key) else { return };
        if !child.line.superseded.load(Ordering::Acquire) {
            self.hub.board.remove_key(&child.line.key);
        }
    }

    fn forget_key(&mut self, key: KeyIndex) {
        self.incident.forget(key);
        self.lane_rests.retain(|rest| rest.key != key);
    }

    /// Jobs of a provider that leaves go where the routes lead now.
    pub(super) fn send_elsewhere(&mut self, now: Moment) {
        if self.standing == Standing::Staying {
            return;
        }
        for mut job in self.queue.take_where(|_, _| true) {
            self.leave(&mut job);
            let Some(job) = self.hub.reroute(job) else { continue };
            if let Some(job) = self.move_on(job, "the provider leaves", now) {
                self.end_unavailable(job, None);
            }
        }
    }

    /// Says when every key has heard.
    pub(super) fn finish_reload(&mut self) {
        let Some(number) = self.reloading else { return };
        if self.children.iter().any(|(_, child)| child.unconfirmed.is_some()) {
            return;
        }
        self.reloading = None;
        // Without Root the wheel is stopping.
        let _ = self.hub.root.tell(Reloaded { provider: self.id().clone(), number });
    }

    /// Ends itself if it is to leave and has nothing left.
    pub(super) fn finish_leaving(&mut self, me: &mut Me<'_, Self>) {
        if self.standing == Standing::Leaving && self.children.is_empty() && self.queue.is_empty() {
            self.exit = Exit::Left;
            me.stop();
        }
    }
}

impl On<Reload> for Provider {
    fn on(&mut self, reload: Reload, me: &mut Me<'_, Self>) {
        self.reload(reload, me);
        self.turn(me);
    }
}

impl On<Amended> for Provider {
    fn on(&mut self, amended: Amended, me: &mut Me<'_, Self>) {
        let child = self.children.get_mut(amended.key).filter(|_| self.reloading == Some(amended.reload));
        if let Some(child) = child {
            child.unconfirmed = None;
        }
        self.turn(me);
    }
}
