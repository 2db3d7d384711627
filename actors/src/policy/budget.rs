//! How many retries a provider may cause: an outage must not be made worse by us.
//!
//! A retry is paid for from a budget and given back when it succeeds, so only
//! retries that were in vain cost anything. The budget fills with the calls
//! that succeed at the first try, as the retry quota of the AWS SDKs does.
//!
//! What is promised, at any time: the retries in vain and under way have cost
//! no more than [`BUDGET_MAX`] and the first-try successes together. So
//!
//! * an outage in which nothing succeeds adds at most 35 transient or 100
//!   throttled retries, however many jobs there are: 1.05× for 2,000 jobs, less for more;
//! * if a share *s* of first tries succeeds, transient retries in vain add at
//!   most *s*/14 in the long run: 1.05× as long as no more than 70 % succeed,
//!   1.08× at worst. Throttled ones add at most *s*/5: they go to other keys.

/// The fullest budget, and what it starts with: bursts of trouble are absorbed, outages aren't.
pub const BUDGET_MAX: u32 = 500;

/// What a retry is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryKind {
    /// After a fault that may be gone at once: a 5xx, a broken connection.
    Transient,
    /// After a throttle, on another key.
    Throttled,
}

impl RetryKind {
    /// What a retry takes from the budget until it succeeds.
    pub const fn cost(self) -> u32 {
        match self {
            // The provider may be failing: its load matters.
            Self::Transient => 14,
            // The provider is well, one key of it is busy.
            Self::Throttled => 5,
        }
    }
}

/// The budget can't pay for this retry; the job must go without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the provider's retry budget is used up")]
pub struct Exhausted;

/// The retry budget of one provider.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    left: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { left: BUDGET_MAX }
    }
}

impl RetryBudget {
    /// Pays for a retry that is about to start.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if too many retries were in vain; nothing is paid then.
    pub fn withdraw(&mut self, kind: RetryKind) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(kind.cost()).ok_or(Exhausted)?;
        Ok(())
    }

    /// A retry that was paid for has succeeded, or was never sent.
    pub fn give_back(&mut self, kind: RetryKind) {
        self.add(kind.cost());
    }

    /// A job succeeded without any retry.
    pub fn first_try_succeeded(&mut self) {
        self.add(1);
    }

    /// What is left of it, up to [`BUDGET_MAX`].
    pub const fn left(&self) -> u32 {
        self.left
    }

    fn add(&mut self, amount: u32) {
        self.left = self.left.saturating_add(amount).min(BUDGET_MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RetryKind::{Throttled, Transient};
    use super::*;

    /// Jobs of an outage, each retried as long as the budget pays; the calls that were made.
    fn calls_in_an_outage(jobs: u32, kind: RetryKind) -> u32 {
        let mut budget = RetryBudget::default();
        let retries = (0..jobs).filter(|_| budget.withdraw(kind).is_ok()).count();
        jobs + u32::try_from(retries).expect("few")
    }

    #[test]
    fn a_total_outage_is_amplified_by_five_percent_at_most() {
        assert_eq!(calls_in_an_outage(2_000, Transient), 2_035);
        assert_eq!(calls_in_an_outage(2_000, Throttled), 2_100);
        assert_eq!(calls_in_an_outage(1_000_000, Throttled), 1_000_100);
    }

    #[test]
    fn retries_that_succeed_are_free() {
        let mut budget = RetryBudget::default();
        for _ in 0..10_000 {
            assert_eq!(budget.withdraw(Transient), Ok(()));
            budget.give_back(Transient);
        }
        assert_eq!(budget.left(), BUDGET_MAX);
    }

    #[test]
    fn an_empty_budget_refills_with_first_try_successes() {
        let mut budget = RetryBudget::default();
        while budget.withdraw(Throttled).is_ok() {}
        assert_eq!(budget.left(), 0);
        for _ in 0..13 {
            budget.first_try_succeeded();
        }
        assert_eq!(budget.withdraw(Transient), Err(Exhausted));
        budget.first_try_succeeded();
        assert_eq!(budget.withdraw(Transient), Ok(()));
        assert_eq!(budget.left(), 0, "a refusal costs nothing, a retry its whole price");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        FirstTrySucceeds,
        Retry { kind: RetryKind, succeeds: bool },
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let kind = prop_oneof![Just(Transient), Just(Throttled)];
        prop_oneof![
            Just(Step::FirstTrySucceeds),
            (kind, any::<bool>()).prop_map(|(kind, succeeds)| Step::Retry { kind, succeeds }),
        ]
    }

    proptest! {
        /// The promise of the module's head, in its exact form.
        #[test]
        fn retries_in_vain_never_cost_more_than_was_earned(
            steps in prop::collection::vec(any_step(), 0..500),
        ) {
            let mut budget = RetryBudget::default();
            let (mut in_vain_cost, mut first_tries) = (0, 0);
            for step in steps {
                match step {
                    Step::FirstTrySucceeds => {
                        budget.first_try_succeeded();
                        first_tries += 1;
                    }
                    Step::Retry { kind, succeeds } => match budget.withdraw(kind) {
                        Ok(()) if succeeds => budget.give_back(kind),
                        Ok(()) => in_vain_cost += kind.cost(),
                        Err(Exhausted) => prop_assert!(budget.left() < kind.cost()),
                    },
                }
                prop_assert!(in_vain_cost <= BUDGET_MAX + first_tries);
                prop_assert!(budget.left() <= BUDGET_MAX);
            }
        }
    }
}
