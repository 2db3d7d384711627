//! Hours of everything that goes wrong, at a modest rate: does the gateway's memory stay flat, and do all books agree?
//!
//! `keywheel serve` runs as a process of its own before two simulated providers. One fails three calls of ten in every
//! way there is, throttles, refuses keys and goes away now and then; the other one is well. The configuration is
//! exchanged every few seconds, every fifth time for one that is invalid. At the end the books are joined by the
//! requests' names: what each client saw, the access log, the metrics, the providers' ledgers.
//!
//! `cargo bench --bench soak -- --minutes 60`, with `--json` for programs. Needs Linux: it reads `/proc`.

mod books;
mod crowd;
mod house;
#[path = "../gateway/process.rs"]
mod process;
mod report;
mod unrest;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::time::{Instant, sleep_until};

use crowd::Crowd;
use house::House;
use report::{Report, Tenth};

/// Memory is looked at at the end of each.
const TENTHS: u32 = 10;

#[derive(Debug, Parser)]
#[command(about = "Runs the gateway for long with all faults at once, and joins the books")]
struct Args {
    /// How long
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,

    /// Requests a second
    #[arg(long, default_value_t = 200)]
    rate: u32,

    /// One line of JSON
    #[arg(long)]
    json: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // It is the only user of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(soak(&args))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report::print(&report);
    }
    let met = report.targets.iter().all(|target| target.met);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn soak(args: &Args) -> anyhow::Result<Report> {
    let (house, crowd) = (House::start()?, Arc::new(Crowd::default()));
    let (begun, time) = (Instant::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let end = begun + time;
    let watching = async {
        let mut tenths = Vec::new();
        for tenth in 1..=TENTHS {
            sleep_until(begun + time * tenth / TENTHS).await;
            let seen = Tenth::now(&crowd, &house.gateway, begun.elapsed())?;
            if !args.json {
                println!("{seen}");
            }
            tenths.push(seen);
        }
        anyhow::Ok(tenths)
    };
    let (coming, unrest) = (crowd::come(&crowd, &house, args.rate, end), unrest::until(end, &house));
    let (saw, unrest, tenths) = tokio::try_join!(coming, unrest, watching)?;
    let joined = books::join(&house, &saw).await?;
    Ok(Report::of(args.rate, tenths, unrest, &saw, joined))
}
