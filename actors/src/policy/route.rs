//! Where a job goes: its candidates in order, and what a failure does to it.

use crate::id::{Model, ProviderId};
use crate::outcome::{Fault, Reason, Scope};
use crate::request::Terms;
use crate::spec::WheelSpec;

use super::budget::RetryKind;

/// One place where a job can be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The provider.
    pub provider: ProviderId,
    /// The model, as that provider calls it.
    pub model: Model,
}

/// Which candidates serve which model.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: Vec<(Model, Vec<Candidate>)>,
    fallback_order: Vec<(ProviderId, Vec<(Model, Model)>)>,
}

impl Routes {
    /// The routes of a wheel. An empty fallback order means every provider, as listed.
    pub fn new(spec: &WheelSpec) -> Self {
        let names = |id: &ProviderId| {
            let provider = spec.providers.iter().find(|provider| provider.id == *id)?;
            let models = provider.models.iter().map(|(ours, theirs)| (ours.clone(), theirs.clone()));
            Some((id.clone(), models.collect()))
        };
        let order: Vec<ProviderId> = match spec.fallback_order.as_slice() {
            [] => spec.providers.iter().map(|provider| provider.id.clone()).collect(),
            order => order.to_vec(),
        };
        let routes = spec.routes.iter().map(|route| {
            let candidates = route.candidates.iter();
            let candidates = candidates
                .map(|at| Candidate { provider: at.provider.clone(), model: at.model.clone() })
                .collect();
            (route.model.clone(), candidates)
        });
        Self { routes: routes.collect(), fallback_order: order.iter().filter_map(names).collect() }
    }

    /// The candidates for `model`, best first.
    pub fn candidates(&self, model: &Model) -> Vec<Candidate> {
        if let Some((_, candidates)) = self.routes.iter().find(|(ours, _)| ours == model) {
            return candidates.clone();
        }
        let there = |models: &[(Model, Model)]| {
            models.iter().find(|(ours, _)| ours == model).map_or(model, |(_, theirs)| theirs).clone()
        };
        self.fallback_order
            .iter()
            .map(|(provider, models)| Candidate { provider: provider.clone(), model: there(models) })
            .collect()
    }
}

/// A job's record on its way.
#[derive(Clone, Debug)]
pub struct Progress {
    candidates: Vec<Candidate>,
    at: usize,
    faults: u32,
    faults_here: u32,
    unclassified: u32,
}

/// What becomes of a job after a failed call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Another key of the same provider, at once; costs the job nothing.
    Rotate,
    /// The same provider again, paid from its retry budget.
    Retry(RetryKind),
    /// The next candidate, if it can take the job; else here again.
    SwitchIfFree,
    /// The next candidate; nothing here can serve it.
    Switch,
    /// The provider's answer goes to the caller.
    Return,
    /// Too many calls failed.
    GiveUp,
}

/// Whether a call counts against its job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charge {
    /// An ordinary call.
    Counted,
    /// A probe of a provider known to be ill: the job only lent itself.
    Free,
}

impl Progress {
    /// At the first of its candidates; `None` if there are none.
    pub fn new(candidates: Vec<Candidate>) -> Option<Self> {
        (!candidates.is_empty()).then_some(Self {
            candidates,
            at: 0,
            faults: 0,
            faults_here: 0,
            unclassified: 0,
        })
    }

    /// The candidate it stands at.
    pub fn here(&self) -> &Candidate {
        &self.candidates[self.at]
    }

    /// The next one.
    pub fn next(&self) -> Option<&Candidate> {
        self.candidates.get(self.at + 1)
    }

    /// Whether this isn't the first one.
    pub const fn has_advanced(&self) -> bool {
        self.at > 0
    }

    /// All that come after.
    pub fn further(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().skip(self.at + 1)
    }

    /// Leaves out those of the candidates after this one that aren't `there`.
    pub fn skip_unless(&mut self, there: impl Fn(&ProviderId) -> bool) {
        let further = self.candidates.split_off(self.at + 1);
        self.candidates.extend(further.into_iter().filter(|candidate| there(&candidate.provider)));
    }

    /// Begins anew on another route, with its record. False, and nothing changes, if that is empty.
    pub fn reroute(&mut self, candidates: Vec<Candidate>) -> bool {
        let some = !candidates.is_empty();
        if some {
            self.candidates = candidates;
            self.at = 0;
            self.faults_here = 0;
        }
        some
    }

    /// Goes to the next one. False if there is none.
    pub fn advance(&mut self) -> bool {
        let more = self.at + 1 < self.candidates.len();
        if more {
            self.at += 1;
            self.faults_here = 0;
        }
        more
    }

    /// Goes back to the candidate before: the next one had no room.
    pub const fn step_back(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    /// Calls that failed by a provider's fault, here and before.
    pub const fn faults(&self) -> u32 {
        self.faults
    }

    /// A call failed. What now?
    ///
    /// Throttles and dead keys are free: the key rests, and the job takes another. A provider's fault is
    /// tried once more here, then elsewhere while there is an elsewhere. What no key can change goes back.
    ///
    /// A fault that reaches the whole provider is one of its faults, whatever its name: no key rests for
    /// it, so taking the next one at once would only hammer on.
    pub fn fate(&mut self, fault: &Fault, charge: Charge, terms: &Terms) -> Fate {
        if fault.scope == Scope::Provider && fault.reason != Reason::ModelGone {
            return self.after_fault(charge, terms);
        }
        match fault.reason {
            Reason::BadCredential
            | Reason::AccountBanned
            | Reason::MoneyGone
            | Reason::QuotaUsedUp
            | Reason::ModelDenied
            | Reason::RegionDenied
            | Reason::Stopped => Fate::Rotate,
            Reason::Throttled => Fate::Retry(RetryKind::Throttled),
            Reason::SlowDown
            | Reason::Overloaded
            | Reason::ServerError
            | Reason::Unreachable
            | Reason::Stalled
            | Reason::Cut => self.after_fault(charge, terms),
            Reason::ModelGone => self.switch_or(Fate::Return),
            Reason::TooLong | Reason::NeverFits | Reason::PolicyRefused => self.to_another_model(),
            Reason::CallerMistake | Reason::CallerGone | Reason::DeadlineOver => Fate::Return,
            Reason::Unclassified => {
                self.unclassified += 1;
                if self.unclassified > 1 { Fate::Return } else { Fate::Rotate }
            }
        }
    }

    fn after_fault(&mut self, charge: Charge, terms: &Terms) -> Fate {
        if charge == Charge::Counted {
            self.faults += 1;
            self.faults_here += 1;
        }
        if self.faults >= terms.attempts_max {
            return Fate::GiveUp;
        }
        if self.faults_here > 1 && self.next().is_some() {
            return Fate::SwitchIfFree;
        }
        Fate::Retry(RetryKind::Transient)
    }

    /// A longer context or another policy comes with another model, never with another key.
    fn to_another_model(&self) -> Fate {
        let here = &self.here().model;
        match self.next() {
            Some(next) if next.model != *here => Fate::Switch,
            Some(_) | None => Fate::Return,
        }
    }

    fn switch_or(&self, otherwise: Fate) -> Fate {
        if self.next().is_some() { Fate::Switch } else { otherwise }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dialect::OpenAi;
    use crate::spec::{CandidateSpec, ProviderSpec, RouteSpec};

    fn fault_of(reason: Reason) -> Fault {
        Fault::new(reason, "")
    }

    fn candidate(provider: &str, model: &str) -> Candidate {
        Candidate { provider: provider.into(), model: model.into() }
    }

    fn progress(candidates: &[(&str, &str)]) -> Progress {
        Progress::new(candidates.iter().map(|(provider, model)| candidate(provider, model)).collect())
            .unwrap()
    }

    fn spec() -> WheelSpec {
        let mut first = ProviderSpec::new("a", Arc::new(OpenAi), "http://127.0.0.1:1/v1");
        first.models.insert("fast".into(), "a-mini".into());
        let second = ProviderSpec::new("b", Arc::new(OpenAi), "http://127.0.0.1:2/v1");
        WheelSpec { providers: vec![first, second], ..WheelSpec::default() }
    }

    #[test]
    fn an_empty_fallback_order_tries_everybody() {
        let routes = Routes::new(&spec());
        assert_eq!(routes.candidates(&"fast".into()), [candidate("a", "a-mini"), candidate("b", "fast")]);
    }

    #[test]
    fn a_route_says_it_all() {
        let mut spec = spec();
        spec.fallback_order = vec!["b".into()];
        spec.routes.push(RouteSpec {
            model: "fast".into(),
            candidates: vec![CandidateSpec { provider: "a".into(), model: "big".into() }],
        });
        let routes = Routes::new(&spec);
        assert_eq!(routes.candidates(&"fast".into()), [candidate("a", "big")]);
        assert_eq!(routes.candidates(&"other".into()), [candidate("b", "other")]);
    }

    #[test]
    fn throttles_and_dead_keys_are_free() {
        let mut job = progress(&[("a", "m")]);
        for _ in 0..1_000 {
            assert_eq!(
                job.fate(&fault_of(Reason::Throttled), Charge::Counted, &Terms::default()),
                Fate::Retry(RetryKind::Throttled)
            );
            assert_eq!(
                job.fate(&fault_of(Reason::BadCredential), Charge::Counted, &Terms::default()),
                Fate::Rotate
            );
        }
        assert_eq!(job.faults(), 0);
    }

    #[test]
    fn a_fault_is_retried_here_once_then_elsewhere() {
        let mut job = progress(&[("a", "m"), ("b", "m")]);
        let terms = Terms { attempts_max: 4, ..Terms::default() };
        let fault = |job: &mut Progress| job.fate(&fault_of(Reason::ServerError), Charge::Counted, &terms);
        assert_eq!(fault(&mut job), Fate::Retry(RetryKind::Transient));
        assert_eq!(fault(&mut job), Fate::SwitchIfFree);
        assert!(job.advance());
        assert_eq!(fault(&mut job), Fate::Retry(RetryKind::Transient));
        assert_eq!(fault(&mut job), Fate::GiveUp);
    }

    #[test]
    fn a_probe_costs_the_job_nothing() {
        let mut job = progress(&[("a", "m")]);
        let terms = Terms { attempts_max: 1, ..Terms::default() };
        assert_eq!(
            job.fate(&fault_of(Reason::ServerError), Charge::Free, &terms),
            Fate::Retry(RetryKind::Transient)
        );
        assert_eq!(job.fate(&fault_of(Reason::ServerError), Charge::Counted, &terms), Fate::GiveUp);
    }

    #[test]
    fn what_no_key_can_change_goes_back_or_to_another_model() {
        let mut same = progress(&[("a", "m"), ("b", "m")]);
        let mut other = progress(&[("a", "m"), ("b", "long")]);
        let terms = Terms::default();
        assert_eq!(same.fate(&fault_of(Reason::TooLong), Charge::Counted, &terms), Fate::Return);
        assert_eq!(other.fate(&fault_of(Reason::TooLong), Charge::Counted, &terms), Fate::Switch);
        assert_eq!(other.fate(&fault_of(Reason::CallerMistake), Charge::Counted, &terms), Fate::Return);
        assert_eq!(other.fate(&fault_of(Reason::ModelGone), Charge::Counted, &terms), Fate::Switch);
    }

    #[test]
    fn a_job_begins_anew_with_its_record_and_skips_who_is_gone() {
        let mut job = progress(&[("a", "m"), ("b", "m"), ("c", "m")]);
        job.fate(&fault_of(Reason::ServerError), Charge::Counted, &Terms::default());
        job.skip_unless(|id| id.as_str() != "b");
        assert_eq!(job.next(), Some(&candidate("c", "m")));
        assert!(job.advance() && !job.reroute(Vec::new()));
        assert!(job.reroute(vec![candidate("d", "n")]));
        assert_eq!((job.here(), job.next(), job.faults()), (&candidate("d", "n"), None, 1));
    }

    #[test]
    fn the_unclassified_gets_one_more_key() {
        let mut job = progress(&[("a", "m")]);
        assert_eq!(
            job.fate(&fault_of(Reason::Unclassified), Charge::Counted, &Terms::default()),
            Fate::Rotate
        );
        assert_eq!(
            job.fate(&fault_of(Reason::Unclassified), Charge::Counted, &Terms::default()),
            Fate::Return
        );
    }
}
