//! The provider as a supervisor: starts its keys, restarts those that crash, passes on commands.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::event::EventKind;
use crate::id::{KeyId, Model};
use crate::policy::pick::KeyIndex;
use crate::policy::quota::Extent;
use crate::policy::refusals::Refusals;
use crate::policy::restart::{self, Remedy, Restarts};
use crate::policy::sizes::Sizes;
use crate::spec::{Dimension, KeySpec};
use crate::store::Changes;
use crate::tokens::Tokens;
use crate::wheel::Kept;

use super::super::call::Line;
use super::super::kernel::{self, Me, On, Ref};
use super::super::key::{Key, KeyRelic};
use super::super::message::{
    Adopt, Adopted, Amend, Command, Crash, CrashKey, KeyDown, LaneRested, Obey, Ready, Recalled, Reinstate,
    Remember, RememberKey, Rested, Stray,
};
use super::places::Children;
use super::{Exit, Provider};

/// A key as its provider knows it: from its messages.
pub(super) struct Child {
    pub(super) spec: Arc<KeySpec>,
    pub(super) line: Arc<Line>,
    pub(super) life: Existence,
    restarts: Restarts,
    /// Its credits in the ready ring.
    pub(super) credits: u32,
    pub(super) in_flight: u32,
    pub(super) rests_until: Option<Moment>,
    /// When it was last sent a job.
    pub(super) asked_at: Moment,
    /// When its latest call began that was served.
    pub(super) accepted_from: Option<Moment>,
    /// The largest job that its token windows can ever hold.
    pub(super) capacity: Capacity,
    /// What it has lately been too full for.
    pub(super) refusals: Refusals,
    /// How large the jobs were that it was sent, as it remembers them itself.
    pub(super) sizes: Sizes,
    pub(super) group: Option<usize>,
    pub(super) stage: Stage,
    /// What a reload has told it and it hasn't confirmed.
    pub(super) unconfirmed: Option<Unconfirmed>,
}

/// Whether a key goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Serving,
    /// The configuration doesn't name it any more.
    Leaving,
}

/// What a key was told by a reload.
pub(super) enum Unconfirmed {
    Amend(Box<Amend>),
    Leave,
}

pub(super) enum Existence {
    Up(Ref<Key>),
    Down { relic: Box<KeyRelic>, restart_at: Moment },
}

/// What the successor of a provider gets of one key.
pub(crate) struct KeyInheritance {
    spec: Arc<KeySpec>,
    restarts: Restarts,
    stage: Stage,
    life: Inherited,
}

enum Inherited {
    New,
    Living(Ref<Key>, Arc<Line>, u32),
    Crashed(Box<KeyRelic>, Arc<Line>),
}

impl KeyInheritance {
    pub(crate) fn fresh(spec: &KeySpec) -> Self {
        let restarts = Restarts::new(restart::KEY);
        Self { spec: Arc::new(spec.clone()), restarts, stage: Stage::Serving, life: Inherited::New }
    }

    /// The actor, if it lives; for the one who must end it.
    pub(crate) fn living(&self) -> Option<&Ref<Key>> {
        match &self.life {
            Inherited::Living(address, _, _) => Some(address),
            Inherited::New | Inherited::Crashed(..) => None,
        }
    }
}

impl Child {
    pub(super) fn bequeath(self) -> KeyInheritance {
        let life = match self.life {
            Existence::Up(address) => Inherited::Living(address, self.line, self.in_flight),
            Existence::Down { relic, .. } => Inherited::Crashed(relic, self.line),
        };
        // A key that brought its provider down starts over; the provider's own intensity counts now.
        KeyInheritance { spec: self.spec, restarts: Restarts::new(restart::KEY), stage: self.stage, life }
    }

    /// Whether it may ever serve `model`.
    pub(super) fn offers(&self, model: &Model) -> bool {
        let models = &self.spec.models;
        let is_bound = !models.is_empty() && !model.as_str().is_empty();
        self.stage == Stage::Serving && (!is_bound || models.contains(model))
    }

    /// Whether the configuration names it.
    pub(super) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether a job can be sent against its credit.
    pub(super) fn has_credit(&self) -> bool {
        self.stage == Stage::Serving && self.credits > 0
    }

    pub(super) fn address(&self) -> Option<&Ref<Key>> {
        match &self.life {
            Existence::Up(address) => Some(address),
            Existence::Down { .. } => None,
        }
    }
}

impl Provider {
    /// Starts or adopts the keys, each at its place.
    pub(super) fn raise(&mut self, keys: Vec<Option<KeyInheritance>>, me: &Me<'_, Self>) {
        let ranks: HashMap<_, _> =
            self.spec.keys.iter().enumerate().map(|(rank, key)| (key.name.clone(), rank)).collect();
        self.children = Children::of_size(keys.len());
        for (index, inheritance) in keys.into_iter().enumerate() {
            let Some(KeyInheritance { spec, restarts, stage, life }) = inheritance else { continue };
            let index = KeyIndex(index);
            let rank = ranks.get(&spec.name).copied().unwrap_or(index.0);
            let (line, in_flight) = match &life {
                Inherited::Living(_, line, in_flight) => (Arc::clone(line), *in_flight),
                Inherited::New => (self.line_of(&spec, None), 0),
                Inherited::Crashed(relic, line) => (Arc::clone(line), relic.in_flight),
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
                Inherited::Crashed(relic, _) => {
                    Existence::Up(self.start_key(index, &spec, &line, *relic, me))
                }
            };
            let child = Child { restarts, in_flight, stage, ..Self::child(spec, line, life) };
            self.seat(index, rank, child);
            self.remind_to_leave(index);
        }
        self.regroup_children();
    }

    /// A key as it is when nothing is known but how it lives.
    pub(super) fn child(spec: Arc<KeySpec>, line: Arc<Line>, life: Existence) -> Child {
        Child {
            capacity: Capacity::of(&spec),
            refusals: Refusals::default(),
            sizes: Sizes::default(),
            spec,
            line,
            life,
            restarts: Restarts::new(restart::KEY),
            credits: 0,
            in_flight: 0,
            rests_until: None,
            asked_at: Moment::ZERO,
            accepted_from: None,
            group: None,
            stage: Stage::Serving,
            unconfirmed: None,
        }
    }

    /// Gives a key its place.
    pub(super) fn seat(&mut self, key: KeyIndex, rank: usize, child: Child) {
        self.picker.seat(key, rank, child.spec.weight);
        self.in_flight += child.in_flight as usize;
        self.children.put(key, child);
    }

    /// What all calls of a key have in common; with what holds for the key whatever its line says, if it had
    /// one before.
    pub(super) fn line_of(&self, key: &KeySpec, before: Option<&Line>) -> Arc<Line> {
        let mut credential = HeaderMap::new();
        let id = KeyId { provider: self.id().clone(), key: key.name.clone() };
        let speech = self.spec.speech();
        let own = self.spec.dialect.authenticate(&key.secret, &mut credential);
        let credential_as_openai = own.and_then(|()| speech.credential_as_openai(&key.secret));
        let credential_as_openai = credential_as_openai.unwrap_or_else(|error| {
            // The wheel refuses such a specification before any actor starts.
            tracing::error!(key = %id, %error, "the key can't be sent; its calls will be refused");
            HeaderMap::new()
        });
        Arc::new(Line {
            key: id,
            secret: key.secret.clone(),
            fingerprint: key.secret.fingerprint(&self.hub.fingerprints),
            credential,
            credential_as_openai,
            speech,
            base_url: self.spec.base_url.as_str().into(),
            timeouts: self.spec.timeouts,
            hub: Arc::clone(&self.hub),
            barred: before.map(|line| Arc::clone(&line.barred)).unwrap_or_default(),
            superseded: before.map(|line| Arc::clone(&line.superseded)).unwrap_or_default(),
        })
    }

    pub(super) fn start_key(
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
        let due = self.children.iter().filter_map(|(key, child)| match &child.life {
            Existence::Down { relic, restart_at } if *restart_at <= now => {
                Some((key, Arc::clone(&child.spec), Arc::clone(&child.line), KeyRelic::clone(relic)))
            }
            Existence::Down { .. } | Existence::Up(_) => None,
        });
        for (key, spec, line, relic) in due.collect::<Vec<_>>() {
            let address = self.start_key(key, &spec, &line, relic, me);
            if let Some(child) = self.children.get_mut(key) {
                child.life = Existence::Up(address);
                child.sizes = Sizes::default();
            }
            self.down -= 1;
            self.report(now, EventKind::KeyRestarted { key: line.key.clone() });
            self.remind_to_leave(key);
        }
    }

    pub(super) fn next_restart(&self) -> Moment {
        if self.down == 0 {
            return Moment::NEVER;
        }
        let due = self.children.iter().filter_map(|(_, child)| match &child.life {
            Existence::Down { restart_at, .. } => Some(*restart_at),
            Existence::Up(_) => None,
        });
        due.min().unwrap_or(Moment::NEVER)
    }

    pub(super) fn key_rested(&mut self, rested: &Rested) {
        let Some(child) = self.children.get_mut(rested.key) else { return };
        if child.stage == Stage::Serving {
            child.rests_until = rested.until;
        }
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
        let child = self.children.named(&command.key)?;
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
}

impl On<Remember> for Provider {
    fn on(&mut self, _: Remember, me: &mut Me<'_, Self>) -> Vec<oneshot::Receiver<()>> {
        let now = me.now();
        let groups =
            self.groups.iter().map(|group| group.remembered(&self.spec, &self.hub, now, Extent::All));
        let groups = groups.map(|(id, memory)| (id, Some(memory.at_the_end())));
        drop(self.hub.persist(Changes { groups: groups.collect(), ..Changes::default() }, None));
        let keys = self.children.iter().filter_map(|(_, child)| child.address()).map(|key| {
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
        if let Some(child) = self.children.get_mut(ready.key) {
            child.credits += ready.credits;
            self.picker.set_ready(ready.key, child.has_credit());
        }
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
        let child = self.children.get_mut(key).filter(|child| letter.is_of(&child.line));
        // Of a key that is gone for good, nobody counts any more; a job inside finds its way back.
        let Some(child) = child else { return drop(letter.open()) };
        match &mut child.life {
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
        self.children.named(&name).and_then(Child::address).is_some_and(|address| address.tell(Crash).is_ok())
    }
}

impl On<KeyDown> for Provider {
    fn on(&mut self, message: KeyDown, me: &mut Me<'_, Self>) {
        let (now, key) = (me.now(), message.key);
        let child = self.children.get_mut(key).filter(|child| message.is_of(&child.line));
        // A provider that was given up left it behind.
        let Some(child) = child else { return drop(message.open()) };
        let Some(down) = message.open() else { return };
        child.credits = 0;
        let mut relic = Box::new(down.relic);
        if let Some(Unconfirmed::Amend(amend)) = child.unconfirmed.take() {
            relic.amend(&amend);
        }
        self.set_in_flight(key, relic.in_flight);
        self.picker.set_ready(key, false);
        if let Some(probe) = self.probe.take_if(|probe| probe.key == key) {
            self.breaker.abandoned(probe.epoch);
        }
        let Some(child) = self.children.get_mut(key) else { return };
        if child.stage == Stage::Leaving && !down.panicked {
            self.vacate(key);
            return self.turn(me);
        }
        if down.panicked {
            tracing::error!(key = %child.line.key, "the key's actor crashed");
        }
        self.down += 1;
        match child.restarts.crashed(now) {
            Remedy::RestartAt(restart_at) => child.life = Existence::Down { relic, restart_at },
            Remedy::Escalate => {
                child.life = Existence::Down { relic, restart_at: Moment::NEVER };
                self.exit = Exit::Escalated;
                me.stop();
                return;
            }
        }
        self.turn(me);
    }
}

impl Provider {
    /// Takes back the blame for the calls that belong to an incident. The keys are usable again from here on,
    /// unless they say otherwise.
    pub(super) fn reinstate(&mut self, keys: &[KeyIndex]) {
        let began_before = self.incident.excused_before();
        for key in keys {
            let child = self.children.get_mut(*key).filter(|child| child.stage == Stage::Serving);
            let Some(child) = child else { continue };
            child.rests_until = None;
            match &mut child.life {
                Existence::Up(address) => {
                    // One that has died since is started from what it left, and is refused once more.
                    let _ = address.tell(Reinstate { began_before });
                }
                Existence::Down { relic, .. } => {
                    relic.health.reinstate(began_before);
                }
            }
        }
    }
}

/// The largest job that the token windows of a key can ever hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Capacity {
    input: u64,
    output: u64,
    total: u64,
}

impl Capacity {
    pub(super) fn of(spec: &KeySpec) -> Self {
        let least = |dimension: Dimension| {
            let windows = spec.limits.windows.iter().filter(|window| window.dimension == dimension);
            windows.map(|window| window.burst.unwrap_or(window.count)).min().unwrap_or(u64::MAX)
        };
        Self {
            input: least(Dimension::InputTokens),
            output: least(Dimension::OutputTokens),
            total: least(Dimension::Tokens),
        }
    }

    /// What every one of these keys can hold.
    pub(super) fn of_all(keys: &[KeySpec]) -> Self {
        let unlimited = Self { input: u64::MAX, output: u64::MAX, total: u64::MAX };
        keys.iter().map(Self::of).fold(unlimited, |least, key| Self {
            input: least.input.min(key.input),
            output: least.output.min(key.output),
            total: least.total.min(key.total),
        })
    }

    /// Whether it knows any bound.
    pub(super) const fn is_limited(&self) -> bool {
        self.input < u64::MAX || self.output < u64::MAX || self.total < u64::MAX
    }

    /// Whether such a job can ever be sent.
    pub(super) const fn holds(&self, tokens: Tokens) -> bool {
        tokens.input <= self.input && tokens.output <= self.output && tokens.total() <= self.total
    }

    /// The longest answer that fits beside a prompt.
    pub(super) fn room_beside(&self, input: u64) -> u64 {
        self.output.min(self.total.saturating_sub(input))
    }
}
