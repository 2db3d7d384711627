//! What became of calls that went wrong, as streams from cause to action to end.

use std::collections::BTreeMap;

use super::markup::Html;
use super::numbers::coordinate;
use super::picture::{Canvas, picture, rect, text};
use crate::batch::chronicle::Chronicle;
use crate::batch::chronicle::flow::{FlowAction, FlowCause, RowEnd};
use crate::ui::number::count;

const NODE_WIDTH: f64 = 10.0;
/// Between two nodes, with room for the label of a thin one.
const GAP: f64 = 18.0;
/// All streams together.
const STREAMS_HEIGHT: f64 = 150.0;
/// The thinnest stream that is still seen.
const THINNEST: f64 = 1.5;

/// A place that streams come from or go to.
struct Node {
    name: &'static str,
    class: &'static str,
    calls: u64,
}

/// The three columns, and the streams between each two, by the places of their nodes.
struct Streams {
    columns: [Vec<Node>; 3],
    links: [BTreeMap<(usize, usize), u64>; 2],
}

/// The section.
pub(super) fn section(html: &mut Html, chronicle: &Chronicle) {
    html.element("section", &[("id", "flow")], |html| {
        html.words("h2", &[], "What became of calls that went wrong");
        let streams = Streams::of(chronicle);
        if streams.columns[0].is_empty() {
            html.words("p", &[], "No call went wrong.");
            return;
        }
        html.words("p", &[], "Why they did, what was done about it, and how their rows ended.");
        picture(
            html,
            "Streams of calls from the cause through what was done to how the row ended",
            |_| streams.height(),
            |html, canvas| streams.draw(html, canvas),
        );
        table(html, chronicle);
    });
}

impl Streams {
    fn of(chronicle: &Chronicle) -> Self {
        let mut causes: BTreeMap<FlowCause, u64> = BTreeMap::new();
        let mut actions: BTreeMap<FlowAction, u64> = BTreeMap::new();
        let mut ends: BTreeMap<RowEnd, u64> = BTreeMap::new();
        for (cause, action, end, calls) in chronicle.flow().calls() {
            *causes.entry(cause).or_default() += calls;
            *actions.entry(action).or_default() += calls;
            *ends.entry(end).or_default() += calls;
        }
        let mut causes: Vec<(FlowCause, u64)> = causes.into_iter().collect();
        causes.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        let actions: Vec<(FlowAction, u64)> = actions.into_iter().collect();
        let ends: Vec<(RowEnd, u64)> = ends.into_iter().collect();
        let mut links = [BTreeMap::new(), BTreeMap::new()];
        for (cause, action, end, calls) in chronicle.flow().calls() {
            let cause = causes.iter().position(|(known, _)| *known == cause);
            let action = actions.iter().position(|(known, _)| *known == action);
            let end = ends.iter().position(|(known, _)| *known == end);
            if let (Some(cause), Some(action), Some(end)) = (cause, action, end) {
                *links[0].entry((cause, action)).or_default() += calls;
                *links[1].entry((action, end)).or_default() += calls;
            }
        }
        let node = |name, class, calls| Node { name, class, calls };
        let end_class = |end| match end {
            RowEnd::Ok => "good",
            RowEnd::Failed => "bad",
        };
        Self {
            columns: [
                causes.into_iter().map(|(cause, calls)| node(cause.as_str(), "cause", calls)).collect(),
                actions.into_iter().map(|(action, calls)| node(action.as_str(), "action", calls)).collect(),
                ends.into_iter().map(|(end, calls)| node(end.as_str(), end_class(end), calls)).collect(),
            ],
            links,
        }
    }

    fn total(&self) -> u64 {
        self.columns[0].iter().map(|node| node.calls).sum::<u64>().max(1)
    }

    fn thickness(&self, calls: u64) -> f64 {
        calls as f64 / self.total() as f64 * STREAMS_HEIGHT
    }

    fn height(&self) -> f64 {
        let most = self.columns.iter().map(Vec::len).max().unwrap_or(0);
        STREAMS_HEIGHT + most as f64 * GAP + 8.0
    }

    /// Where each node of a column begins.
    fn tops(&self, column: usize) -> Vec<f64> {
        let mut y = 6.0;
        let nodes = self.columns[column].iter();
        nodes
            .map(|node| {
                let top = y;
                y += self.thickness(node.calls) + GAP;
                top
            })
            .collect()
    }

    fn draw(&self, html: &mut Html, canvas: Canvas) {
        let xs = [2.0, canvas.width * 0.44, canvas.width - 2.0 - NODE_WIDTH];
        for side in 0..2 {
            let (mut from, mut to) = (self.tops(side), self.tops(side + 1));
            for ((left, right), calls) in &self.links[side] {
                let thickness = self.thickness(*calls);
                let (y1, y2) = (from[*left] + thickness / 2.0, to[*right] + thickness / 2.0);
                from[*left] += thickness;
                to[*right] += thickness;
                let (x1, x2) = (xs[side] + NODE_WIDTH, xs[side + 1]);
                let middle = f64::midpoint(x1, x2);
                let [x1, y1, x2, y2, middle] = [x1, y1, x2, y2, middle].map(coordinate);
                let path = format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}");
                let title = format!(
                    "{} → {}: {}",
                    self.columns[side][*left].name,
                    self.columns[side + 1][*right].name,
                    count(*calls)
                );
                let width = coordinate(thickness.max(THINNEST));
                html.shape("path", &[("class", "stream"), ("d", &path), ("stroke-width", &width)], &title);
            }
        }
        for (column, x) in xs.iter().enumerate() {
            for (node, top) in self.columns[column].iter().zip(self.tops(column)) {
                let height = self.thickness(node.calls).max(THINNEST);
                let label = format!("{} {}", node.name, count(node.calls));
                rect(html, node.class, (*x, top), (NODE_WIDTH, height), &label);
                let (anchor, at) =
                    if column == 2 { ("end", x - 6.0) } else { ("start", x + NODE_WIDTH + 6.0) };
                text(html, "label", anchor, (at, top + height / 2.0 + 4.0), &label);
            }
        }
    }
}

fn table(html: &mut Html, chronicle: &Chronicle) {
    html.element("details", &[], |html| {
        html.words("summary", &[], "As a table");
        html.element("div", &[("class", "scroll")], |html| {
            html.element("table", &[], |html| {
                html.raw("<thead><tr><th>cause</th><th>action</th><th>end</th><th>calls</th></tr></thead>");
                html.element("tbody", &[], |html| {
                    for (cause, action, end, calls) in chronicle.flow().calls() {
                        html.element("tr", &[("data-flow", cause.as_str())], |html| {
                            html.words("th", &[], cause.as_str());
                            html.words("td", &[], action.as_str());
                            html.words("td", &[], end.as_str());
                            html.words("td", &[("data-calls", &calls.to_string())], &count(calls));
                        });
                    }
                });
            });
        });
    });
}
