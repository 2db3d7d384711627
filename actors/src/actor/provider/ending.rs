//! What follows from the end of a call, for the provider's health and for the job.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::{RefusedAnswer, SendError};
use crate::event::{Decision, Event, EventKind, Logging};
use crate::outcome::{Fault, Reason, Scope, cut};
use crate::policy::backoff::Backoff;
use crate::policy::breaker::{Admission, Change, Epoch};
use crate::policy::budget::RetryKind;
use crate::policy::incident::{Finding, Others};
use crate::policy::pick::{KeyIndex, Speed};
use crate::policy::route::{Charge, Fate};
use crate::request::Patience;
use crate::tokens::Tokens;

use super::super::job::Job;
use super::super::kernel::{Me, On};
use super::super::message::{
    Back, Bounced, Committed, Dispatch, End, Ended, GroupTaken, LaneRested, Made, Outcome, RawAnswer, Report,
    Verdict,
};
use super::super::stats::Tally;
use super::children::Stage;
use super::{Provider, Standing};

/// How long a provider rests that refuses every key: long enough for an operator's slip to be mended,
/// short enough to be back within 30 s of it.
const INCIDENT_REST: Duration = Duration::from_secs(15);

/// Longer names of requests are cut: they go to logs.
const REQUEST_ID_BYTES_MAX: usize = 128;

impl Provider {
    fn settle_ended(&mut self, ended: Ended, now: Moment) {
        let in_flight = self.children.get(ended.key).map_or(0, |child| child.in_flight.saturating_sub(1));
        self.set_in_flight(ended.key, in_flight);
        if let Some(rested) = &ended.rested {
            self.key_rested(rested);
        }
        if let Some(used) = ended.used {
            let settled = used.max(ended.made.floor);
            self.settle_tokens(ended.key, ended.group_taken.as_ref(), ended.reckoned, settled);
            self.reckoner.wrote(&ended.made.model, used.output);
        }
        self.probe.take_if(|probe| probe.epoch == ended.made.epoch);
        let speed = match (&ended.verdict, ended.first_content) {
            (Verdict::Served { .. }, Some(first_content)) => Speed::Took(first_content),
            (Verdict::Served { .. } | Verdict::Neutral, _) => Speed::Unknown,
            (Verdict::Failed { .. }, _) => Speed::Failed,
        };
        self.picker.finished(ended.key, speed);
        let Made { epoch, charge, .. } = ended.made;
        match ended.verdict {
            Verdict::Served { paid } => {
                self.well(now, epoch);
                self.accepted(ended.key, ended.made.started, now);
                match paid {
                    Some(kind) => self.budget.give_back(kind),
                    None => self.budget.first_try_succeeded(),
                }
            }
            Verdict::Neutral => self.breaker.abandoned(epoch),
            Verdict::Failed { fault, back } => {
                self.blame(ended.key, &ended.made, &fault, now);
                let call = Failure { key: ended.key, made: ended.made, took: ended.took };
                match back {
                    Some(Back { mut job, answer }) => {
                        job.avoid = Some(ended.key);
                        let fate = self.fate(&mut job, &fault, charge);
                        // What was stopped before it left is no call, and none that failed.
                        if fault.reason != Reason::Stopped {
                            self.report_failure(call, fault.clone(), decision(fate), now);
                        } else if let Some(taken) = &ended.group_taken {
                            self.give_back_to_group(ended.key, taken);
                        }
                        self.follow(job, fate, fault, answer, now);
                    }
                    // Its caller has part of the answer already, and reads an error behind it.
                    None => self.report_failure(call, fault, Decision::Return, now),
                }
            }
        }
    }

    /// What a call used is known now.
    fn settle_tokens(&mut self, key: KeyIndex, taken: Option<&GroupTaken>, reckoned: Tokens, tokens: Tokens) {
        if let Some(taken) = taken {
            self.settle_group(key, taken, tokens);
        }
        if !reckoned.is_within(tokens)
            && let Some(child) = self.children.get_mut(key)
        {
            child.refusals.clear();
        }
    }

    /// The end of a call whose key is down: nobody but the provider hears of it.
    pub(super) fn settle_orphan(&mut self, outcome: Outcome, now: Moment) {
        let mut call = Tally::default();
        call.note(&outcome);
        if call.is_due(0)
            && let Some(child) = self.children.get(outcome.key)
        {
            self.hub.report_calls(&child.line.key, &mut call);
        }
        let verdict = match outcome.end {
            End::Served { paid } => Verdict::Served { paid },
            End::Cancelled => Verdict::Neutral,
            End::Failed { fault, back } => Verdict::Failed { fault, back },
        };
        let ended = Ended {
            key: outcome.key,
            made: outcome.made,
            took: outcome.took,
            first_content: outcome.first_content,
            group_taken: outcome.group_taken,
            reckoned: outcome.key_taken.tokens(),
            used: outcome.usage.map(|usage| self.spec.dialect.counted(&usage)),
            verdict,
            rested: None,
        };
        self.settle_ended(ended, now);
    }

    /// Charges a fault to the provider if it is the provider's. Any other answer proves that it is alive.
    fn blame(&mut self, key: KeyIndex, made: &Made, fault: &Fault, now: Moment) {
        let Made { epoch, charge, started, .. } = *made;
        match (fault.scope, fault.reason) {
            (Scope::Provider, Reason::ModelGone) | (Scope::Us, _) => self.breaker.abandoned(epoch),
            (Scope::Provider, _) => self.ill(now, epoch, fault),
            (_, Reason::BadCredential) => {
                if charge == Charge::Free {
                    self.ill(now, epoch, fault);
                }
                self.suspect(key, started, now);
            }
            (Scope::Key | Scope::Group | Scope::Lane | Scope::Request, _) => match charge {
                Charge::Free => self.well(now, epoch),
                Charge::Counted => {}
            },
        }
    }

    fn well(&mut self, now: Moment, epoch: Epoch) {
        let change = self.breaker.succeeded(now, epoch);
        if change == Some(Change::Closed) {
            self.incident.over(now);
        }
        self.report_change(now, change, "");
    }

    /// A key was accepted: it may show that others were refused without a fault of theirs.
    fn accepted(&mut self, key: KeyIndex, started: Moment, now: Moment) {
        if let Some(child) = self.children.get_mut(key) {
            child.accepted_from = child.accepted_from.max(Some(started));
        }
        let doubtful = self.incident.accepted(now, key, started);
        self.reinstate(&doubtful);
    }

    fn ill(&mut self, now: Moment, epoch: Epoch, fault: &Fault) {
        let change = self.breaker.failed(now, epoch, &mut self.rng, fault.rest);
        self.report_change(now, change, &fault.to_string());
    }

    /// A key was refused: its own fault, unless too many are.
    fn suspect(&mut self, key: KeyIndex, started: Moment, now: Moment) {
        // A key that leaves may have been revoked: that says nothing about the provider.
        let Some(child) = self.children.get(key).filter(|child| child.stage == Stage::Serving) else {
            return;
        };
        let accepted_from = child.accepted_from;
        let usable = |child: &super::Child| child.rests_until.is_none_or(|until| !until.is_never());
        let usable = self.children.serving().map(|(_, child)| child).filter(|child| usable(child));
        let others = usable.fold(Others::default(), |others, child| Others {
            usable: others.usable + 1,
            asked_at: others.asked_at.max((child.in_flight > 0).then_some(child.asked_at)),
        });
        match self.incident.refused(now, key, started, accepted_from, others) {
            Finding::KeysFault => {}
            Finding::Straggler => self.reinstate(&[key]),
            Finding::Doubtful(keys) => self.reinstate(&keys),
            Finding::ProvidersFault(keys) => {
                self.reinstate(&keys);
                let change = self.breaker.trip(now, INCIDENT_REST);
                self.report_change(now, Some(change), &format!("{} keys were refused together", keys.len()));
            }
        }
    }

    /// What is to become of a job, the retry budget considered.
    pub(super) fn fate(&mut self, job: &mut Job, fault: &Fault, charge: Charge) -> Fate {
        job.paid = None;
        // What was sent as it came is gone.
        if job.request.is_spent() {
            return Fate::Return;
        }
        let terms = job.terms;
        let fate = job.progress.fate(fault, charge, &terms);
        match charge {
            Charge::Counted => self.afford(fate, job),
            Charge::Free => fate,
        }
    }

    /// Finds another way for a job whose call failed, or ends it.
    pub(super) fn follow(
        &mut self,
        job: Job,
        fate: Fate,
        fault: Fault,
        answer: Option<Box<RawAnswer>>,
        now: Moment,
    ) {
        match fate {
            Fate::Rotate | Fate::Retry(RetryKind::Throttled) => self.wait_or_leave(job, now),
            Fate::Retry(RetryKind::Transient) => self.try_later(job, now),
            Fate::SwitchIfFree => {
                if let Some(job) = self.visit_next(job) {
                    self.try_later(job, now);
                }
            }
            Fate::Switch => {
                if let Some(job) = self.move_on(job, fault.reason.as_str(), now) {
                    refuse(job, fault, answer);
                }
            }
            Fate::Return => refuse(job, fault, answer),
            Fate::GiveUp => exhaust(job, fault),
        }
    }

    /// Pays for a retry. Whoever can't pay goes elsewhere, or, if patient, later; the others end here:
    /// an ill provider must not be asked twice for everything.
    fn afford(&mut self, fate: Fate, job: &mut Job) -> Fate {
        let Fate::Retry(kind) = fate else { return fate };
        if self.budget.withdraw(kind).is_ok() {
            job.paid = Some(kind);
            return fate;
        }
        match (job.progress.next(), job.terms.patience) {
            (Some(_), _) => Fate::SwitchIfFree,
            (None, Patience::UntilDeadline) => fate,
            (None, Patience::Interactive) => Fate::GiveUp,
        }
    }

    pub(super) fn wait_or_leave(&mut self, job: Job, now: Moment) {
        if self.standing == Standing::Leaving {
            return self.queue_first(job);
        }
        if let Some(job) = self.place(job, now) {
            let ticket = job.ticket();
            self.queue.push_first(job, ticket);
        }
    }

    pub(super) fn try_later(&mut self, job: Job, now: Moment) {
        let delay = Backoff::TRANSIENT_RETRY.delay(job.progress.faults().saturating_sub(1), &mut self.rng);
        let ticket = job.ticket();
        self.unsettle(&ticket.model);
        self.queue.push_delayed(job, ticket, now + delay);
    }

    fn report_failure(&self, call: Failure, fault: Fault, decision: Decision, now: Moment) {
        let until = self.rests_until(&call, &fault, now);
        let Failure { key, made, took } = call;
        let Some(child) = self.children.get(key) else { return };
        let log = if child.spec.rotation.log_failures { Logging::On } else { Logging::Off };
        let request_id = made.request_id.as_ref().and_then(|id| id.to_str().ok());
        let kind = EventKind::CallFailed {
            job: made.job,
            request_id: request_id.map(|id| cut(id, REQUEST_ID_BYTES_MAX).into()),
            attempt: made.attempt,
            key: child.line.key.clone(),
            fingerprint: child.line.fingerprint,
            model: made.model,
            fault,
            decision,
            until,
            took,
            log,
        };
        self.hub.report(Report { events: vec![Event { at: now, kind }], log });
    }

    /// Until when the one rests that pays for a fault.
    fn rests_until(&self, call: &Failure, fault: &Fault, now: Moment) -> Option<Moment> {
        let Failure { key, made, .. } = call;
        let was_incident = fault.reason == Reason::BadCredential && self.incident.excuses(made.started);
        let until = match fault.scope {
            Scope::Key | Scope::Group | Scope::Lane if !was_incident => {
                let lane = |rest: &&LaneRested| rest.key == *key && rest.model == made.model;
                let lane = self.lane_rests.iter().find(lane).map(|rest| rest.until);
                lane.max(self.children.get(*key).and_then(|child| child.rests_until))
            }
            Scope::Key | Scope::Group | Scope::Lane | Scope::Provider => {
                match self.breaker.would_admit(now) {
                    Admission::NotUntil(until) => Some(until),
                    Admission::Go(_) | Admission::Probe(_) | Admission::ProbeOut => None,
                }
            }
            Scope::Request | Scope::Us => None,
        };
        until.filter(|until| *until > now)
    }
}

/// A call that failed, for the record.
struct Failure {
    key: KeyIndex,
    made: Made,
    took: Duration,
}

fn decision(fate: Fate) -> Decision {
    match fate {
        Fate::Rotate | Fate::Retry(_) => Decision::Rotate,
        Fate::SwitchIfFree | Fate::Switch => Decision::FallBack,
        Fate::Return | Fate::GiveUp => Decision::Return,
    }
}

/// The provider's own answer goes to the caller; without one, what it means.
fn refuse(mut job: Job, fault: Fault, answer: Option<Box<RawAnswer>>) {
    let Some(answer) = answer else { return exhaust(job, fault) };
    let RawAnswer { status, headers, body } = *answer;
    let attempts = job.take_attempts();
    job.end(Err(SendError::Refused(Box::new(RefusedAnswer { fault, status, headers, body, attempts }))));
}

fn exhaust(mut job: Job, last: Fault) {
    let attempts = job.take_attempts();
    job.end(Err(SendError::Exhausted { last: Box::new(last), attempts }));
}

impl On<Ended> for Provider {
    fn on(&mut self, ended: Ended, me: &mut Me<'_, Self>) {
        let key = ended.key;
        self.settle_ended(ended, me.now());
        self.turn(me);
        self.hint(key);
    }
}

impl On<Bounced> for Provider {
    fn on(&mut self, Bounced { key, dispatch, refused }: Bounced, me: &mut Me<'_, Self>) {
        let Dispatch { job, epoch, group_taken, .. } = dispatch;
        let in_flight = self.children.get(key).map_or(0, |child| child.in_flight.saturating_sub(1));
        self.set_in_flight(key, in_flight);
        if let Some(taken) = &group_taken {
            self.give_back_to_group(key, taken);
        }
        self.picker.finished(key, Speed::Unknown);
        self.probe.take_if(|probe| probe.epoch == epoch);
        self.breaker.abandoned(epoch);
        match refused.filter(|refused| refused.dimension.is_of_tokens()) {
            Some(refused) => {
                self.refused(key, job.tokens, refused.until);
                // Unless another key may take it, it has to wait longer than smaller ones would.
                self.wait_or_leave(job, me.now());
            }
            None => self.queue_first(job),
        }
        self.turn(me);
        self.hint(key);
    }
}

impl On<Committed> for Provider {
    fn on(&mut self, Committed(epoch): Committed, me: &mut Me<'_, Self>) {
        self.probe.take_if(|probe| probe.epoch == epoch);
        self.well(me.now(), epoch);
        self.turn(me);
    }
}
