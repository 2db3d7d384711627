//! What a row will probably use and cost, before it is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use keywheel_actors::dialect::Dialect;
use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::policy::route::{Candidate, Routes};
use keywheel_actors::request::Request;
use keywheel_actors::spec::{ProviderSpec, WheelSpec};

use super::tokens::{Reckoning, tokens_of};
use crate::money::{Money, Price, Prices};

/// Reckons by the configuration's routes and prices.
#[derive(Clone, Debug)]
pub struct Reckoner {
    routes: Routes,
    /// Without their keys.
    providers: BTreeMap<ProviderId, ProviderSpec>,
    prices: Prices,
    /// What was found for each model and path so far: inputs name few.
    lanes: BTreeMap<Model, BTreeMap<String, Arc<[Lane]>>>,
}

/// One place where the rows of a model may be answered.
#[derive(Clone, Debug)]
pub(in crate::batch) struct Lane {
    /// Who answers, and its own name of the model.
    pub candidate: Candidate,
    /// What it asks.
    pub price: Option<Price>,
    dialect: Arc<dyn Dialect>,
}

/// What a row will cost at most, if the estimates hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Reckoned {
    /// So much, at the dearest of its candidates.
    Costs(Money),
    /// Nobody knows: this candidate's price isn't configured.
    Unpriced(Candidate),
}

impl Reckoner {
    /// By the routes of `spec` and by `prices`.
    pub fn new(spec: &WheelSpec, prices: &Prices) -> Self {
        let providers = spec.providers.iter();
        let keyless = |provider: &ProviderSpec| ProviderSpec { keys: Vec::new(), ..provider.clone() };
        Self {
            routes: Routes::new(spec),
            providers: providers.map(|provider| (provider.id.clone(), keyless(provider))).collect(),
            prices: prices.clone(),
            lanes: BTreeMap::new(),
        }
    }

    /// Where rows of `model` that go to `path` may be answered, the first choice first.
    pub(in crate::batch) fn lanes(&mut self, model: &Model, path: &str) -> Arc<[Lane]> {
        if let Some(known) = self.lanes.get(model).and_then(|lanes| lanes.get(path)) {
            return Arc::clone(known);
        }
        let candidates = self.routes.candidates(model).into_iter();
        let lanes: Arc<[Lane]> = candidates
            .filter_map(|candidate| {
                let dialect = self.providers.get(&candidate.provider)?.dialect_for(path)?;
                let price = self.prices.of(&candidate.provider, &candidate.model).cloned();
                Some(Lane { candidate, price, dialect })
            })
            .collect();
        self.lanes.entry(model.clone()).or_default().insert(path.to_owned(), Arc::clone(&lanes));
        lanes
    }

    /// What `request` will cost at most. A row that nobody serves costs nothing.
    pub(in crate::batch) fn cost(&mut self, request: &Request, output_unsaid: u64) -> Reckoned {
        let mut most = Money::ZERO;
        for lane in self.lanes(&request.model, &request.path).iter() {
            match &lane.price {
                Some(price) => most = most.max(price.cost(&lane.estimate(request, output_unsaid).usage)),
                None => return Reckoned::Unpriced(lane.candidate.clone()),
            }
        }
        Reckoned::Costs(most)
    }
}

impl Lane {
    /// The tokens that `request` will probably use here: its input, and the most output that it lets the model
    /// write; `output_unsaid` where it names no maximum.
    pub(in crate::batch) fn estimate(&self, request: &Request, output_unsaid: u64) -> Reckoning {
        tokens_of(&*self.dialect, request, output_unsaid)
    }
}

#[cfg(test)]
pub(in crate::batch) mod tests {
    use bytes::Bytes;
    use hyper::{HeaderMap, Method};
    use keywheel_actors::dialect::{Anthropic, OpenAi};
    use keywheel_actors::request::Delivery;
    use keywheel_actors::spec::{CandidateSpec, RouteSpec};

    use super::*;
    use crate::money::{PricedModels, Rate};

    fn price(model: &str, input: &str, output: &str) -> Price {
        let rate = |text: &str| Rate::per_million(text.parse().unwrap()).unwrap();
        let models = PricedModels::new(model).unwrap();
        Price { provider: None, models, input: rate(input), output: rate(output), cached: rate(input) }
    }

    /// `cheap` costs 1 and 10 a million, `dear` 2 and 20; `both` is a route to `cheap`, then `dear`; `odd` leads
    /// to a model without a price.
    pub(in crate::batch) fn reckoner() -> Reckoner {
        let provider = ProviderSpec::new("p", Arc::new(OpenAi), "http://127.0.0.1:1/v1");
        let route = |model: &str, candidates: &[&str]| {
            let at = |there: &&str| CandidateSpec { provider: "p".into(), model: (*there).into() };
            RouteSpec { model: model.into(), candidates: candidates.iter().map(at).collect() }
        };
        let routes = vec![route("both", &["cheap", "dear"]), route("odd", &["cheap", "unpriced"])];
        let spec = WheelSpec { providers: vec![provider], routes, ..WheelSpec::default() };
        Reckoner::new(&spec, &prices())
    }

    pub(in crate::batch) fn prices() -> Prices {
        Prices { list: vec![price("cheap", "1", "10"), price("dear", "2", "20")], ..Prices::default() }
    }

    /// A row with one token of input, as the estimate has it, and at most `output`.
    fn request(model: &str, output: Option<u64>) -> Request {
        let most = output.map_or_else(String::new, |most| format!(r#","max_tokens":{most}"#));
        Request {
            method: Method::POST,
            path: "/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from(format!(r#"{{"model":"{model}","messages":"ab"{most}}}"#)),
            model: model.into(),
            delivery: Delivery::Whole,
            to: keywheel_actors::request::Destination::Routed,
            upload: None,
        }
    }

    fn costs(parts_of_a_millionth: u128) -> Reckoned {
        Reckoned::Costs(Money::of_parts(parts_of_a_millionth * 1_000_000))
    }

    #[test]
    fn a_row_costs_its_input_and_the_most_output_it_allows() {
        assert_eq!(reckoner().cost(&request("cheap", Some(100)), 7), costs(1 + 1_000));
        assert_eq!(reckoner().cost(&request("cheap", None), 7), costs(1 + 70));
    }

    #[test]
    fn the_dearest_candidate_counts_since_any_may_answer() {
        assert_eq!(reckoner().cost(&request("both", Some(100)), 7), costs(2 + 2_000));
    }

    #[test]
    fn one_candidate_without_a_price_makes_the_cost_unknown() {
        let unpriced = Candidate { provider: "p".into(), model: "unpriced".into() };
        assert_eq!(reckoner().cost(&request("odd", Some(1)), 7), Reckoned::Unpriced(unpriced));
    }

    #[test]
    fn who_does_not_understand_a_row_is_not_asked_for_its_price() {
        let provider = |id: &str, dialect| ProviderSpec::new(id, dialect, "http://127.0.0.1:1/v1");
        let providers = vec![provider("o", Arc::new(OpenAi)), provider("a", Arc::new(Anthropic))];
        let of_anthropic = Price { provider: Some("a".into()), ..price("claude", "1", "10") };
        let prices = Prices { list: vec![of_anthropic], ..Prices::default() };
        let spec = WheelSpec { providers, ..WheelSpec::default() };
        let messages = Request { path: "/messages".to_owned(), ..request("claude", Some(100)) };
        let mut reckoner = Reckoner::new(&spec, &prices);
        assert_eq!(reckoner.cost(&messages, 7), costs(1 + 1_000));
        let chat = Candidate { provider: "o".into(), model: "claude".into() };
        assert_eq!(reckoner.cost(&request("claude", Some(100)), 7), Reckoned::Unpriced(chat));
        let generate = "/models/claude:generateContent";
        assert_eq!(reckoner.lanes(&"claude".into(), generate).len(), 0, "nobody speaks Gemini");
    }
}
