//! The simulated provider as a piece of `keywheel.toml`, ready to paste.

use keywheel_actors::spec::{DAY, Dimension, MINUTE};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::spec::{KeySpec, LimitSpec, Shape, SimSpec};

/// A `[[provider]]` named `sim` with all keys and what can be said there of their limits.
///
/// Windows other than minutes and days, and token limits with a small burst, can't be said; whoever
/// uses the piece has to learn them.
pub fn provider_toml(base_url: &str, spec: &SimSpec) -> String {
    let mut provider = Table::new();
    provider["id"] = value("sim");
    provider["dialect"] = value("openai");
    provider["base_url"] = value(base_url);
    provider["key"] = Item::ArrayOfTables(spec.keys.iter().map(key).collect::<ArrayOfTables>());
    let mut document = DocumentMut::new();
    document["provider"] = Item::ArrayOfTables([provider].into_iter().collect::<ArrayOfTables>());
    document.to_string()
}

fn key(spec: &KeySpec) -> Table {
    let mut key = Table::new();
    key["name"] = value(&spec.name);
    key["secret"] = value(&spec.secret);
    if let Some(group) = &spec.quota_group {
        key["quota_group"] = value(group);
    }
    let limits: InlineTable = spec.limits.iter().flat_map(words).collect();
    if !limits.is_empty() {
        key["limits"] = value(limits);
    }
    key
}

fn words(limit: &LimitSpec) -> Vec<(&'static str, Value)> {
    let burst = match limit.shape {
        Shape::TokenBucket { burst } => Some(burst),
        Shape::FixedWindow | Shape::SlidingWindow => None,
    };
    // Whoever keeps to the count in any window keeps to a bucket at least as large, too.
    let roomy = burst.is_none_or(|burst| burst >= limit.count);
    let word = match (limit.dimension, limit.per) {
        (Dimension::Requests, MINUTE) => "rpm",
        (Dimension::Requests, DAY) if roomy => "rpd",
        (Dimension::Tokens, MINUTE) if roomy => "tpm",
        (Dimension::InputTokens, MINUTE) if roomy => "itpm",
        (Dimension::OutputTokens, MINUTE) if roomy => "otpm",
        (Dimension::Requests | Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens, _) => {
            return Vec::new();
        }
    };
    let burst = burst.filter(|_| word == "rpm").map(|burst| ("burst", number(burst)));
    [(word, number(limit.count))].into_iter().chain(burst).collect()
}

/// TOML's numbers end at 2⁶³.
fn number(number: u64) -> Value {
    Value::from(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn says_all_that_can_be_said() {
        let spec = SimSpec::with_keys(2)
            .limited(LimitSpec::requests(300, MINUTE).shaped(Shape::TokenBucket { burst: 5 }))
            .key(1, |key| {
                KeySpec { secret: "with \"quotes\"".to_owned(), ..key }
                    .in_group("org-1")
                    .limited(LimitSpec::tokens(9_000, MINUTE).shaped(Shape::TokenBucket { burst: 9_000 }))
                    .limited(LimitSpec::requests(10_000, DAY))
                    .limited(LimitSpec::requests(1, Duration::from_secs(1)))
            });
        assert_eq!(
            provider_toml("http://127.0.0.1:18080/v1", &spec),
            r#"[[provider]]
id = "sim"
dialect = "openai"
base_url = "http://127.0.0.1:18080/v1"

[[provider.key]]
name = "k0"
secret = "sk-0"
limits = { rpm = 300, burst = 5 }

[[provider.key]]
name = "k1"
secret = 'with "quotes"'
quota_group = "org-1"
limits = { rpm = 300, burst = 5, tpm = 9000, rpd = 10000 }
"#
        );
    }
}
