//! Where jobs go, and what they are reckoned to use: one value, exchanged as a whole by a reload.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dialect::Dialect;
use crate::id::{Model, ProviderId};
use crate::policy::route::{Candidate, Routes};
use crate::request::Request;
use crate::spec::{ProviderSpec, WheelSpec};
use crate::tokens::Estimate;

/// The routes of one configuration.
pub(crate) struct Routing {
    /// How many configurations there were before it.
    pub(crate) number: u64,
    routes: Routes,
    /// Who reckons the tokens of a job, where anybody limits them.
    estimators: HashMap<ProviderId, Arc<dyn Dialect>>,
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
        Self { number, routes: Routes::new(spec), estimators }
    }

    /// The candidates for `model`, best first.
    pub(crate) fn candidates(&self, model: &Model) -> Vec<Candidate> {
        self.routes.candidates(model)
    }

    /// What a request says about its tokens, if anybody wants to know.
    pub(crate) fn estimate(&self, request: &Request, candidates: &[Candidate]) -> Estimate {
        let limited = candidates.iter().find_map(|candidate| self.estimators.get(&candidate.provider));
        limited.map_or(Estimate::NOTHING, |dialect| dialect.estimate_tokens(request))
    }
}
