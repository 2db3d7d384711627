//! Which job goes to which key, now; and which must wait, move on, or give up.

use std::time::Duration;

use crate::board::Cause;
use crate::clock::Moment;
use crate::error::{Obstacle, SendError};
use crate::event::EventKind;
use crate::id::{JobId, Model};
use crate::outcome::{Fault, Reason};
use crate::policy::breaker::Admission;
use crate::policy::pick::KeyIndex;
use crate::policy::reckoning::floor;
use crate::policy::route::Charge;
use crate::request::Patience;
use crate::tokens::Tokens;

use super::super::job::Job;
use super::super::message::{Dispatch, GroupTaken, LaneRested, Submit};
use super::group::{Group, Wanted};
use super::hold::{Held, LOOK_BEHIND_MAX};
use super::places::Children;
use super::{Probe, Provider, Standing};

/// What becomes of a job that no key can take now.
enum Wait {
    /// It waits here.
    Here,
    /// It may be served next door, if there is room; else it waits here.
    Visit,
    /// It moves on for good.
    MoveOn,
    /// It ends.
    End { retry_after: Option<Duration> },
}

impl Provider {
    /// Takes in a job from outside. One that was dropped by a crash had its place already.
    pub(super) fn admit(&mut self, mut job: Job, now: Moment) {
        if job.is_abandoned() {
            return;
        }
        job.restless_at = self.restless_at(&job, now);
        if job.was_dropped() {
            return self.queue_first(job);
        }
        if self.standing == Standing::Leaving {
            return self.queue_first(job);
        }
        if self.queue.is_full() && now.since(self.swept_at) >= SWEEP_EVERY {
            self.swept_at = now;
            drop(self.queue.take_where(|job, _| job.is_abandoned()));
        }
        if self.never_fits(&job) {
            let fault = Fault::new(Reason::NeverFits, "the request is larger than any key's token limit");
            let fate = self.fate(&mut job, &fault, Charge::Counted);
            return self.follow(job, fate, fault, None, now);
        }
        let Some(job) = self.place(job, now) else { return };
        let ticket = job.ticket();
        self.hint_all(self.reckon(&job));
        if job.was_rerouted() {
            return self.queue.line_up(job, ticket);
        }
        if let Err(job) = self.queue.push(job, ticket) {
            let queue_jobs_max = self.spec.queue_jobs_max;
            let tokens = self.reckon(&job);
            let retry_after = self.earliest_resume(job.model(), tokens, now).since(now).max(QUEUE_RETRY);
            job.end(Err(SendError::QueueFull { queue_jobs_max, retry_after }));
        }
    }

    /// Puts a job before all others. Whether it is to wait here is decided at the end of the turn.
    pub(super) fn queue_first(&mut self, job: Job) {
        let ticket = job.ticket();
        self.unsettle(&ticket.model);
        self.queue.push_first(job, ticket);
    }

    /// A job joined that lane without having been asked whether it can wait.
    pub(super) fn unsettle(&mut self, model: &Model) {
        self.settled.retain(|(lane, _)| lane != model);
    }

    /// Sends jobs as long as there are jobs, credits, and a healthy provider.
    pub(super) fn pump(&mut self, now: Moment) {
        self.queue.release_due(now);
        while !self.queue.is_empty() && self.picker.has_ready() && self.is_open(now) {
            if !self.send_one(now) {
                return;
            }
        }
    }

    fn send_one(&mut self, now: Moment) -> bool {
        let mut refused = Vec::new();
        // Lanes whose first job is too large for now: whatever is sent instead passes it.
        let mut too_large = Vec::new();
        for _ in 0..self.queue.lanes() {
            let lane = self.queue.turn();
            while self.queue.front(lane).is_some_and(|job| job.is_abandoned()) {
                drop(self.queue.pop(lane));
            }
            let front = self.queue.front_number(lane);
            let Some(job) = front.and_then(|number| self.queue.get(number)) else { continue };
            let wish = self.wish(job);
            if let Some(key) = self.choose(&wish, now) {
                let Some(job) = self.queue.pop(lane) else { continue };
                self.send(job, key, now);
                for lane in too_large {
                    self.passed(lane, now);
                }
                return true;
            }
            // Nobody who is left will ever be large enough for it: it must not block the others.
            if self.earliest_resume(&wish.model, wish.tokens, now).is_never()
                && let Some(job) = self.queue.pop(lane)
            {
                self.wait_or_leave(job, now);
                return true;
            }
            refused.push(wish.tokens);
            if wish.tokens == Tokens::NONE {
                continue;
            }
            self.hold_for(lane, now);
            too_large.push(lane);
            if let Some((job, key)) = self.smaller_behind(lane, &mut refused, now) {
                self.send(job, key, now);
                for lane in too_large {
                    self.passed(lane, now);
                }
                return true;
            }
        }
        self.wanted = Wanted::of(&refused).unwrap_or(self.wanted);
        false
    }

    /// Takes a job out of a lane that is smaller than all that were `refused`, and that a ready key can serve.
    fn smaller_behind(
        &mut self,
        lane: usize,
        refused: &mut Vec<Tokens>,
        now: Moment,
    ) -> Option<(Job, KeyIndex)> {
        for number in self.queue.behind(lane, LOOK_BEHIND_MAX) {
            let Some(job) = self.queue.get(number).filter(|job| !job.is_abandoned()) else { continue };
            let wish = self.wish(job);
            if refused.iter().any(|refused| refused.is_within(wish.tokens)) {
                continue;
            }
            let Some(key) = self.choose(&wish, now) else {
                refused.push(wish.tokens);
                continue;
            };
            return Some((self.queue.take(number)?, key));
        }
        None
    }

    /// What a call of this job is to be reckoned with now.
    pub(super) fn reckon(&self, job: &Job) -> Tokens {
        let room = self.smallest.room_beside(job.estimate.input);
        self.reckoner.reckon(self.spec.counting, job.model(), &job.estimate, room)
    }

    /// What a job asks of a key.
    pub(super) fn wish(&self, job: &Job) -> Wish {
        Wish {
            job: job.id,
            model: job.model().clone(),
            tokens: self.reckon(job),
            avoid: job.avoid,
            affinity: job.affinity,
        }
    }

    /// A ready key that can serve such a job.
    pub(super) fn choose(&mut self, wish: &Wish, now: Moment) -> Option<KeyIndex> {
        let Self { children, groups, lane_rests, held, picker, rng, incident, .. } = self;
        let room = Room { children, groups, lane_rests, held: held.as_ref(), now };
        let fits = |key| room.has(key, Some(wish.job), &wish.model, wish.tokens);
        let tried = incident.tried();
        if !tried.is_empty() {
            let untried = |key| !tried.contains(&key) && fits(key);
            if let Some(key) = picker.pick(wish.avoid, wish.affinity, untried, rng) {
                return Some(key);
            }
            incident.try_all_again();
        }
        picker.pick(wish.avoid, wish.affinity, fits, rng)
    }

    /// Credits in the ring that such jobs could be sent against.
    pub(super) fn spare_credits(&self, model: &Model, tokens: Tokens, now: Moment) -> usize {
        let Self { children, groups, lane_rests, held, .. } = self;
        let room = Room { children, groups, lane_rests, held: held.as_ref(), now };
        let fitting =
            children.iter().filter(|(key, child)| child.has_credit() && room.has(*key, None, model, tokens));
        fitting.map(|(_, child)| child.credits as usize).sum()
    }

    /// Spends a credit of `key` on `job`. The breaker must have agreed.
    pub(super) fn send(&mut self, mut job: Job, key: KeyIndex, now: Moment) {
        job.tokens = self.reckon(&job);
        job.floor = floor(self.spec.counting, &job.estimate);
        let (epoch, charge) = match self.breaker.admit(now) {
            Admission::Go(epoch) => (epoch, Charge::Counted),
            Admission::Probe(epoch) => {
                self.probe = Some(Probe { key, epoch });
                (epoch, Charge::Free)
            }
            Admission::NotUntil(_) | Admission::ProbeOut => return self.queue_first(job),
        };
        let Some(child) = self.children.get_mut(key) else { return self.queue_first(job) };
        child.credits = child.credits.saturating_sub(1);
        child.asked_at = now;
        child.sizes.note(job.tokens);
        let (in_flight, ready) = (child.in_flight + 1, child.has_credit());
        self.set_in_flight(key, in_flight);
        self.picker.set_ready(key, ready);
        self.picker.started(key);
        self.hand_over(job.id, job.passed, key, now);
        let Some(child) = self.children.get(key) else { return };
        let group_taken = child.group.and_then(|group| self.groups.get_mut(group)).and_then(|group| {
            let taken = group.quota.take(now, job.tokens).ok()?;
            Some(GroupTaken { group: group.name.clone(), taken })
        });
        if let Some(address) = child.address() {
            // If the key has just died, the job finds its way back by itself.
            let _ = address.tell(Dispatch { job, epoch, charge, group_taken });
        }
    }

    /// The moment when some key can probably serve such a job: now, if one works and is merely busy.
    pub(super) fn earliest_resume(&self, model: &Model, tokens: Tokens, now: Moment) -> Moment {
        let mut earliest = Moment::NEVER;
        for (key, child) in self.children.iter() {
            if !child.offers(model) || !child.capacity.holds(tokens) {
                continue;
            }
            let lane = self.lane_rests.iter().filter(|rest| rest.key == key && rest.model == *model);
            let lane = lane.map(|rest| rest.until).max().unwrap_or(now);
            let group = child.group.and_then(|group| self.groups[group].quota.check(now, tokens).err());
            let full = group.map(|not| not.until).max(child.refusals.until(now, tokens));
            let full = full.filter(|until| until.since(now) >= PACING_MAX);
            let key = child.rests_until.unwrap_or(now);
            earliest = earliest.min(lane.max(key).max(full.unwrap_or(now)));
            if earliest <= now {
                break;
            }
        }
        earliest.max(self.ill_until(now).unwrap_or(now))
    }

    fn never_fits(&self, job: &Job) -> bool {
        let tokens = self.reckon(job);
        let mut offering = self.children.iter().filter(|(_, child)| child.offers(job.model())).peekable();
        offering.peek().is_some() && offering.all(|(_, child)| !child.capacity.holds(tokens))
    }

    /// Decides on a job that just came: gives it back if it is to wait here.
    pub(super) fn place(&mut self, job: Job, now: Moment) -> Option<Job> {
        let resume = self.earliest_resume(job.model(), self.reckon(&job), now);
        if resume <= now {
            return Some(job);
        }
        match self.wait(&job, resume, now) {
            Wait::Here => Some(job),
            Wait::Visit => self.visit_next(job),
            Wait::MoveOn => {
                let job = self.move_on(job, "no key is back in time", now)?;
                if !resume.is_never() {
                    return Some(job);
                }
                // Nobody here will ever serve it, and whoever else could have is gone.
                self.end_unavailable(job, None);
                None
            }
            Wait::End { retry_after } => {
                self.end_unavailable(job, retry_after);
                None
            }
        }
    }

    /// Decides anew on the jobs of every lane whose earliest resume has changed.
    pub(super) fn settle_waiting(&mut self, now: Moment) {
        if self.queue.is_empty() {
            self.settled.clear();
            return;
        }
        for model in self.queue.models() {
            let resume = self.earliest_resume(&model, Tokens::NONE, now);
            let known = self.settled.iter().position(|(lane, _)| *lane == model);
            if resume <= now {
                if let Some(known) = known {
                    self.settled.swap_remove(known);
                }
                continue;
            }
            match known {
                Some(known) if self.settled[known].1 == resume => continue,
                Some(known) => self.settled[known].1 = resume,
                None => self.settled.push((model.clone(), resume)),
            }
            self.settle_lane(&model, resume, now);
        }
    }

    fn settle_lane(&mut self, model: &Model, resume: Moment, now: Moment) {
        let breaker = self.ill_until(now).is_some();
        let patience = Waiting {
            resume,
            now,
            breaker_rests: breaker,
            fallback_after: self.spec.rotation.fallback_after,
        };
        let mut visits = self.neighbours.room();
        let leaving = self.queue.take_where(|job, ticket| {
            ticket.model == *model
                && match patience.of(job) {
                    Wait::Here => false,
                    Wait::Visit => visits.take(job),
                    Wait::MoveOn | Wait::End { .. } => true,
                }
        });
        for job in leaving {
            if let Some(job) = self.place(job, now) {
                self.queue_first(job);
            }
        }
    }

    fn wait(&self, job: &Job, resume: Moment, now: Moment) -> Wait {
        let breaker_rests = self.ill_until(now).is_some();
        let fallback_after = self.spec.rotation.fallback_after;
        Waiting { resume, now, breaker_rests, fallback_after }.of(job)
    }

    /// Sends a job to the next provider of its route for good; gives it back if there is none.
    pub(super) fn move_on(&mut self, mut job: Job, why: &str, now: Moment) -> Option<Job> {
        job.progress.skip_unless(|provider| self.hub.is_open(provider));
        if job.progress.next().is_none() {
            return Some(job);
        }
        self.leave(&mut job);
        job.progress.advance();
        let to = job.progress.here().provider.clone();
        self.fell_over += 1;
        let (from, why) = (self.id().clone(), why.to_owned());
        self.report(now, EventKind::FellBack { job: job.id, from, to: to.clone(), why });
        self.hub.tell_provider(&to, Submit(job));
        None
    }

    /// A job goes elsewhere: what it paid here for a retry that never happened is given back.
    pub(super) fn leave(&mut self, job: &mut Job) {
        if let Some(paid) = job.paid.take() {
            self.budget.give_back(paid);
        }
        job.avoid = None;
    }

    pub(super) fn end_expired(&mut self, now: Moment) {
        for mut job in self.queue.expired(now) {
            let attempts = job.take_attempts();
            job.end(Err(SendError::DeadlineOver { attempts }));
        }
    }

    /// Ends a job that nobody on its route can serve; but if the routes have changed since it was routed,
    /// somebody else may.
    pub(super) fn end_unavailable(&mut self, mut job: Job, retry_after: Option<Duration>) {
        self.leave(&mut job);
        let Some(mut job) = self.hub.reroute(job) else { return };
        let attempts = job.take_attempts();
        let why = self.why_unavailable();
        let obstacle = self.obstacle(job.model(), self.hub.clock.now());
        job.end(Err(SendError::Unavailable { why, obstacle, retry_after, attempts }));
    }

    fn obstacle(&self, model: &Model, now: Moment) -> Obstacle {
        if self.ill_until(now).is_some() {
            return Obstacle::Provider;
        }
        let rests = self.children.iter().filter(|(_, child)| child.offers(model)).map(|(key, child)| {
            let lanes = self.lane_rests.iter().filter(|rest| rest.key == key && rest.model == *model);
            let lane = lanes.map(|rest| (rest.until, rest.cause)).max_by_key(|(until, _)| *until);
            let status = self.hub.board.key(&child.line.key).unwrap_or_default().status;
            let whole = child.rests_until.zip(status.why.map(|why| why.cause));
            let longer = lane.into_iter().chain(whole).max_by_key(|(until, _)| *until);
            longer.unwrap_or((Moment::ZERO, Cause::Fault(Reason::Throttled)))
        });
        let first = rests.min_by_key(|(until, _)| *until);
        first.map_or(Obstacle::NoSuchModel, |(_, cause)| Obstacle::Keys(cause))
    }

    /// The keys' statuses in a sentence: what a person needs to know first.
    fn why_unavailable(&self) -> String {
        let mut causes: Vec<(String, usize)> = Vec::new();
        for (_, child) in self.children.serving() {
            let status = self.hub.board.key(&child.line.key).unwrap_or_default().status;
            let text = match &status.why {
                Some(why) => format!("{} ({})", status.state.as_str(), why.cause.as_str()),
                None => status.state.as_str().to_owned(),
            };
            match causes.iter_mut().find(|(known, _)| *known == text) {
                Some((_, count)) => *count += 1,
                None => causes.push((text, 1)),
            }
        }
        let causes: Vec<_> = causes.iter().map(|(text, count)| format!("{count} {text}")).collect();
        format!("of {} keys of `{}`: {}", self.spec.keys.len(), self.id(), causes.join(", "))
    }
}

/// A key that has nothing left for longer than this rests; below it, it merely paces itself.
pub(crate) const PACING_MAX: Duration = Duration::from_secs(1);

/// A full queue is searched for jobs whose callers have left no more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a job asks of a key.
pub(super) struct Wish {
    pub(super) job: JobId,
    pub(super) model: Model,
    pub(super) tokens: Tokens,
    avoid: Option<KeyIndex>,
    affinity: u64,
}

/// What is known of the room that keys have.
struct Room<'a> {
    children: &'a Children,
    groups: &'a [Group],
    lane_rests: &'a [LaneRested],
    held: Option<&'a Held>,
    now: Moment,
}

impl Room<'_> {
    /// Whether a key that has credit can take such a job now.
    fn has(&self, key: KeyIndex, job: Option<JobId>, model: &Model, tokens: Tokens) -> bool {
        let Self { children, groups, lane_rests, held, now } = *self;
        let Some(child) = children.get(key) else { return false };
        child.offers(model)
            && child.capacity.holds(tokens)
            && held.is_none_or(|held| !held.bars(job, key, child))
            && child.refusals.until(now, tokens).is_none()
            && child.group.is_none_or(|group| groups[group].quota.check(now, tokens).is_ok())
            && !lane_rests.iter().any(|rest| rest.key == key && rest.model == *model && rest.until > now)
    }
}

/// Places in a full queue free up as fast as calls end; sooner than this is not worth asking.
const QUEUE_RETRY: Duration = Duration::from_secs(1);

/// The rule for jobs that wait for resting keys.
struct Waiting {
    resume: Moment,
    now: Moment,
    breaker_rests: bool,
    fallback_after: Option<Duration>,
}

impl Waiting {
    /// A job waits for the earliest resume if that lies inside its deadline. While its route has another
    /// candidate it waits less: not at all for a provider that is ill, and no longer than
    /// `fallback_after` for keys that rest.
    fn of(&self, job: &Job) -> Wait {
        let deadline = job.terms.deadline;
        let in_time = self.resume <= deadline && !self.resume.is_never();
        if job.progress.next().is_some() {
            let soon = match self.fallback_after {
                Some(limit) => self.resume.since(self.now) <= limit,
                None => true,
            };
            return match (in_time, soon && !self.breaker_rests) {
                (false, _) => Wait::MoveOn,
                (true, true) => Wait::Here,
                (true, false) => Wait::Visit,
            };
        }
        let retry_after = (!self.resume.is_never()).then(|| self.resume.since(self.now));
        match job.terms.patience {
            _ if in_time => Wait::Here,
            Patience::UntilDeadline if retry_after.is_some() => Wait::Here,
            Patience::UntilDeadline | Patience::Interactive => Wait::End { retry_after },
        }
    }
}
