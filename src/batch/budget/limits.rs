//! How far a run may go.

use std::future;

use keywheel_actors::clock::{Clock, Moment};
use keywheel_actors::policy::route::Candidate;

use super::reckon::Reckoner;
use crate::money::{Money, Prices};

/// How far a run may go, and by which prices.
#[derive(Clone, Debug)]
pub struct RunLimits {
    /// What its calls cost.
    pub prices: Prices,
    /// The most it may cost, and who reckons beforehand what a row will.
    pub cost: Option<Budget>,
    /// The most rows it may take. Lines that can't be sent aren't counted.
    pub rows_max: Option<u64>,
    /// When it takes no more rows, and leaves those under way. [`Moment::NEVER`] for none.
    pub deadline: Moment,
}

/// The most a run may cost.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The amount.
    pub most: Money,
    /// Who reckons what a row will cost.
    pub reckoner: Reckoner,
}

/// Which limit ended a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Halt {
    /// The next row could cost more than is left.
    BudgetSpent,
    /// It has taken as many rows as it may.
    RowsTaken,
    /// Its time is over.
    DeadlineOver,
    /// The budget can't be kept: nobody knows what a row costs that may be answered here.
    PriceMissing(Candidate),
}

/// As far as the input goes, whatever it costs.
impl Default for RunLimits {
    fn default() -> Self {
        Self { prices: Prices::default(), cost: None, rows_max: None, deadline: Moment::NEVER }
    }
}

impl RunLimits {
    /// Waits for the deadline; forever, if there is none.
    pub(in crate::batch) async fn deadline_over(&self, clock: Clock) {
        if self.deadline.is_never() {
            return future::pending().await;
        }
        // The timer clamps what is very far away.
        while clock.now() < self.deadline {
            tokio::time::sleep_until(clock.instant(self.deadline)).await;
        }
    }
}

/// What to say of a model whose price is needed.
pub(in crate::batch) fn no_price(of: &Candidate) -> String {
    let Candidate { provider, model } = of;
    format!("`{provider}/{model}` has no price, so no budget can be kept; add a `[[price]]` for it")
}
