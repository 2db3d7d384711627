//! The rate against the rate that was permitted.

use super::markup::Html;
use super::numbers::{per_second, seconds};
use super::picture::{Canvas, picture};
use super::span::Span;
use super::work::{columns, most, plot, rates, say_cut, top};
use crate::batch::chronicle::Chronicle;
use crate::batch::chronicle::record::Permitted;

const HEIGHT: f64 = 230.0;

/// Rows of the table behind the picture.
const TABLE_ROWS_MAX: usize = 20;

/// The section.
pub(super) fn section(html: &mut Html, chronicle: &Chronicle) {
    html.element("section", &[("id", "rate")], |html| {
        html.words("h2", &[], "Rate against permitted rate");
        html.words(
            "p",
            &[],
            "The area is what was sent, the line what the limits of the keys in use permit in the long run. \
             A burst may stand above it.",
        );
        picture(
            html,
            "Calls a second and the permitted rate over time",
            |_| HEIGHT,
            |html, canvas| {
                draw(html, canvas, chronicle);
            },
        );
        table(html, chronicle);
    });
}

fn draw(html: &mut Html, canvas: Canvas, chronicle: &Chronicle) {
    let span = Span::of(chronicle, columns(canvas, chronicle));
    let sent = rates(&span, &chronicle.work().merged(span.merge));
    let permitted = permitted(chronicle, span.merge, sent.len());
    let plot = plot(canvas, &span, top(&sent).max(most(&permitted)));
    plot.rate_axis(html);
    let edges = |count: usize| -> Vec<(f64, f64)> { (0..count).map(|column| span.column(column)).collect() };
    let area = plot.band(&edges(sent.len()), &vec![0.0; sent.len()], &sent);
    html.shape("path", &[("class", "sent"), ("d", &area)], "sent");
    if permitted.iter().any(|rate| *rate > 0.0) {
        let line = plot.steps(&edges(permitted.len()), &permitted);
        html.shape("path", &[("class", "permitted"), ("d", &line)], "permitted");
    }
    say_cut(html, &plot, &sent);
    plot.time_axis(html, canvas);
}

/// The permitted rate in each column; between two looks at it, it is what it was.
fn permitted(chronicle: &Chronicle, merge: usize, columns: usize) -> Vec<f64> {
    let known: Vec<Option<f64>> =
        chronicle.permitted().merged(merge).into_iter().map(Permitted::per_second).collect();
    let Some(mut last) = known.iter().flatten().next().copied() else {
        return Vec::new();
    };
    (0..columns.max(known.len()))
        .map(|column| {
            last = known.get(column).copied().flatten().unwrap_or(last);
            last
        })
        .collect()
}

fn table(html: &mut Html, chronicle: &Chronicle) {
    let span = Span::of(chronicle, TABLE_ROWS_MAX);
    let work = chronicle.work().merged(span.merge);
    let permitted = permitted(chronicle, span.merge, work.len());
    html.element("details", &[], |html| {
        html.words("summary", &[], "As a table");
        html.element("div", &[("class", "scroll")], |html| {
            html.element("table", &[], |html| {
                html.raw("<thead><tr><th>from</th><th>to</th><th>ok</th><th>throttled</th><th>failed</th><th>a second</th><th>permitted</th></tr></thead>");
                html.element("tbody", &[], |html| {
                    for (place, work) in work.iter().enumerate() {
                        let (from, to) = span.column(place);
                        let rate = span.per_second(place, work.calls());
                        let cells = [
                            seconds(to),
                            work.ok.to_string(),
                            work.throttled.to_string(),
                            work.failed.to_string(),
                            per_second(rate),
                            permitted.get(place).map_or_else(String::new, |rate| per_second(*rate)),
                        ];
                        html.element("tr", &[], |html| {
                            html.words("th", &[], &seconds(from));
                            for cell in &cells {
                                html.words("td", &[], cell);
                            }
                        });
                    }
                });
            });
        });
    });
}
