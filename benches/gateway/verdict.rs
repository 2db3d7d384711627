//! What was to be reached, and what was.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::measure::{Drip, Figures, Unrest};

/// Everything measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) client: &'static str,
    pub(crate) contenders: Vec<Figures>,
    pub(crate) slow_streams: Vec<Drip>,
    pub(crate) unrest: Unrest,
    pub(crate) targets: Vec<Target>,
}

/// One target.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) wanted: String,
    pub(crate) reached: f64,
    pub(crate) met: bool,
}

impl Target {
    fn at_most(what: &'static str, most: f64, reached: f64) -> Self {
        Self { what, wanted: format!("≤ {most}"), reached, met: reached <= most }
    }

    fn at_least(what: &'static str, least: f64, reached: f64) -> Self {
        Self { what, wanted: format!("≥ {least}"), reached, met: reached >= least }
    }
}

/// The targets; those beside nginx only where it was measured.
pub(crate) fn targets(contenders: &[Figures], slow: &[Drip], unrest: &Unrest) -> Vec<Target> {
    let of = |name: &str| contenders.iter().find(|figures| figures.name == name);
    let Some(ours) = of("keywheel serve") else { return Vec::new() };
    let mut targets = Vec::new();
    if let Some(bare) = of("bare hyper + reqwest") {
        let share = ours.cpu_us_per_request / bare.cpu_us_per_request;
        targets.push(Target::at_most("CPU per request beside the bare pass-through", 1.5, share));
    }
    if let Some(nginx) = of("nginx") {
        targets.extend([
            Target::at_most(
                "CPU per request beside nginx",
                3.0,
                ours.cpu_us_per_request / nginx.cpu_us_per_request,
            ),
            Target::at_most("p50 at low load over nginx, µs", 150.0, ours.p50_us - nginx.p50_us),
            Target::at_least(
                "streams per second beside nginx",
                0.7,
                ours.streams_per_second / nginx.streams_per_second,
            ),
            Target::at_most(
                "CPU per stream beside nginx",
                2.0,
                ours.cpu_us_per_stream / nginx.cpu_us_per_stream,
            ),
        ]);
    }
    for drip in slow.iter().filter(|drip| drip.name == ours.name) {
        targets.push(Target::at_most("memory while 1,000 streams drip, growth", 1.05, drip.growth()));
        targets.push(Target::at_least("of them whole", drip.streams as f64, drip.whole as f64));
    }
    let failed = (ours.failed + unrest.failed) as f64;
    targets.push(Target::at_most("failed requests while keys rest and reload", 0.0, failed));
    targets
}

/// For people.
pub(crate) fn print(report: &Report) {
    let direct = report.contenders.first();
    let (direct_p50, direct_p99) = direct.map_or((0.0, 0.0), |direct| (direct.p50_us, direct.p99_us));
    let mut table = table(&[
        "",
        "requests/s",
        "CPU µs/request",
        "p50 µs (added)",
        "p99 µs (added)",
        "streams/s",
        "CPU µs/stream",
        "memory MB",
        "failed",
    ]);
    for figures in &report.contenders {
        table.add_row([
            figures.name.to_owned(),
            format!("{:.0}", figures.requests_per_second),
            format!("{:.1}", figures.cpu_us_per_request),
            format!("{:.0} ({:+.0})", figures.p50_us, figures.p50_us - direct_p50),
            format!("{:.0} ({:+.0})", figures.p99_us, figures.p99_us - direct_p99),
            format!("{:.0}", figures.streams_per_second),
            format!("{:.1}", figures.cpu_us_per_stream),
            format!("{:.1}", figures.memory_mb),
            figures.failed.to_string(),
        ]);
    }
    println!("client: {}; `direct` is the simulator itself, its CPU included\n\n{table}\n", report.client);
    for drip in &report.slow_streams {
        let samples: Vec<_> = drip.memory_mb.iter().map(|mb| format!("{mb:.1}")).collect();
        let (name, whole, streams) = (drip.name, drip.whole, drip.streams);
        println!(
            "{name}: {whole} of {streams} slow streams whole; memory {:.1} MB before, then {} MB",
            drip.before_mb,
            samples.join(", ")
        );
    }
    let Unrest { served, failed, throttled_upstream, reloads } = &report.unrest;
    println!(
        "unrest: {served} served, {failed} failed, {throttled_upstream} refusals of keys and {reloads} reloads \
         that no client saw\n"
    );
    let mut table = self::table(&["target", "wanted", "reached", ""]);
    for target in &report.targets {
        table.add_row([
            target.what.to_owned(),
            target.wanted.clone(),
            format!("{:.2}", target.reached),
            if target.met { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    println!("{table}");
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().copied());
    table
}
