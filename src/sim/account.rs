//! One account: the limits that a key, or all keys of a quota group, live under.

use keywheel_actors::clock::Moment;
use keywheel_actors::spec::Dimension;
use std::time::Duration;

use super::limit::{Fit, Limit};
use super::peak::Peak;
use super::spec::{Charge, LimitSpec};

/// The limits of one account and what it has used of them.
#[derive(Debug)]
pub(crate) struct Account {
    limits: Vec<(Limit, Peak)>,
    /// The latest moment seen. Calls that were timed by different threads may come in another order.
    latest: Moment,
}

/// What one request takes from limits on tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cost {
    /// Tokens of the prompt.
    pub(crate) prompt: u64,
    /// Tokens of the answer.
    pub(crate) answer: u64,
}

impl Cost {
    fn of(self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => 1,
            Dimension::Tokens => self.prompt.saturating_add(self.answer),
            Dimension::InputTokens => self.prompt,
            Dimension::OutputTokens => self.answer,
        }
    }
}

/// What was taken for an accepted request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Receipt {
    at: Moment,
    cost: Cost,
}

/// Why a request is refused, in the terms of the limit that keeps it out longest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The limit's name: `requests per min (RPM)`.
    pub(crate) limit_name: String,
    /// What it counts.
    pub(crate) dimension: Dimension,
    /// How many it allows in its time; for what can never fit, how many at once.
    pub(crate) limit: u64,
    /// How much of it is used.
    pub(crate) used: u64,
    /// What the request costs.
    pub(crate) requested: u64,
    /// When it will fit. `None`: never.
    pub(crate) until: Option<Moment>,
}

/// What an answer's headers say of one dimension: of its fullest limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gauge {
    /// How many it allows in its time.
    pub(crate) limit: u64,
    /// How much fits now; of a token bucket, how much it holds.
    pub(crate) remaining: u64,
    /// Until the same request fits again; if it fits now, until the limit is full again.
    pub(crate) reset: Duration,
}

/// Both dimensions; `None` where there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) requests: Option<Gauge>,
    pub(crate) tokens: Option<Gauge>,
}

impl Account {
    pub(crate) fn new(limits: &[LimitSpec]) -> Self {
        let limits = limits.iter().map(|spec| (Limit::new(*spec), Peak::new(spec.per))).collect();
        Self { limits, latest: Moment::ZERO }
    }

    /// Takes one request of this cost from all limits, or from none.
    ///
    /// # Errors
    /// [`Refusal`] if one of them is used up.
    pub(crate) fn admit(
        &mut self,
        now: Moment,
        cost: Cost,
        refused_calls: Charge,
    ) -> Result<Receipt, Refusal> {
        let now = self.advance(now);
        let Some(mut refusal) = self.refusal(now, cost) else {
            for (limit, peak) in &mut self.limits {
                let amount = cost.of(limit.spec().dimension);
                if amount > 0 {
                    limit.take(now, amount);
                    peak.note(now, amount);
                }
            }
            return Ok(Receipt { at: now, cost });
        };
        if refused_calls == Charge::Counted && refusal.until.is_some() {
            for (limit, _) in &mut self.limits {
                // A refused request produces no tokens, so it costs requests only.
                if limit.spec().dimension == Dimension::Requests {
                    limit.punish(now, 1);
                }
            }
            refusal = self.refusal(now, cost).unwrap_or(refusal);
        }
        Err(refusal)
    }

    /// An accepted request has cost this much, not what was reckoned.
    pub(crate) fn settle(&mut self, now: Moment, receipt: Receipt, used: Cost) {
        self.advance(now);
        for (limit, peak) in &mut self.limits {
            let dimension = limit.spec().dimension;
            let (from, to) = (receipt.cost.of(dimension), used.of(dimension));
            if from != to {
                limit.correct(now, receipt.at, from, to);
                peak.correct(receipt.at, from, to);
            }
        }
    }

    fn refusal(&mut self, now: Moment, cost: Cost) -> Option<Refusal> {
        let mut worst: Option<Refusal> = None;
        for (limit, _) in &mut self.limits {
            let dimension = limit.spec().dimension;
            let requested = cost.of(dimension);
            if requested == 0 {
                continue;
            }
            let (until, allowed) = match limit.fit(now, requested) {
                Fit::Now => continue,
                Fit::At(at) => (Some(at), limit.count()),
                Fit::Never => (None, limit.capacity()),
            };
            // `None`, never, outlasts any moment.
            let lasts = |until: Option<Moment>| until.unwrap_or(Moment::NEVER);
            if worst.as_ref().is_none_or(|worst| lasts(worst.until) < lasts(until)) {
                worst = Some(Refusal {
                    limit_name: limit.spec().name(),
                    dimension,
                    limit: allowed,
                    used: limit.capacity() - limit.remaining(now),
                    requested,
                    until,
                });
            }
        }
        worst
    }

    /// What is left after (or without) a request of this cost.
    pub(crate) fn gauges(&mut self, now: Moment, cost: Cost) -> Gauges {
        let now = self.advance(now);
        let mut gauges = Gauges::default();
        for (limit, _) in &mut self.limits {
            let dimension = limit.spec().dimension;
            let until = match limit.fit(now, cost.of(dimension)) {
                Fit::Now | Fit::Never => limit.full_at(now),
                Fit::At(at) => at,
            };
            let gauge =
                Gauge { limit: limit.count(), remaining: limit.remaining(now), reset: until.since(now) };
            let place = match dimension {
                Dimension::Requests => &mut gauges.requests,
                Dimension::Tokens | Dimension::InputTokens | Dimension::OutputTokens => &mut gauges.tokens,
            };
            if place.is_none_or(|other| fuller(gauge, other)) {
                *place = Some(gauge);
            }
        }
        gauges
    }

    /// Sets all limits to a multiple of their specs.
    pub(crate) fn scale(&mut self, at: Moment, factor: f64) {
        let at = self.advance(at);
        for (limit, _) in &mut self.limits {
            limit.scale(at, factor);
        }
    }

    /// Every limit with the most that any of its windows saw.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&Limit, &Peak)> {
        self.limits.iter().map(|(limit, peak)| (limit, peak))
    }

    fn advance(&mut self, now: Moment) -> Moment {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// Less is left, or as little for longer.
fn fuller(gauge: Gauge, other: Gauge) -> bool {
    (gauge.remaining, std::cmp::Reverse(gauge.reset)) < (other.remaining, std::cmp::Reverse(other.reset))
}

#[cfg(test)]
mod tests {
    use keywheel_actors::spec::{DAY, MINUTE};

    use super::super::spec::Shape;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn prompt(tokens: u64) -> Cost {
        Cost { prompt: tokens, answer: 0 }
    }

    fn second(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_request_takes_from_all_limits_or_from_none() {
        let mut account = Account::new(&[LimitSpec::requests(10, MINUTE), LimitSpec::tokens(100, MINUTE)]);
        assert_eq!(account.admit(second(0), prompt(60), Charge::Free).map(drop), Ok(()));
        let refusal = account.admit(second(1), prompt(60), Charge::Free).unwrap_err();
        assert_eq!(
            refusal,
            Refusal {
                limit_name: "tokens per min (TPM)".to_owned(),
                dimension: Dimension::Tokens,
                limit: 100,
                used: 60,
                requested: 60,
                until: Some(second(60)),
            }
        );
        let gauges = account.gauges(second(1), prompt(60));
        assert_eq!(gauges.requests, Some(Gauge { limit: 10, remaining: 9, reset: 59 * SECOND }));
        assert_eq!(gauges.tokens, Some(Gauge { limit: 100, remaining: 40, reset: 59 * SECOND }));
        assert_eq!(account.admit(second(1), prompt(40), Charge::Free).map(drop), Ok(()));
    }

    #[test]
    fn the_limit_that_lasts_longest_is_named() {
        let mut account = Account::new(&[LimitSpec::requests(1, MINUTE), LimitSpec::requests(2, DAY)]);
        assert_eq!(account.admit(second(0), prompt(1), Charge::Free).map(drop), Ok(()));
        let refusal = account.admit(second(0), prompt(1), Charge::Free).unwrap_err();
        assert_eq!((&*refusal.limit_name, refusal.until), ("requests per min (RPM)", Some(second(60))));
        assert_eq!(account.admit(second(60), prompt(1), Charge::Free).map(drop), Ok(()));
        let refusal = account.admit(second(60), prompt(1), Charge::Free).unwrap_err();
        assert_eq!((&*refusal.limit_name, refusal.until), ("requests per day (RPD)", Some(second(86_400))));
        let fullest = account.gauges(second(60), prompt(1)).requests;
        assert_eq!(fullest, Some(Gauge { limit: 2, remaining: 0, reset: 1_439 * MINUTE }));
    }

    #[test]
    fn what_can_never_fit_says_so_and_costs_nothing() {
        let mut account = Account::new(&[LimitSpec::tokens(100, MINUTE)]);
        assert_eq!(account.admit(second(0), prompt(101), Charge::Counted).unwrap_err().until, None);
        assert_eq!(account.admit(second(0), prompt(100), Charge::Counted).map(drop), Ok(()));
    }

    #[test]
    fn counted_refusals_push_the_told_time_back() {
        let bucket = LimitSpec::requests(60, MINUTE).shaped(Shape::TokenBucket { burst: 1 });
        for (charge, until) in [(Charge::Free, 1_000), (Charge::Counted, 1_500)] {
            let mut account = Account::new(&[bucket]);
            let half = Moment::after_start(SECOND / 2);
            assert_eq!(account.admit(second(0), prompt(1), charge).map(drop), Ok(()));
            let refusal = account.admit(half, prompt(1), charge).unwrap_err();
            assert_eq!(refusal.until, Some(Moment::after_start(Duration::from_millis(until))));
            let told = refusal.until.unwrap();
            assert_eq!(account.admit(told, prompt(1), charge).map(drop), Ok(()), "{charge:?}");
        }
    }

    #[test]
    fn a_call_that_was_timed_earlier_and_comes_later_changes_nothing() {
        let mut account = Account::new(&[LimitSpec::requests(2, MINUTE)]);
        assert_eq!(account.admit(second(10), prompt(1), Charge::Free).map(drop), Ok(()));
        assert_eq!(account.admit(second(9), prompt(1), Charge::Free).map(drop), Ok(()));
        let refusal = account.admit(second(69), prompt(1), Charge::Free).unwrap_err();
        assert_eq!(refusal.until, Some(second(70)));
    }

    #[test]
    fn peaks_are_of_accepted_requests() {
        let fixed = LimitSpec::requests(3, MINUTE).shaped(Shape::FixedWindow);
        let mut account = Account::new(&[fixed]);
        for at in [58, 58, 59, 59, 60, 60, 61, 61] {
            let _ = account.admit(second(at), prompt(1), Charge::Counted);
        }
        // A fixed window of three admits six around its edge.
        let peaks: Vec<_> = account.limits().map(|(_, peak)| peak.highest()).collect();
        assert_eq!(peaks, [6]);
    }

    #[test]
    fn input_and_output_are_limited_each_for_itself_and_settled() {
        for shape in [Shape::SlidingWindow, Shape::FixedWindow, Shape::TokenBucket { burst: 100 }] {
            let limit = |dimension| LimitSpec::tokens(100, MINUTE).of(dimension).shaped(shape);
            let mut account = Account::new(&[limit(Dimension::InputTokens), limit(Dimension::OutputTokens)]);
            let cost = Cost { prompt: 10, answer: 80 };
            let receipt = account.admit(second(1), cost, Charge::Free).unwrap();
            let refusal = account.admit(second(1), cost, Charge::Free).unwrap_err();
            assert_eq!((&*refusal.limit_name, refusal.used), ("output tokens per min (OTPM)", 80));
            assert!(
                account.admit(second(1), prompt(90), Charge::Free).is_ok(),
                "no output, so none is waited for"
            );
            account.settle(second(1), receipt, Cost { prompt: 10, answer: 20 });
            assert!(account.admit(second(1), Cost { prompt: 0, answer: 80 }, Charge::Free).is_ok());
            let gauges = account.gauges(second(1), Cost::default());
            assert_eq!(gauges.tokens.map(|gauge| gauge.remaining), Some(0), "{shape:?}");
            let peaks: Vec<_> = account.limits().map(|(_, peak)| peak.highest()).collect();
            assert_eq!(peaks, [100, 100]);
        }
    }

    #[test]
    fn what_was_used_beyond_the_reckoning_is_charged() {
        let mut account = Account::new(&[LimitSpec::tokens(100, MINUTE)]);
        let receipt = account.admit(second(0), prompt(10), Charge::Free).unwrap();
        account.settle(second(3), receipt, prompt(150));
        assert_eq!(account.admit(second(4), prompt(1), Charge::Free).unwrap_err().until, Some(second(60)));
        account.settle(second(70), receipt, prompt(5));
        assert!(
            account.admit(second(70), prompt(100), Charge::Free).is_ok(),
            "what is over is not corrected"
        );
    }
}
