//! Where jobs go, and what they are reckoned to use: one value, exchanged as a whole by a reload.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dialect::{Dialect, affinity};
use crate::id::{Model, ProviderId};
use crate::policy::route::{Candidate, Routes};
use crate::request::Request;
use crate::spec::{Pick, ProviderSpec, WheelSpec};
use crate::tokens::Estimate;

use super::job::Asked;

/// Whether the beginnings of prompts are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Affinities {
    Read,
    Ignored,
}

/// The routes of one configuration.
pub(crate) struct Routing {
    /// How many configurations there were before it.
    pub(crate) number: u64,
    routes: Routes,
    /// Who reckons the tokens of a job, where anybody limits them.
    estimators: HashMap<ProviderId, Arc<dyn Dialect>>,
    /// Whether anybody wants to know which jobs begin alike.
    affinities: Affinities,
}

impl Routing {
    /// The routes that `spec` tells.
    pub(crate) fn of(spec: &WheelSpec, number: u64) -> Self {
        let tokens_limited = |provider: &&ProviderSpec| {
            let windows = provider.keys.iter().flat_map(|key| &key.limits.windows);
            windows.into_iter().any(|window| window.dimension.is_of_tokens())
        };
        let limited = spec.providers.iter().filter(tokens_limited);
        let estimators =
            limited.map(|provider| (provider.id.clone(), Arc::clone(&provider.dialect))).collect();
        let is_sticky = spec.providers.iter().any(|provider| provider.rotation.pick == Pick::Sticky);
        let affinities = if is_sticky { Affinities::Read } else { Affinities::Ignored };
        Self { number, routes: Routes::new(spec), estimators, affinities }
    }

    /// The candidates for `model`, best first.
    pub(crate) fn candidates(&self, model: &Model) -> Vec<Candidate> {
        self.routes.candidates(model)
    }

    /// What a request says about its tokens and its beginning, if anybody wants to know.
    pub(crate) fn asked(&self, request: &Request, candidates: &[Candidate]) -> Asked {
        let limited = candidates.iter().find_map(|candidate| self.estimators.get(&candidate.provider));
        let estimate = limited.map_or(Estimate::NOTHING, |dialect| dialect.estimate_tokens(request));
        let affinity = match self.affinities {
            Affinities::Read => affinity::of(request),
            Affinities::Ignored => 0,
        };
        Asked { estimate, affinity }
    }
}
