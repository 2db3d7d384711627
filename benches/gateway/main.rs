//! What the gateway costs beside who else could stand there: nobody, a bare pass-through, nginx.
//!
//! All of them pass the same requests to the same simulator, each in a process of its own, in turns. CPU time is what
//! the system booked for that process (`/proc/PID/stat`), so that neither the client nor the simulator counts; requests
//! per second on few cores depend on those, too. The client is our own: raw sockets and one thread.
//!
//! `cargo bench --bench gateway`, with `-- --quick` for a look and `-- --json` for programs. nginx is measured where it
//! is installed. Needs Linux: it reads `/proc`.

mod bare;
mod contender;
mod load;
mod measure;
mod process;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use measure::{DRIPPING, Effort};
use verdict::Report;

/// The simulator of the fast measurements: 50 chunks of a stream are ready together.
const READY: &str = "headers = \"none\"\n[pace]\nchunks = 50\n[[key]]\nrepeat = 4\n";

#[derive(Debug, Parser)]
#[command(about = "Measures the gateway beside a bare pass-through and nginx")]
struct Args {
    /// A look: shorter, and the figures less certain
    #[arg(long)]
    quick: bool,

    /// One line of JSON
    #[arg(long)]
    json: bool,

    /// Be the bare pass-through in front of this address
    #[arg(long, hide = true)]
    bare: Option<String>,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(upstream) = &args.bare {
        bare::serve(upstream)?;
        return Ok(ExitCode::SUCCESS);
    }
    // A thousand streams are two thousand sockets; those who are started here inherit it.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("too few files may be open")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(measure_all(&effort(args.quick)))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        verdict::print(&report);
    }
    let met = report.targets.iter().all(|target| target.met);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn effort(quick: bool) -> Effort {
    let (rounds, seconds, one_by_one, reloading) = if quick { (1, 1, 500, 3) } else { (5, 2, 2_000, 10) };
    Effort {
        rounds,
        saturation: Duration::from_secs(seconds),
        one_by_one,
        reloading: Duration::from_secs(reloading),
    }
}

async fn measure_all(effort: &Effort) -> anyhow::Result<Report> {
    let home = tempfile::tempdir().context("no directory for the run")?;
    let contenders = {
        let sim = contender::sim(home.path(), "ready.toml", READY)?;
        let (bare, gateway) = (contender::bare(sim.address)?, contender::gateway(home.path(), sim.address)?);
        let nginx = contender::nginx(home.path(), sim.address)?;
        let all: Vec<_> = [sim, bare].into_iter().chain(nginx).chain([gateway]).collect();
        measure::in_turns(&all, effort).await?
    };
    let slow_streams = {
        let sim = contender::sim(home.path(), "dripping.toml", DRIPPING)?;
        let others = contender::nginx(home.path(), sim.address)?;
        let others = others.into_iter().chain([contender::bare(sim.address)?]);
        let mut drips = Vec::new();
        for contender in others.chain([contender::gateway(home.path(), sim.address)?]) {
            drips.push(measure::drip(&contender).await?);
        }
        drips
    };
    let unrest = measure::unrest(home.path(), effort).await?;
    let targets = verdict::targets(&contenders, &slow_streams, &unrest);
    Ok(Report { client: "our own over raw sockets, one thread", contenders, slow_streams, unrest, targets })
}
