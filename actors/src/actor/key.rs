//! The key actor: one credential, its limits, and the last word on using it.

mod amend;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::board::{Cause, KeyCounts, KeyState, KeyStatus, KeyView};
use crate::clock::Moment;
use crate::event::{Event, EventKind};
use crate::id::Model;
use crate::outcome::{Fault, Reason};
use crate::policy::concurrency::Concurrency;
use crate::policy::credits::Credits;
use crate::policy::key_state::{KeyHealth, Reach, Rest};
use crate::policy::pace::{Pace, Surprise};
use crate::policy::pick::KeyIndex;
use crate::policy::quota::{Extent, Quota, Taken};
use crate::policy::sizes::Sizes;
use crate::request::X_REQUEST_ID;
use crate::spec::KeySpec;
use crate::store::{Changes, KeyMemory, Memory};
use crate::wheel::{Kept, KeyCommand};

use tokio::sync::oneshot;

use amend::{KeyTerms, NOT_ENABLED, concurrency_of, own_windows, pace_of};

use super::call::{self, Line, NOTHING_KNOWN};
use super::job::Job;
use super::kernel::{Life, Me, Message, On, Ref};
use super::memory::{self, Recollection};
use super::message::{
    Adopt, Adopted, Bounced, Crash, Dispatch, End, Ended, Expect, Forward, Granted, Impose, LaneRested,
    Logging, Made, Obey, Outcome, Ready, Recalled, Reinstate, RememberKey, Report, Rested, Retire, ShareRest,
    Verdict,
};
use super::provider::{PACING_MAX, Provider};
use super::root::Root;
use super::slip::{OutcomeLetter, Slip};
use super::state::Told;
use super::stats::Tally;

/// Shorter rests are over before anybody has started again.
const WORTH_KEEPING: Duration = Duration::from_secs(5);

/// One key of one provider.
pub(crate) struct Key {
    index: KeyIndex,
    line: Arc<Line>,
    provider: Ref<Provider>,
    health: KeyHealth,
    quota: Quota,
    concurrency: Concurrency,
    pace: Box<Pace>,
    credits: Credits,
    counts: KeyCounts,
    /// How large the next job may be, by the last ones that came.
    sizes: Sizes,
    /// What its limits permit in the long run, its group's included.
    permitted_per_second: Option<f64>,
    logging: Logging,
    stage: Stage,
    rng: fastrand::Rng,
    told_status: KeyStatus,
    told_rest: Option<Moment>,
    /// Calls that Stats hasn't heard of.
    tally: Tally,
    /// Whether something happened that a restart must not forget.
    unkept: Unkept,
}

/// Whether a key goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The configuration doesn't name it any more: it stops when its last call has ended.
    Leaving,
}

/// Whether State must hear of something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unkept {
    Nothing,
    Something,
}

/// What a key leaves to its successor.
#[derive(Clone)]
pub(crate) struct KeyRelic {
    pub(crate) health: KeyHealth,
    pub(crate) quota: Quota,
    pub(crate) concurrency: Concurrency,
    /// Large, and rarely needed: relics travel.
    pub(crate) pace: Box<Pace>,
    pub(crate) counts: KeyCounts,
    pub(crate) in_flight: u32,
    /// What was last told as an event: a reload may change a key that is down.
    told_status: KeyStatus,
}

impl KeyRelic {
    /// What a new key starts from: what an earlier process left of it, if any did.
    pub(crate) fn recalled(spec: &KeySpec, line: &Line, now: Moment) -> Self {
        line.hub.recollect(now, |recollection| Self::of(spec, line, recollection, now))
    }

    /// What a key starts from that has nothing to do with an earlier one.
    pub(crate) fn fresh(spec: &KeySpec, line: &Line, now: Moment) -> Self {
        let nothing = Memory::default();
        Self::of(spec, line, &Recollection::of(&nothing, line.hub.clock, now), now)
    }

    fn of(spec: &KeySpec, line: &Line, recollection: &Recollection<'_>, now: Moment) -> Self {
        let (mut health, learned) = recollection.health(&line.key, spec, line.fingerprint);
        if !spec.enabled {
            health.configured_off(NOT_ENABLED);
        }
        let mut quota = Quota::new(own_windows(spec));
        if line.hub.state.is_some() {
            quota.reserve_long_windows();
        }
        recollection.recall_key(&line.key, line.fingerprint, &mut quota);
        Self {
            health,
            quota,
            concurrency: concurrency_of(&spec.limits, learned),
            pace: Box::new(pace_of(spec, recollection.pace(&line.key, line.fingerprint), now)),
            counts: KeyCounts::default(),
            in_flight: 0,
            told_status: KeyStatus::default(),
        }
    }
}

impl Key {
    pub(crate) fn new(
        index: KeyIndex,
        spec: &KeySpec,
        line: Arc<Line>,
        provider: Ref<Provider>,
        relic: KeyRelic,
    ) -> Self {
        let rng = fastrand::Rng::with_seed(line.hub.seed ^ (index.0 as u64).rotate_left(32));
        let mut quota = relic.quota;
        quota.forget_asked();
        let KeyTerms { permitted_per_second, logging } = KeyTerms::of(spec);
        Self {
            index,
            line,
            provider,
            credits: Credits::resumed(relic.concurrency.limit(), relic.in_flight),
            health: relic.health,
            quota,
            concurrency: relic.concurrency,
            pace: relic.pace,
            counts: relic.counts,
            sizes: Sizes::default(),
            permitted_per_second,
            logging,
            stage: Stage::Serving,
            rng,
            told_status: relic.told_status,
            told_rest: None,
            tally: Tally::default(),
            unkept: Unkept::Nothing,
        }
    }

    /// After every change: says how it stands, gives out credits, sets the alarm.
    fn flow(&mut self, me: &mut Me<'_, Self>) {
        if let Some(rested) = self.standing(me.now()) {
            self.tell(rested);
        }
        self.give_out(me);
    }

    /// What the provider must know before anything else: that this key rests, or is back, or wants
    /// credits back that it can't honour.
    fn standing(&mut self, now: Moment) -> Option<Rested> {
        self.credits.set_limit(self.concurrency.limit());
        let until = self.health.rests_until(now).or_else(|| self.spent_until(now));
        let recall = self.credits.in_ring() > self.startable(now) && self.credits.recall();
        let changed = recall || until != self.told_rest;
        self.told_rest = until;
        changed.then_some(Rested { key: self.index, until, recall })
    }

    /// Until when nothing is left of its quota, or of what its provider's headers told of, if that is longer than
    /// it paces itself anyway.
    fn spent_until(&self, now: Moment) -> Option<Moment> {
        let until = (self.permitted(now) == 0).then(|| self.permits_at(now))?;
        // An answer that is awaited may tell more at any moment: that is no rest.
        (until.since(now) >= PACING_MAX && !until.is_never()).then_some(until)
    }

    /// Calls that its limits permit now, declared and learned ones.
    fn permitted(&self, now: Moment) -> u32 {
        let tokens = self.sizes.least();
        self.quota.available_calls(now, tokens).min(self.pace.room(now, tokens.total()))
    }

    /// When they permit more.
    fn permits_at(&self, now: Moment) -> Moment {
        let tokens = self.sizes.least();
        let quota = self.quota.next_call_at(now, tokens);
        let paced = || self.pace.next_at(now, tokens.total());
        match (self.quota.available_calls(now, tokens), self.pace.room(now, tokens.total())) {
            (0, 0) => quota.max(paced()),
            (_, 0) => paced(),
            // What the pace permits beyond this moment is asked for when a job has come.
            (_, _) => quota,
        }
    }

    /// Calls that could start now.
    fn startable(&self, now: Moment) -> u32 {
        match self.health.rests_until(now) {
            Some(_) => 0,
            None => {
                self.permitted(now).min(self.concurrency.limit().saturating_sub(self.credits.in_flight()))
            }
        }
    }

    fn give_out(&mut self, me: &mut Me<'_, Self>) {
        let now = me.now();
        let credits = self.credits.offer(self.startable(now));
        if credits > 0 {
            self.tell(Ready { key: self.index, credits });
        }
        self.announce(now);
        self.keep(me);
        let next_call = if self.health.rests_until(now).is_none() && self.credits.held() > 0 {
            self.permits_at(now)
        } else {
            Moment::NEVER
        };
        me.alarm_at(self.health.wake_at().min(self.concurrency.wake_at()).min(next_call));
        if self.stage == Stage::Leaving && self.credits.in_flight() == 0 && self.credits.in_ring() == 0 {
            // No call is under way and no job on its way here.
            me.stop();
        }
    }

    /// A rest that outlasts a restart must be kept.
    fn note_rest(&mut self, rest: &Rest, now: Moment) {
        if rest.until.since(now) >= WORTH_KEEPING {
            self.unkept = Unkept::Something;
        }
    }

    /// Has State keep what a restart must not forget, and reserve what will be used next.
    fn keep(&mut self, me: &Me<'_, Self>) {
        if self.is_superseded() {
            return;
        }
        let reserves = self.quota.ask_reserve(me.now(), self.sizes.most());
        if !reserves && self.unkept == Unkept::Nothing {
            return;
        }
        let myself = me.address();
        // A key that is gone has a successor, which asks anew.
        let granted: Option<Told> =
            reserves.then(|| -> Told { Box::new(move |_| drop(myself.tell(Granted))) });
        // One that leaves may be named again while its short windows last.
        let extent = match self.stage {
            Stage::Serving => Extent::Long,
            Stage::Leaving => Extent::All,
        };
        // Without State nothing was reserved in the first place.
        drop(self.persist(self.remembered(me.now(), extent), granted));
    }

    fn persist(&mut self, memory: KeyMemory, told: Option<Told>) -> Option<Told> {
        self.unkept = Unkept::Nothing;
        if self.is_superseded() {
            return told;
        }
        let keys = BTreeMap::from([(self.line.key.clone(), Some(memory))]);
        self.line.hub.persist(Changes { keys, ..Changes::default() }, told)
    }

    fn remembered(&self, now: Moment, extent: Extent) -> KeyMemory {
        memory::dated(
            self.line.fingerprint,
            &self.health.past(now),
            self.concurrency.learned_limit(),
            self.pace.learned(),
            &self.quota.past(now, extent),
            self.line.hub.clock.today(),
        )
    }

    /// Whether its name means another key now.
    fn is_superseded(&self) -> bool {
        self.line.superseded.load(Ordering::Acquire)
    }

    /// Publishes the view, and the status as an event if it changed.
    fn announce(&mut self, now: Moment) {
        let status = self.health.status(now);
        self.line.barred.store(status.state == KeyState::Disabled, Ordering::Release);
        if self.is_superseded() {
            return;
        }
        self.line.hub.board.publish_key(
            &self.line.key,
            KeyView {
                status: status.clone(),
                in_flight: self.credits.in_flight(),
                concurrency: self.credits.limit(),
                permitted_per_second: self.pace.per_second().or(self.permitted_per_second),
                counts: self.counts,
            },
        );
        if status != self.told_status {
            self.told_status = status.clone();
            let kind = EventKind::KeyChanged { key: self.line.key.clone(), status };
            self.line.hub.report(Report { events: vec![Event { at: now, kind }], log: self.logging });
        }
    }

    /// Tells Stats of the calls that ended, unless more will end soon.
    fn report_calls(&mut self) {
        if self.tally.is_due(self.credits.in_flight()) {
            self.line.hub.report_calls(&self.line.key, &mut self.tally);
        }
    }

    fn tell<M: Message>(&mut self, message: M)
    where
        Provider: On<M>,
        Root: On<Forward<M>>,
    {
        if let Err(message) = self.provider.tell(message) {
            let id = &self.line.key.provider;
            if let Some(provider) = self.line.hub.provider(id) {
                self.provider = provider;
            }
            self.line.hub.tell_provider(id, message);
        }
    }

    fn start(&mut self, dispatch: Dispatch, taken: Taken, me: &Me<'_, Self>) {
        let Dispatch { job, epoch, charge, group_taken } = dispatch;
        let started = me.now();
        let made = Made {
            job: job.id,
            request_id: job.request.headers.get(X_REQUEST_ID).cloned(),
            attempt: u32::try_from(job.attempts.len()).unwrap_or(u32::MAX).saturating_add(1),
            model: job.model().clone(),
            delivery: job.request.delivery,
            epoch,
            charge,
            floor: job.floor,
            started,
        };
        let slip = Slip::new(
            Outcome {
                key: self.index,
                made,
                group_taken,
                key_taken: taken,
                took: Duration::ZERO,
                first_content: None,
                gauges: NOTHING_KNOWN,
                usage: None,
                end: End::Cancelled,
            },
            me.address(),
            Arc::clone(&self.line),
        );
        self.credits.spend();
        self.concurrency.started(started);
        self.pace.started(started, taken.tokens().total());
        self.counts.calls += 1;
        call::begin(Arc::clone(&self.line), job, slip, started);
    }

    fn settle(&mut self, outcome: Outcome, me: &mut Me<'_, Self>) {
        let now = me.now();
        let in_flight = self.credits.in_flight();
        self.credits.end();
        self.concurrency.ended(outcome.made.started);
        let used = outcome.usage.map(|usage| self.line.speech.own().dialect.counted(&usage));
        let reckoned = outcome.key_taken.tokens();
        let estimate = reckoned.total();
        self.pace.ended(outcome.made.started, &outcome.made.model, estimate, &outcome.gauges);
        if let Some(used) = used {
            self.quota.settle(outcome.key_taken, used.max(outcome.made.floor));
        }
        self.counts.tokens += outcome.usage.map_or(0, |usage| usage.total_tokens());
        let mut shared = None;
        self.tally.note(&outcome);
        self.report_calls();
        let verdict = match outcome.end {
            End::Served { paid } => {
                self.served(outcome.made.started, in_flight);
                self.pace.succeeded(now);
                Verdict::Served { paid }
            }
            End::Cancelled => {
                self.counts.cancelled += 1;
                Verdict::Neutral
            }
            // Stopped with its job still in hand: it never left.
            End::Failed { fault, back: back @ Some(_) } if fault.reason == Reason::Stopped => {
                self.counts.calls = self.counts.calls.saturating_sub(1);
                self.quota.give_back(outcome.key_taken);
                Verdict::Failed { fault, back }
            }
            End::Failed { fault, back } => {
                let (gauges, tokens) = (&outcome.gauges, estimate);
                let surprise = if fault.reason == Reason::Throttled {
                    self.pace.throttled(outcome.made.started, tokens, gauges, now)
                } else {
                    Surprise::Unexplained
                };
                shared = self.failed(now, &outcome.made, &fault, surprise);
                Verdict::Failed { fault, back }
            }
        };
        self.rest_spent_lane(&outcome.made.model, now);
        if let Some(rest) = shared {
            self.tell(ShareRest { key: self.index, rest });
        }
        // One message tells of the end, of the rest that follows, and gives the job back: the provider
        // must not decide on one of them without the others.
        let rested = self.standing(now);
        self.tell(Ended {
            key: self.index,
            made: outcome.made,
            took: outcome.took,
            first_content: outcome.first_content,
            group_taken: outcome.group_taken,
            reckoned,
            used,
            verdict,
            rested,
        });
        self.give_out(me);
    }

    fn served(&mut self, started: Moment, in_flight: u32) {
        self.counts.succeeded += 1;
        self.health.succeeded(started);
        self.concurrency.succeeded(started, in_flight);
    }

    /// Counts a failure and rests if it must. Gives the rest if the whole quota group must know.
    fn failed(&mut self, now: Moment, made: &Made, fault: &Fault, surprise: Surprise) -> Option<Rest> {
        let started = made.started;
        match (fault.reason, surprise) {
            (Reason::Throttled | Reason::QuotaUsedUp, Surprise::Unexplained) => {
                self.counts.throttled += 1;
                self.concurrency.throttled(started, now);
            }
            (Reason::Throttled | Reason::QuotaUsedUp, Surprise::Expected) => self.counts.throttled += 1,
            (Reason::CallerGone | Reason::DeadlineOver | Reason::Stopped, _) => self.counts.cancelled += 1,
            _ => self.counts.failed += 1,
        }
        let today = self.line.hub.clock.wall(now);
        let breather = self.pace.breather().filter(|_| fault.reason == Reason::Throttled);
        let timed = fault.clone().resting(fault.rest.or(breather));
        let rest = self.health.failed(now, started, &made.model, &timed, today, &mut self.rng)?;
        match surprise {
            // It is timed by the pace: no need to try whether the limit has something left.
            Surprise::Expected => self.pace.rests(now, rest.until),
            Surprise::Unexplained => self.concurrency.suspended(now, self.credits.in_flight()),
        }
        self.note_rest(&rest, now);
        self.tell_lane(&rest, now);
        rest.reach.is_shared().then_some(rest)
    }

    /// A model of which nothing is left must not keep the key from serving others.
    fn rest_spent_lane(&mut self, model: &Model, now: Moment) {
        let Some(until) = self.pace.lane_spent_until(model, now).filter(|until| *until > now) else { return };
        let rest = Rest {
            reach: Reach::Lane(model.clone()),
            state: KeyState::RateLimited,
            cause: Cause::Fault(Reason::Throttled),
            until,
            message: "the provider's headers say that nothing is left".into(),
        };
        self.health.impose(rest.clone());
        self.tell_lane(&rest, now);
    }

    /// Tells the provider of every lane that rests, with an end derived from the known one.
    fn tell_resting_lanes(&mut self, now: Moment, end: impl Fn(Moment) -> Moment) {
        let lanes = self.health.resting_lanes(now);
        let lanes = lanes.map(|(model, until, cause)| (model.clone(), end(until), cause));
        for (model, until, cause) in lanes.collect::<Vec<_>>() {
            self.tell(LaneRested { key: self.index, model, until, cause });
        }
    }

    /// Tells the provider until when a rest's lane rests; a longer rest that was there already stays.
    fn tell_lane(&mut self, rest: &Rest, now: Moment) {
        match &rest.reach {
            Reach::Lane(model) | Reach::GroupLane(model) => {
                let lanes = self.health.resting_lanes(now).filter(|(lane, _, _)| *lane == model);
                let longest = lanes.map(|(_, until, cause)| (until, cause)).max_by_key(|(until, _)| *until);
                let (until, cause) = longest.unwrap_or((rest.until, rest.cause));
                self.tell(LaneRested { key: self.index, model: model.clone(), until, cause });
            }
            Reach::Key | Reach::Group => {}
        }
    }
}

fn operators_rest(state: KeyState, until: Moment) -> Rest {
    Rest { reach: Reach::Key, state, cause: Cause::Operator, until, message: "by command".into() }
}

impl Life for Key {
    type Relic = KeyRelic;

    fn started(&mut self, me: &mut Me<'_, Self>) {
        // A successor tells anew which lanes rest: its provider may be new, too.
        self.tell_resting_lanes(me.now(), |until| until);
        self.flow(me);
    }

    fn alarmed(&mut self, me: &mut Me<'_, Self>) {
        self.health.wake(me.now());
        self.concurrency.wake(me.now());
        self.flow(me);
    }

    fn relic(&mut self) -> KeyRelic {
        if self.tally.is_due(0) {
            self.line.hub.report_calls(&self.line.key, &mut self.tally);
        }
        KeyRelic {
            health: self.health.clone(),
            quota: self.quota.clone(),
            concurrency: self.concurrency.clone(),
            pace: self.pace.clone(),
            counts: self.counts,
            in_flight: self.credits.in_flight(),
            told_status: self.told_status.clone(),
        }
    }
}

impl On<Dispatch> for Key {
    fn on(&mut self, dispatch: Dispatch, me: &mut Me<'_, Self>) {
        let job: &Job = &dispatch.job;
        self.sizes.note(job.tokens);
        let fit = self.health.may_serve(me.now(), job.model()).is_ok();
        let refused = match fit.then(|| self.quota.take(me.now(), job.tokens)) {
            Some(Ok(taken)) => {
                self.start(dispatch, taken, me);
                return self.flow(me);
            }
            Some(Err(refused)) => Some(refused),
            None => None,
        };
        self.credits.bounce();
        // The provider must know why before it gets the job back.
        self.flow(me);
        self.tell(Bounced { key: self.index, dispatch, refused });
    }
}

impl On<Expect> for Key {
    fn on(&mut self, Expect(tokens): Expect, me: &mut Me<'_, Self>) {
        self.sizes.note(tokens);
        self.flow(me);
    }
}

impl On<OutcomeLetter> for Key {
    fn on(&mut self, letter: OutcomeLetter, me: &mut Me<'_, Self>) {
        if let Some(outcome) = letter.open() {
            self.settle(outcome, me);
        }
    }
}

impl On<Recalled> for Key {
    fn on(&mut self, Recalled(credits): Recalled, me: &mut Me<'_, Self>) {
        self.credits.recalled(credits);
        self.flow(me);
    }
}

impl On<Impose> for Key {
    fn on(&mut self, Impose(rest): Impose, me: &mut Me<'_, Self>) {
        self.health.impose(rest.clone());
        self.note_rest(&rest, me.now());
        self.concurrency.suspended(me.now(), self.credits.in_flight());
        self.tell_lane(&rest, me.now());
        self.flow(me);
    }
}

impl On<Reinstate> for Key {
    fn on(&mut self, Reinstate { began_before }: Reinstate, me: &mut Me<'_, Self>) {
        if self.health.reinstate(began_before) {
            self.unkept = Unkept::Something;
        }
        // The provider counts on this key again; a rest for another reason must be told anew.
        self.told_rest = None;
        self.flow(me);
    }
}

impl On<Obey> for Key {
    fn on(&mut self, Obey(command): Obey, me: &mut Me<'_, Self>) -> oneshot::Receiver<Kept> {
        match command {
            KeyCommand::Disable => self.health.impose(operators_rest(KeyState::Disabled, Moment::NEVER)),
            KeyCommand::Rest(duration) => {
                self.health.impose(operators_rest(KeyState::RateLimited, me.now() + duration));
            }
            KeyCommand::Enable => {
                self.tell_resting_lanes(me.now(), |_| me.now());
                self.health.enable(me.now());
            }
            KeyCommand::Reset => {
                self.tell_resting_lanes(me.now(), |_| me.now());
                self.health.reset(me.now());
            }
        }
        self.flow(me);
        let (done, kept) = oneshot::channel();
        // Whoever commanded may have left.
        let told: Told = Box::new(move |kept| drop(done.send(kept)));
        if let Some(told) = self.persist(self.remembered(me.now(), Extent::Long), Some(told)) {
            told(Kept::not());
        }
        kept
    }
}

impl On<Granted> for Key {
    fn on(&mut self, _: Granted, me: &mut Me<'_, Self>) {
        self.quota.granted();
        self.flow(me);
    }
}

impl On<RememberKey> for Key {
    fn on(&mut self, _: RememberKey, me: &mut Me<'_, Self>) {
        self.line.hub.report_calls(&self.line.key, &mut self.tally);
        let memory = self.remembered(me.now(), Extent::All).at_the_end();
        drop(self.persist(memory, None));
    }
}

impl On<Adopt> for Key {
    fn on(&mut self, _: Adopt, me: &mut Me<'_, Self>) {
        self.credits = Credits::resumed(self.credits.limit(), self.credits.in_flight());
        self.told_rest = None;
        self.tell(Adopted { key: self.index, in_flight: self.credits.in_flight() });
        self.started(me);
    }
}

impl On<Retire> for Key {
    fn on(&mut self, _: Retire, me: &mut Me<'_, Self>) {
        me.stop();
    }
}

impl On<Crash> for Key {
    #[expect(clippy::panic, reason = "this is what the drill is for")]
    fn on(&mut self, _: Crash, _: &mut Me<'_, Self>) {
        panic!("a drill: the key {} was told to crash", self.line.key);
    }
}
