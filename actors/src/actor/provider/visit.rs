//! Fallback that gives back: jobs of a resting provider are served next door as far as there is room.
//!
//! A job that could wait here visits the next provider on its route. If that one
//! can't serve it at once it declines, remembers who asked, and says when it has
//! spare credits. So a thousand waiting jobs never move for good to a provider
//! that is slower than the wait. Jobs overflow in the same way that have waited long
//! for keys which work, but have too much to do.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::Moment;
use crate::event::EventKind;
use crate::id::{Model, ProviderId};
use crate::request::Patience;
use crate::tokens::Tokens;

use super::super::job::Job;
use super::super::kernel::{Me, On};
use super::super::message::{Declined, Spare, Visit};
use super::{Provider, Standing};

/// Visitors under way to a provider that has not yet said how much room it has.
const VISITORS_MAX: usize = 64;

/// A neighbour that couldn't be reached is tried again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a provider knows of those its jobs visit, and of those whose jobs visit it.
pub(super) struct Neighbours {
    /// Declined lately; they will say when they have room.
    full: HashSet<ProviderId>,
    /// Visited lately, with jobs like these; they want to hear of room.
    hopeful: Vec<Hope>,
    /// How many jobs may set out next: what the last [`Spare`] said.
    room: usize,
    /// Jobs, by their numbers in the queue, that have waited long and found no room next door.
    stuck: Vec<u64>,
    /// Whether anything has changed for them.
    news: News,
}

/// Whether a neighbour may have room that had none before.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum News {
    #[default]
    None,
    Room,
}

/// What a neighbour wants to hear of.
struct Hope {
    home: ProviderId,
    model: Model,
    tokens: Tokens,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self {
            full: HashSet::new(),
            hopeful: Vec::new(),
            room: VISITORS_MAX,
            stuck: Vec::new(),
            news: News::None,
        }
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
    /// Whether anybody waits to hear of room here.
    pub(super) fn has_hopeful(&self) -> bool {
        !self.neighbours.hopeful.is_empty()
    }

    /// After a reload nobody is known to be full, and those who are gone hope for nothing.
    pub(super) fn forget_neighbours(&mut self) {
        let Self { neighbours, hub, .. } = self;
        neighbours.full.clear();
        neighbours.news = News::Room;
        neighbours.hopeful.retain(|hope| hub.is_open(&hope.home));
    }

    /// Lets a job visit the next provider; gives it back if that one is known to be full or gone.
    pub(super) fn visit_next(&mut self, mut job: Job) -> Option<Job> {
        job.progress.skip_unless(|provider| self.hub.is_open(provider));
        let to = match job.progress.next() {
            Some(next) if !self.neighbours.full.contains(&next.provider) => next.provider.clone(),
            Some(_) | None => return Some(job),
        };
        let Some(address) = self.hub.open_provider(&to) else { return Some(job) };
        self.leave(&mut job);
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

    /// When a job that comes now has waited long enough here, if its route has another candidate: when half of its
    /// time is over. Where a person waits, it waits no longer than for a first content.
    pub(super) fn restless_at(&self, job: &Job, now: Moment) -> Moment {
        let Some(fallback_after) = self.spec.rotation.fallback_after else { return Moment::NEVER };
        let half = job.terms.deadline.since(now) / 2;
        now + match job.terms.patience {
            Patience::Interactive => {
                half.min(fallback_after).min(self.spec.timeouts.first_content_with_fallback)
            }
            Patience::UntilDeadline => half,
        }
    }

    /// Lets jobs that have waited long enough visit the next provider, as far as there is room.
    pub(super) fn overflow(&mut self, now: Moment) {
        let mut restless = match std::mem::take(&mut self.neighbours.news) {
            News::Room => std::mem::take(&mut self.neighbours.stuck),
            News::None => Vec::new(),
        };
        restless.extend(self.queue.newly_restless(now));
        if restless.is_empty() {
            return;
        }
        let mut room = self.neighbours.room();
        let waiting = restless.into_iter().filter_map(|number| Some((number, self.queue.get(number)?)));
        let (going, stuck): (Vec<_>, Vec<_>) =
            waiting.map(|(number, job)| (number, room.take(job))).partition(|(_, goes)| *goes);
        self.neighbours.stuck.extend(stuck.iter().map(|(number, _)| number));
        for (number, _) in going {
            if let Some(mut job) = self.queue.take(number).and_then(|job| self.visit_next(job)) {
                // The next one is just being started again.
                job.restless_at = now + LOOK_AGAIN;
                self.queue_first(job);
            }
        }
    }

    /// Tells those who visited lately that there is room now for jobs like theirs.
    pub(super) fn offer_spare(&mut self, now: Moment) {
        if !self.has_hopeful() || self.draining.is_some() || !self.is_open(now) {
            return;
        }
        for hope in std::mem::take(&mut self.neighbours.hopeful) {
            let jobs = if self.queue.waits_for(&hope.model) {
                0
            } else {
                self.spare_credits(&hope.model, hope.tokens, now)
            };
            if jobs > 0 {
                self.hub.tell_provider(&hope.home, Spare { by: self.id().clone(), jobs });
            } else {
                self.neighbours.hopeful.push(hope);
            }
        }
    }

    fn receive(&mut self, visit: Visit, now: Moment) -> Result<(), Visit> {
        let wish = self.wish(&visit.job);
        if self.draining.is_some()
            || self.standing == Standing::Leaving
            || self.queue.waits_for(&wish.model)
            || !self.is_open(now)
        {
            return Err(visit);
        }
        let Some(key) = self.choose(&wish, now) else { return Err(visit) };
        let Visit { job, home } = visit;
        let (id, to, why) = (job.id, self.id().clone(), format!("no key of `{home}` is free"));
        self.report(now, EventKind::FellBack { job: id, from: home, to, why });
        self.send(job, key, now);
        Ok(())
    }
}

impl On<Visit> for Provider {
    fn on(&mut self, visit: Visit, me: &mut Me<'_, Self>) {
        let tokens = self.reckon(&visit.job);
        let hope = Hope { home: visit.home.clone(), model: visit.job.model().clone(), tokens };
        if let Err(Visit { job, home }) = self.receive(visit, me.now()) {
            let by = self.id().clone();
            self.hub.tell_provider(&home, Declined { job, by });
        }
        self.neighbours.hopeful.retain(|known| known.home != hope.home || known.model != hope.model);
        self.neighbours.hopeful.push(hope);
        self.turn(me);
    }
}

impl On<Declined> for Provider {
    fn on(&mut self, Declined { mut job, by }: Declined, me: &mut Me<'_, Self>) {
        self.neighbours.full.insert(by);
        self.fell_over = self.fell_over.saturating_sub(1);
        job.progress.step_back();
        if self.is_open(me.now()) && !job.attempts.is_empty() {
            // It was sent away for its own failures here: it comes back with the usual delay.
            self.try_later(job, me.now());
        } else {
            self.queue_first(job);
        }
        self.turn(me);
    }
}

impl On<Spare> for Provider {
    fn on(&mut self, Spare { by, jobs }: Spare, me: &mut Me<'_, Self>) {
        self.neighbours.full.remove(&by);
        self.neighbours.news = News::Room;
        self.neighbours.room = jobs.min(VISITORS_MAX);
        self.settled.clear();
        self.turn(me);
        self.neighbours.room = VISITORS_MAX;
    }
}
