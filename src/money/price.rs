//! The prices of models, and what a call costs by them.

use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::outcome::Usage;

use super::amount::{Currency, Money};

/// A wildcard stands at the end of a model's name only: `gpt-4o*`.
const WILDCARD: char = '*';

/// What one token costs: a price per million of them, divided by a million.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Rate(u64);

impl Rate {
    /// The most decimals that a price per million tokens may have, so that a token's price is exact.
    pub const DECIMALS_MAX: usize = 6;

    /// The rate of a price per million tokens. `None` if it has too many decimals, or is out of all reason.
    pub fn per_million(price: Money) -> Option<Self> {
        const MILLION: u128 = 1_000_000;
        let is_exact = price.parts().is_multiple_of(MILLION);
        let rate = u64::try_from(price.parts() / MILLION).ok()?;
        is_exact.then_some(Self(rate))
    }

    /// What so many tokens cost.
    pub fn of(self, tokens: u64) -> Money {
        Money::of_parts(u128::from(self.0) * u128::from(tokens))
    }
}

/// What one model costs, or several whose names begin alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// The provider that asks it. `None`: whichever has no price of its own.
    pub provider: Option<ProviderId>,
    /// Whose price it is.
    pub models: PricedModels,
    /// For input that didn't come from the provider's cache.
    pub input: Rate,
    /// For output.
    pub output: Rate,
    /// For input that came from the provider's cache.
    pub cached: Rate,
}

/// Whose price it is, by the provider's own names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PricedModels {
    /// The one of this name.
    One(Model),
    /// All whose names begin so.
    BeginningWith(Box<str>),
}

impl PricedModels {
    /// As it is written: a name, or its beginning and `*`. `None` if a `*` stands elsewhere.
    pub fn new(written: &str) -> Option<Self> {
        match written.strip_suffix(WILDCARD) {
            Some(beginning) if !beginning.contains(WILDCARD) => Some(Self::BeginningWith(beginning.into())),
            None if !written.contains(WILDCARD) => Some(Self::One(Model::from(written))),
            Some(_) | None => None,
        }
    }

    /// How closely it names `model`, more being closer. `None` if it doesn't.
    fn closeness(&self, model: &Model) -> Option<usize> {
        match self {
            Self::One(name) => (name == model).then_some(usize::MAX),
            Self::BeginningWith(beginning) => {
                model.as_str().starts_with(&**beginning).then_some(beginning.len())
            }
        }
    }
}

impl Price {
    /// What a call costs that used so many tokens.
    ///
    /// Providers count the cached tokens among those of the input.
    pub fn cost(&self, usage: &Usage) -> Money {
        let cached = usage.cached_tokens.min(usage.input_tokens);
        self.input.of(usage.input_tokens - cached)
            + self.cached.of(cached)
            + self.output.of(usage.output_tokens)
    }
}

/// All prices of a configuration. None are built in: they change.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Prices {
    /// What they are in.
    pub currency: Currency,
    /// Each of them.
    pub list: Vec<Price>,
}

impl Prices {
    /// The price of `model` at `provider`, both by the provider's own names. A provider's own price comes before
    /// one for all; then the whole name before a beginning, and a longer beginning before a shorter.
    pub fn of(&self, provider: &ProviderId, model: &Model) -> Option<&Price> {
        let fitting = self.list.iter().filter_map(|price| {
            let is_own = match &price.provider {
                Some(own) if own != provider => return None,
                Some(_) => true,
                None => false,
            };
            Some(((is_own, price.models.closeness(model)?), price))
        });
        fitting.max_by_key(|(closeness, _)| *closeness).map(|(_, price)| price)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_million: &str) -> Rate {
        Rate::per_million(per_million.parse().unwrap()).unwrap()
    }

    fn price(provider: Option<&str>, model: &str, input: &str) -> Price {
        Price {
            provider: provider.map(ProviderId::from),
            models: PricedModels::new(model).unwrap(),
            input: rate(input),
            output: rate("0.60"),
            cached: rate("0.075"),
        }
    }

    fn usage(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, cached_tokens }
    }

    #[test]
    fn a_call_costs_its_input_its_cached_input_and_its_output() {
        let price = price(None, "gpt-4o-mini", "0.15");
        assert_eq!(price.cost(&usage(1_000_000, 0, 1_000_000)).to_string(), "0.75");
        assert_eq!(price.cost(&usage(1_000, 400, 10)).to_string(), "0.000126");
        assert_eq!(price.cost(&usage(1, 0, 0)).to_string(), "0.00000015");
        let nonsense = price.cost(&usage(100, 500, 0));
        assert_eq!(nonsense.to_string(), "0.0000075", "no more is cached than there was");
    }

    #[test]
    fn a_price_per_million_has_six_decimals_at_most() {
        assert_eq!(rate("0.000001").of(1).to_string(), "0.000000000001");
        assert_eq!(Rate::per_million("0.0000001".parse().unwrap()), None);
        assert_eq!(Rate::per_million(Money::of_parts(u128::MAX - u128::MAX % 1_000_000)), None);
    }

    #[test]
    fn the_nearest_price_holds() {
        let prices = Prices {
            list: vec![
                price(None, "*", "9"),
                price(None, "gpt-4o*", "2"),
                price(None, "gpt-4o-mini", "1"),
                price(Some("azure"), "gpt*", "5"),
            ],
            ..Prices::default()
        };
        for (provider, model, input) in [
            ("openai", "gpt-4o-mini", Some("1")),
            ("openai", "gpt-4o-2026", Some("2")),
            ("openai", "gpt-4o", Some("2")),
            ("openai", "llama-3", Some("9")),
            ("azure", "gpt-4o-mini", Some("5")),
            ("azure", "llama-3", Some("9")),
        ] {
            let found = prices.of(&provider.into(), &model.into()).map(|price| price.input);
            assert_eq!(found, input.map(rate), "{provider}/{model}");
        }
        assert_eq!(Prices::default().of(&"openai".into(), &"gpt-4o".into()), None);
    }

    #[test]
    fn a_wildcard_stands_at_the_end_only() {
        assert_eq!(PricedModels::new("gpt*4"), None);
        assert_eq!(PricedModels::new("gpt**"), None);
        assert_eq!(PricedModels::new("gpt*"), Some(PricedModels::BeginningWith("gpt".into())));
    }

    proptest! {
        /// A run's cost doesn't depend on how its tokens were spread over rows.
        #[test]
        fn the_parts_cost_what_the_whole_costs(
            calls in prop::collection::vec((0_u64..200_000, 0_u64..200_000, 0_u64..50_000), 1..50),
            micros in (1_u64..100_000_000, 1_u64..100_000_000, 1_u64..100_000_000),
        ) {
            let price = Price { input: Rate(micros.0), output: Rate(micros.1), cached: Rate(micros.2), ..price(None, "m", "1") };
            let calls: Vec<Usage> =
                calls.into_iter().map(|(fresh, cached, output)| usage(fresh + cached, cached, output)).collect();
            let mut whole = Usage::default();
            for call in &calls {
                whole += *call;
            }
            prop_assert_eq!(calls.iter().map(|call| price.cost(call)).sum::<Money>(), price.cost(&whole));
        }
    }
}
