//! Which row may go, and which limit says that none may.
//!
//! A row that goes reserves what it will cost at most, so the budget holds as
//! long as the estimates do. What it really costs is charged when it comes
//! back, and frees what it didn't need for the rows after it.

use keywheel_actors::clock::Moment;
use keywheel_actors::request::Request;

use super::costs::Costs;
use super::limits::{Halt, RunLimits};
use super::reckon::Reckoned;
use super::so_far::Spending;
use crate::batch::answer::Answered;
use crate::money::Money;

/// The output that is reckoned for a row that names no maximum: more than most answers have. An answer that has
/// more raises it for the rows after it.
pub(in crate::batch) const OUTPUT_TOKENS_UNSAID: u64 = 1_024;

/// The limits of a run with what they have seen so far.
#[derive(Debug)]
pub(in crate::batch) struct Gate {
    limits: RunLimits,
    costs: Costs,
    reserved: Money,
    taken: u64,
    under_way: u64,
    output_unsaid: u64,
    is_waiting: bool,
}

/// What becomes of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Admission {
    /// It goes, and this is reserved for it.
    Go(Money),
    /// It would fit if the rows under way cost less than they may: ask again when one has come back.
    Wait,
    /// Neither it nor any after it.
    Never(Halt),
}

impl Gate {
    /// At the start of a run.
    pub(in crate::batch) fn of(limits: &RunLimits) -> Self {
        Self {
            costs: Costs::by(limits.prices.clone()),
            limits: limits.clone(),
            reserved: Money::ZERO,
            taken: 0,
            under_way: 0,
            output_unsaid: OUTPUT_TOKENS_UNSAID,
            is_waiting: false,
        }
    }

    /// Whether a row waits for money that may come back.
    pub(in crate::batch) const fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// What was paid so far.
    pub(in crate::batch) const fn costs(&self) -> &Costs {
        &self.costs
    }

    /// The same, for those who watch. `None` if nothing has a price.
    pub(in crate::batch) fn spending(&self) -> Option<Spending> {
        self.costs.are_reckoned().then(|| Spending {
            currency: self.costs.currency().clone(),
            spent: self.costs.spent(),
            unknown: self.costs.unknown(),
            most: self.limits.cost.as_ref().map(|budget| budget.most),
        })
    }

    /// Whether `request` may go now.
    pub(in crate::batch) fn admit(&mut self, request: &Request, now: Moment) -> Admission {
        if now >= self.limits.deadline {
            return Admission::Never(Halt::DeadlineOver);
        }
        if self.limits.rows_max.is_some_and(|most| self.taken >= most) {
            return Admission::Never(Halt::RowsTaken);
        }
        let reserve = match &mut self.limits.cost {
            None => Money::ZERO,
            Some(budget) => match budget.reckoner.cost(request, self.output_unsaid) {
                Reckoned::Unpriced(candidate) => return Admission::Never(Halt::PriceMissing(candidate)),
                Reckoned::Costs(most) if self.costs.spent() + self.reserved + most <= budget.most => most,
                Reckoned::Costs(_) if self.under_way > 0 => {
                    self.is_waiting = true;
                    return Admission::Wait;
                }
                Reckoned::Costs(_) => return Admission::Never(Halt::BudgetSpent),
            },
        };
        self.reserved += reserve;
        self.taken += 1;
        self.under_way += 1;
        Admission::Go(reserve)
    }

    /// A row came back that had reserved so much.
    pub(in crate::batch) fn settle(&mut self, reserved: Money, answered: &Answered) {
        self.reserved = self.reserved.minus(reserved);
        self.under_way -= 1;
        self.is_waiting = false;
        self.costs.note(answered);
        for (_, usage) in answered.paid() {
            self.output_unsaid = self.output_unsaid.max(usage.output_tokens);
        }
    }

    /// Whether a row that came back was ended by the run's own deadline: then it is left for the next run.
    pub(in crate::batch) fn cut(&self, answered: &Answered) -> bool {
        !self.limits.deadline.is_never() && answered.is_over_deadline()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::{HeaderMap, Method, StatusCode};
    use keywheel_actors::error::SendError;
    use keywheel_actors::id::KeyId;
    use keywheel_actors::outcome::{Attempt, Served, Usage};
    use keywheel_actors::request::Delivery;
    use keywheel_actors::{Answer, AnswerBody};
    use proptest::prelude::*;

    use super::super::limits::Budget;
    use super::super::reckon::tests::{prices, reckoner};
    use super::*;

    /// 10⁻⁶ units: what one token of input to `cheap` costs; one of output costs ten.
    fn micros(count: u64) -> Money {
        Money::of_parts(u128::from(count) * 1_000_000)
    }

    fn gate(most: u64) -> Gate {
        let cost = Some(Budget { most: micros(most), reckoner: reckoner() });
        Gate::of(&RunLimits { prices: prices(), cost, ..RunLimits::default() })
    }

    /// One token of input, and at most `output`.
    fn request(output: u64) -> Request {
        Request {
            method: Method::POST,
            path: "/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from(format!(r#"{{"messages":"ab","max_tokens":{output}}}"#)),
            model: "cheap".into(),
            delivery: Delivery::Whole,
            to: keywheel_actors::request::Destination::Routed,
            upload: None,
        }
    }

    fn answered(model: &str, usage: impl Into<Option<Usage>>) -> Answered {
        let call = Attempt {
            key: KeyId { provider: "p".into(), key: "k".into() },
            model: model.into(),
            started: Moment::ZERO,
            took: Duration::ZERO,
            fault: None,
        };
        Answered::by_wheel(Ok(Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: AnswerBody::Whole(Bytes::new()),
            served: Served { provider: "p".into(), fell_back: false, attempts: vec![call] },
            usage: usage.into(),
        }))
    }

    const fn used(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, cached_tokens: 0 }
    }

    fn admit(gate: &mut Gate, output: u64) -> Admission {
        gate.admit(&request(output), Moment::ZERO)
    }

    #[test]
    fn a_row_reserves_what_it_may_cost_and_gives_back_what_it_didnt_need() {
        let mut gate = gate(2_500);
        let reserve = micros(1_001);
        assert_eq!(admit(&mut gate, 100), Admission::Go(reserve));
        assert_eq!(admit(&mut gate, 100), Admission::Go(reserve));
        assert_eq!(admit(&mut gate, 100), Admission::Wait, "3,003 of 2,500");
        assert!(gate.is_waiting());
        gate.settle(reserve, &answered("cheap", used(1, 40)));
        assert!(!gate.is_waiting());
        assert_eq!(gate.costs().spent(), micros(401));
        assert_eq!(admit(&mut gate, 100), Admission::Go(reserve), "401 + 2 × 1,001");
    }

    #[test]
    fn the_budget_is_spent_when_nothing_can_come_back_any_more() {
        let mut gate = gate(1_001);
        assert_eq!(admit(&mut gate, 101), Admission::Never(Halt::BudgetSpent), "more than there ever was");
        assert_eq!(admit(&mut gate, 100), Admission::Go(micros(1_001)), "to the last millionth");
        gate.settle(micros(1_001), &answered("cheap", used(1, 100)));
        assert_eq!(admit(&mut gate, 0), Admission::Never(Halt::BudgetSpent));
    }

    #[test]
    fn a_row_that_failed_costs_what_was_counted_for_it() {
        let mut gate = gate(1_001);
        let Admission::Go(reserve) = admit(&mut gate, 100) else { panic!("it fits") };
        gate.settle(reserve, &Answered::by_wheel(Err(SendError::Lost)));
        assert_eq!(admit(&mut gate, 100), Admission::Go(reserve), "nothing was spent");
        let thrown_away = Answered {
            thrown_away: vec![Some(used(1, 10))],
            result: answered("cheap", used(1, 20)).result,
            attempts: [answered("cheap", None).attempts, answered("cheap", None).attempts].concat(),
            ..Answered::by_wheel(Err(SendError::Lost))
        };
        gate.settle(reserve, &thrown_away);
        assert_eq!((gate.costs().spent(), gate.costs().unknown()), (micros(302), 0));
    }

    #[test]
    fn what_nobody_counted_or_priced_is_told_apart() {
        let mut gate = gate(10_000);
        for answer in [answered("cheap", used(1, 1)), answered("cheap", None), answered("odd", used(5, 5))] {
            let Admission::Go(reserve) = admit(&mut gate, 1) else { panic!("it fits") };
            gate.settle(reserve, &answer);
        }
        let summary = gate.costs().summary().unwrap();
        assert_eq!((summary.spent, summary.unknown_calls), (micros(11), 2));
        let models: Vec<_> =
            summary.by_model.iter().map(|of| (of.model.as_str(), of.calls, of.cost)).collect();
        assert_eq!(models, [("cheap", 1, Some(micros(11))), ("odd", 1, None)]);
    }

    #[test]
    fn a_row_that_names_no_maximum_reckons_with_the_longest_answer_so_far() {
        let unsaid = Request { body: Bytes::from_static(br#"{"messages":"ab"}"#), ..request(0) };
        let mut gate = gate(1_000_000);
        assert_eq!(gate.admit(&unsaid, Moment::ZERO), Admission::Go(micros(1 + 10 * 1_024)));
        gate.settle(micros(10_241), &answered("cheap", used(1, 3_000)));
        assert_eq!(gate.admit(&unsaid, Moment::ZERO), Admission::Go(micros(1 + 10 * 3_000)));
    }

    #[test]
    fn rows_and_time_have_their_limits() {
        let limits = RunLimits {
            rows_max: Some(2),
            deadline: Moment::after_start(Duration::from_secs(60)),
            ..RunLimits::default()
        };
        let mut gate = Gate::of(&limits);
        assert_eq!(admit(&mut gate, 1), Admission::Go(Money::ZERO));
        assert_eq!(admit(&mut gate, 1), Admission::Go(Money::ZERO));
        assert_eq!(admit(&mut gate, 1), Admission::Never(Halt::RowsTaken));
        assert_eq!(gate.admit(&request(1), limits.deadline), Admission::Never(Halt::DeadlineOver));
        assert_eq!(gate.spending(), None, "nothing has a price");
    }

    #[test]
    fn a_budget_cant_be_kept_without_a_price() {
        let odd = Request { model: "odd".into(), ..request(1) };
        assert!(matches!(gate(9).admit(&odd, Moment::ZERO), Admission::Never(Halt::PriceMissing(_))));
    }

    proptest! {
        /// Whatever order rows go and come back in, as long as none costs more than it reserved.
        #[test]
        fn a_budget_is_never_exceeded_while_the_estimates_hold(
            most in 0_u64..20_000,
            rows in prop::collection::vec((0_u64..200, 0_u64..100, any::<bool>()), 1..60),
        ) {
            let mut gate = gate(most);
            let mut under_way = Vec::new();
            let mut real = Money::ZERO;
            let mut back = |gate: &mut Gate, (reserve, output): (Money, u64)| {
                gate.settle(reserve, &answered("cheap", used(1, output)));
                real += micros(1 + 10 * output);
                prop_assert_eq!(gate.costs().spent(), real);
                prop_assert!(real <= micros(most));
                Ok(())
            };
            for (output, percent, comes_back) in rows {
                if let Admission::Go(reserve) = admit(&mut gate, output) {
                    under_way.push((reserve, output * percent / 100));
                }
                if comes_back && let Some(row) = under_way.pop() {
                    back(&mut gate, row)?;
                }
            }
            for row in under_way {
                back(&mut gate, row)?;
            }
            prop_assert_eq!(gate.reserved, Money::ZERO);
        }
    }
}
