//! The cost of a run while it goes on, as it is published and as people see it.

use std::fmt;

use crate::batch::show::progress::RowCounts;
use crate::money::{Currency, Money};

/// What the loop publishes: what was spent so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Spending {
    /// What the money is in.
    pub currency: Currency,
    /// What the calls have cost so far, as far as that is known.
    pub spent: Money,
    /// Answers whose cost isn't known: the model has no price, or the provider didn't count.
    pub unknown: u64,
    /// The most that may be spent.
    pub most: Option<Money>,
}

/// What a run has cost and will have cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct CostSoFar {
    /// What the money is in.
    pub currency: Currency,
    /// What the calls have cost so far, as far as that is known.
    pub spent: Money,
    /// Answers whose cost isn't known: then `spent` is a lower bound.
    pub unknown: u64,
    /// What it will be at the end, if the rows left cost what those before did. `None` before the first answer, and
    /// if nobody knows how many rows there are.
    pub projected: Option<Money>,
    /// The most that may be spent.
    pub most: Option<Money>,
}

impl Spending {
    /// With what it will come to, when `rows` are done and so many are `left`.
    pub(in crate::batch) fn so_far(self, rows: RowCounts, left: Option<u64>) -> CostSoFar {
        let Self { currency, spent, unknown, most } = self;
        // A line that can't be sent costs nothing and says nothing about the others.
        let sent = rows.ok + rows.failed;
        let projected = left.and_then(|left| Some(spent + spent.scaled(left, sent)?));
        CostSoFar { currency, spent, unknown, projected, most }
    }
}

/// `1.24 → ~9.87 USD`.
impl fmt::Display for CostSoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unknown > 0 {
            f.write_str("at least ")?;
        }
        write!(f, "{}", self.spent.rounded())?;
        if let Some(projected) = self.projected.filter(|projected| *projected > self.spent) {
            write!(f, " → ~{}", projected.rounded())?;
        }
        write!(f, " {}", self.currency)?;
        if let Some(most) = self.most {
            write!(f, " (at most {})", most.rounded())?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(in crate::batch) mod tests {
    use super::*;

    pub(in crate::batch) fn spending(spent: &str) -> Spending {
        Spending { currency: Currency::default(), spent: spent.parse().unwrap(), unknown: 0, most: None }
    }

    fn rows(ok: u64, failed: u64, invalid: u64) -> RowCounts {
        RowCounts { ok, failed, invalid, retried: 0 }
    }

    #[test]
    fn the_rows_left_cost_what_those_before_did() {
        let cost = spending("1.50").so_far(rows(90, 10, 5), Some(200));
        assert_eq!(cost.projected, Some("4.50".parse().unwrap()));
        assert_eq!(cost.to_string(), "1.50 → ~4.50 USD");
    }

    #[test]
    fn what_is_unknown_is_not_guessed() {
        assert_eq!(spending("0").so_far(rows(0, 0, 5), Some(300)).projected, None);
        let pipe = Spending { unknown: 1, most: Some("5".parse().unwrap()), ..spending("1.50") };
        assert_eq!(pipe.so_far(rows(1, 0, 0), None).to_string(), "at least 1.50 USD (at most 5.00)");
    }

    #[test]
    fn at_the_end_there_is_nothing_to_project() {
        assert_eq!(spending("1.50").so_far(rows(9, 1, 0), Some(0)).to_string(), "1.50 USD");
    }
}
