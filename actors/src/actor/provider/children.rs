//! The provider as a supervisor: starts its keys, restarts those that crash, passes on commands.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderMap;
use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::event::EventKind;
use crate::id::{KeyId, Model, QuotaGroup};
use crate::policy::key_state::Rest;
use crate::policy::pick::KeyIndex;
use crate::policy::quota::{Extent, Quota};
use crate::policy::restart::{self, Remedy, Restarts};
use crate::spec::{Dimension, KeySpec, ProviderSpec};
use crate::store::{Changes, GroupId, GroupMemory};
use crate::wheel::Kept;

use super::super::call::Line;
use super::super::hub::Hub;
use super::super::kernel::{self, Me, On, Ref};
use super::super::key::{Key, KeyRelic};
use super::super::memory;
use super::super::message::{
    Adopt, Adopted, Command, Crash, CrashKey, GroupGranted, Impose, KeyDown, LaneRested, Obey, Ready,
    Recalled, Reinstate, Remember, RememberKey, Rested, ShareRest, Stray,
};
use super::{Escalation, Provider};

/// A key as its provider knows it: from its messages.
pub(super) struct Child {
    pub(super) spec: Arc<KeySpec>,
    pub(super) line: Arc<Line>,
    life: Existence,
    restarts: Restarts,
    /// Its credits in the ready ring.
    pub(super) credits: u32,
    pub(super) in_flight: u32,
    pub(super) rests_until: Option<Moment>,
    /// The largest job that its token windows can ever hold.
    pub(super) tokens_max: u64,
    pub(super) group: Option<usize>,
}

enum Existence {
    Up(Ref<Key>),
    Down { relic: Box<KeyRelic>, restart_at: Moment },
}

/// A quota group's limits, kept by the provider for all its keys.
pub(super) struct Group {
    name: QuotaGroup,
    pub(super) quota: Quota,
}

/// What the successor of a provider gets of one key.
pub(crate) struct KeyInheritance {
    spec: Arc<KeySpec>,
    restarts: Restarts,
    life: Inherited,
}

enum Inherited {
    New,
    Living(Ref<Key>, Arc<Line>, u32),
    Crashed(Box<KeyRelic>),
}

impl KeyInheritance {
    pub(crate) fn fresh(spec: &KeySpec) -> Self {
        Self { spec: Arc::new(spec.clone()), restarts: Restarts::new(restart::KEY), life: Inherited::New }
    }

    /// The actor, if it lives; for the one who must end it.
    pub(crate) fn living(&self) -> Option<&Ref<Key>> {
        match &self.life {
            Inherited::Living(address, _, _) => Some(address),
            Inherited::New | Inherited::Crashed(_) => None,
        }
    }
}

impl Child {
    pub(super) fn bequeath(self) -> KeyInheritance {
        let life = match self.life {
            Existence::Up(address) => Inherited::Living(address, self.line, self.in_flight),
            Existence::Down { relic, .. } => Inherited::Crashed(relic),
        };
        // A key that brought its provider down starts over; the provider's own intensity counts now.
        KeyInheritance { spec: self.spec, restarts: Restarts::new(restart::KEY), life }
    }

    /// Whether it may ever serve `model`.
    pub(super) fn offers(&self, model: &Model) -> bool {
        self.spec.models.is_empty() || self.spec.models.contains(model)
    }

    pub(super) fn address(&self) -> Option<&Ref<Key>> {
        match &self.life {
            Existence::Up(address) => Some(address),
            Existence::Down { .. } => None,
        }
    }
}

impl Group {
    pub(super) fn all_of(spec: &ProviderSpec, hub: &Hub, now: Moment) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for key in &spec.keys {
            let Some(name) = &key.quota_group else { continue };
            if !groups.iter().any(|group| group.name == *name) {
                let mut quota = Quota::new(&key.limits.windows);
                if hub.state.is_some() {
                    quota.reserve_long_windows();
                }
                let id = GroupId { provider: spec.id.clone(), group: name.clone() };
                hub.recollect(now, |recollection| recollection.recall_group(&id, &mut quota));
                groups.push(Self { name: name.clone(), quota });
            }
        }
        groups
    }

    /// Those of a predecessor, which will never hear what it asked for.
    pub(super) fn inherited(mut groups: Vec<Self>) -> Vec<Self> {
        for group in &mut groups {
            group.quota.forget_asked();
        }
        groups
    }

    fn remembered(
        &self,
        spec: &ProviderSpec,
        hub: &Hub,
        now: Moment,
        extent: Extent,
    ) -> (GroupId, GroupMemory) {
        let windows = memory::dated_windows(&self.quota.past(now, extent), hub.clock.today());
        (GroupId { provider: spec.id.clone(), group: self.name.clone() }, GroupMemory { windows })
    }
}

impl Provider {
    /// Starts or adopts the keys, in their order.
    pub(super) fn raise(&mut self, keys: Vec<KeyInheritance>, me: &Me<'_, Self>) {
        for (index, inheritance) in keys.into_iter().enumerate() {
            let index = KeyIndex(index);
            let KeyInheritance { spec, restarts, life } = inheritance;
            let (line, in_flight) = match &life {
                Inherited::Living(_, line, in_flight) => (Arc::clone(line), *in_flight),
                Inherited::New => (self.line_of(&spec), 0),
                Inherited::Crashed(relic) => (self.line_of(&spec), relic.in_flight),
            };
            let life = match life {
                Inherited::Living(address, ..) => {
                    // A key that died meanwhile is reported by its monitor all the same.
                    let _ = address.tell(Adopt);
                    Existence::Up(address)
                }
                Inherited::New => {
                    let relic = KeyRelic::recalled(&spec, &line, me.now());
                    Existence::Up(self.start_key(index, &spec, &line, relic, me))
                }
                Inherited::Crashed(relic) => Existence::Up(self.start_key(index, &spec, &line, *relic, me)),
            };
            let group = spec.quota_group.as_ref();
            let group = group.and_then(|name| self.groups.iter().position(|group| group.name == *name));
            let token_windows =
                spec.limits.windows.iter().filter(|window| window.dimension == Dimension::Tokens);
            self.picker.add(spec.weight);
            self.in_flight += in_flight as usize;
            self.children.push(Child {
                tokens_max: token_windows
                    .map(|window| window.burst.unwrap_or(window.count))
                    .min()
                    .unwrap_or(u64::MAX),
                spec,
                line,
                life,
                restarts,
                credits: 0,
                in_flight,
                rests_until: None,
                group,
            });
        }
    }

    fn line_of(&self, key: &KeySpec) -> Arc<Line> {
        let mut credential = HeaderMap::new();
        let id = KeyId { provider: self.id().clone(), key: key.name.clone() };
        if let Err(error) = self.spec.dialect.authenticate(&key.secret, &mut credential) {
            // The wheel refuses such a specification before any actor starts.
            tracing::error!(key = %id, %error, "the key can't be sent; its calls will be refused");
        }
        Arc::new(Line {
            key: id,
            secret: key.secret.clone(),
            fingerprint: key.secret.fingerprint(&self.hub.fingerprints),
            credential,
            dialect: Arc::clone(&self.spec.dialect),
            base_url: self.spec.base_url.clone(),
            timeouts: self.spec.timeouts,
            hub: Arc::clone(&self.hub),
            barred: AtomicBool::new(false),
        })
    }

    fn start_key(
        &self,
        index: KeyIndex,
        spec: &KeySpec,
        line: &Arc<Line>,
        relic: KeyRelic,
        me: &Me<'_, Self>,
    ) -> Ref<Key> {
        let key = Key::new(index, spec, Arc::clone(line), me.address(), relic);
        let line = Arc::clone(line);
        let monitor = Box::new(move |down| {
            let (hub, provider) = (Arc::clone(&line.hub), line.key.provider.clone());
            hub.tell_provider(&provider, KeyDown::new(index, down, line));
        });
        kernel::spawn_child(key, self.hub.clock, monitor)
    }

    /// Starts the crashed keys whose delay is over, each from what it left.
    pub(super) fn restart_due(&mut self, now: Moment, me: &Me<'_, Self>) {
        if self.down == 0 {
            return;
        }
        for index in 0..self.children.len() {
            let child = &self.children[index];
            let relic = match &child.life {
                Existence::Down { relic, restart_at } if *restart_at <= now => KeyRelic::clone(relic),
                Existence::Down { .. } | Existence::Up(_) => continue,
            };
            let (spec, line) = (Arc::clone(&child.spec), Arc::clone(&child.line));
            let address = self.start_key(KeyIndex(index), &spec, &line, relic, me);
            self.children[index].life = Existence::Up(address);
            self.down -= 1;
            self.report(now, EventKind::KeyRestarted { key: line.key.clone() });
        }
    }

    /// When a quota group that had nothing for the job at hand has it.
    pub(super) fn next_group_call(&self, now: Moment) -> Moment {
        let refusals =
            self.groups.iter().filter_map(|group| group.quota.check(now, self.wanted_tokens).err());
        refusals.map(|not| not.until).min().unwrap_or(Moment::NEVER)
    }

    pub(super) fn next_restart(&self) -> Moment {
        if self.down == 0 {
            return Moment::NEVER;
        }
        let due = self.children.iter().filter_map(|child| match &child.life {
            Existence::Down { restart_at, .. } => Some(*restart_at),
            Existence::Up(_) => None,
        });
        due.min().unwrap_or(Moment::NEVER)
    }

    pub(super) fn key_rested(&mut self, rested: &Rested) {
        let child = &mut self.children[rested.key.0];
        child.rests_until = rested.until;
        if rested.recall {
            let credits = std::mem::take(&mut child.credits);
            if let Some(address) = child.address() {
                // If it has died since, its credits died with it.
                let _ = address.tell(Recalled(credits));
            }
            self.picker.set_ready(rested.key, false);
        }
    }

    pub(super) fn lane_rested(&mut self, rested: LaneRested, now: Moment) {
        self.lane_rests.retain(|known| known.key != rested.key || known.model != rested.model);
        if rested.until > now {
            self.lane_rests.push(rested);
        }
    }

    pub(super) fn command(&mut self, command: &Command) -> Option<oneshot::Receiver<Kept>> {
        let child = self.children.iter().find(|child| child.spec.name == command.key)?;
        let (done, obeyed) = oneshot::channel();
        match (child.address(), command.command) {
            (Some(address), order) => {
                let answer = address.ask(Obey(order));
                tokio::spawn(async move {
                    let Some(obeyed) = answer.await else { return };
                    // Without State nobody keeps it; and the commander may have left.
                    let _ = done.send(obeyed.await.unwrap_or(Kept::not()));
                });
            }
            (None, _) => return None,
        }
        Some(obeyed)
    }

    /// Reserves what the groups will use next of their long windows.
    pub(super) fn reserve_for_groups(&mut self, me: &Me<'_, Self>) {
        let (now, tokens) = (me.now(), self.wanted_tokens);
        let mut changes = Changes::default();
        for group in &mut self.groups {
            if group.quota.ask_reserve(now, tokens) {
                let (id, memory) = group.remembered(&self.spec, &self.hub, now, Extent::Long);
                changes.groups.insert(id, Some(memory));
            }
        }
        if changes.is_empty() {
            return;
        }
        let myself = me.address();
        // A provider that is gone has a successor, which asks anew.
        let told = Box::new(move |_| drop(myself.tell(GroupGranted)));
        // Without State nothing was reserved in the first place.
        drop(self.hub.persist(changes, Some(told)));
    }

    fn tell_group(&self, of: KeyIndex, rest: &Rest) {
        let group = self.children[of.0].group;
        let siblings = self.children.iter().enumerate();
        for (_, sibling) in siblings.filter(|(index, child)| *index != of.0 && child.group == group) {
            if let Some(address) = sibling.address() {
                // A dead sibling meets the limit itself when it is back.
                let _ = address.tell(Impose(rest.clone()));
            }
        }
    }
}

impl On<GroupGranted> for Provider {
    fn on(&mut self, _: GroupGranted, me: &mut Me<'_, Self>) {
        for group in &mut self.groups {
            group.quota.granted();
        }
        self.turn(me);
    }
}

impl On<Remember> for Provider {
    fn on(&mut self, _: Remember, me: &mut Me<'_, Self>) -> Vec<oneshot::Receiver<()>> {
        let now = me.now();
        let groups =
            self.groups.iter().map(|group| group.remembered(&self.spec, &self.hub, now, Extent::All));
        let groups = groups.map(|(id, memory)| (id, Some(memory.at_the_end())));
        drop(self.hub.persist(Changes { groups: groups.collect(), ..Changes::default() }, None));
        let keys = self.children.iter().filter_map(Child::address).map(|key| {
            let (done, told) = oneshot::channel();
            let asked = key.ask(RememberKey);
            tokio::spawn(async move {
                // A key that died meanwhile has told what it had to.
                asked.await;
                let _ = done.send(());
            });
            told
        });
        keys.collect()
    }
}

impl On<Ready> for Provider {
    fn on(&mut self, ready: Ready, me: &mut Me<'_, Self>) {
        let child = &mut self.children[ready.key.0];
        child.credits += ready.credits;
        self.picker.set_ready(ready.key, child.credits > 0);
        self.turn(me);
    }
}

impl On<ShareRest> for Provider {
    fn on(&mut self, share: ShareRest, me: &mut Me<'_, Self>) {
        self.tell_group(share.key, &share.rest);
        self.turn(me);
    }
}

impl On<Adopted> for Provider {
    fn on(&mut self, adopted: Adopted, me: &mut Me<'_, Self>) {
        self.set_in_flight(adopted.key, adopted.in_flight);
        self.turn(me);
    }
}

impl On<Stray> for Provider {
    fn on(&mut self, Stray(letter): Stray, me: &mut Me<'_, Self>) {
        let Some(key) = letter.key() else { return };
        match &mut self.children[key.0].life {
            Existence::Up(address) => {
                // A second death on the way brings the letter back here once more.
                let _ = address.tell(letter);
            }
            Existence::Down { relic, .. } => {
                relic.in_flight = relic.in_flight.saturating_sub(1);
                if let Some(outcome) = letter.open() {
                    self.settle_orphan(outcome, me.now());
                }
            }
        }
        self.turn(me);
    }
}

impl On<CrashKey> for Provider {
    fn on(&mut self, CrashKey(name): CrashKey, _: &mut Me<'_, Self>) -> bool {
        let child = self.children.iter().find(|child| child.spec.name == name);
        child.and_then(Child::address).is_some_and(|address| address.tell(Crash).is_ok())
    }
}

impl On<KeyDown> for Provider {
    fn on(&mut self, message: KeyDown, me: &mut Me<'_, Self>) {
        let (now, key) = (me.now(), message.key);
        let Some(down) = message.open() else { return };
        let child = &mut self.children[key.0];
        child.credits = 0;
        let relic = Box::new(down.relic);
        self.set_in_flight(key, relic.in_flight);
        self.picker.set_ready(key, false);
        if let Some(probe) = self.probe.take_if(|probe| probe.key == key) {
            self.breaker.abandoned(probe.epoch);
        }
        let child = &mut self.children[key.0];
        if down.panicked {
            tracing::error!(key = %child.line.key, "the key's actor crashed");
        }
        self.down += 1;
        match child.restarts.crashed(now) {
            Remedy::RestartAt(restart_at) => child.life = Existence::Down { relic, restart_at },
            Remedy::Escalate => {
                child.life = Existence::Down { relic, restart_at: Moment::NEVER };
                self.escalating = Escalation::Yes;
                me.stop();
                return;
            }
        }
        self.turn(me);
    }
}

impl Provider {
    /// Takes back the blame. The keys are usable again from here on, unless they say otherwise.
    pub(super) fn reinstate(&mut self, keys: &[KeyIndex]) {
        for key in keys {
            let child = &mut self.children[key.0];
            child.rests_until = None;
            if let Some(address) = child.address() {
                // A dead key is started from what it left, and fails again if it must.
                let _ = address.tell(Reinstate);
            }
        }
    }
}
