//! What stands in tables: keys, models, errors.

use std::collections::HashMap;

use keywheel_actors::id::{KeyId, Model, ProviderId};

use super::markup::Html;
use super::numbers::{duration, seconds};
use crate::batch::books::summary::{KeySummary, Summary};
use crate::batch::chronicle::Chronicle;
use crate::batch::chronicle::record::KeyRecord;
use crate::ui::number::{count, percent};

/// Keys that are told of at first sight; the others are a click away.
const KEYS_AT_FIRST: usize = 40;

/// The keys, the busiest first.
pub(super) fn keys(html: &mut Html, summary: &Summary, chronicle: &Chronicle) {
    let records: HashMap<&KeyId, &KeyRecord> =
        chronicle.keys().iter().map(|record| (&record.id, record)).collect();
    let mut keys: Vec<&KeySummary> = summary.keys.iter().collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.calls));
    let (first, others) = keys.split_at(keys.len().min(KEYS_AT_FIRST));
    html.element("section", &[("id", "keys")], |html| {
        html.words("h2", &[], "Keys");
        key_table(html, first, &records, summary.makespan_s);
        if !others.is_empty() {
            html.element("details", &[], |html| {
                html.words("summary", &[], &format!("{} further keys", count(others.len() as u64)));
                key_table(html, others, &records, summary.makespan_s);
            });
        }
    });
}

fn key_table(html: &mut Html, keys: &[&KeySummary], records: &HashMap<&KeyId, &KeyRecord>, makespan_s: f64) {
    html.element("div", &[("class", "scroll")], |html| {
        html.element("table", &[], |html| {
            html.raw(
                "<thead><tr><th>key</th><th class=\"text\">status</th><th>calls</th><th>ok</th><th>throttled</th><th>failed</th>\
                 <th>tokens</th><th>of its limit</th><th>mean, p99</th><th class=\"text\">rested</th></tr></thead>",
            );
            html.element("tbody", &[], |html| {
                for key in keys {
                    let id = KeyId { provider: key.provider.clone(), key: key.key.clone() };
                    key_row(html, key, records.get(&id).copied(), &id.to_string(), makespan_s);
                }
            });
        });
    });
}

fn key_row(html: &mut Html, key: &KeySummary, record: Option<&KeyRecord>, name: &str, makespan_s: f64) {
    html.element("tr", &[("data-key", name)], |html| {
        html.element("th", &[], |html| html.words("bdi", &[], name));
        let status = match key.why {
            Some(why) => format!("{}: {why}", key.status.as_str()),
            None => key.status.as_str().to_owned(),
        };
        html.words("td", &[("class", key.status.as_str())], &status);
        for (name, value) in [
            ("calls", key.calls),
            ("succeeded", key.succeeded),
            ("throttled", key.throttled),
            ("failed", key.failed),
            ("tokens", key.tokens),
        ] {
            html.words("td", &[("data-name", name), ("data-value", &value.to_string())], &count(value));
        }
        let share = record.and_then(|record| record.permitted_per_second).and_then(|permitted| {
            let most = permitted * makespan_s;
            (most > 0.0).then(|| key.calls as f64 / most)
        });
        html.element("td", &[], |html| match share {
            Some(share) => {
                let width = format!("width:{:.0}%", (share * 100.0).clamp(0.0, 100.0));
                html.words("span", &[("class", "share")], &percent(share, 0));
                html.element("span", &[("class", "meter")], |html| {
                    html.element("span", &[("style", &width)], |_| {});
                });
            }
            None => html.text("unknown"),
        });
        let took = record.and_then(|record| {
            let (mean, p99) = (record.latency.mean()?, record.latency.percentile(99.0)?);
            Some(format!("{}, {}", duration(mean), duration(p99)))
        });
        html.words("td", &[], &took.unwrap_or_default());
        let rested: Vec<String> = record.map_or_else(Vec::new, |record| {
            let by_cause = record.rests.by_cause().iter();
            by_cause.map(|(cause, rest)| format!("{} {cause}", duration(*rest))).collect()
        });
        html.words("td", &[("class", "text")], &rested.join(", "));
    });
}

/// The models, if any was called.
pub(super) fn models(html: &mut Html, summary: &Summary, chronicle: &Chronicle) {
    if chronicle.models().is_empty() {
        return;
    }
    let has_prices = summary.cost.is_some();
    html.element("section", &[("id", "models")], |html| {
        html.words("h2", &[], "Models");
        html.element("div", &[("class", "scroll")], |html| {
            html.element("table", &[], |html| {
                html.raw(
                    "<thead><tr><th>model</th><th>calls</th><th>ok</th><th>tokens in</th><th>of them cached</th>\
                     <th>tokens out</th>",
                );
                html.raw(if has_prices { "<th>cost</th></tr></thead>" } else { "</tr></thead>" });
                html.element("tbody", &[], |html| {
                    for ((provider, model), record) in chronicle.models() {
                        html.element("tr", &[], |html| {
                            html.element("th", &[], |html| {
                                html.words("bdi", &[], &format!("{provider}/{model}"));
                            });
                            let usage = record.usage;
                            for number in [
                                record.calls,
                                record.ok,
                                usage.input_tokens,
                                usage.cached_tokens,
                                usage.output_tokens,
                            ] {
                                html.words("td", &[], &count(number));
                            }
                            if has_prices {
                                html.words("td", &[], &cost(summary, provider, model));
                            }
                        });
                    }
                });
            });
        });
    });
}

/// What the calls to a model have cost; empty where there are no prices.
fn cost(summary: &Summary, provider: &ProviderId, model: &Model) -> String {
    let Some(costs) = &summary.cost else {
        return String::new();
    };
    let of = costs.by_model.iter().find(|of| of.provider == *provider && of.model == *model);
    match of.and_then(|of| of.cost) {
        Some(cost) => format!("{} {}", cost.rounded(), costs.currency),
        None => "unknown".to_owned(),
    }
}

/// Rows that failed, by why; nothing if none did.
pub(super) fn errors(html: &mut Html, summary: &Summary) {
    if summary.errors.is_empty() {
        return;
    }
    let mut errors: Vec<(&&str, &u64)> = summary.errors.iter().collect();
    errors.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    html.element("section", &[("id", "errors")], |html| {
        html.words("h2", &[], "Rows that failed");
        html.element("div", &[("class", "scroll")], |html| {
            html.element("table", &[], |html| {
                html.raw("<thead><tr><th>error</th><th>rows</th></tr></thead>");
                html.element("tbody", &[], |html| {
                    for (code, rows) in errors {
                        html.element("tr", &[], |html| {
                            html.words("th", &[], code);
                            html.words("td", &[("data-error", code)], &count(*rows));
                        });
                    }
                });
            });
        });
    });
}

/// When providers rested as a whole; nothing if none did.
pub(super) fn providers(html: &mut Html, chronicle: &Chronicle) {
    let rested = || chronicle.providers().iter().filter(|(_, rests)| !rests.all().is_empty());
    if rested().next().is_none() {
        return;
    }
    let start = chronicle.span().0;
    html.element("section", &[("id", "providers")], |html| {
        html.words("h2", &[], "Providers that rested as a whole");
        html.element("ul", &[], |html| {
            for (id, rests) in rested() {
                for rest in rests.all() {
                    html.words(
                        "li",
                        &[],
                        &format!(
                            "{id}: from {} to {}",
                            seconds(rest.from.since(start).as_secs_f64()),
                            seconds(rest.to.since(start).as_secs_f64())
                        ),
                    );
                }
            }
        });
    });
}
