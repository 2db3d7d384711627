//! What a run came to, in two sentences.

use keywheel_actors::unit::format_duration;

use super::numbers::{duration, seconds};
use crate::batch::books::summary::{Ending, Summary};
use crate::batch::chronicle::Chronicle;
use crate::ui::number::{count, percent};

/// How good it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tone {
    /// Every row is answered.
    Good,
    /// The run is complete, or was stopped by somebody; some rows aren't answered.
    Mixed,
    /// Something broke.
    Bad,
}

/// A share of the permitted from which on the limits are what bounds a run.
const AT_THE_LIMIT: f64 = 0.9;

/// A share of the keys' time from which on their rests are.
const RESTS_MATTER: f64 = 0.1;

/// A share of the calls from which on throttles are.
const THROTTLES_MATTER: f64 = 0.05;

/// A share of the calls from which on the provider's faults are.
const FAULTS_MATTER: f64 = 0.1;

/// How good a run is.
pub(super) fn tone(summary: &Summary) -> Tone {
    if summary.fault.is_some() || summary.lost > 0 {
        return Tone::Bad;
    }
    let unanswered = summary.failed + summary.invalid + summary.not_run;
    if unanswered > 0 || summary.ending != Ending::Complete { Tone::Mixed } else { Tone::Good }
}

/// What it came to.
pub(super) fn headline(summary: &Summary) -> String {
    let how_far = match summary.ending {
        Ending::Complete => String::new(),
        Ending::Interrupted => "Interrupted: ".to_owned(),
        Ending::BudgetSpent => "The budget is spent: ".to_owned(),
        Ending::MaxRowsTaken => "As many rows as were allowed: ".to_owned(),
        Ending::DeadlineOver => "The time is over: ".to_owned(),
        Ending::PriceMissing => "Stopped, for a model has no price: ".to_owned(),
        Ending::ReadFailed => "The input broke off: ".to_owned(),
        Ending::WriteFailed => "The output broke off: ".to_owned(),
    };
    let rows = format!(
        "{how_far}{} of {} rows answered in {}",
        count(summary.ok),
        count(summary.rows),
        seconds(summary.makespan_s)
    );
    match summary.utilisation {
        Some(used) => format!("{rows}, {} of what the keys allow.", percent(used, 1)),
        None => format!("{rows}."),
    }
}

/// What is wrong with it; nothing if all is well.
pub(super) fn complaints(summary: &Summary) -> Vec<String> {
    let some = |rows: u64, what: &str| (rows > 0).then(|| format!("{} rows {what}", count(rows)));
    let at_least = if summary.input_read_whole { "" } else { " or more" };
    [
        some(summary.failed, "failed"),
        some(summary.invalid, "could not be sent"),
        some(summary.not_run, &format!("were not run{at_least}")),
        some(summary.lost, "were lost"),
        summary.fault.clone(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What bounded its speed.
pub(super) fn bottleneck(summary: &Summary, chronicle: &Chronicle) -> String {
    if summary.calls == 0 {
        return "No call was made.".to_owned();
    }
    let Some(used) = summary.utilisation else {
        return "Bottleneck: can't be told, for not every key that served declares its limits.".to_owned();
    };
    if used >= AT_THE_LIMIT {
        return "Bottleneck: the limits of the keys.".to_owned();
    }
    let faults = summary.provider_fault_calls as f64 / summary.calls as f64;
    if faults >= FAULTS_MATTER {
        return format!("Bottleneck: faults of the provider, {} of all calls.", percent(faults, 0));
    }
    let throttled = summary.throttled_calls as f64 / summary.calls as f64;
    if throttled >= THROTTLES_MATTER {
        return format!(
            "Bottleneck: the provider throttles earlier than the declared limits say ({} of all calls).",
            percent(throttled, 0)
        );
    }
    // A key that never served is told of by the table; others did its work.
    let serving = || chronicle.keys().iter().filter(|key| key.work.total().ok > 0);
    let rested: std::time::Duration = serving().map(|key| key.rests.total()).sum();
    let all_s = summary.makespan_s * serving().count() as f64;
    if rested.as_secs_f64() >= all_s * RESTS_MATTER {
        return format!("Bottleneck: keys that rested, {} in all.", format_duration(rested));
    }
    match chronicle.latency().percentile(50.0) {
        Some(half) => format!(
            "Bottleneck: not the limits, but how long calls take (half of them {} or more), or how many rows \
             may be under way at once.",
            duration(half)
        ),
        None => "Bottleneck: no call succeeded.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::books::summary::tests::sample;
    use crate::batch::chronicle::flow::RowEnd;
    use crate::batch::chronicle::record::tests::{at, attempt, id};

    #[test]
    fn a_verdict_says_how_many_how_fast_and_what_is_wrong() {
        let summary = sample();
        assert_eq!(headline(&summary), "97 of 100 rows answered in 10.0 s, 95.0% of what the keys allow.");
        assert_eq!(complaints(&summary), ["2 rows failed", "1 rows could not be sent"]);
        assert_eq!(tone(&summary), Tone::Mixed);
        let well = Summary { failed: 0, invalid: 0, ok: 100, utilisation: None, ..sample() };
        assert_eq!(headline(&well), "100 of 100 rows answered in 10.0 s.");
        assert_eq!((tone(&well), complaints(&well)), (Tone::Good, Vec::new()));
        let stopped = Summary { ending: Ending::Interrupted, not_run: 900, input_read_whole: false, ..well };
        assert!(headline(&stopped).starts_with("Interrupted: 100 of 100 rows"));
        assert_eq!(complaints(&stopped), ["900 rows were not run or more"]);
        assert_eq!(tone(&Summary { lost: 1, ..sample() }), Tone::Bad);
    }

    #[test]
    fn what_bounds_a_run_is_named() {
        let mut chronicle = Chronicle::begin(at(0));
        chronicle.note_row(&[attempt("p/a", 0, 250, None)], RowEnd::Ok);
        let with = |used: Option<f64>, chronicle: &Chronicle| {
            bottleneck(&Summary { utilisation: used, ..sample() }, chronicle)
        };
        assert_eq!(with(Some(0.95), &chronicle), "Bottleneck: the limits of the keys.");
        assert!(with(None, &chronicle).starts_with("Bottleneck: can't be told"));
        assert!(with(Some(0.5), &chronicle).contains("half of them 250 ms or more"));
        let faulty = Summary { utilisation: Some(0.5), provider_fault_calls: 53, ..sample() };
        assert_eq!(bottleneck(&faulty, &chronicle), "Bottleneck: faults of the provider, 50% of all calls.");
        let throttled = Summary { utilisation: Some(0.5), throttled_calls: 53, ..sample() };
        assert!(bottleneck(&throttled, &chronicle).ends_with("declared limits say (50% of all calls)."));
        chronicle.note_key(&id("p/a"), at(1_000), Some("throttled"));
        chronicle.close(at(3_000));
        assert_eq!(with(Some(0.5), &chronicle), "Bottleneck: keys that rested, 2.0s in all.");
    }
}
