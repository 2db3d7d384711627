//! One run of a scenario, judged from outside.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use keywheel::batch::{self, Accounts, Answers, Ending, Input, Options, Recorder, RunId, RunLimits, Stop};
use keywheel::command::engine;
use keywheel::sim::{Ledger, Outcome, OutcomeClass, Sim};
use keywheel::ui::screen::Screen;
use keywheel_actors::request::Terms;
use keywheel_actors::spec::Counting;
use serde::{Deserialize, Serialize};

use crate::ideal::{ideal, ideal_of_tokens};
use crate::scenario::{Scenario, Target, custom_id};

/// Rows under way at once: all of them, so that nothing but the keys' limits slows a run down.
const WINDOW: usize = 2_048;

/// What came of a scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) scenario: &'static str,
    pub(crate) rows: u64,
    pub(crate) makespan_s: f64,
    /// For the needful calls.
    pub(crate) ideal_s: f64,
    pub(crate) utilisation: f64,
    /// As if the injected failures had cost nothing.
    pub(crate) utilisation_by_rows_alone: f64,
    pub(crate) calls: u64,
    pub(crate) throttled_calls: u64,
    pub(crate) injected_failures: u64,
    pub(crate) waste: f64,
    pub(crate) lost: u64,
    pub(crate) dead_key_calls: BTreeMap<String, u64>,
    pub(crate) target: String,
    /// Targets that were missed, a sentence each.
    pub(crate) misses: Vec<String>,
}

/// Runs a scenario.
///
/// # Errors
/// If the simulator or the wheel can't be started, or the batch ends early.
pub(crate) fn measure(scenario: &Scenario) -> anyhow::Result<Measured> {
    let sim = Sim::start_on_thread(scenario.sim()).context("can't start the simulator")?;
    let (makespan, output) = run(scenario, &sim)?;
    let ledger = sim.ledger();
    let injected_failures: u64 = ledger.keys.iter().map(|key| key.class(OutcomeClass::Failed)).sum();
    let ideal = ideal_of(scenario, scenario.rows + injected_failures, &output)?;
    let ideal_by_rows_alone = ideal_of(scenario, scenario.rows, &output)?;
    let mut measured = Measured {
        scenario: scenario.name,
        rows: scenario.rows,
        makespan_s: makespan.as_secs_f64(),
        ideal_s: ideal.as_secs_f64(),
        utilisation: ideal.div_duration_f64(makespan),
        utilisation_by_rows_alone: ideal_by_rows_alone.div_duration_f64(makespan),
        calls: ledger.calls,
        throttled_calls: ledger.count(Outcome::Throttled),
        injected_failures,
        waste: rejected(&ledger) as f64 / ledger.count(Outcome::Served).max(1) as f64,
        lost: lost(scenario, &output)?,
        dead_key_calls: dead_key_calls(scenario, &ledger),
        target: scenario.target.map_or_else(|| "none".to_owned(), |target| target.to_string()),
        misses: Vec::new(),
    };
    measured.misses = scenario.target.map_or_else(Vec::new, |target| target.missed_by(&measured));
    Ok(measured)
}

/// Gives the makespan and the output.
fn run(scenario: &Scenario, sim: &Sim) -> anyhow::Result<(Duration, Vec<u8>)> {
    let spec = scenario.wheel(&sim.base_url());
    let options = Options {
        run: RunId::fixed(scenario.name),
        window: WINDOW,
        terms: Terms::default(),
        answers: Answers::default(),
        accounts: Accounts::of(&spec),
        stop: Stop::never(),
        recorder: Recorder::default(),
        limits: RunLimits::default(),
    };
    let wheel = engine::start(spec)?;
    let rows = scenario.input();
    let bytes_total = rows.len() as u64;
    let input = Input::new(Cursor::new(rows), Some(bytes_total));
    let output = Output::default();
    let begun = Instant::now();
    let run = batch::run(options, &wheel, input, batch::Output::stream(output.clone()), Screen::Quiet);
    let summary = wheel.runtime().block_on(run).context("can't start the batch")?;
    let makespan = begun.elapsed();
    ensure!(summary.ending == Ending::Complete, "the batch ended early: {:?}", summary.fault);
    Ok((makespan, output.bytes()))
}

fn ideal_of(scenario: &Scenario, calls: u64, output: &[u8]) -> anyhow::Result<Duration> {
    let sim = scenario.sim();
    let by_tokens = match sim.token_counting {
        Counting::UpFront => {
            ideal_of_tokens((0..scenario.rows).map(|row| scenario.tokens_asked(row)).sum(), &sim)
        }
        Counting::Corrected | Counting::Used => ideal_of_tokens(tokens_used(output)?, &sim),
    };
    ideal(calls, &sim).max(by_tokens).context("the keys can't make so many calls")
}

/// What the simulator said that its answers used.
fn tokens_used(output: &[u8]) -> anyhow::Result<u64> {
    let lines = serde_json::Deserializer::from_slice(output).into_iter::<serde_json::Value>();
    let used = lines.map(|line| Ok(line?["response"]["body"]["usage"]["total_tokens"].as_u64().unwrap_or(0)));
    used.sum::<serde_json::Result<u64>>().context("the output isn't JSON")
}

fn rejected(ledger: &Ledger) -> u64 {
    let of_keys: u64 = ledger.keys.iter().map(|key| key.class(OutcomeClass::Rejected)).sum();
    of_keys + ledger.strangers.values().sum::<u64>()
}

fn dead_key_calls(scenario: &Scenario, ledger: &Ledger) -> BTreeMap<String, u64> {
    let dead = scenario.dead_keys.iter().map(|index| &ledger.keys[*index]);
    dead.map(|key| (key.name.clone(), key.outcomes.values().sum())).collect()
}

/// Rows that don't have exactly one line, an answer with status 200.
fn lost(scenario: &Scenario, output: &[u8]) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Line {
        custom_id: String,
        response: Option<Response>,
    }
    #[derive(Deserialize)]
    struct Response {
        status_code: u16,
    }
    let mut statuses: HashMap<String, Vec<Option<u16>>> = HashMap::new();
    for line in serde_json::Deserializer::from_slice(output).into_iter::<Line>() {
        let Line { custom_id, response } = line.context("the output isn't JSON")?;
        statuses.entry(custom_id).or_default().push(response.map(|response| response.status_code));
    }
    let answered = |row: &u64| statuses.get(&custom_id(*row)).is_some_and(|all| *all == [Some(200)]);
    Ok((0..scenario.rows).filter(|row| !answered(row)).count() as u64)
}

/// An output in memory, to be looked at afterwards.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target {
    fn missed_by(&self, measured: &Measured) -> Vec<String> {
        let mut misses = Vec::new();
        if measured.utilisation < self.utilisation_min {
            misses.push(format!("utilisation {:.4} < {}", measured.utilisation, self.utilisation_min));
        }
        if let Some(max) = self.waste_max.filter(|max| measured.waste > *max) {
            misses.push(format!("waste {:.4} > {max}", measured.waste));
        }
        for (key, calls) in &measured.dead_key_calls {
            if let Some(max) = self.dead_key_calls_max.filter(|max| calls > max) {
                misses.push(format!("{calls} calls on {key} > {max}"));
            }
        }
        if measured.lost > 0 {
            misses.push(format!("{} rows lost", measured.lost));
        }
        misses
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "≥{} %", self.utilisation_min * 100.0)?;
        if let Some(waste) = self.waste_max {
            write!(f, ", waste ≤{waste}")?;
        }
        if let Some(calls) = self.dead_key_calls_max {
            write!(f, ", ≤{calls} calls on each dead key")?;
        }
        f.write_str(", lost 0")
    }
}
