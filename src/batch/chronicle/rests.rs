//! When a key or a provider rested, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use keywheel_actors::clock::Moment;

/// Rests told one by one; of more, those that are closest to each other become one.
const RESTS_MAX: usize = 64;

/// One rest, or several with little between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Rest {
    /// Its beginning.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
    /// The cause of the first.
    pub cause: &'static str,
    /// How many they are.
    pub times: u64,
}

/// The rests of one key or provider.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::batch) struct Rests {
    over: Vec<Rest>,
    now: Option<(Moment, &'static str)>,
    by_cause: BTreeMap<&'static str, Duration>,
}

impl Rests {
    /// It rests from now on.
    pub(in crate::batch) fn begin(&mut self, at: Moment, cause: &'static str) {
        if self.now.is_some_and(|(_, now)| now == cause) {
            return;
        }
        self.end(at);
        self.now = Some((at, cause));
    }

    /// It works again, or nobody looks any more.
    pub(in crate::batch) fn end(&mut self, at: Moment) {
        let Some((from, cause)) = self.now.take().filter(|(from, _)| *from < at) else {
            return;
        };
        *self.by_cause.entry(cause).or_default() += at.since(from);
        self.over.push(Rest { from, to: at, cause, times: 1 });
        if self.over.len() > RESTS_MAX {
            self.join_closest();
        }
    }

    /// The rests that are over, in order of time.
    pub(in crate::batch) fn all(&self) -> &[Rest] {
        &self.over
    }

    /// All rests together.
    pub(in crate::batch) fn total(&self) -> Duration {
        self.by_cause.values().sum()
    }

    /// The same by cause.
    pub(in crate::batch) const fn by_cause(&self) -> &BTreeMap<&'static str, Duration> {
        &self.by_cause
    }

    fn join_closest(&mut self) {
        let gaps = self.over.windows(2).map(|pair| pair[1].from.since(pair[0].to));
        let closest = gaps.enumerate().min_by_key(|(_, gap)| *gap).map(|(place, _)| place);
        if let Some(place) = closest {
            let second = self.over.remove(place + 1);
            let first = &mut self.over[place];
            first.to = second.to;
            first.times += second.times;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_rest_has_a_beginning_an_end_and_a_cause() {
        let mut rests = Rests::default();
        rests.begin(at(10), "throttled");
        rests.begin(at(15), "throttled");
        rests.begin(at(20), "money_gone");
        rests.end(at(50));
        rests.end(at(60));
        let rest = |from, to, cause| Rest { from: at(from), to: at(to), cause, times: 1 };
        assert_eq!(rests.all(), [rest(10, 20, "throttled"), rest(20, 50, "money_gone")]);
        assert_eq!(rests.total(), Duration::from_millis(40));
        assert_eq!(rests.by_cause()["throttled"], Duration::from_millis(10));
    }

    #[test]
    fn many_rests_are_told_together_and_their_time_stays_exact() {
        let mut rests = Rests::default();
        for round in 0..10_000 {
            rests.begin(at(round * 10), "throttled");
            rests.end(at(round * 10 + 3));
        }
        assert_eq!(rests.all().len(), RESTS_MAX);
        assert_eq!(rests.all().iter().map(|rest| rest.times).sum::<u64>(), 10_000);
        assert_eq!(rests.total(), Duration::from_secs(30));
        assert_eq!((rests.all()[0].from, rests.all()[RESTS_MAX - 1].to), (at(0), at(99_993)));
    }
}
