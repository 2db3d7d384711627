//! How much of the keys' quota a batch makes use of, against the simulated provider, in real time.
//!
//! Each scenario sends its rows through [`keywheel::batch::run`], as `keywheel batch` does, to a simulator
//! on a thread of its own. What is judged is told by the simulator's ledger, by the output itself and by a
//! clock outside the run, not by Keywheel's own counters.
//!
//! | word | meaning |
//! |---|---|
//! | makespan | from before the run is started until it has returned, its output written |
//! | needful calls | the rows, and the failures that the simulator injected, since each cost quota and had to be made again |
//! | ideal | the least time in which the keys that work can make the needful calls within the simulator's limits |
//! | utilisation | ideal / makespan |
//! | by rows alone | the stricter number: the same, as if the injected failures had cost nothing |
//! | waste | calls that the simulator rejected (throttled, dead key) for each that it served |
//! | lost | rows without exactly one line of output, or whose line isn't an answer with status 200 |
//!
//! `cargo bench --bench scenarios -- A B --json` runs two of them and prints one line of JSON for each. The
//! exit code is 1 if a target is missed.

mod ideal;
mod measure;
mod scenario;
mod table;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use clap::builder::PossibleValuesParser;

use measure::measure;
use scenario::SCENARIOS;

#[derive(Debug, Parser)]
#[command(about = "Measures how much of the keys' quota a batch makes use of")]
struct Args {
    /// The scenarios to run; all if none is named
    #[arg(value_parser = PossibleValuesParser::new(SCENARIOS.iter().map(|scenario| scenario.name)))]
    names: Vec<String>,

    /// One line of JSON for each scenario
    #[arg(long)]
    json: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut measured = Vec::new();
    let is_chosen = |name: &str| args.names.is_empty() || args.names.iter().any(|chosen| chosen == name);
    for scenario in SCENARIOS.iter().filter(|scenario| is_chosen(scenario.name)) {
        eprintln!("{}: {}", scenario.name, scenario.about);
        let result = measure(scenario).with_context(|| format!("scenario {}", scenario.name))?;
        if args.json {
            println!("{}", serde_json::to_string(&result)?);
        }
        measured.push(result);
    }
    if !args.json {
        println!("{}", table::of(&measured));
    }
    let missed = measured.iter().any(|result| !result.misses.is_empty());
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
