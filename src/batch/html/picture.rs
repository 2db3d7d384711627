//! What all pictures have in common: two sizes, a name, axes.

use super::markup::Html;
use super::numbers::{coordinate, per_second, seconds, step, step_s};

/// One of the two sizes of each picture.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Canvas {
    /// Its width.
    pub width: f64,
    /// The class that shows it on the right pages.
    class: &'static str,
}

impl Canvas {
    /// For screens and paper.
    const WIDE: Self = Self { width: 960.0, class: "wide" };
    /// For phones: letters are as large as on the others.
    const NARROW: Self = Self { width: 352.0, class: "narrow" };

    /// Whether it is the small one.
    pub(super) const fn is_narrow(self) -> bool {
        self.width < 500.0
    }

    /// Columns of time for so many calls: wide enough to see, and with enough calls each to be calm.
    pub(super) fn columns_max(self, calls: u64) -> usize {
        const CALLS_MIN: u64 = 16;
        const COLUMNS_MIN: usize = 24;
        let most = if self.is_narrow() { 60 } else { 150 };
        usize::try_from(calls / CALLS_MIN).unwrap_or(most).clamp(COLUMNS_MIN, most)
    }
}

/// Adds a picture in both sizes. `what` tells people who can't see it.
pub(super) fn picture(
    html: &mut Html,
    what: &str,
    height: impl Fn(Canvas) -> f64,
    draw: impl Fn(&mut Html, Canvas),
) {
    for canvas in [Canvas::WIDE, Canvas::NARROW] {
        let view = format!("0 0 {} {}", coordinate(canvas.width), coordinate(height(canvas)));
        html.element(
            "svg",
            &[("class", canvas.class), ("viewBox", &view), ("role", "img"), ("aria-label", what)],
            |html| draw(html, canvas),
        );
    }
}

/// The part of a picture that data is drawn in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    /// The largest value on the x axis.
    pub x_most: f64,
    /// The largest value on the y axis.
    pub y_most: f64,
}

impl Plot {
    /// Where a value of x is.
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * (value / self.x_most).clamp(0.0, 1.0)
    }

    /// Where a value of y is.
    pub(super) fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value / self.y_most).clamp(0.0, 1.0)
    }

    /// Marks of seconds along the bottom.
    pub(super) fn time_axis(&self, html: &mut Html, canvas: Canvas) {
        let step = step_s(self.x_most, if canvas.is_narrow() { 4.0 } else { 10.0 });
        let mut at = 0.0;
        while at <= self.x_most * 1.000_1 {
            let x = self.x(at);
            line(html, "grid", (x, self.bottom), (x, self.bottom + 4.0));
            let label = if at == 0.0 { "0".to_owned() } else { short_seconds(at, step) };
            text(html, "axis", anchor(x, canvas), (x, self.bottom + 17.0), &label);
            at += step;
        }
        line(html, "base", (self.left, self.bottom), (self.right, self.bottom));
    }

    /// Lines and numbers for a rate.
    pub(super) fn rate_axis(&self, html: &mut Html) {
        let step = step(self.y_most, 4.0);
        let mut at = step;
        while at <= self.y_most * 1.000_1 {
            let y = self.y(at);
            line(html, "grid", (self.left, y), (self.right, y));
            let label = if step.fract() == 0.0 { format!("{at:.0}") } else { per_second(at) };
            text(html, "axis", "end", (self.left - 6.0, y + 4.0), &label);
            at += step;
        }
        text(html, "axis", "start", (2.0, self.top - 8.0), "calls a second");
    }

    /// The outline of values that hold from each of `edges` to the next.
    pub(super) fn steps(&self, edges: &[(f64, f64)], values: &[f64]) -> String {
        let mut path = String::new();
        for (place, ((from, to), value)) in edges.iter().zip(values).enumerate() {
            let letter = if place == 0 { 'M' } else { 'L' };
            let y = coordinate(self.y(*value));
            let [from, to] = [*from, *to].map(|x| coordinate(self.x(x)));
            path.extend([&letter.to_string(), &from, " ", &y, "H", &to]);
        }
        path
    }

    /// The area between two such outlines.
    pub(super) fn band(&self, edges: &[(f64, f64)], low: &[f64], high: &[f64]) -> String {
        let mut path = self.steps(edges, high);
        for ((from, to), value) in edges.iter().zip(low).rev() {
            let y = coordinate(self.y(*value));
            let [from, to] = [*from, *to].map(|x| coordinate(self.x(x)));
            path.extend(["L", &to, " ", &y, "H", &from]);
        }
        path.push('Z');
        path
    }
}

/// A straight line.
pub(super) fn line(html: &mut Html, class: &str, from: (f64, f64), to: (f64, f64)) {
    let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(coordinate);
    html.shape("line", &[("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)], "");
}

/// A box with a title.
pub(super) fn rect(
    html: &mut Html,
    class: &str,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    title: &str,
) {
    let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(coordinate);
    html.shape(
        "rect",
        &[("class", class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)],
        title,
    );
}

/// A text; `anchor` says which of its ends is at the place.
pub(super) fn text(html: &mut Html, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
    let [x, y] = [x, y].map(coordinate);
    html.words("text", &[("class", class), ("text-anchor", anchor), ("x", &x), ("y", &y)], text);
}

/// A text at the edge of the picture must not stand out.
fn anchor(x: f64, canvas: Canvas) -> &'static str {
    if x > canvas.width - 24.0 { "end" } else { "middle" }
}

fn short_seconds(at: f64, step: f64) -> String {
    match step {
        _ if at >= 60.0 && step >= 15.0 => seconds(at),
        _ if step < 0.1 => format!("{at:.2} s"),
        _ if step < 1.0 => format!("{at:.1} s"),
        _ => format!("{at:.0} s"),
    }
}
