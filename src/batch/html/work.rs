//! Work over time: what each key did, stacked, and when it rested.

use std::cmp::Reverse;

use super::markup::Html;
use super::numbers::{per_second, seconds};
use super::picture::{Canvas, Plot, picture, rect, text};
use super::span::Span;
use crate::batch::chronicle::Chronicle;
use crate::batch::chronicle::record::{KeyRecord, Work};
use crate::ui::fit::cut;
use crate::ui::number::count;

/// Keys with a colour of their own: more can't be told apart.
const COLOURS: usize = 10;

/// Keys with a lane and a name of their own; the others have a thin line each.
const NAMED_LANES_MAX: usize = 24;

const HEIGHT: f64 = 230.0;
const LANE: f64 = 16.0;
const THIN_LANE: f64 = 4.0;
/// Steps of how busy a key is.
const LEVELS: usize = 5;

const COLOUR_CLASSES: [&str; COLOURS] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"];

/// The keys, the busiest first.
pub(super) fn busiest(chronicle: &Chronicle) -> Vec<&KeyRecord> {
    let mut keys: Vec<&KeyRecord> = chronicle.keys().iter().collect();
    keys.sort_by_cached_key(|key| (Reverse(key.work.total().calls()), key.id.clone()));
    keys
}

/// One layer of the stack.
struct Layer<'a> {
    class: &'static str,
    name: String,
    keys: Vec<&'a KeyRecord>,
}

fn layers<'a>(chronicle: &Chronicle, keys: &[&'a KeyRecord]) -> Vec<Layer<'a>> {
    let keys: Vec<&KeyRecord> = keys.iter().copied().filter(|key| key.work.total().calls() > 0).collect();
    let own = if keys.len() > COLOURS { COLOURS - 1 } else { keys.len() };
    let mut layers: Vec<Layer<'a>> = keys[..own]
        .iter()
        .zip(COLOUR_CLASSES)
        .map(|(key, class)| Layer { class, name: key.id.to_string(), keys: vec![key] })
        .collect();
    let others = &keys[own..];
    let told: u64 = keys.iter().map(|key| key.work.total().calls()).sum();
    if !others.is_empty() || told < chronicle.work().total().calls() {
        let name = format!("{} other keys", count(others.len() as u64));
        layers.push(Layer { class: "cx", name, keys: others.to_vec() });
    }
    layers
}

/// The section.
pub(super) fn section(html: &mut Html, chronicle: &Chronicle) {
    let keys = busiest(chronicle);
    let layers = layers(chronicle, &keys);
    html.element("section", &[("id", "work")], |html| {
        html.words("h2", &[], "Work over time");
        html.words(
            "p",
            &[],
            "Calls a second by the time that they began, each key on top of the one before.",
        );
        picture(
            html,
            "Calls a second by key over time",
            |_| HEIGHT,
            |html, canvas| {
                stack(html, canvas, chronicle, &layers);
            },
        );
        legend(html, &layers);
        html.words("h3", &[], "Each key, and when it rested");
        html.words(
            "p",
            &[],
            "The stronger the colour, the more calls. Hatched: it rested; a pointer that rests there is told why.",
        );
        let named = keys.len().min(NAMED_LANES_MAX);
        let height = |_| 26.0 + named as f64 * LANE + (keys.len() - named) as f64 * THIN_LANE;
        picture(html, "What each key did over time, and when it rested", height, |html, canvas| {
            lanes(html, canvas, chronicle, &keys);
        });
        table(html, &keys);
    });
}

fn stack(html: &mut Html, canvas: Canvas, chronicle: &Chronicle, layers: &[Layer<'_>]) {
    let span = Span::of(chronicle, columns(canvas, chronicle));
    let all = rates(&span, &chronicle.work().merged(span.merge));
    let edges: Vec<(f64, f64)> = (0..all.len()).map(|column| span.column(column)).collect();
    let plot = plot(canvas, &span, top(&all));
    plot.rate_axis(html);
    let mut low = vec![0.0; all.len()];
    for layer in layers {
        let high = if layer.class == "cx" {
            // What is left is theirs, also of keys without books of their own.
            all.clone()
        } else {
            let mut high = low.clone();
            for key in &layer.keys {
                let own = rates(&span, &key.work.merged(span.merge));
                high.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            }
            high
        };
        let calls: u64 = layer.keys.iter().map(|key| key.work.total().calls()).sum();
        let title = format!("{}: {} calls", layer.name, count(calls));
        html.shape("path", &[("class", layer.class), ("d", &plot.band(&edges, &low, &high))], &title);
        low = high;
    }
    say_cut(html, &plot, &all);
    plot.time_axis(html, canvas);
}

/// Columns of time that suit a run and a picture.
pub(super) fn columns(canvas: Canvas, chronicle: &Chronicle) -> usize {
    canvas.columns_max(chronicle.work().total().calls())
}

pub(super) fn rates(span: &Span, columns: &[Work]) -> Vec<f64> {
    columns.iter().enumerate().map(|(place, work)| span.per_second(place, work.calls())).collect()
}

pub(super) fn plot(canvas: Canvas, span: &Span, y_most: f64) -> Plot {
    Plot {
        left: 38.0,
        right: canvas.width - 4.0,
        top: 24.0,
        bottom: HEIGHT - 22.0,
        x_most: span.seconds,
        y_most: y_most * 1.05,
    }
}

/// The largest of them, and never nothing.
pub(super) fn most(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(0.0, f64::max);
    if most > 0.0 { most } else { 1.0 }
}

/// How far up a picture goes: to the largest, unless a few are far above all others, such as the burst that
/// a run begins with. Those are cut.
pub(super) fn top(values: &[f64]) -> f64 {
    /// One of twenty may be cut, if that makes the others twice as tall.
    const CUT_SHARE: usize = 20;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let calm = sorted.get(sorted.len().saturating_sub(1 + sorted.len() / CUT_SHARE)).copied().unwrap_or(0.0);
    let most = most(values);
    if calm > 0.0 && most > calm * 2.0 { calm * 1.3 } else { most }
}

/// Says what was cut, if something was.
pub(super) fn say_cut(html: &mut Html, plot: &Plot, values: &[f64]) {
    let most = most(values);
    if most > plot.y_most {
        let said = format!("cut off: peak of {} a second", per_second(most));
        text(html, "axis", "end", (plot.right, plot.top - 8.0), &said);
    }
}

fn legend(html: &mut Html, layers: &[Layer<'_>]) {
    html.element("ul", &[("class", "legend")], |html| {
        for layer in layers {
            html.element("li", &[], |html| {
                html.raw("<svg viewBox=\"0 0 10 10\" aria-hidden=\"true\">");
                rect(html, layer.class, (0.0, 0.0), (10.0, 10.0), "");
                html.raw("</svg>");
                html.words("bdi", &[], &layer.name);
            });
        }
    });
}

fn lanes(html: &mut Html, canvas: Canvas, chronicle: &Chronicle, keys: &[&KeyRecord]) {
    let span = Span::of(chronicle, columns(canvas, chronicle));
    let busy: Vec<Vec<f64>> = keys.iter().map(|key| rates(&span, &key.work.merged(span.merge))).collect();
    let most = busy.iter().map(|rates| top(rates)).fold(0.0, f64::max);
    let (left, name_cells) = if canvas.is_narrow() { (92.0, 12) } else { (190.0, 27) };
    let several_providers = keys.windows(2).any(|pair| pair[0].id.provider != pair[1].id.provider);
    let named = keys.len().min(NAMED_LANES_MAX);
    let bottom = named as f64 * LANE + (keys.len() - named) as f64 * THIN_LANE + 4.0;
    let plot = Plot { left, right: canvas.width - 4.0, top: 0.0, bottom, x_most: span.seconds, y_most: 1.0 };
    let mut y = 0.0;
    for (place, (key, rates)) in keys.iter().zip(&busy).enumerate() {
        let (step, gap) = if place < named { (LANE, 3.0) } else { (THIN_LANE, 1.0) };
        let name = key.id.to_string();
        if place < named {
            let label = if several_providers { name.clone() } else { key.id.key.to_string() };
            text(html, "name", "end", (left - 8.0, y + 10.5), &cut(&label, name_cells));
        }
        let calls = key.work.total().calls();
        let title = format!("{name}: {} calls", count(calls));
        rect(html, "lane", (left, y), (plot.right - left, step - gap), &title);
        levels(html, &plot, &span, rates, most, (y, step - gap));
        for rest in key.rests.all() {
            let (from, to) = (span.at(rest.from), span.at(rest.to));
            let times =
                if rest.times > 1 { format!(" ({} times)", count(rest.times)) } else { String::new() };
            let title =
                format!("{name} rests{times}: {}, from {} to {}", rest.cause, seconds(from), seconds(to));
            // A rest of a moment is still to be seen.
            let width = (plot.x(to) - plot.x(from)).max(1.5);
            rect(html, "rest", (plot.x(from), y), (width, step - gap), &title);
        }
        y += step;
    }
    plot.time_axis(html, canvas);
}

/// One path for all columns that are as busy: a picture of 256 keys stays small.
fn levels(html: &mut Html, plot: &Plot, span: &Span, rates: &[f64], most: f64, (y, height): (f64, f64)) {
    use super::numbers::coordinate;
    const CLASSES: [&str; LEVELS] = ["l1", "l2", "l3", "l4", "l5"];
    let mut paths: [String; LEVELS] = Default::default();
    for (column, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of five")]
        let level = ((rate / most * LEVELS as f64).ceil() as usize).clamp(1, LEVELS) - 1;
        let (from, to) = span.column(column);
        let (from, to) = (plot.x(from), plot.x(to));
        let [x, y, width, height] = [from, y, to - from, height].map(coordinate);
        paths[level].extend(["M", &x, " ", &y, "h", &width, "v", &height, "h-", &width, "z"]);
    }
    for (class, path) in CLASSES.into_iter().zip(paths).filter(|(_, path)| !path.is_empty()) {
        html.shape("path", &[("class", class), ("d", &path)], "");
    }
}

fn table(html: &mut Html, keys: &[&KeyRecord]) {
    let rested = keys.iter().filter(|key| !key.rests.all().is_empty());
    html.element("details", &[], |html| {
        html.words("summary", &[], "Rests as a table");
        html.element("div", &[("class", "scroll")], |html| {
            html.element("table", &[], |html| {
                html.raw(
                    "<thead><tr><th>key</th><th>cause</th><th>rested</th><th>permitted</th></tr></thead>",
                );
                html.element("tbody", &[], |html| {
                    for key in rested {
                        for (cause, rest) in key.rests.by_cause() {
                            row(html, key, cause, rest.as_secs_f64());
                        }
                    }
                });
            });
        });
    });
}

fn row(html: &mut Html, key: &KeyRecord, cause: &str, rest_s: f64) {
    html.element("tr", &[], |html| {
        html.element("th", &[], |html| html.words("bdi", &[], &key.id.to_string()));
        html.words("td", &[], cause);
        html.words("td", &[], &seconds(rest_s));
        let rate = key.permitted_per_second.map(|rate| format!("{} /s", per_second(rate)));
        html.words("td", &[], &rate.unwrap_or_default());
    });
}
