//! What the tests told: a text for people, JSON for programs.

use std::time::Duration;

use keywheel_actors::outcome::{Gauge, Gauges};
use keywheel_actors::unit::format_duration;
use serde::Serialize;

use super::finding::{Finding, Standing};
use super::many::Tested;
use crate::ui::number;
use crate::ui::style::{Colour, Style};

/// The whole, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Keys or providers that are served.
    pub valid: usize,
    /// Those that aren't.
    pub invalid: usize,
    /// Those of which nobody can tell.
    pub unknown: usize,
    tests: Vec<Row>,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    provider: String,
    key: String,
    finding: Finding,
    standing: Standing,
    says: String,
    advice: Option<&'static str>,
    status: Option<u16>,
    latency_ms: Option<u64>,
    /// Keys of the provider that were asked about, this one last.
    keys_tried: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Limits {
    requests: Option<Left>,
    tokens: Option<Left>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Left {
    limit: Option<u64>,
    remaining: u64,
    reset_ms: Option<u64>,
}

impl Report {
    /// Of these tests.
    pub fn of(tests: &[Tested]) -> Self {
        let count = |standing| {
            tests.iter().filter(|tested| tested.told.verdict.finding.standing() == standing).count()
        };
        Self {
            valid: count(Standing::Valid),
            invalid: count(Standing::Invalid),
            unknown: count(Standing::Unknown),
            tests: tests.iter().map(Row::of).collect(),
        }
    }

    /// Whether every one of them is served.
    pub const fn is_all_valid(&self) -> bool {
        self.invalid == 0 && self.unknown == 0
    }
}

impl Row {
    fn of(tested: &Tested) -> Self {
        let Tested { key, asked, told } = tested;
        Self {
            provider: key.provider.to_string(),
            key: key.key.to_string(),
            finding: told.verdict.finding,
            standing: told.verdict.finding.standing(),
            says: told.verdict.says.clone(),
            advice: told.verdict.advice,
            status: told.status,
            latency_ms: told.took.map(millis),
            keys_tried: *asked,
            limits: Limits {
                requests: told.gauges.requests.map(Left::of),
                tokens: told.gauges.tokens.map(Left::of),
            },
        }
    }
}

impl Left {
    fn of(gauge: Gauge) -> Self {
        Self { limit: gauge.limit, remaining: gauge.remaining, reset_ms: gauge.reset.map(millis) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One line for each test; below it what is wrong, and what to do.
pub fn text(tests: &[Tested], style: Style) -> String {
    let name = |tested: &Tested| format!("{}/{}", tested.key.provider, tested.key.key);
    let name_width = tests.iter().map(|tested| name(tested).chars().count()).max().unwrap_or(0);
    let words = |tested: &Tested| tested.told.verdict.finding.words();
    let words_width = tests.iter().map(|tested| words(tested).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for tested in tests {
        let verdict = &tested.told.verdict;
        let (mark, colour) = match verdict.finding.standing() {
            Standing::Valid => ("✓", Colour::Green),
            Standing::Invalid => ("✗", Colour::Red),
            Standing::Unknown => ("?", Colour::Yellow),
        };
        let took = tested.told.took.map(format_duration).unwrap_or_default();
        let line = format!(
            "{} {:name_width$}  {:words_width$}  {took:>6}  {}",
            style.paint(colour, mark),
            name(tested),
            words(tested),
            notes(tested)
        );
        text.push_str(line.trim_end());
        text.push('\n');
        if verdict.finding != Finding::Valid {
            text.push_str(&format_below(verdict.says.as_str(), verdict.advice));
        }
    }
    text
}

fn format_below(says: &str, advice: Option<&str>) -> String {
    let hint = advice.map_or_else(String::new, |advice| format!("    hint: {advice}\n"));
    format!("    {says}\n{hint}")
}

/// What else is worth a word: `499 of 500 requests left, 29,000 tokens left, 2 keys tried`.
fn notes(tested: &Tested) -> String {
    let Gauges { requests, tokens } = tested.told.gauges;
    let told = |gauge: Option<Gauge>, what: &str| {
        let gauge = gauge?;
        let limit = gauge.limit.map_or_else(String::new, |limit| format!(" of {}", number::count(limit)));
        Some(format!("{}{limit} {what} left", number::count(gauge.remaining)))
    };
    let tried = (tested.asked > 1).then(|| format!("{} keys tried", tested.asked));
    let notes = [told(requests, "requests"), told(tokens, "tokens"), tried];
    notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use keywheel_actors::id::KeyId;

    use super::*;
    use crate::check::call::Told;
    use crate::check::verdict::Verdict;

    fn tested(key: &str, asked: usize, told: Told) -> Tested {
        Tested { key: KeyId { provider: "openai".into(), key: key.into() }, asked, told }
    }

    #[test]
    fn a_line_for_each_and_below_it_what_is_wrong() {
        let requests = Gauge { limit: Some(5_000), remaining: 4_999, reset: Some(Duration::from_millis(12)) };
        let tokens = Gauge { limit: None, remaining: 29_000, reset: None };
        let good = Told {
            verdict: Verdict::valid(),
            took: Some(Duration::from_millis(213)),
            status: Some(200),
            gauges: Gauges { requests: Some(requests), tokens: Some(tokens) },
        };
        let tests = [tested("team-a", 2, good), tested("b", 1, Told::unheard(Verdict::untestable()))];
        assert_eq!(
            text(&tests, Style::Plain),
            "✓ openai/team-a  valid             213ms  4,999 of 5,000 requests left, 29,000 tokens left, 2 keys tried\n\
             ? openai/b       can't be tested\n\
             \x20   nothing is known that such a provider answers for free\n\
             \x20   hint: send one real request, for example with `keywheel batch`\n"
        );
        let report = Report::of(&tests);
        assert_eq!((report.valid, report.invalid, report.unknown), (1, 0, 1));
        assert!(!report.is_all_valid());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["tests"][0]["limits"]["requests"]["reset_ms"], 12);
        assert_eq!(json["tests"][0]["keys_tried"], 2);
        assert_eq!(json["tests"][1]["finding"], "untestable");
    }
}
