//! What the actors cost: jobs a second through the wheel, beside a ring of keys under a mutex.
//!
//! The upstream is inside this process and answers at once, so everything that is measured is ours. Jobs
//! are sent all at once and awaited together. The last pair of each group sends its jobs while 10,000
//! others are in flight: their number must not matter.

mod rig;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use rig::{Rig, send, send_by_mutex};

const KEYS: [usize; 2] = [10, 200];
const AT_ONCE: [u32; 3] = [1, 64, 4_096];
/// Jobs in flight while others are measured, and how many those are.
const BESIDE: (u32, u32) = (10_000, 64);
/// Longer than any bench.
const AN_HOUR_MS: u64 = 3_600_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for keys in KEYS {
        let rig = Rig::new(keys);
        let mut group = criterion.benchmark_group(format!("{keys} keys"));
        // Samples of equal length: the largest ones take tens of ms each.
        group.sampling_mode(SamplingMode::Flat);
        for jobs in AT_ONCE {
            compare(&mut group, &rig, "", jobs);
        }
        let (others, jobs) = BESIDE;
        beside(&rig, others, || compare(&mut group, &rig, &format!(" beside {others}"), jobs));
        group.finish();
    }
    criterion.final_summary();
}

fn compare(group: &mut BenchmarkGroup<'_, WallTime>, rig: &Rig, circumstance: &str, jobs: u32) {
    let runtime = rig.runtime();
    group.throughput(Throughput::Elements(u64::from(jobs)));
    group.bench_function(BenchmarkId::new(format!("actors{circumstance}"), jobs), |bencher| {
        bencher.iter(|| at_once(&runtime, jobs, || send(rig.wheel.clone(), 0)));
    });
    group.bench_function(BenchmarkId::new(format!("mutex{circumstance}"), jobs), |bencher| {
        bencher.iter(|| at_once(&runtime, jobs, || send_by_mutex(Arc::clone(&rig.mutex), 0)));
    });
}

/// Runs `act` while so many further jobs of the wheel are in flight and stay there.
fn beside(rig: &Rig, jobs: u32, act: impl FnOnce()) {
    let runtime = rig.runtime();
    let held: Vec<_> = (0..jobs).map(|_| runtime.spawn(send(rig.wheel.clone(), AN_HOUR_MS))).collect();
    let in_flight = || rig.wheel.board().providers().iter().map(|(_, view)| view.in_flight).sum::<usize>();
    runtime.block_on(async {
        while in_flight() < held.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    act();
    held.iter().for_each(JoinHandle::abort);
}

/// Sends so many jobs and waits until all are answered.
fn at_once<F: Future<Output = ()>>(runtime: &Handle, jobs: u32, job: impl Fn() -> F) {
    runtime.block_on((0..jobs).map(|_| job()).collect::<FuturesUnordered<_>>().collect::<()>());
}
