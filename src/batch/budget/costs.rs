//! What the calls of a run have cost.

use std::collections::BTreeMap;

use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::outcome::Usage;
use serde::Serialize;

use crate::batch::answer::Answered;
use crate::money::{Currency, Money, Price, Prices};

/// The costs so far, by model.
#[derive(Clone, Default, Debug)]
pub(in crate::batch) struct Costs {
    prices: Prices,
    spent: Money,
    unknown: u64,
    models: BTreeMap<(ProviderId, Model), ModelCosts>,
}

#[derive(Clone, Debug)]
struct ModelCosts {
    price: Option<Price>,
    calls: u64,
    usage: Usage,
}

/// What a run has cost, in names that programs may rely on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CostSummary {
    /// What all amounts are in.
    pub currency: Currency,
    /// What the calls have cost, as far as that is known.
    pub spent: Money,
    /// Calls with an answer whose cost isn't known.
    pub unknown_calls: u64,
    /// Each model, in order of provider and name.
    pub by_model: Vec<ModelCost>,
}

/// What one model has cost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModelCost {
    /// The provider.
    pub provider: ProviderId,
    /// The model, by the provider's own name.
    pub model: Model,
    /// Calls that the provider counted the tokens of.
    pub calls: u64,
    /// Tokens of input, cached ones included.
    pub input_tokens: u64,
    /// Tokens of input that came from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens of output.
    pub output_tokens: u64,
    /// What they have cost. `None` without a price.
    pub cost: Option<Money>,
}

impl Costs {
    /// Nothing yet, by these prices.
    pub(in crate::batch) fn by(prices: Prices) -> Self {
        Self { prices, ..Self::default() }
    }

    /// Whether anything has a price.
    pub(in crate::batch) const fn are_reckoned(&self) -> bool {
        !self.prices.list.is_empty()
    }

    /// What everything has cost, as far as that is known.
    pub(in crate::batch) const fn spent(&self) -> Money {
        self.spent
    }

    /// Calls with an answer whose cost isn't known.
    pub(in crate::batch) const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// What the money is in.
    pub(in crate::batch) const fn currency(&self) -> &Currency {
        &self.prices.currency
    }

    /// A row came back, with all that was paid for it.
    pub(in crate::batch) fn note(&mut self, answered: &Answered) {
        if !self.are_reckoned() {
            return;
        }
        let mut unknown = answered.attempts.iter().filter(|attempt| attempt.fault.is_none()).count() as u64;
        for (call, usage) in answered.paid() {
            // An answer without a call came from a cache, and cost nothing.
            let Some(call) = call else { continue };
            if self.add(&call.key.provider, &call.model, usage) {
                unknown = unknown.saturating_sub(1);
            }
        }
        self.unknown += unknown;
    }

    /// Adds what one call used. Whether its cost is known.
    fn add(&mut self, provider: &ProviderId, model: &Model, usage: &Usage) -> bool {
        let prices = &self.prices;
        let costs = self.models.entry((provider.clone(), model.clone())).or_insert_with(|| ModelCosts {
            price: prices.of(provider, model).cloned(),
            calls: 0,
            usage: Usage::default(),
        });
        costs.calls += 1;
        costs.usage += *usage;
        let cost = costs.price.as_ref().map(|price| price.cost(usage));
        self.spent += cost.unwrap_or_default();
        cost.is_some()
    }

    /// What it came to. `None` if nothing has a price.
    pub(in crate::batch) fn summary(&self) -> Option<CostSummary> {
        let by_model = self.models.iter().map(|((provider, model), costs)| ModelCost {
            provider: provider.clone(),
            model: model.clone(),
            calls: costs.calls,
            input_tokens: costs.usage.input_tokens,
            cached_tokens: costs.usage.cached_tokens,
            output_tokens: costs.usage.output_tokens,
            cost: costs.price.as_ref().map(|price| price.cost(&costs.usage)),
        });
        self.are_reckoned().then(|| CostSummary {
            currency: self.currency().clone(),
            spent: self.spent,
            unknown_calls: self.unknown,
            by_model: by_model.collect(),
        })
    }
}
