//! Fallback that gives back: jobs of a resting provider are served next door as far as there is room.
//!
//! A job that could wait here visits the next provider on its route. If that one
//! can't serve it at once it declines, remembers who asked, and says when it has
//! spare credits. So a thousand waiting jobs never move for good to a provider
//! that is slower than the wait.

use std::collections::HashSet;

use crate::clock::Moment;
use crate::event::EventKind;
use crate::id::ProviderId;

use super::super::job::Job;
use super::super::kernel::{Me, On};
use super::super::message::{Declined, Spare, Visit};
use super::Provider;

/// Visitors under way to a provider that has not yet said how much room it has.
const VISITORS_MAX: usize = 64;

/// What a provider knows of those its jobs visit, and of those whose jobs visit it.
pub(super) struct Neighbours {
    /// Declined lately; they will say when they have room.
    full: HashSet<ProviderId>,
    /// Visited lately; they want to hear of room.
    hopeful: Vec<ProviderId>,
    /// How many jobs may set out next: what the last [`Spare`] said.
    room: usize,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { full: HashSet::new(), hopeful: Vec::new(), room: VISITORS_MAX }
    }
}

/// How many jobs may set out at once.
pub(super) struct Room<'a> {
    full: &'a HashSet<ProviderId>,
    left: usize,
}

impl Room<'_> {
    pub(super) fn take(&mut self, job: &Job) -> bool {
        let open = job.progress.next().is_some_and(|next| !self.full.contains(&next.provider));
        let goes = open && self.left > 0;
        if goes {
            self.left -= 1;
        }
        goes
    }
}

impl Neighbours {
    pub(super) fn room(&self) -> Room<'_> {
        Room { full: &self.full, left: self.room }
    }
}

impl Provider {
    /// Lets a job visit the next provider; gives it back if that one is known to be full or gone.
    pub(super) fn visit_next(&mut self, mut job: Job) -> Option<Job> {
        let to = match job.progress.next() {
            Some(next) if !self.neighbours.full.contains(&next.provider) => next.provider.clone(),
            Some(_) | None => return Some(job),
        };
        let Some(address) = self.hub.provider(&to) else {
            self.neighbours.full.insert(to);
            return Some(job);
        };
        job.progress.advance();
        match address.tell(Visit { job, home: self.id().clone() }) {
            Ok(()) => {
                self.fell_over += 1;
                None
            }
            Err(Visit { mut job, .. }) => {
                job.progress.step_back();
                Some(job)
            }
        }
    }

    /// Tells those who were declined that there is room now.
    pub(super) fn offer_spare(&mut self, now: Moment) {
        if self.neighbours.hopeful.is_empty() || !self.queue.is_empty() || !self.is_open(now) {
            return;
        }
        let jobs = self.children.iter().map(|child| child.credits as usize).sum();
        if jobs == 0 {
            return;
        }
        for home in std::mem::take(&mut self.neighbours.hopeful) {
            self.hub.tell_provider(&home, Spare { by: self.id().clone(), jobs });
        }
    }

    fn receive(&mut self, visit: Visit, now: Moment) -> Result<(), Visit> {
        if self.draining.is_some() || !self.queue.is_empty() || !self.is_open(now) {
            return Err(visit);
        }
        let job = &visit.job;
        match self.choose(job.model(), job.tokens, None, now) {
            Some(key) => {
                let Visit { job, home } = visit;
                let (id, to) = (job.id, self.id().clone());
                let why = format!("`{home}` rests");
                self.report(now, EventKind::FellBack { job: id, from: home, to, why });
                self.send(job, key, now);
                Ok(())
            }
            None => Err(visit),
        }
    }
}

impl On<Visit> for Provider {
    fn on(&mut self, visit: Visit, me: &mut Me<'_, Self>) {
        let home = visit.home.clone();
        if let Err(Visit { job, .. }) = self.receive(visit, me.now()) {
            let by = self.id().clone();
            self.hub.tell_provider(&home, Declined { job, by });
        }
        if !self.neighbours.hopeful.contains(&home) {
            self.neighbours.hopeful.push(home);
        }
        self.turn(me);
    }
}

impl On<Declined> for Provider {
    fn on(&mut self, Declined { mut job, by }: Declined, me: &mut Me<'_, Self>) {
        self.neighbours.full.insert(by);
        self.fell_over = self.fell_over.saturating_sub(1);
        job.progress.step_back();
        self.queue_first(job);
        self.turn(me);
    }
}

impl On<Spare> for Provider {
    fn on(&mut self, Spare { by, jobs }: Spare, me: &mut Me<'_, Self>) {
        self.neighbours.full.remove(&by);
        self.neighbours.room = jobs.min(VISITORS_MAX);
        self.settled.clear();
        self.turn(me);
        self.neighbours.room = VISITORS_MAX;
    }
}
