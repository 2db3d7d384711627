//! `keywheel sim`: a simulated provider until Ctrl-C, then its ledger.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use comfy_table::{CellAlignment, Table, presets};
use keywheel_actors::spec::MINUTE;
use keywheel_actors::unit::format_duration;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::exit::{Exit, UsageError};
use crate::sim::file::{self, Window};
use crate::sim::{
    Conduct, FaultRates, HeaderStyle, KeySpec, Latency, Ledger, LimitSpec, Outcome, OutcomeClass, Shape, Sim,
    SimSpec, provider_toml,
};

/// Keys that are listed one by one on a terminal.
const KEYS_LISTED_MAX: usize = 50;

/// Simulate a provider with keys, limits and faults, to try things without a real key
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 for any free one [default: 127.0.0.1:18080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Read everything from a file (docs/sim.md), the script of events included
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "keys", "rpm", "burst", "tpm", "window", "latency", "error_rate", "headers", "invalid", "out_of_money", "seed",
    ])]
    pub scenario: Option<PathBuf>,
    /// How many keys: k0, k1, … with the secrets sk-0, sk-1, …
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub keys: usize,
    /// Requests a minute and key [default: any number]
    #[arg(long, value_name = "N")]
    pub rpm: Option<u64>,
    /// Requests at once and key, refilled at --rpm: a token bucket
    #[arg(long, value_name = "N", requires = "rpm")]
    pub burst: Option<u64>,
    /// Tokens a minute and key [default: any number]
    #[arg(long, value_name = "N")]
    pub tpm: Option<u64>,
    /// How limits are counted [default: token-bucket with --burst, else sliding]
    #[arg(long, value_name = "SHAPE")]
    pub window: Option<Window>,
    /// Time to the first byte: `50ms`, `40ms..60ms`, or `median 50ms p99 400ms`
    #[arg(long, value_name = "TIME", default_value = "0ms")]
    pub latency: Latency,
    /// Share of calls answered with 500, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub error_rate: f64,
    /// How limits are told
    #[arg(long, value_name = "STYLE", default_value = "openai")]
    pub headers: HeaderStyle,
    /// Keys that are invalid, by number
    #[arg(long, value_name = "K,K", value_delimiter = ',')]
    pub invalid: Vec<usize>,
    /// Keys that are out of money, by number
    #[arg(long, value_name = "K,K", value_delimiter = ',')]
    pub out_of_money: Vec<usize>,
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print JSON: a line at the start, the ledger at the end
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// Runs until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// If the file or the flags are wrong, if it can't listen, or if nobody takes its output.
    pub fn run(self) -> anyhow::Result<Exit> {
        Runtime::new().context("can't start a runtime")?.block_on(run(self))
    }
}

async fn run(args: Args) -> anyhow::Result<Exit> {
    let spec = args.spec()?;
    let listen = spec.listen;
    let sim = Sim::start(spec).await.map_err(|error| {
        anyhow!("can't listen on {listen}: {error}\n  hint: --listen 127.0.0.1:0 takes any port that is free")
    })?;
    let stopping = super::stopping::signal().context("can't wait for signals")?;
    if args.json {
        print_json(&Start::of(&sim))?;
    } else {
        print(&introduction(&sim))?;
    }
    stopping.await;
    let ledger = sim.ledger();
    sim.stop().await;
    if args.json {
        print_json(&ledger)?;
    } else {
        print(&summary(&ledger))?;
    }
    Ok(Exit::Done)
}

impl Args {
    /// What the flags or the file ask for.
    fn spec(&self) -> anyhow::Result<SimSpec> {
        let mut spec = match &self.scenario {
            None => self.spec_of_flags()?,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    wrong(format!("can't read {}: {error}", path.display()), "docs/sim.md has an example")
                })?;
                file::parse(&text).with_context(|| format!("{} can't be used", path.display()))?
            }
        };
        if let Some(listen) = self.listen {
            spec.listen = listen;
        }
        Ok(spec)
    }

    fn spec_of_flags(&self) -> Result<SimSpec, UsageError> {
        let bucket = matches!(self.window, None | Some(Window::TokenBucket));
        if self.burst.is_some() && !bucket {
            let hint = "leave out --burst, or say --window token-bucket";
            return Err(wrong("--burst is of token buckets", hint));
        }
        let keys_max = SimSpec::KEYS_MAX;
        if self.keys > keys_max {
            return Err(wrong(
                format!("--keys {} is too many", self.keys),
                format!("{keys_max} is the most"),
            ));
        }
        let mut spec = SimSpec::with_keys(self.keys).first_byte(self.latency);
        spec.listen = SocketAddr::from(([127, 0, 0, 1], 18_080));
        spec.faults = FaultRates { error: self.error_rate, ..FaultRates::default() };
        spec.headers = self.headers;
        spec.seed = self.seed;
        if let Some(rpm) = self.rpm {
            let shape = Window::shape(self.window, self.burst, rpm);
            spec = spec.limited(LimitSpec::requests(rpm, MINUTE).shaped(shape));
        }
        if let Some(tpm) = self.tpm {
            let shape = Window::shape(self.window, None, tpm);
            spec = spec.limited(LimitSpec::tokens(tpm, MINUTE).shaped(shape));
        }
        for (flag, numbers, conduct) in [
            ("--invalid", &self.invalid, Conduct::Invalid),
            ("--out-of-money", &self.out_of_money, Conduct::OutOfMoney),
        ] {
            for number in numbers {
                let Some(key) = spec.keys.get_mut(*number) else {
                    let keys = self.keys;
                    return Err(wrong(
                        format!("{flag} names key {number}, but there are {keys}, counted from 0"),
                        format!("--keys {} makes enough", number.saturating_add(1)),
                    ));
                };
                key.conduct = conduct;
            }
        }
        let mistakes = spec.mistakes();
        if !mistakes.is_empty() {
            return Err(wrong(mistakes.join("\n"), "keywheel sim --help lists every flag"));
        }
        Ok(spec)
    }
}

fn wrong(problem: impl Into<String>, hint: impl Into<String>) -> UsageError {
    UsageError { problem: problem.into(), hint: hint.into() }
}

/// The first line of `--json`.
#[derive(Serialize)]
struct Start {
    base_url: String,
    keys: Vec<StartKey>,
    /// A piece for `keywheel.toml`.
    provider_toml: String,
}

#[derive(Serialize)]
struct StartKey {
    name: String,
    secret: String,
    conduct: Conduct,
}

impl Start {
    fn of(sim: &Sim) -> Self {
        let keys = sim.spec().keys.iter().map(|key| StartKey {
            name: key.name.clone(),
            secret: key.secret.clone(),
            conduct: key.conduct,
        });
        Self {
            base_url: sim.base_url(),
            keys: keys.collect(),
            provider_toml: provider_toml(&sim.base_url(), sim.spec()),
        }
    }
}

fn introduction(sim: &Sim) -> String {
    let (base_url, spec) = (sim.base_url(), sim.spec());
    let mut table = table();
    for key in spec.keys.iter().take(KEYS_LISTED_MAX) {
        table.add_row([format!(" {}", key.name), key.secret.clone(), words_of(key)]);
    }
    let more = match spec.keys.len().saturating_sub(KEYS_LISTED_MAX) {
        0 => String::new(),
        more => format!("  … and {more} more\n"),
    };
    let keys = table.trim_fmt();
    format!(
        "A simulated provider listens on {base_url} and has {count} keys:\n{keys}\n{more}\n\
         For keywheel.toml:\n\n{snippet}\n\
         Ctrl-C ends it and shows its ledger; until then: curl http://{addr}/ledger\n",
        count = spec.keys.len(),
        snippet = provider_toml(&base_url, spec),
        addr = sim.addr(),
    )
}

/// What is special about a key, for people.
fn words_of(key: &KeySpec) -> String {
    let conduct = match key.conduct {
        Conduct::Valid => None,
        Conduct::Invalid => Some("invalid".to_owned()),
        Conduct::OutOfMoney => Some("out of money".to_owned()),
        Conduct::Disabled => Some("disabled".to_owned()),
    };
    let group = key.quota_group.as_ref().map(|group| format!("group {group}"));
    let limits = key.limits.iter().map(|limit| {
        let shape = match limit.shape {
            Shape::TokenBucket { burst } => format!("burst {burst}"),
            Shape::FixedWindow => format!("from zero every {}", format_duration(limit.per)),
            Shape::SlidingWindow => "in any window".to_owned(),
        };
        format!("{} {}, {shape}", limit.count, limit.name())
    });
    conduct.into_iter().chain(group).chain(limits).collect::<Vec<_>>().join("; ")
}

fn summary(ledger: &Ledger) -> String {
    let mut table = table();
    table.set_header(["key", "served", "tokens", "throttled", "refused otherwise", "failed on purpose"]);
    for key in &ledger.keys {
        let throttled = key.count(Outcome::Throttled);
        table.add_row([
            key.name.clone(),
            key.class(OutcomeClass::Served).to_string(),
            key.tokens.to_string(),
            throttled.to_string(),
            (key.class(OutcomeClass::Rejected) - throttled).to_string(),
            key.class(OutcomeClass::Failed).to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let keys = table.trim_fmt();
    let strangers: u64 = ledger.strangers.values().sum();
    format!("\n{keys}\n{} calls, {strangers} of them with keys that are none of these\n", ledger.calls)
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to standard output")
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(value).context("can't write JSON")?;
    line.push('\n');
    print(&line)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        args: Args,
    }

    fn spec(words: &[&str]) -> anyhow::Result<SimSpec> {
        Words::try_parse_from([&["sim"], words].concat())?.args.spec()
    }

    #[test]
    fn flags_say_the_simple_case() {
        let words = "--keys 4 --rpm 300 --burst 5 --tpm 9000 --latency 40ms..60ms --error-rate 0.02 \
                     --headers http-date --invalid 1,2 --out-of-money 3 --seed 7";
        let spec = spec(&words.split_whitespace().collect::<Vec<_>>()).unwrap();
        let expected = SimSpec {
            listen: "127.0.0.1:18080".parse().unwrap(),
            headers: HeaderStyle::HttpDate,
            faults: FaultRates { error: 0.02, ..FaultRates::default() },
            seed: 7,
            ..SimSpec::with_keys(4)
        }
        .limited(LimitSpec::requests(300, MINUTE).shaped(Shape::TokenBucket { burst: 5 }))
        .limited(LimitSpec::tokens(9_000, MINUTE))
        .first_byte("40ms..60ms".parse().unwrap())
        .key(1, |key| key.conducting(Conduct::Invalid))
        .key(2, |key| key.conducting(Conduct::Invalid))
        .key(3, |key| key.conducting(Conduct::OutOfMoney));
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_window_shapes_every_limit() {
        for (window, shape) in [
            ("token-bucket", Shape::TokenBucket { burst: 60 }),
            ("fixed", Shape::FixedWindow),
            ("sliding", Shape::SlidingWindow),
        ] {
            let spec = spec(&["--rpm", "60", "--window", window]).unwrap();
            assert_eq!(spec.keys[0].limits, [LimitSpec::requests(60, MINUTE).shaped(shape)]);
        }
    }

    #[test]
    fn mistakes_say_what_to_do() {
        let error = spec(&["--keys", "2", "--invalid", "2"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "--invalid names key 2, but there are 2, counted from 0\n  hint: --keys 3 makes enough"
        );
        for words in [&["--error-rate", "2"][..], &["--burst", "5"], &["--latency", "fast"], &["--rpm", "0"]]
        {
            assert!(spec(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_file_and_flags_of_the_simple_case_exclude_each_other() {
        let error = spec(&["--scenario", "sim.toml", "--rpm", "3"]).unwrap_err().to_string();
        assert!(error.contains("cannot be used with"), "{error}");
    }

    #[test]
    fn a_file_is_read_and_only_its_address_may_be_changed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "seed = 9\n[[key]]\n").unwrap();
        let path = file.path().to_str().unwrap();
        let spec = spec(&["--scenario", path, "--listen", "127.0.0.1:7"]).unwrap();
        assert_eq!((spec.seed, spec.listen), (9, "127.0.0.1:7".parse().unwrap()));
    }

    #[test]
    fn the_summary_has_a_line_for_each_key() {
        let text = r#"{"at_ms":5,"calls":8,"connections_refused":0,"strangers":{"bad_key":2},"requests_forgotten":0,
            "keys":[{"name":"k0","quota_group":null,"conduct":"valid","accepted":3,"tokens":30,
            "outcomes":{"served":2,"throttled":2,"down":1,"cut":1},"first_ms":1,"last_ms":4,"limits":[]}]}"#;
        let summary = summary(&serde_json::from_str(text).unwrap());
        let lines: Vec<Vec<&str>> = summary.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["k0", "2", "30", "2", "1", "1"]);
        assert!(summary.ends_with("8 calls, 2 of them with keys that are none of these\n"), "{summary}");
    }
}
