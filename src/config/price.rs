//! `currency` and `[[price]]`: what the models cost.

use keywheel_actors::id::ProviderId;

use super::ledger::report_repeats;
use super::model;
use super::provider::Provider;
use super::suggest;
use super::tree::{Fields, Node};
use crate::money::{Currency, Price, PricedModels, Prices, Rate};

/// What a price says.
pub(super) const FIELDS: [&str; 5] = ["model", "provider", "input", "output", "cached"];

/// Reads the currency and all prices.
pub(super) fn read(top: &Fields<'_>, providers: &[Provider<'_>]) -> Prices {
    let currency = top.get("currency").and_then(|node| read_currency(&node)).unwrap_or_default();
    let nodes = top.get("price").and_then(|list| list.tables("model")).unwrap_or_default();
    let mut named = Vec::new();
    let mut list = Vec::new();
    for node in nodes {
        let Some(fields) = node.fields(&FIELDS) else { continue };
        let model =
            fields.need("model", "for example `model = \"gpt-4o-mini\"`, or `\"gpt-4o*\"` for several");
        let provider = fields.get("provider");
        let input = fields.need("input", "the price of a million tokens, for example `input = 0.15`");
        let output = fields.need("output", "the price of a million tokens; 0 if there are none");
        let models = model.as_ref().and_then(read_models);
        let id = provider.as_ref().and_then(|node| read_provider(node, providers));
        let input = input.and_then(|node| read_rate(&node));
        let output = output.and_then(|node| read_rate(&node));
        let cached = fields.get("cached").map_or(input, |node| read_rate(&node));
        if let (Some(node), Some((name, _))) = (model, &models) {
            let owner = id.as_ref().map_or(String::new(), |id| format!("{id}/"));
            if let Some(owner) = id.as_ref().and_then(|id| called(id.as_str(), providers)) {
                model::report_our_name(name, &owner.models, &node);
            }
            named.push((format!("{owner}{name}"), node));
        }
        if let (Some((_, models)), Some(input), Some(output), Some(cached)) = (models, input, output, cached)
        {
            list.push(Price { provider: id, models, input, output, cached });
        }
    }
    report_repeats("price of", named.iter().map(|(name, node)| (name.as_str(), node)));
    Prices { currency, list }
}

fn read_currency(node: &Node<'_>) -> Option<Currency> {
    let currency = Currency::new(node.text()?);
    if currency.is_none() {
        node.wrong("a currency has three capital letters", Some("for example `USD` or `EUR`".to_owned()));
    }
    currency
}

fn read_models<'a>(node: &Node<'a>) -> Option<(&'a str, PricedModels)> {
    let name = node.model()?;
    let models = PricedModels::new(name);
    if models.is_none() {
        node.wrong("`*` stands at the end of a name only", Some("for example `gpt-4o*`".to_owned()));
    }
    Some((name, models?))
}

/// The id of a provider, in what is said beside it: a price, a client's leave. Where there is none it does no harm, so
/// whoever removes a provider may leave it.
pub(super) fn read_provider(node: &Node<'_>, providers: &[Provider<'_>]) -> Option<ProviderId> {
    let id = node.name()?;
    if called(id, providers).is_none() {
        let known = providers.iter().filter_map(|provider| provider.id.as_ref().map(|(id, _)| *id));
        node.warn(format!("there is no provider `{id}`"), Some(suggest::instead_of(id, known)));
    }
    Some(ProviderId::from(id))
}

fn called<'p, 'a>(id: &str, providers: &'p [Provider<'a>]) -> Option<&'p Provider<'a>> {
    providers.iter().find(|provider| provider.id.as_ref().is_some_and(|(known, _)| *known == id))
}

fn read_rate(node: &Node<'_>) -> Option<Rate> {
    let rate = Rate::per_million(node.amount()?);
    if rate.is_none() {
        let decimals = Rate::DECIMALS_MAX;
        node.wrong(format!("a price of a million tokens has at most {decimals} decimals"), None);
    }
    rate
}
