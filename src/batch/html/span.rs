//! The time that a report covers, cut into columns.

use keywheel_actors::clock::Moment;

use crate::batch::chronicle::Chronicle;

/// The span of a run in columns of the same width, for one picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: Moment,
    /// Length, in seconds.
    pub seconds: f64,
    /// Buckets of the chronicle that make one column.
    pub merge: usize,
    /// Width of a column, in seconds. The last one may be cut short by the end.
    pub column_s: f64,
}

impl Span {
    /// Of a whole run, in at most so many columns.
    pub(super) fn of(chronicle: &Chronicle, columns_max: usize) -> Self {
        let (start, end) = chronicle.span();
        let (length, axis) = (end.since(start), chronicle.axis());
        let merge = (axis.bucket(length) + 1).div_ceil(columns_max);
        let column_s = axis.width().as_secs_f64() * merge as f64;
        // A run of no time at all still needs a picture.
        Self { start, seconds: length.as_secs_f64().max(column_s / 2.0), merge, column_s }
    }

    /// Seconds from the start.
    pub(super) fn at(&self, moment: Moment) -> f64 {
        moment.since(self.start).as_secs_f64()
    }

    /// From when to when a column goes, in seconds.
    pub(super) fn column(&self, column: usize) -> (f64, f64) {
        let from = column as f64 * self.column_s;
        (from.min(self.seconds), (from + self.column_s).min(self.seconds))
    }

    /// What so many calls in a column are a second.
    ///
    /// The last column may be so short that a single call would look like a peak: it counts as half a column
    /// at least.
    pub(super) fn per_second(&self, column: usize, calls: u64) -> f64 {
        let (from, to) = self.column(column);
        calls as f64 / (to - from).max(self.column_s / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::chronicle::record::tests::at;

    #[test]
    fn columns_cover_the_run_and_not_more() {
        let mut chronicle = Chronicle::begin(at(1_000));
        chronicle.close(at(2_050));
        let span = Span::of(&chronicle, 20);
        assert_eq!((span.merge, span.at(at(1_500))), (3, 0.5));
        assert!((span.column_s - 0.06).abs() < 1e-9 && (span.seconds - 1.05).abs() < 1e-9);
        let (from, to) = span.column(17);
        assert!((from - 1.02).abs() < 1e-9 && (to - 1.05).abs() < 1e-9);
        assert!((span.per_second(0, 6) - 100.0).abs() < 1e-6);
        assert!((span.per_second(17, 6) - 200.0).abs() < 1e-6, "30 ms are half a column");
    }
}
