//! How long calls took.

use super::markup::Html;
use super::numbers::duration;
use super::picture::{Canvas, Plot, line, picture, rect, text};
use crate::batch::chronicle::Chronicle;
use crate::batch::chronicle::latency::{Bin, Latency};
use crate::ui::number::{count, percent};

/// What is told in figures, with the name that programs find it by.
const PERCENTILES: [(&str, &str, f64); 5] = [
    ("p50", "p50", 50.0),
    ("p90", "p90", 90.0),
    ("p99", "p99", 99.0),
    ("p99.9", "p999", 99.9),
    ("max", "max", 100.0),
];

/// Bins for each power of ten.
const BINS_PER_TENFOLD: u32 = 10;

const HEIGHT: f64 = 220.0;

/// The section.
pub(super) fn section(html: &mut Html, chronicle: &Chronicle) {
    let latency = chronicle.latency();
    html.element("section", &[("id", "latency")], |html| {
        html.words("h2", &[], "How long calls took");
        if latency.calls() == 0 {
            html.words("p", &[], "No call succeeded.");
            return;
        }
        html.words("p", &[], &format!("Of the {} calls that succeeded.", count(latency.calls())));
        figures(html, latency);
        let bins = latency.bins(BINS_PER_TENFOLD);
        picture(
            html,
            "Distribution of latencies on a logarithmic axis",
            |_| HEIGHT,
            |html, canvas| {
                draw(html, canvas, latency, &bins);
            },
        );
        table(html, latency, &bins);
    });
}

fn figures(html: &mut Html, latency: &Latency) {
    html.element("dl", &[("class", "tiles")], |html| {
        let mut tile = |name: &str, id: &str, took| {
            html.element("div", &[], |html| {
                html.words("dt", &[], name);
                let micros = std::time::Duration::as_micros(&took).to_string();
                html.words("dd", &[("data-name", id), ("data-value", &micros)], &duration(took));
            });
        };
        for (name, id, percentile) in PERCENTILES {
            if let Some(took) = latency.percentile(percentile) {
                tile(name, &format!("latency_{id}_us"), took);
            }
        }
        if let Some(mean) = latency.mean() {
            tile("mean", "latency_mean_us", mean);
        }
    });
}

fn draw(html: &mut Html, canvas: Canvas, latency: &Latency, bins: &[Bin]) {
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return;
    };
    // On the axis a power of ten is `BINS_PER_TENFOLD` wide, and the first bin begins at 0.
    let log = |micros: f64| micros.max(1.0).log10() * f64::from(BINS_PER_TENFOLD);
    let start = log(first.at_most.as_secs_f64() * 1e6) - 1.0;
    let end = log(last.at_most.as_secs_f64() * 1e6);
    let most = bins.iter().map(|bin| bin.calls).max().unwrap_or(1);
    let plot = Plot {
        left: 8.0,
        right: canvas.width - 8.0,
        top: 54.0,
        bottom: HEIGHT - 22.0,
        x_most: end - start,
        y_most: most as f64,
    };
    for (place, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.calls > 0) {
        let (from, to) = (plot.x(place as f64), plot.x(place as f64 + 1.0));
        let share = percent(bin.calls as f64 / latency.calls() as f64, 1);
        let title = format!("up to {}: {} calls, {share}", duration(bin.at_most), count(bin.calls));
        let y = plot.y(bin.calls as f64).min(plot.bottom - 1.0);
        rect(html, "bar", (from + 0.5, y), (to - from - 1.0, plot.bottom - y), &title);
    }
    marks(html, &plot, start, end, log);
    for (row, (name, _, percentile)) in PERCENTILES[..4].iter().enumerate() {
        let Some(took) = latency.percentile(*percentile) else { continue };
        let x = plot.x(log(took.as_secs_f64() * 1e6) - start);
        // Labels on rows of their own can't run into each other.
        let y = 12.0 + row as f64 * 12.0;
        line(html, "mark", (x, y + 3.0), (x, plot.bottom));
        let (anchor, x) = if x > canvas.width / 2.0 { ("end", x - 3.0) } else { ("start", x + 3.0) };
        text(html, "axis", anchor, (x, y + 4.0), &format!("{name} {}", duration(took)));
    }
    line(html, "base", (plot.left, plot.bottom), (plot.right, plot.bottom));
}

/// 1, 2 and 5 of each power of ten, as far as there is room.
fn marks(html: &mut Html, plot: &Plot, start: f64, end: f64, log: impl Fn(f64) -> f64) {
    let room = (plot.right - plot.left) / 64.0;
    let factors: &[f64] = if end - start <= room * 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let mut power = 1.0;
    while power < 1e10 {
        for factor in factors {
            let micros = power * factor;
            let at = log(micros) - start;
            if at >= 0.0 && at <= end - start {
                let x = plot.x(at);
                line(html, "grid", (x, plot.bottom), (x, plot.bottom + 4.0));
                let anchor = if at > (end - start) * 0.95 {
                    "end"
                } else if at < (end - start) * 0.05 {
                    "start"
                } else {
                    "middle"
                };
                text(html, "axis", anchor, (x, plot.bottom + 17.0), &mark(micros));
            }
        }
        power *= 10.0;
    }
}

/// A round duration.
fn mark(micros: f64) -> String {
    match micros {
        _ if micros < 1e3 => format!("{micros:.0} µs"),
        _ if micros < 1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.0} s", micros / 1e6),
    }
}

fn table(html: &mut Html, latency: &Latency, bins: &[Bin]) {
    html.element("details", &[], |html| {
        html.words("summary", &[], "As a table");
        html.element("div", &[("class", "scroll")], |html| {
            html.element("table", &[], |html| {
                html.raw("<thead><tr><th>up to</th><th>calls</th><th>of all so far</th></tr></thead>");
                html.element("tbody", &[], |html| {
                    let mut so_far = 0;
                    for bin in bins {
                        so_far += bin.calls;
                        html.element("tr", &[], |html| {
                            html.words("th", &[], &duration(bin.at_most));
                            html.words("td", &[], &count(bin.calls));
                            html.words("td", &[], &percent(so_far as f64 / latency.calls() as f64, 1));
                        });
                    }
                });
            });
        });
    });
}
