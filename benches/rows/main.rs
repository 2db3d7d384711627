//! What a row of `keywheel batch` costs: CPU time and memory of the real program against the simulated
//! provider, each a process of its own.
//!
//! The simulator's keys have room for everything, so nothing but the two programs bounds the run. A row costs
//! the batch's user and system time, start and end included, divided by the rows; the simulator's own time
//! stands beside it and isn't counted. Memory is the batch's largest resident set.
//!
//! `cargo bench --bench rows -- --rows 10000000` makes ten million of them. Needs Linux: it reads `/proc`.

mod process;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde::Serialize;

use process::Running;

/// What a row may cost.
const CPU_US_MAX: f64 = 60.0;
/// What the program may hold, however many rows there are.
const MEMORY_MB_MAX: f64 = 100.0;
const KEYS: usize = 20;
/// Far more than two cores can send.
const LIMITS: &str = "rpm = 6_000_000, burst = 100_000";

#[derive(Debug, Parser)]
#[command(about = "Measures what a row of a batch costs in CPU time and memory")]
struct Args {
    /// Rows of the batch
    #[arg(long, default_value_t = 100_000)]
    rows: u64,

    /// How long the simulator takes to answer
    #[arg(long, default_value = "20ms..30ms")]
    latency: String,

    /// Further words for `keywheel batch`
    #[arg(last = true)]
    words: Vec<String>,

    /// One line of JSON
    #[arg(long)]
    json: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Cost {
    rows: u64,
    makespan_s: f64,
    rows_per_second: f64,
    cpu_us_per_row: f64,
    simulator_cpu_us_per_row: f64,
    memory_peak_mb: f64,
    cpu_us_max: f64,
    memory_mb_max: f64,
    met: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let cost = measure(&args)?;
    if args.json {
        println!("{}", serde_json::to_string(&cost)?);
    } else {
        println!(
            "{} rows in {:.2} s ({:.0} a second): {:.1} µs of CPU a row (simulator: {:.1} µs besides), \
             at most {:.0} MB; target ≤{CPU_US_MAX} µs, ≤{MEMORY_MB_MAX} MB: {}",
            cost.rows,
            cost.makespan_s,
            cost.rows_per_second,
            cost.cpu_us_per_row,
            cost.simulator_cpu_us_per_row,
            cost.memory_peak_mb,
            if cost.met { "met" } else { "MISSED" }
        );
    }
    Ok(if cost.met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(args: &Args) -> anyhow::Result<Cost> {
    let desk = tempfile::tempdir().context("no directory for the run")?;
    let rows = desk.path().join("rows.jsonl");
    write_rows(&rows, args.rows).context("can't write the rows")?;

    let sim = Running::start(
        program(desk.path())
            .args(["sim", "--listen", "127.0.0.1:0", "--rpm", "6000000", "--burst", "100000"])
            .args(["--keys", &KEYS.to_string(), "--latency", &args.latency]),
    )?;
    let welcome = sim.line()?;
    let base_url = welcome.split_whitespace().find(|word| word.starts_with("http://"));
    write_config(desk.path(), base_url.context("the simulator doesn't say where it listens")?)?;

    let begun = Instant::now();
    let batch = Running::start(
        program(desk.path())
            .args(["batch", "rows.jsonl", "-o", "answers.jsonl", "--quiet"])
            .args(&args.words),
    )?;
    let (cpu_s, memory_peak_mb) = batch.end()?;
    let makespan_s = begun.elapsed().as_secs_f64();
    let served = BufReader::new(File::open(desk.path().join("answers.jsonl"))?).lines().count() as u64;
    ensure!(served == args.rows, "{served} lines for {} rows", args.rows);

    let per_row = |seconds: f64| seconds * 1e6 / args.rows as f64;
    let cpu_us_per_row = per_row(cpu_s);
    let simulator_cpu_us_per_row = per_row(sim.cpu_s()?);
    Ok(Cost {
        rows: args.rows,
        makespan_s,
        rows_per_second: args.rows as f64 / makespan_s,
        cpu_us_per_row,
        simulator_cpu_us_per_row,
        memory_peak_mb,
        cpu_us_max: CPU_US_MAX,
        memory_mb_max: MEMORY_MB_MAX,
        met: cpu_us_per_row <= CPU_US_MAX && memory_peak_mb <= MEMORY_MB_MAX,
    })
}

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
    command.current_dir(home).env_clear().env("HOME", home);
    command
}

fn write_rows(path: &Path, rows: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for row in 0..rows {
        let question = format!("What is {row} times {row}? Give the number alone on the last line.");
        let body = serde_json::json!({
            "model": "m",
            "messages": [{ "role": "user", "content": question }],
            "max_tokens": 50,
        });
        let id = format!("row-{row}");
        let line = serde_json::json!({
            "custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body,
        });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

fn write_config(home: &Path, base_url: &str) -> anyhow::Result<()> {
    let mut config = format!("[[provider]]\nid = \"sim\"\ndialect = \"openai\"\nbase_url = \"{base_url}\"\n");
    for key in 0..KEYS {
        let secret = home.join(format!("k{key}"));
        fs::write(&secret, format!("sk-{key}"))?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        // Writing into a string can't fail.
        let _ = write!(
            config,
            "[[provider.key]]\nname = \"k{key}\"\nsecret = \"file:{}\"\nlimits = {{ {LIMITS} }}\n",
            secret.display()
        );
    }
    Ok(fs::write(home.join("keywheel.toml"), config)?)
}
