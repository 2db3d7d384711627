//! What a run came to, in names that programs may rely on. `docs/batch.md` defines each.

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel_actors::board::{KeyState, KeyView};
use keywheel_actors::id::{KeyId, KeyName, ProviderId};
use keywheel_actors::outcome::Usage;
use serde::Serialize;

use super::tally::Tally;
use crate::batch::answer::CacheSummary;
use crate::batch::budget::CostSummary;
use crate::exit::Exit;

/// What a run came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Why the run ended.
    pub ending: Ending,
    /// What broke, if something did.
    pub fault: Option<String>,
    /// Rows read from the input, empty lines and rows of earlier runs excepted.
    pub rows: u64,
    /// Rows passed over because they have their line from an earlier run.
    pub done_before: u64,
    /// Rows passed over because their id stood on an earlier line, as `--on-duplicate skip` wants.
    pub duplicates_skipped: u64,
    /// Rows answered by a provider.
    pub ok: u64,
    /// Rows sent without success.
    pub failed: u64,
    /// Rows not sent: the line can't be understood, or its id isn't new.
    pub invalid: u64,
    /// Rows that should have an output line and don't. Anything but 0 is a fault.
    pub lost: u64,
    /// Rows without an output line because the run was stopped. A lower bound unless `input_read_whole`.
    pub not_run: u64,
    /// Whether the input was read to its end.
    pub input_read_whole: bool,
    /// From the first row handed to the wheel to the last answer, in seconds.
    pub makespan_s: f64,
    /// The least time in which the same calls could have been made within the declared limits, in seconds.
    pub ideal_makespan_s: Option<f64>,
    /// Ideal by real makespan, 0 to 1.
    pub utilisation: Option<f64>,
    /// All upstream calls.
    pub calls: u64,
    /// Calls rejected as too fast, or beyond a quota.
    pub throttled_calls: u64,
    /// Calls rejected because the key, or its access to the model, doesn't work.
    pub dead_key_calls: u64,
    /// Calls that failed by the provider's fault.
    pub provider_fault_calls: u64,
    /// Rejected calls (throttled and dead key) for each row that succeeded.
    pub waste: Option<f64>,
    /// Rows that took more than one call.
    pub retried_rows: u64,
    /// Times that a row moved on to its next provider.
    pub fell_over: u64,
    /// Rows that were answered without a call of their own, as an identical one was.
    pub cached_rows: u64,
    /// What the cache did; `None` without one.
    pub cache: Option<CacheSummary>,
    /// Tokens of all answers, those included that were thrown away.
    pub tokens: TokenSummary,
    /// What the run has cost. `None` if the configuration has no prices.
    pub cost: Option<CostSummary>,
    /// Each key, in order of provider and name.
    pub keys: Vec<KeySummary>,
    /// Rows that failed or were invalid, by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// The file of the rows that failed, in this run or an earlier one; null if none has.
    pub errors_file: Option<String>,
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every row has its line.
    Complete,
    /// Somebody stopped it.
    Interrupted,
    /// The next row could have cost more than was left of `--max-cost`.
    BudgetSpent,
    /// It took as many rows as `--max-rows` allows, and there were more.
    MaxRowsTaken,
    /// The time of `--deadline` came before all rows were done.
    DeadlineOver,
    /// `--max-cost` can't be kept, for a model has no price.
    PriceMissing,
    /// The input broke off; the rows before have their lines.
    ReadFailed,
    /// The output can't be written.
    WriteFailed,
}

/// Tokens, as the providers counted them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct TokenSummary {
    /// Of the prompts, cached ones included.
    pub input: u64,
    /// Of the answers, reasoning included.
    pub output: u64,
    /// Prompt tokens that came from a cache.
    pub cached: u64,
}

/// What one key did in the run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeySummary {
    /// Its provider.
    pub provider: ProviderId,
    /// Its name.
    pub key: KeyName,
    /// Its status at the end.
    pub status: KeyState,
    /// Why it isn't active: the cause in a word.
    pub why: Option<&'static str>,
    /// Calls made.
    pub calls: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls rejected as too fast, or beyond a quota.
    pub throttled: u64,
    /// Calls that failed otherwise.
    pub failed: u64,
    /// Tokens used.
    pub tokens: u64,
}

/// What a summary says of the rows, beside the tally.
#[derive(Clone, Debug)]
pub(in crate::batch) struct RowFacts {
    /// Why the run ended.
    pub ending: Ending,
    /// What broke.
    pub fault: Option<String>,
    /// Rows that the reader found and passed on.
    pub rows: u64,
    /// Rows that it passed over: an earlier run has written them.
    pub done_before: u64,
    /// Rows that it passed over: their id isn't new.
    pub duplicates_skipped: u64,
    /// Rows read and not taken, or taken and left.
    pub not_run: u64,
    /// Lines that the output has taken for good.
    pub written: u64,
    /// Whether the reader reached the end.
    pub input_read_whole: bool,
    /// The file of the rows that failed, if one has.
    pub errors_file: Option<String>,
}

/// What it says of the keys.
#[derive(Clone, Debug, Default)]
pub(in crate::batch) struct KeyFacts {
    /// The least time for the needful calls.
    pub ideal: Option<Duration>,
    /// The keys with what they did in this run.
    pub keys: Vec<(KeyId, KeyView)>,
    /// Jobs that moved to another provider.
    pub fell_over: u64,
}

impl Summary {
    /// Adds up.
    pub(in crate::batch) fn of(tally: &Tally, rows: RowFacts, keys: KeyFacts) -> Self {
        let makespan_s = tally.makespan().as_secs_f64();
        let ideal_makespan_s = keys.ideal.map(|ideal| ideal.as_secs_f64());
        Self {
            ending: rows.ending,
            fault: rows.fault,
            rows: rows.rows,
            done_before: rows.done_before,
            duplicates_skipped: rows.duplicates_skipped,
            ok: tally.rows.ok,
            failed: tally.rows.failed,
            invalid: tally.rows.invalid,
            lost: rows.rows.saturating_sub(rows.written + rows.not_run),
            not_run: rows.not_run,
            input_read_whole: rows.input_read_whole,
            makespan_s,
            ideal_makespan_s,
            utilisation: ideal_makespan_s.and_then(|ideal| ratio(ideal, makespan_s)),
            calls: keys.keys.iter().map(|(_, view)| view.counts.calls).sum(),
            throttled_calls: tally.calls.throttled,
            dead_key_calls: tally.calls.dead_key,
            provider_fault_calls: tally.calls.provider_fault,
            waste: ratio(tally.calls.wasted() as f64, tally.rows.ok as f64),
            retried_rows: tally.rows.retried,
            fell_over: keys.fell_over,
            cached_rows: tally.cached_rows,
            cache: None,
            tokens: TokenSummary::of(&tally.usage),
            cost: None,
            keys: keys.keys.into_iter().map(KeySummary::of).collect(),
            errors: tally.errors.clone(),
            errors_file: rows.errors_file,
        }
    }

    /// How the command ends after such a run.
    pub fn exit(&self) -> Exit {
        match self.ending {
            Ending::Interrupted => Exit::Interrupted,
            Ending::BudgetSpent | Ending::MaxRowsTaken | Ending::DeadlineOver => Exit::Stopped,
            Ending::PriceMissing => Exit::Usage,
            Ending::ReadFailed | Ending::WriteFailed => Exit::Broken,
            Ending::Complete if self.lost > 0 => Exit::Broken,
            // Also if it failed in an earlier run: the same command again says the same.
            Ending::Complete if self.failed + self.invalid > 0 || self.errors_file.is_some() => {
                Exit::RowsFailed
            }
            Ending::Complete => Exit::Done,
        }
    }
}

impl TokenSummary {
    const fn of(usage: &Usage) -> Self {
        Self { input: usage.input_tokens, output: usage.output_tokens, cached: usage.cached_tokens }
    }
}

impl KeySummary {
    fn of((id, view): (KeyId, KeyView)) -> Self {
        Self {
            provider: id.provider,
            key: id.key,
            status: view.status.state,
            why: view.status.why.map(|why| why.cause.as_str()),
            calls: view.counts.calls,
            succeeded: view.counts.succeeded,
            throttled: view.counts.throttled,
            failed: view.counts.failed,
            tokens: view.counts.tokens,
        }
    }
}

/// `None` where there is nothing to divide by.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
pub(in crate::batch) mod tests {
    use keywheel_actors::board::{Cause, KeyCounts, KeyStatus, Why};
    use keywheel_actors::clock::Moment;
    use keywheel_actors::outcome::{Reason, Scope};

    use super::super::tally::CallCounts;
    use super::*;
    use crate::batch::show::progress::RowCounts;

    fn key(name: &str, counts: KeyCounts, dead_by: Option<Reason>) -> (KeyId, KeyView) {
        let id = KeyId { provider: "local".into(), key: name.into() };
        let status = match dead_by {
            None => KeyStatus::default(),
            Some(reason) => KeyStatus {
                state: KeyState::Disabled,
                why: Some(Why {
                    cause: Cause::Fault(reason),
                    scope: Scope::Key,
                    until: None,
                    message: "".into(),
                }),
            },
        };
        (id, KeyView { status, counts, ..KeyView::default() })
    }

    /// 100 rows: 97 ok, 2 failed, 1 invalid; one key of two is dead.
    pub(in crate::batch) fn sample() -> Summary {
        let tally = Tally {
            rows: RowCounts { ok: 97, failed: 2, invalid: 1, retried: 5 },
            calls: CallCounts {
                succeeded: 97,
                throttled: 3,
                dead_key: 1,
                provider_fault: 4,
                refused: 1,
                cancelled: 0,
            },
            usage: Usage { input_tokens: 12_000, output_tokens: 3_400, cached_tokens: 500 },
            errors: BTreeMap::from([("invalid_line", 1), ("server_error", 1), ("too_long", 1)]),
            cached_rows: 0,
            first_sent: Some(Moment::after_start(Duration::from_secs(1))),
            last_answered: Some(Moment::after_start(Duration::from_secs(11))),
        };
        let good =
            KeyCounts { calls: 105, succeeded: 97, throttled: 3, failed: 5, cancelled: 0, tokens: 15_400 };
        let dead = KeyCounts { calls: 1, failed: 1, ..KeyCounts::default() };
        let keys = KeyFacts {
            ideal: Some(Duration::from_millis(9_500)),
            keys: vec![key("k0", good, None), key("k1", dead, Some(Reason::BadCredential))],
            fell_over: 0,
        };
        Summary::of(&tally, complete(100), keys)
    }

    /// So many rows, all of them written.
    fn complete(rows: u64) -> RowFacts {
        RowFacts {
            ending: Ending::Complete,
            fault: None,
            rows,
            done_before: 0,
            duplicates_skipped: 0,
            not_run: 0,
            written: rows,
            input_read_whole: true,
            errors_file: Some("out.errors.jsonl".to_owned()),
        }
    }

    #[test]
    fn the_names_in_json_are_stable() {
        let expected = serde_json::json!({
            "ending": "complete", "fault": null,
            "rows": 100, "done_before": 0, "duplicates_skipped": 0, "ok": 97, "failed": 2, "invalid": 1, "lost": 0, "not_run": 0, "input_read_whole": true,
            "makespan_s": 10.0, "ideal_makespan_s": 9.5, "utilisation": 0.95,
            "calls": 106, "throttled_calls": 3, "dead_key_calls": 1, "provider_fault_calls": 4,
            "waste": 4.0 / 97.0, "retried_rows": 5, "fell_over": 0, "cached_rows": 0, "cache": null,
            "cost": null,
            "tokens": { "input": 12_000, "output": 3_400, "cached": 500 },
            "keys": [
                { "provider": "local", "key": "k0", "status": "active", "why": null,
                  "calls": 105, "succeeded": 97, "throttled": 3, "failed": 5, "tokens": 15_400 },
                { "provider": "local", "key": "k1", "status": "disabled", "why": "bad_credential",
                  "calls": 1, "succeeded": 0, "throttled": 0, "failed": 1, "tokens": 0 },
            ],
            "errors": { "invalid_line": 1, "server_error": 1, "too_long": 1 },
            "errors_file": "out.errors.jsonl",
        });
        assert_eq!(serde_json::to_value(sample()).unwrap(), expected);
    }

    #[test]
    fn each_ending_has_its_exit_code() {
        let all_well = Summary { failed: 0, invalid: 0, errors_file: None, ..sample() };
        assert_eq!(all_well.exit(), Exit::Done);
        assert_eq!(sample().exit(), Exit::RowsFailed);
        let failed_before = Summary { errors_file: Some("e".to_owned()), ..all_well.clone() };
        assert_eq!(failed_before.exit(), Exit::RowsFailed);
        assert_eq!(Summary { lost: 1, ..sample() }.exit(), Exit::Broken);
        assert_eq!(Summary { ending: Ending::Interrupted, ..all_well.clone() }.exit(), Exit::Interrupted);
        for stopped in [Ending::BudgetSpent, Ending::MaxRowsTaken, Ending::DeadlineOver] {
            assert_eq!(Summary { ending: stopped, ..sample() }.exit(), Exit::Stopped, "whatever failed");
        }
        assert_eq!(Summary { ending: Ending::ReadFailed, ..all_well.clone() }.exit(), Exit::Broken);
        assert_eq!(Summary { ending: Ending::WriteFailed, ..all_well }.exit(), Exit::Broken);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let keys = KeyFacts { ideal: Some(Duration::ZERO), ..KeyFacts::default() };
        let summary = Summary::of(&Tally::default(), complete(0), keys);
        assert_eq!((summary.utilisation, summary.waste), (None, None));
    }
}
