//! Large jobs among small ones: who may pass whom, and for whom a key is kept free.
//!
//! A job that must wait for tokens doesn't hold up smaller ones behind it. After it has been passed
//! [`PASSED_MAX`] times the key that can take it soonest is held for it: its room grows, because nobody else
//! is sent there, until the large job fits.

use std::time::Duration;

use crate::clock::Moment;
use crate::id::{JobId, Model};
use crate::policy::pick::KeyIndex;
use crate::tokens::Tokens;

use super::super::message::Expect;
use super::Provider;
use super::children::Child;

/// How often a job may be passed before a key is held for it: often enough that large jobs rarely cost small
/// ones anything, seldom enough that they wait seconds and not minutes at usual rates.
pub(super) const PASSED_MAX: u32 = 32;

/// How far behind a job that must wait smaller ones are looked for.
pub(super) const LOOK_BEHIND_MAX: usize = 32;

/// How long a key stays held after the job was sent there. If it comes back, the key has said by then until
/// when it must wait; meanwhile nobody else may take the room.
const HANDING_OVER: Duration = Duration::from_millis(5);

/// A key that is kept free for one job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    job: JobId,
    key: KeyIndex,
    /// Its quota group, which is kept free with it.
    group: Option<usize>,
    /// When the job will fit, as far as is known.
    until: Moment,
}

impl Held {
    /// Whether a key must leave its room to that job.
    pub(super) fn bars(&self, job: Option<JobId>, key: KeyIndex, child: &Child) -> bool {
        job != Some(self.job) && (key == self.key || child.group.is_some() && child.group == self.group)
    }
}

impl Child {
    /// Whether it has room for nothing that it expects.
    fn is_full(&self) -> bool {
        self.credits == 0 && self.group.is_none() && self.capacity.is_limited()
    }

    /// Tells it of smaller jobs than it expects, if it has room for none of those.
    fn expect(&mut self, tokens: Tokens) {
        if !self.is_full() || self.sizes.least().is_within(tokens) {
            return;
        }
        self.sizes.note(tokens);
        if let Some(address) = self.address() {
            // A key that has just died starts anew, and expects anything.
            let _ = address.tell(Expect(tokens));
        }
    }
}

impl Provider {
    /// Jobs of a lane passed its first one, which is too large for now. Keeps a key free for one that was
    /// passed too often.
    pub(super) fn passed(&mut self, lane: usize, now: Moment) {
        let Some(job) = self.queue.front_mut(lane) else { return };
        job.passed = job.passed.saturating_add(1);
        self.hold_for(lane, now);
    }

    /// Keeps a key free for the first job of a lane, if it was passed too often and nobody else is kept for.
    pub(super) fn hold_for(&mut self, lane: usize, now: Moment) {
        let front = self.queue.front_number(lane);
        let job = front.and_then(|number| self.queue.get(number));
        let Some(job) = job.filter(|job| job.passed >= PASSED_MAX) else { return };
        let (id, model, tokens) = (job.id, job.model().clone(), self.reckon(job));
        if let Some(held) = self.held.filter(|held| held.job != id || self.still_best(held, tokens, now)) {
            if held.job == id {
                let until = self.fits_at(held.key, &model, tokens, now).unwrap_or(now);
                self.held = Some(Held { until, ..held });
            }
            return;
        }
        let soonest = self.children.serving().filter_map(|(key, child)| {
            Some(Held { job: id, key, group: child.group, until: self.fits_at(key, &model, tokens, now)? })
        });
        self.held = soonest.min_by_key(|held| held.until);
    }

    /// A held key that rests for another reason than tokens is of no use.
    fn still_best(&self, held: &Held, tokens: Tokens, now: Moment) -> bool {
        let Some(child) = self.children.get(held.key) else { return false };
        let refused = child.refusals.until(now, tokens).unwrap_or(held.until).max(held.until);
        child.is_serving() && child.rests_until.is_none_or(|rest| rest <= refused)
    }

    /// When such a job will fit into the limits of a key that is too full for it. `None`: it waits for
    /// something else, or the key will never serve it.
    fn fits_at(&self, key: KeyIndex, model: &Model, tokens: Tokens, now: Moment) -> Option<Moment> {
        let child = self.children.get(key)?;
        if !child.offers(model) || !child.capacity.holds(tokens) {
            return None;
        }
        let own = child.refusals.until(now, tokens);
        let group = child.group.and_then(|group| self.groups[group].quota.check(now, tokens).err());
        let full = own.max(group.map(|not| not.until))?;
        let lane = self.lane_rests.iter().filter(|rest| rest.key == key && rest.model == *model);
        let rests = lane.map(|rest| rest.until).max().max(child.rests_until);
        Some(rests.map_or(full, |rest| rest.max(full)))
    }

    /// The job for which a key is held is on its way there.
    pub(super) fn hand_over(&mut self, job: JobId, passed: u32, key: KeyIndex, now: Moment) {
        let is_held_for = self.held.is_some_and(|held| held.job == job);
        if is_held_for || (passed >= PASSED_MAX && self.held.is_none()) {
            let group = self.children.get(key).and_then(|child| child.group);
            self.held = Some(Held { job, key, group, until: now + HANDING_OVER });
        }
    }

    /// Lets a key go if its job is gone.
    pub(super) fn release(&mut self, now: Moment) {
        let Some(held) = self.held.filter(|held| held.until <= now) else { return };
        let waits =
            (0..self.queue.lanes()).any(|lane| self.queue.front(lane).is_some_and(|job| job.id == held.job));
        if !waits {
            self.held = None;
        }
    }

    /// When a held key may be free for its job, or free again.
    pub(super) fn held_until(&self, now: Moment) -> Moment {
        self.held.map(|held| held.until).filter(|until| *until > now).unwrap_or(Moment::NEVER)
    }

    /// A job came that is smaller than all that wait: keys that are too full for those may have room for it.
    pub(super) fn hint_all(&mut self, tokens: Tokens) {
        if self.queue.is_empty() {
            self.least = tokens;
        } else if self.least.is_within(tokens) {
            return;
        }
        self.least = self.least.min(tokens);
        for child in self.children.iter_mut() {
            child.expect(tokens);
        }
    }

    /// A key that has just spoken gives no credits: perhaps the last jobs that it saw were larger than those
    /// that wait.
    pub(super) fn hint(&mut self, key: KeyIndex) {
        if self.queue.is_empty() || !self.children.get(key).is_some_and(Child::is_full) {
            return;
        }
        for lane in 0..self.queue.lanes() {
            let front = self.queue.front_number(lane);
            let numbers = front.into_iter().chain(self.queue.behind(lane, LOOK_BEHIND_MAX));
            let sizes = numbers.filter_map(|number| Some(self.reckon(self.queue.get(number)?)));
            let Some(least) = sizes.min_by_key(|tokens| tokens.total()) else { continue };
            if let Some(child) = self.children.get_mut(key) {
                child.expect(least);
            }
        }
    }

    /// A key sent a job back that is too large for it until then.
    pub(super) fn refused(&mut self, key: KeyIndex, tokens: Tokens, until: Moment) {
        if let Some(child) = self.children.get_mut(key) {
            child.refusals.note(tokens, until);
            self.refused_until = self.refused_until.min(until);
        }
    }

    /// Forgets refusals that are over.
    pub(super) fn expire_refusals(&mut self, now: Moment) {
        if self.refused_until <= now {
            let ends = self.children.iter_mut().map(|child| child.refusals.expire(now));
            self.refused_until = ends.min().unwrap_or(Moment::NEVER);
        }
    }
}
