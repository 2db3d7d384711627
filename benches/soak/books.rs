//! The join of all books by the requests' names.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use anyhow::Context as _;
use keywheel::sim::Outcome;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::crowd::{Ending, Saw, name};
use crate::house::House;

/// A record is written a moment after the last byte has left.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);

/// What the access log says of a request.
#[derive(Debug, Deserialize)]
struct Line {
    request_id: String,
    status: u16,
    ending: String,
    attempts: u64,
}

/// What of the books doesn't agree; all of it is never to be. And what they say.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub(crate) struct Joined {
    /// Requests that aren't in the access log exactly once.
    pub(crate) not_logged_once: u64,
    /// Requests of which log and client tell another status or another ending.
    pub(crate) told_otherwise: u64,
    /// Requests of which the providers saw more calls than the log.
    pub(crate) calls_unknown: u64,
    /// Calls of no request that was ever sent.
    pub(crate) calls_of_nobody: u64,
    /// How far the metrics are from the log, in served requests.
    pub(crate) metrics_off: u64,
    /// Lines of log that hold something like a key.
    pub(crate) secrets: u64,
    /// Calls beyond a limit that was declared.
    pub(crate) beyond_limits: u64,
    pub(crate) calls: u64,
    pub(crate) calls_failed: u64,
    pub(crate) calls_throttled: u64,
}

/// Ends the gateway, and compares.
pub(crate) async fn join(house: &House, saw: &[Saw]) -> anyhow::Result<Joined> {
    let served_by_metrics = metrics(house, saw.len() as u64).await?;
    house.end()?;
    let Logs { lines, secrets } = read_logs(house)?;
    let mut joined = Joined { secrets, ..Joined::default() };
    let (ill, well) = (house.ill.ledger_with_requests(), house.well.ledger_with_requests());
    let mut calls_known = 0;
    let mut served = 0;
    for saw in saw {
        let name = name(saw.number);
        let calls = (ill.request(&name).len() + well.request(&name).len()) as u64;
        calls_known += calls;
        let Some((line, times)) = lines.get(&name) else {
            joined.not_logged_once += 1;
            continue;
        };
        let was_served = line.ending == "served";
        served += u64::from(was_served);
        joined.not_logged_once += u64::from(*times != 1);
        let agrees = match saw.ending {
            Ending::Whole => was_served,
            Ending::Told => !was_served,
            // It may have been written out before its client was gone.
            Ending::Left => was_served || line.ending == "client_gone",
            Ending::Broken => false,
        };
        joined.told_otherwise += u64::from(!agrees || line.status != saw.status);
        joined.calls_unknown += u64::from(line.attempts < calls);
    }
    let count = |outcome| ill.count(outcome) + well.count(outcome);
    joined.not_logged_once += (lines.len() as u64).saturating_sub(saw.len() as u64);
    joined.calls = ill.calls + well.calls;
    joined.calls_of_nobody = joined.calls - calls_known;
    joined.metrics_off = served.abs_diff(served_by_metrics);
    joined.beyond_limits = well.count(Outcome::Throttled);
    joined.calls_throttled = count(Outcome::Throttled);
    joined.calls_failed = joined.calls - joined.calls_throttled - count(Outcome::Served);
    Ok(joined)
}

/// What was logged.
struct Logs {
    /// Of each request, and how often.
    lines: HashMap<String, (Line, u64)>,
    /// Lines with something like a key, in the access log and the program's own.
    secrets: u64,
}

fn read_logs(house: &House) -> anyhow::Result<Logs> {
    let mut logs = Logs { lines: HashMap::new(), secrets: 0 };
    let open = |name: &str| File::open(house.path(name)).with_context(|| format!("there is no {name}"));
    for line in BufReader::new(open("access.jsonl")?).lines() {
        let line = line?;
        logs.secrets += u64::from(line.contains("sk-"));
        let line: Line =
            serde_json::from_str(&line).with_context(|| format!("no line of the log: {line}"))?;
        logs.lines.entry(line.request_id.clone()).and_modify(|(_, times)| *times += 1).or_insert((line, 1));
    }
    for line in BufReader::new(open("log")?).lines() {
        logs.secrets += u64::from(line?.contains("sk-"));
    }
    Ok(logs)
}

/// Served requests by the metrics, once these know of so many requests.
async fn metrics(house: &House, requests: u64) -> anyhow::Result<u64> {
    let begun = Instant::now();
    loop {
        let (_, text) = house.ask_admin("/metrics", None).await?;
        let of = |part: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with("keywheel_requests_total{"));
            let numbers = lines.filter(|line| line.contains(part)).filter_map(|line| line.rsplit(' ').next());
            numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
        };
        if of("") >= requests || begun.elapsed() > RECORDED_WITHIN {
            return Ok(of("ending=\"served\""));
        }
        sleep(Duration::from_millis(10)).await;
    }
}
