//! The measurements, each the same for all.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::contender::{Contender, gateway_config, sim, start_gateway};
use crate::load::{Kind, one_by_one, saturate, streams};
use crate::process::Process;

/// Connections at saturation: enough that both cores always have something to do.
const CONNECTIONS: usize = 64;
const STREAM_CONNECTIONS: usize = 32;
/// Before each measurement: connections are opened, keys prove themselves.
const WARM_UP: Duration = Duration::from_millis(500);
const SLOW_STREAMS: usize = 1_000;

/// How long each measurement takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) saturation: Duration,
    pub(crate) one_by_one: usize,
    pub(crate) reloading: Duration,
}

/// What one of them reached: medians over the rounds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) streams_per_second: f64,
    pub(crate) cpu_us_per_stream: f64,
    pub(crate) memory_mb: f64,
    pub(crate) failed: u64,
}

/// One round's figures of one of them.
async fn round(contender: &Contender, effort: &Effort) -> anyhow::Result<Figures> {
    let Contender { name, address, process } = contender;
    let latency = one_by_one(*address, effort.one_by_one).await?;
    let (plain, cpu_us_per_request) =
        busy(process, contender, Kind::Plain, CONNECTIONS, effort.saturation).await?;
    let (streamed, cpu_us_per_stream) =
        busy(process, contender, Kind::Streamed, STREAM_CONNECTIONS, effort.saturation).await?;
    Ok(Figures {
        name,
        requests_per_second: plain.0,
        cpu_us_per_request,
        p50_us: percentile(&latency, 0.50),
        p99_us: percentile(&latency, 0.99),
        streams_per_second: streamed.0,
        cpu_us_per_stream,
        memory_mb: process.memory_mb()?,
        failed: plain.1 + streamed.1,
    })
}

/// At saturation: (served a second, failed), and µs of CPU for each.
async fn busy(
    process: &Process,
    contender: &Contender,
    kind: Kind,
    connections: usize,
    time: Duration,
) -> anyhow::Result<((f64, u64), f64)> {
    saturate(contender.address, kind, connections, WARM_UP).await;
    let before = process.cpu_s()?;
    let done = saturate(contender.address, kind, connections, time).await;
    let cpu_s = process.cpu_s()? - before;
    ensure!(done.served > 0, "{}: nothing was served", contender.name);
    Ok(((done.served as f64 / done.took_s, done.failed), cpu_s * 1e6 / done.served as f64))
}

/// All of them in turns, so that whatever else the machine does meets all alike.
pub(crate) async fn in_turns(contenders: &[Contender], effort: &Effort) -> anyhow::Result<Vec<Figures>> {
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds {
        for (contender, figures) in contenders.iter().zip(&mut rounds) {
            figures.push(round(contender, effort).await?);
        }
    }
    Ok(rounds.iter().map(|rounds| medians(rounds)).collect())
}

fn medians(rounds: &[Figures]) -> Figures {
    let median = |of: fn(&Figures) -> f64| percentile(&rounds.iter().map(of).collect::<Vec<_>>(), 0.5);
    Figures {
        name: rounds[0].name,
        requests_per_second: median(|figures| figures.requests_per_second),
        cpu_us_per_request: median(|figures| figures.cpu_us_per_request),
        p50_us: median(|figures| figures.p50_us),
        p99_us: median(|figures| figures.p99_us),
        streams_per_second: median(|figures| figures.streams_per_second),
        cpu_us_per_stream: median(|figures| figures.cpu_us_per_stream),
        memory_mb: median(|figures| figures.memory_mb),
        failed: rounds.iter().map(|figures| figures.failed).sum(),
    }
}

fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    // A share of a length is no negative number, and smaller than it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `last`")]
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

/// Memory while a thousand streams drip.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Drip {
    pub(crate) name: &'static str,
    /// Streams that came whole.
    pub(crate) whole: usize,
    pub(crate) streams: usize,
    pub(crate) before_mb: f64,
    /// Resident memory at equal distances, from when all of them are open.
    pub(crate) memory_mb: Vec<f64>,
}

impl Drip {
    /// The most memory beside the first sample's.
    pub(crate) fn growth(&self) -> f64 {
        let first = self.memory_mb.first().copied().unwrap_or_default();
        self.memory_mb.iter().copied().fold(0.0, f64::max) / first
    }
}

/// The scenario in which streams drip: 40 chunks at 250 ms each.
pub(crate) const DRIPPING: &str =
    "headers = \"none\"\n[pace]\nchunks = 40\nchunk_gap = \"250ms\"\n[[key]]\nrepeat = 4\n";
/// From when on all streams are open until shortly before they end.
const SAMPLES_FROM_S: u64 = 3;
const SAMPLES_TO_S: u64 = 9;

pub(crate) async fn drip(contender: &Contender) -> anyhow::Result<Drip> {
    let before_mb = contender.process.memory_mb()?;
    let begun = Instant::now();
    let all = tokio::spawn(streams(contender.address, SLOW_STREAMS));
    let mut memory_mb = Vec::new();
    for second in SAMPLES_FROM_S..=SAMPLES_TO_S {
        sleep_until(begun + Duration::from_secs(second)).await;
        memory_mb.push(contender.process.memory_mb()?);
    }
    Ok(Drip { name: contender.name, whole: all.await?, streams: SLOW_STREAMS, before_mb, memory_mb })
}

/// What clients saw while keys rested and the configuration was exchanged.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Unrest {
    pub(crate) served: u64,
    pub(crate) failed: u64,
    pub(crate) throttled_upstream: u64,
    pub(crate) reloads: usize,
}

/// Keys that are refused again and again, as nobody told the gateway of their limits.
const RESTLESS: &str =
    "headers = \"retry_after\"\n[[key]]\nrepeat = 8\nlimits = [{ requests = 60, per = \"1s\" }]\n";
const RESTLESS_KEYS: usize = 8;
const RELOAD_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn unrest(home: &Path, effort: &Effort) -> anyhow::Result<Unrest> {
    let sim = sim(home, "restless.toml", RESTLESS)?;
    let config = |weight| gateway_config(sim.address, RESTLESS_KEYS, "", weight);
    let gateway = start_gateway(home, "restless", &config(1))?;
    let load = tokio::spawn(saturate(gateway.address, Kind::Plain, CONNECTIONS, effort.reloading));
    let mut reloads = 0;
    while !load.is_finished() {
        reloads += 1;
        let file = home.join("restless/keywheel.toml");
        let new = home.join("restless/new.toml");
        fs::write(&new, config(1 + reloads % 2))?;
        fs::rename(&new, &file)?;
        gateway.process.signal("HUP")?;
        sleep(RELOAD_EVERY).await;
    }
    let done = load.await?;
    let throttled_upstream = throttled(&sim)?;
    Ok(Unrest { served: done.served, failed: done.failed, throttled_upstream, reloads })
}

/// How often the simulator refused, as its ledger has it when it ends.
fn throttled(sim: &Contender) -> anyhow::Result<u64> {
    sim.process.signal("INT")?;
    let mut last = String::new();
    while let Ok(line) = sim.process.line() {
        last = line;
    }
    let ledger: keywheel::sim::Ledger = serde_json::from_str(&last)?;
    Ok(ledger.count(keywheel::sim::Outcome::Throttled))
}
