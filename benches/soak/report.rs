//! What was seen on the way and in the end, and what was to be.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Serialize;

use crate::books::Joined;
use crate::crowd::{Crowd, Ending, Saw, is_stream};
use crate::house::DEADLINE;
use crate::process::Process;
use crate::unrest::Unrest;

/// An ending comes no later than this after its deadline.
const LATE: Duration = Duration::from_secs(1);
/// From the end of this tenth on memory is to be flat: before it connections are opened and buffers find their size.
const WARM: usize = 2;
/// The allocator keeps what it has had; a leak of 100 bytes a request would be 72 MB in an hour.
const GROWTH_MAX: f64 = 1.15;
/// Streams that break after they have begun can't be repaired; whole answers can.
const SERVED_MIN: f64 = 0.99;

/// What was seen at the end of a tenth.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Tenth {
    after_s: f64,
    sent: u64,
    ended: u64,
    served: u64,
    pub(crate) memory_mb: f64,
    cpu_s: f64,
}

impl Tenth {
    pub(crate) fn now(crowd: &Crowd, gateway: &Process, after: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            after_s: after.as_secs_f64(),
            sent: crowd.sent.load(Relaxed),
            ended: crowd.ended.load(Relaxed),
            served: crowd.served.load(Relaxed),
            memory_mb: gateway.memory_mb()?,
            cpu_s: gateway.cpu_s()?,
        })
    }
}

impl fmt::Display for Tenth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after_s, sent, ended, served, memory_mb, cpu_s } = self;
        let minutes = after_s / 60.0;
        let (under_way, cpu_us) = (sent.saturating_sub(*ended), cpu_s * 1e6 / (*ended).max(1) as f64);
        write!(
            f,
            "{minutes:6.1} min: {sent} sent, {served} served, {under_way} under way, {memory_mb:.1} MB, \
             {cpu_us:.0} µs of CPU a request"
        )
    }
}

/// One target.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Target {
    what: &'static str,
    wanted: String,
    reached: f64,
    pub(crate) met: bool,
}

impl Target {
    fn none(what: &'static str, reached: u64) -> Self {
        Self { what, wanted: "0".to_owned(), reached: reached as f64, met: reached == 0 }
    }

    fn at_most(what: &'static str, most: f64, reached: f64) -> Self {
        Self { what, wanted: format!("≤ {most}"), reached, met: reached <= most }
    }

    fn at_least(what: &'static str, least: f64, reached: f64) -> Self {
        Self { what, wanted: format!("≥ {least}"), reached, met: reached >= least }
    }
}

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rate: u32,
    requests: u64,
    served: u64,
    told: u64,
    left: u64,
    plain_served_share: f64,
    stream_served_share: f64,
    longest_s: f64,
    unrest: Unrest,
    tenths: Vec<Tenth>,
    joined: Joined,
    pub(crate) targets: Vec<Target>,
}

impl Report {
    pub(crate) fn of(rate: u32, tenths: Vec<Tenth>, unrest: Unrest, saw: &[Saw], joined: Joined) -> Self {
        let count = |ending| saw.iter().filter(|saw| saw.ending == ending).count() as u64;
        let share = |wants_stream: bool| {
            let those = saw.iter().filter(|saw| is_stream(saw.number) == wants_stream);
            let (served, all) =
                those.filter(|saw| saw.ending != Ending::Left).fold((0, 0), |(served, all), saw| {
                    (served + u64::from(saw.ending == Ending::Whole), all + 1)
                });
            served as f64 / f64::from(u32::try_from(all.max(1)).unwrap_or(u32::MAX))
        };
        let longest = saw.iter().map(|saw| saw.took).max().unwrap_or_default();
        let late = saw.iter().filter(|saw| saw.took > DEADLINE + LATE).count() as u64;
        let memory: Vec<f64> = tenths.iter().map(|tenth| tenth.memory_mb).collect();
        let growth = memory[WARM..].iter().copied().fold(0.0, f64::max) / memory[WARM];
        let targets = vec![
            Target::none("requests that ended later than a second after their deadline", late),
            Target::none("answers that looked whole and weren't, or told nothing", count(Ending::Broken)),
            Target::none("requests that aren't in the access log once", joined.not_logged_once),
            Target::none("requests of which log and client tell otherwise", joined.told_otherwise),
            Target::none("requests with calls that the log doesn't know", joined.calls_unknown),
            Target::none("calls of nobody", joined.calls_of_nobody),
            Target::none("served requests by which the metrics are off", joined.metrics_off),
            Target::none("calls beyond a declared limit", joined.beyond_limits),
            Target::none("lines of log with a key", joined.secrets),
            Target::at_least("share of whole answers that were served", SERVED_MIN, share(false)),
            Target::at_most("most memory beside that after three tenths", GROWTH_MAX, growth),
        ];
        Self {
            rate,
            requests: saw.len() as u64,
            served: count(Ending::Whole),
            told: count(Ending::Told),
            left: count(Ending::Left),
            plain_served_share: share(false),
            stream_served_share: share(true),
            longest_s: longest.as_secs_f64(),
            unrest,
            tenths,
            joined,
            targets,
        }
    }
}

/// For people.
pub(crate) fn print(report: &Report) {
    let Report { rate, requests, served, told, left, longest_s, unrest, joined, .. } = report;
    println!(
        "\n{requests} requests at {rate} a second: {served} served, {told} were told what went wrong, {left} left; \
         the longest took {longest_s:.1} s"
    );
    println!(
        "of whole answers {:.2} % were served, of streams {:.2} %",
        report.plain_served_share * 100.0,
        report.stream_served_share * 100.0
    );
    let Joined { calls, calls_failed, calls_throttled, .. } = joined;
    println!("{calls} calls, of which {calls_failed} failed and {calls_throttled} were throttled");
    let Unrest { reloads, refused_reloads, dead_keys, outages } = unrest;
    println!(
        "{reloads} reloads and {refused_reloads} that were refused, {dead_keys} dead keys, {outages} outages\n"
    );
    for Target { what, wanted, reached, met } in &report.targets {
        println!("{} {what}: {reached:.3} ({wanted})", if *met { "met   " } else { "MISSED" });
    }
}
