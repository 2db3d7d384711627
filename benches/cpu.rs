//! What the actors cost in CPU time, with 10,000 jobs in flight.
//!
//! So many callers send one job after another through the wheel to an upstream inside this process that
//! answers each after 200 ms. The CPU time of the whole process, divided by the jobs, is what a job costs
//! with everything around it; the same callers and the same upstream with a ring of keys under a mutex cost
//! what is not the actors' doing. The difference is the actors' own: mailboxes, credits, quota, health,
//! timeouts, and reading what the answer says.
//!
//! Each side runs several times in turns; the median counts. Needs Linux: it reads `/proc/self/stat`.

mod rig;

use std::fs;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use rig::{Rig, send, send_by_mutex};

const IN_FLIGHT: u32 = 10_000;
const ANSWERED_AFTER_MS: u64 = 200;
/// Jobs that each caller sends in one run.
const ROUNDS: u32 = 20;
const RUNS: usize = 3;
const KEYS: [usize; 3] = [10, 200, 1_000];
/// What a job through the actors may cost beyond the same job without them.
const TARGET_US: f64 = 25.0;

#[derive(Debug, Parser)]
#[command(about = "Measures what the actors cost in CPU time")]
struct Args {
    /// One line of JSON for each number of keys
    #[arg(long)]
    json: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// CPU time a job, in µs.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    keys: usize,
    in_flight: u32,
    jobs: u32,
    wheel_us: f64,
    mutex_us: f64,
    actors_us: f64,
    target_us: f64,
    met: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut met = true;
    for keys in KEYS {
        let cost = measure(keys)?;
        met &= cost.met;
        if args.json {
            println!("{}", serde_json::to_string(&cost)?);
        } else {
            println!(
                "{keys} keys, {IN_FLIGHT} jobs in flight: wheel {:.1} µs − mutex {:.1} µs = actors {:.1} µs \
                 of CPU a job; target ≤{TARGET_US} µs: {}",
                cost.wheel_us,
                cost.mutex_us,
                cost.actors_us,
                if cost.met { "met" } else { "MISSED" }
            );
        }
    }
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(keys: usize) -> anyhow::Result<Cost> {
    let rig = Rig::new(keys);
    let runtime = rig.runtime();
    let (mut wheel, mut mutex) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let handle = rig.wheel.clone();
        wheel.push(cpu_us_per_job(&runtime, move || send(handle.clone(), ANSWERED_AFTER_MS))?);
        let ring = Arc::clone(&rig.mutex);
        mutex.push(cpu_us_per_job(&runtime, move || send_by_mutex(Arc::clone(&ring), ANSWERED_AFTER_MS))?);
    }
    let (wheel_us, mutex_us) = (median(wheel), median(mutex));
    let actors_us = wheel_us - mutex_us;
    Ok(Cost {
        keys,
        in_flight: IN_FLIGHT,
        jobs: IN_FLIGHT * ROUNDS,
        wheel_us,
        mutex_us,
        actors_us,
        target_us: TARGET_US,
        met: actors_us <= TARGET_US,
    })
}

fn cpu_us_per_job<F>(runtime: &Handle, job: impl Fn() -> F + Clone + Send + 'static) -> anyhow::Result<f64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let before = cpu_time()?;
    runtime.block_on(async {
        let mut callers = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let job = job.clone();
            callers.spawn(async move {
                for _ in 0..ROUNDS {
                    job().await;
                }
            });
        }
        callers.join_all().await;
    });
    let spent = cpu_time()?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / f64::from(IN_FLIGHT * ROUNDS))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// User and system time of all threads of this process, also of those that have ended.
fn cpu_time() -> anyhow::Result<Duration> {
    /// `/proc` counts in hundredths of a second on every architecture (`USER_HZ`).
    const TICK: Duration = Duration::from_millis(10);
    /// `utime` and `stime`, counted from the state, which follows the name in brackets. Source: `proc_pid_stat(5)`.
    const FIELDS: [usize; 2] = [11, 12];
    let stat =
        fs::read_to_string("/proc/self/stat").context("CPU time is read from /proc: this needs Linux")?;
    let (_, behind_name) = stat.rsplit_once(") ").context("/proc/self/stat has no name")?;
    let fields: Vec<_> = behind_name.split(' ').collect();
    let mut ticks = 0;
    for field in FIELDS {
        ticks += fields.get(field).context("/proc/self/stat is too short")?.parse::<u32>()?;
    }
    Ok(TICK * ticks)
}
