//! How far a run is, as programs read it. `docs/batch.md` defines each name.

use keywheel_actors::board::{KeyState, KeyView};
use keywheel_actors::clock::Moment;
use keywheel_actors::id::{KeyId, KeyName, ProviderId};
use serde::Serialize;

use super::face::Face;
use super::progress::Total;
use crate::batch::budget::so_far::CostSoFar;
use crate::batch::run::stop::Stage;
use crate::money::{Currency, Money};

/// One line of `--json-progress`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(in crate::batch) struct Told {
    elapsed_s: f64,
    stage: ToldStage,
    rows: ToldRows,
    rows_per_second: f64,
    permitted_per_second: Option<f64>,
    eta_s: Option<f64>,
    throttled_calls: u64,
    tokens: ToldTokens,
    cost: Option<ToldCost>,
    keys: Vec<ToldKey>,
}

/// Where in its life a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::batch) enum ToldStage {
    /// It takes rows.
    Running,
    /// It waits for those under way.
    Draining,
    /// This is the last line.
    Over,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ToldRows {
    total: Option<u64>,
    total_is_exact: bool,
    done: u64,
    ok: u64,
    failed: u64,
    invalid: u64,
    retried: u64,
    under_way: u64,
    done_before: u64,
    from_cache: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ToldTokens {
    input: u64,
    output: u64,
    cached: u64,
    per_second: f64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ToldCost {
    currency: Currency,
    spent: Money,
    unknown_calls: u64,
    projected: Option<Money>,
    most: Option<Money>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ToldKey {
    provider: ProviderId,
    key: KeyName,
    status: KeyState,
    why: Option<&'static str>,
    rests_s: Option<f64>,
    calls: u64,
    in_flight: u32,
    calls_per_second: f64,
    permitted_per_second: Option<f64>,
}

impl ToldStage {
    /// Of a run that isn't over.
    pub(in crate::batch) const fn of(stage: Stage) -> Self {
        match stage {
            Stage::Go => Self::Running,
            Stage::Drain | Stage::Leave => Self::Draining,
        }
    }
}

impl Told {
    /// A run that began at `start`, as it is `now`; `pace` tells what each key did a second lately.
    pub(in crate::batch) fn of(
        face: &Face,
        stage: ToldStage,
        keys: &[(KeyId, KeyView)],
        pace: impl Fn(&KeyId) -> f64,
        (start, now): (Moment, Moment),
    ) -> Self {
        let rows = face.rows;
        Self {
            elapsed_s: rounded(now.since(start).as_secs_f64()),
            stage,
            rows: ToldRows {
                total: face.total.known(),
                total_is_exact: matches!(face.total, Total::Exactly(_)),
                done: face.done(),
                ok: rows.ok,
                failed: rows.failed,
                invalid: rows.invalid,
                retried: rows.retried,
                under_way: face.under_way,
                done_before: face.done_before,
                from_cache: face.from_cache,
            },
            rows_per_second: rounded(face.per_second),
            permitted_per_second: face.permitted_per_second.map(rounded),
            eta_s: face.eta.map(|eta| rounded(eta.as_secs_f64())),
            throttled_calls: face.throttled_calls,
            tokens: ToldTokens {
                input: face.usage.input_tokens,
                output: face.usage.output_tokens,
                cached: face.usage.cached_tokens,
                per_second: rounded(face.tokens_per_second),
            },
            cost: face.cost().map(ToldCost::of),
            keys: keys.iter().map(|(id, view)| ToldKey::of(id, view, pace(id), now)).collect(),
        }
    }

    /// As a line.
    pub(in crate::batch) fn line(&self) -> String {
        // Numbers and names always have a JSON form; an empty line would be the mildest way to be wrong.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl ToldCost {
    fn of(cost: CostSoFar) -> Self {
        let CostSoFar { currency, spent, unknown, projected, most } = cost;
        Self { currency, spent, unknown_calls: unknown, projected, most }
    }
}

impl ToldKey {
    fn of(id: &KeyId, view: &KeyView, per_second: f64, now: Moment) -> Self {
        let why = view.status.why.as_ref();
        let until = why.and_then(|why| why.until).filter(|until| !until.is_never());
        Self {
            provider: id.provider.clone(),
            key: id.key.clone(),
            status: view.status.state,
            why: why.map(|why| why.cause.as_str()),
            rests_s: until.map(|until| rounded(until.since(now).as_secs_f64())),
            calls: view.counts.calls,
            in_flight: view.in_flight,
            calls_per_second: rounded(per_second),
            permitted_per_second: view.permitted_per_second.map(rounded),
        }
    }
}

/// To the thousandth: more digits are noise that fills logs.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keywheel_actors::board::{Cause, KeyCounts, KeyStatus, Why};
    use keywheel_actors::outcome::{Reason, Scope};
    use serde_json::json;

    use super::super::face::tests::sample;
    use super::*;

    #[test]
    fn the_names_in_json_are_stable() {
        let at = |millis| Moment::after_start(Duration::from_millis(millis));
        let resting = KeyView {
            status: KeyStatus {
                state: KeyState::RateLimited,
                why: Some(Why {
                    cause: Cause::Fault(Reason::Throttled),
                    scope: Scope::Lane,
                    until: Some(at(14_500)),
                    message: "slow".into(),
                }),
            },
            in_flight: 3,
            permitted_per_second: Some(5.0),
            counts: KeyCounts { calls: 70, ..KeyCounts::default() },
            ..KeyView::default()
        };
        let key = KeyId { provider: "local".into(), key: "k0".into() };
        let told = Told::of(
            &sample(),
            ToldStage::of(Stage::Go),
            &[(key, resting)],
            |_| 4.9,
            (at(2_000), at(12_000)),
        );
        let expected = json!({
            "elapsed_s": 10.0, "stage": "running",
            "rows": { "total": 3_000, "total_is_exact": false, "done": 1_200, "ok": 1_190, "failed": 9,
                      "invalid": 1, "retried": 12, "under_way": 2_048, "done_before": 0, "from_cache": 0 },
            "rows_per_second": 48.23, "permitted_per_second": 50.0, "eta_s": 36.0, "throttled_calls": 31,
            "tokens": { "input": 1_204_331, "output": 240_111, "cached": 0, "per_second": 9_812.4 },
            "cost": { "currency": "USD", "spent": "1.20", "unknown_calls": 0, "projected": "3.001501251042", "most": null },
            "keys": [{ "provider": "local", "key": "k0", "status": "rate_limited", "why": "throttled",
                       "rests_s": 2.5, "calls": 70, "in_flight": 3, "calls_per_second": 4.9,
                       "permitted_per_second": 5.0 }],
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&told.line()).unwrap(), expected);
    }

    #[test]
    fn what_is_unknown_is_null() {
        let face =
            Face { total: Total::Unknown, permitted_per_second: None, spending: None, eta: None, ..sample() };
        let told = Told::of(&face, ToldStage::Over, &[], |_| 0.0, (Moment::ZERO, Moment::ZERO));
        let told = serde_json::to_value(told).unwrap();
        assert_eq!(told["stage"], "over");
        for name in ["permitted_per_second", "eta_s", "cost"] {
            assert!(told[name].is_null(), "{name}");
        }
        assert!(told["rows"]["total"].is_null());
    }
}
