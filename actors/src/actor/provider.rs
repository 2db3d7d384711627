//! The provider actor: supervisor of its keys, keeper of the queue, judge of its own health.
//!
//! It sends a job only against a credit, so no mailbox fills up and a key that
//! rests simply falls silent. It never looks at a key's state: what it knows of
//! its keys are the messages they sent.

mod children;
mod dispatch;
mod drain;
mod ending;
mod group;
mod hold;
mod places;
mod reload;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use crate::board::ProviderView;
use crate::clock::Moment;
use crate::event::{Event, EventKind};
use crate::id::{Model, ProviderId};
use crate::policy::breaker::{Admission, Breaker, Change, Epoch};
use crate::policy::budget::RetryBudget;
use crate::policy::incident::IncidentGuard;
use crate::policy::pick::{KeyIndex, Picker};
use crate::policy::queue::Queue;
use crate::policy::reckoning::Reckoner;
use crate::spec::ProviderSpec;
use crate::tokens::Tokens;
use crate::wheel::Kept;

use super::hub::Hub;
use super::job::Job;
use super::kernel::{Life, Me, On};
use super::message::{Command, Crash, LaneRested, Logging, Reload, Report, Rested, Submit};

pub(crate) use children::KeyInheritance;
use children::{Capacity, Child};
pub(crate) use dispatch::PACING_MAX;
use drain::Draining;
use group::{Group, Wanted};
use hold::Held;
use places::Children;
use visit::Neighbours;

/// One provider of the wheel.
pub(crate) struct Provider {
    hub: Arc<Hub>,
    spec: Arc<ProviderSpec>,
    children: Children,
    /// Calls under way on all of them.
    in_flight: usize,
    /// Those of them that are down and will be started again.
    down: usize,
    groups: Vec<Group>,
    picker: Picker,
    queue: Queue<Job>,
    breaker: Breaker,
    /// The probe of an ill provider, while it is under way.
    probe: Option<Probe>,
    budget: RetryBudget,
    incident: IncidentGuard<KeyIndex>,
    /// What models wrote so far.
    reckoner: Reckoner,
    /// What every key can hold.
    smallest: Capacity,
    /// The jobs that no ready key could take when that was last tried.
    wanted: Wanted,
    /// The least that a job took since the queue was last empty.
    least: Tokens,
    /// The key that is kept free for a large job.
    held: Option<Held>,
    /// When the first of its keys' refusals will be over.
    refused_until: Moment,
    /// Lanes that rest although their key doesn't.
    lane_rests: Vec<LaneRested>,
    /// How the waiting jobs of each lane were last settled: by this earliest resume.
    settled: Vec<(Model, Moment)>,
    neighbours: Neighbours,
    draining: Option<Draining>,
    fell_over: u64,
    /// When a full queue was last searched for jobs whose callers have left.
    swept_at: Moment,
    rng: fastrand::Rng,
    inherited: Option<ProviderRelic>,
    standing: Standing,
    /// The reload that not every key has heard of yet.
    reloading: Option<u64>,
    exit: Exit,
}

/// The one call that finds out whether an ill provider is well again.
#[derive(Clone, Copy)]
struct Probe {
    key: KeyIndex,
    epoch: Epoch,
}

/// Whether the configuration names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Staying,
    /// Not any more: it takes nothing new, and stops when the last call has ended.
    Leaving,
}

/// How a provider's actor ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// By a panic, unless it says otherwise before.
    Crashed,
    /// By itself, because a key crashes too often.
    Escalated,
    /// By itself, because the configuration doesn't name it any more and nothing is left to do.
    Left,
}

/// What a provider leaves to its successor: all its jobs and keys.
pub(crate) struct ProviderRelic {
    pub(crate) spec: Arc<ProviderSpec>,
    pub(crate) jobs: Vec<Job>,
    /// By place.
    pub(crate) keys: Vec<Option<KeyInheritance>>,
    groups: Vec<Group>,
    standing: Standing,
    /// What its successor is to start with, if a reload came meanwhile.
    pub(crate) reload: Option<Reload>,
    pub(crate) exit: Exit,
}

impl Provider {
    /// A provider with nothing behind it.
    pub(crate) fn new(hub: Arc<Hub>, spec: Arc<ProviderSpec>) -> Self {
        let keys = spec.keys.iter().map(|key| Some(KeyInheritance::fresh(key))).collect();
        let groups = Group::all_of(&spec, &hub, hub.clock.now());
        let relic = ProviderRelic {
            spec,
            jobs: Vec::new(),
            keys,
            groups,
            standing: Standing::Staying,
            reload: None,
            exit: Exit::Crashed,
        };
        Self::succeeding(hub, relic)
    }

    /// The successor of one that ended.
    pub(crate) fn succeeding(hub: Arc<Hub>, mut relic: ProviderRelic) -> Self {
        let spec = Arc::clone(&relic.spec);
        let seed =
            spec.id.as_str().bytes().fold(hub.seed, |seed, byte| seed.rotate_left(5) ^ u64::from(byte));
        Self {
            picker: Picker::new(spec.rotation.pick),
            queue: Queue::new(spec.queue_jobs_max),
            groups: Group::inherited(std::mem::take(&mut relic.groups)),
            children: Children::default(),
            in_flight: 0,
            down: 0,
            breaker: Breaker::default(),
            probe: None,
            budget: RetryBudget::default(),
            incident: IncidentGuard::default(),
            reckoner: Reckoner::default(),
            smallest: Capacity::of_all(&spec.keys),
            wanted: Wanted::default(),
            least: Tokens::NONE,
            held: None,
            refused_until: Moment::NEVER,
            lane_rests: Vec::new(),
            settled: Vec::new(),
            neighbours: Neighbours::default(),
            draining: None,
            fell_over: 0,
            swept_at: Moment::ZERO,
            rng: fastrand::Rng::with_seed(seed),
            standing: relic.standing,
            reloading: None,
            inherited: Some(relic),
            exit: Exit::Crashed,
            hub,
            spec,
        }
    }

    fn id(&self) -> &ProviderId {
        &self.spec.id
    }

    /// Until when the provider as a whole is out of order, as far as is known.
    fn ill_until(&self, now: Moment) -> Option<Moment> {
        match self.breaker.would_admit(now) {
            Admission::Go(_) | Admission::Probe(_) => None,
            Admission::NotUntil(until) => Some(until),
            // Unknown; to the full second, so that those who wait aren't asked anew at every message.
            Admission::ProbeOut => {
                Some(Moment::after_start(Duration::from_secs(now.since_start().as_secs() + 1)))
            }
        }
    }

    fn is_open(&self, now: Moment) -> bool {
        match self.breaker.would_admit(now) {
            Admission::Go(_) | Admission::Probe(_) => true,
            Admission::NotUntil(_) | Admission::ProbeOut => false,
        }
    }

    /// Counts the calls of a key, and with them those of the provider.
    fn set_in_flight(&mut self, key: KeyIndex, calls: u32) {
        let Some(child) = self.children.get_mut(key) else { return };
        let known = std::mem::replace(&mut child.in_flight, calls);
        self.in_flight = self.in_flight - known as usize + calls as usize;
    }

    /// After every message: sends what can be sent, settles what can't, says what changed.
    fn turn(&mut self, me: &mut Me<'_, Self>) {
        let now = me.now();
        self.lane_rests.retain(|rest| rest.until > now);
        self.expire_refusals(now);
        self.release(now);
        self.restart_due(now, me);
        self.end_expired(now);
        self.send_elsewhere(now);
        self.pump(now);
        self.settle_waiting(now);
        self.overflow(now);
        self.offer_spare(now);
        self.finish_drain(now);
        self.reserve_for_groups(me);
        self.finish_reload();
        self.publish(now);
        me.alarm_at(self.wake_at(now));
        self.finish_leaving(me);
    }

    fn wake_at(&self, now: Moment) -> Moment {
        let mut at = self.queue.wake_at().min(self.next_restart());
        if let Some(draining) = &self.draining {
            at = at.min(draining.until);
        }
        if !self.queue.is_empty() || self.has_hopeful() {
            at = at.min(self.ill_until(now).filter(|until| *until > now).unwrap_or(Moment::NEVER));
            at = self.lane_rests.iter().map(|rest| rest.until).fold(at, Moment::min);
            at = self.next_group_call(now).min(at).min(self.refused_until).min(self.held_until(now));
        }
        at
    }

    fn publish(&self, now: Moment) {
        let view = ProviderView {
            queued: self.queue.len(),
            in_flight: self.in_flight,
            resting_until: self.ill_until(now),
            fell_over: self.fell_over,
        };
        self.hub.board.publish_provider(self.id(), view);
    }

    fn report(&self, now: Moment, kind: EventKind) {
        let log = if self.spec.rotation.log_failures { Logging::On } else { Logging::Off };
        self.hub.report(Report { events: vec![Event { at: now, kind }], log });
    }

    fn report_change(&self, now: Moment, change: Option<Change>, why: &str) {
        let provider = self.id().clone();
        match change {
            Some(Change::Opened { until }) => {
                self.report(now, EventKind::ProviderRested { provider, until, why: why.to_owned() });
            }
            Some(Change::Closed) => self.report(now, EventKind::ProviderResumed { provider }),
            None => {}
        }
    }
}

impl Life for Provider {
    type Relic = ProviderRelic;

    fn started(&mut self, me: &mut Me<'_, Self>) {
        if let Some(relic) = self.inherited.take() {
            self.raise(relic.keys, me);
            for job in relic.jobs {
                self.queue_first(job);
            }
            if let Some(reload) = relic.reload {
                self.reload(reload, me);
            }
        }
        self.turn(me);
    }

    fn alarmed(&mut self, me: &mut Me<'_, Self>) {
        self.turn(me);
    }

    fn relic(&mut self) -> ProviderRelic {
        let keys = std::mem::take(&mut self.children).into_places();
        ProviderRelic {
            spec: Arc::clone(&self.spec),
            jobs: self.queue.take_where(|_, _| true),
            keys: keys.into_iter().map(|child| child.map(Child::bequeath)).collect(),
            groups: std::mem::take(&mut self.groups),
            standing: self.standing,
            reload: None,
            exit: self.exit,
        }
    }
}

impl On<Submit> for Provider {
    fn on(&mut self, Submit(job): Submit, me: &mut Me<'_, Self>) {
        self.admit(job, me.now());
        self.turn(me);
    }
}

impl On<Rested> for Provider {
    fn on(&mut self, rested: Rested, me: &mut Me<'_, Self>) {
        self.key_rested(&rested);
        self.turn(me);
    }
}

impl On<LaneRested> for Provider {
    fn on(&mut self, rested: LaneRested, me: &mut Me<'_, Self>) {
        self.lane_rested(rested, me.now());
        self.turn(me);
    }
}

impl On<Command> for Provider {
    fn on(
        &mut self,
        command: Command,
        me: &mut Me<'_, Self>,
    ) -> Option<tokio::sync::oneshot::Receiver<Kept>> {
        let obeyed = self.command(&command);
        self.turn(me);
        obeyed
    }
}

impl On<Crash> for Provider {
    #[expect(clippy::panic, reason = "this is what the drill is for")]
    fn on(&mut self, _: Crash, _: &mut Me<'_, Self>) {
        panic!("a drill: the provider {} was told to crash", self.id());
    }
}
