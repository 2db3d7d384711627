//! Where jobs go, and what they are reckoned to use: one value, exchanged as a whole by a reload.

use std::collections::{BTreeMap, HashMap};

use crate::dialect::{Speech, affinity};
use crate::id::{Model, ProviderId};
use crate::policy::route::{Candidate, Routes};
use crate::request::{Destination, Request};
use crate::spec::{Pick, ProviderSpec, WheelSpec};
use crate::tokens::Estimate;

use super::job::Asked;

/// Whether the beginnings of prompts are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Affinities {
    Read,
    Ignored,
}

/// What routing must know of a provider.
struct Known {
    speech: Speech,
    models: BTreeMap<Model, Model>,
    tokens: Reckoning,
}

/// Whether the tokens of jobs are reckoned, because somebody limits them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reckoning {
    Needed,
    Needless,
}

/// The routes of one configuration.
pub(crate) struct Routing {
    /// How many configurations there were before it.
    pub(crate) number: u64,
    routes: Routes,
    providers: HashMap<ProviderId, Known>,
    /// Whether anybody wants to know which jobs begin alike.
    affinities: Affinities,
}

impl Routing {
    /// The routes that `spec` tells.
    pub(crate) fn of(spec: &WheelSpec, number: u64) -> Self {
        let known = |provider: &ProviderSpec| {
            let mut windows = provider.keys.iter().flat_map(|key| &key.limits.windows);
            let is_limited = windows.any(|window| window.dimension.is_of_tokens());
            let tokens = if is_limited { Reckoning::Needed } else { Reckoning::Needless };
            Known { speech: provider.speech(), models: provider.models.clone(), tokens }
        };
        let providers =
            spec.providers.iter().map(|provider| (provider.id.clone(), known(provider))).collect();
        let is_sticky = spec.providers.iter().any(|provider| provider.rotation.pick == Pick::Sticky);
        let affinities = if is_sticky { Affinities::Read } else { Affinities::Ignored };
        Self { number, routes: Routes::new(spec), providers, affinities }
    }

    /// The candidates for a request, best first: those on its model's route that understand it, or the one that it
    /// names itself.
    pub(crate) fn candidates(&self, request: &Request) -> Vec<Candidate> {
        match &request.to {
            Destination::Routed => {
                let mut candidates = self.routes.candidates(&request.model);
                candidates.retain(|candidate| {
                    let known = self.providers.get(&candidate.provider);
                    known.is_some_and(|known| known.speech.for_path(&request.path).is_some())
                });
                candidates
            }
            Destination::Provider(provider) => {
                let known = self.providers.get(provider);
                let there =
                    |known: &Known| known.models.get(&request.model).unwrap_or(&request.model).clone();
                known
                    .map(|known| Candidate { provider: provider.clone(), model: there(known) })
                    .into_iter()
                    .collect()
            }
        }
    }

    /// What a request says about its tokens and its beginning, if anybody wants to know.
    pub(crate) fn asked(&self, request: &Request, candidates: &[Candidate]) -> Asked {
        let known = candidates.iter().filter_map(|candidate| self.providers.get(&candidate.provider));
        let limited = known.into_iter().find(|known| known.tokens == Reckoning::Needed);
        let estimate = limited.map_or(Estimate::NOTHING, |known| {
            known.speech.for_path_at_hand(&request.path).dialect.estimate_tokens(request)
        });
        let affinity = match self.affinities {
            Affinities::Read => affinity::of(request),
            Affinities::Ignored => 0,
        };
        Asked { estimate, affinity }
    }
}
