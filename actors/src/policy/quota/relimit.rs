//! A quota whose limits are said anew while it is in use.

use super::windows::{Quota, Window};
use crate::spec::WindowLimit;

impl Quota {
    /// This quota under other limits. What was used is not forgotten: a window of the same length counts on,
    /// and a new one counts what a longer one of the same dimension remembers. One that is longer than all
    /// that were there knows of nothing yet.
    pub fn relimited(&self, limits: &[WindowLimit]) -> Self {
        let mut quota = Self::new(limits);
        quota.latest = self.latest;
        for (window, limit) in quota.windows.iter_mut().zip(limits) {
            if let Some(known) = self.knowing(limit) {
                window.take_over(known);
            }
        }
        quota
    }

    /// A quota of these limits for whoever leaves those who share this one: all that they used counts as its
    /// own, for nobody knows whose it was. What they have reserved stays theirs.
    pub fn parted(&self, limits: &[WindowLimit]) -> Self {
        let mut quota = self.relimited(limits);
        quota.windows.iter_mut().for_each(|window| window.reserve = None);
        quota
    }

    /// The window that remembers best what `limit` counts.
    fn knowing(&self, limit: &WindowLimit) -> Option<&Window> {
        let windows = self.windows.iter();
        let knowing =
            windows.filter(|known| known.dimension == limit.dimension && known.length >= limit.window);
        knowing.min_by_key(|known| known.length)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Moment;
    use crate::spec::{DAY, MINUTE};
    use crate::tokens::Tokens;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn requests(count: u64, seconds: u64) -> WindowLimit {
        WindowLimit::requests(count, Duration::from_secs(seconds))
    }

    fn used(limits: &[WindowLimit], calls: u64, second: u64) -> Quota {
        let mut quota = Quota::new(limits);
        for _ in 0..calls {
            quota.take(at(second), Tokens::input(10)).expect("within the limits");
        }
        quota
    }

    #[test]
    fn a_window_counts_on_under_its_new_limit() {
        let quota = used(&[requests(10, 60)], 6, 0);
        assert_eq!(quota.relimited(&[requests(8, 60)]).available_calls(at(1), Tokens::NONE), 2);
        assert_eq!(quota.relimited(&[requests(20, 60)]).available_calls(at(1), Tokens::NONE), 14);
        let lowered = quota.relimited(&[requests(3, 60)]);
        assert_eq!(lowered.available_calls(at(60), Tokens::NONE), 0, "six are more than three");
        assert_eq!(lowered.available_calls(at(61), Tokens::NONE), 3);
    }

    #[test]
    fn a_new_window_learns_from_a_longer_one_of_its_kind() {
        let quota = used(&[WindowLimit::requests(100, DAY)], 6, 0);
        let more = [requests(10, 60), WindowLimit::requests(100, DAY), WindowLimit::tokens(1_000, MINUTE)];
        let quota = quota.relimited(&more);
        assert_eq!(quota.available_calls(at(1), Tokens::NONE), 4, "the minute knows what the day does");
        assert_eq!(quota.available_calls(at(1), Tokens::input(1_000)), 1, "nobody has counted tokens");
    }

    #[test]
    fn a_window_longer_than_all_begins_empty() {
        let quota = used(&[requests(10, 60)], 6, 0).relimited(&[WindowLimit::requests(6, DAY)]);
        assert_eq!(quota.available_calls(at(1), Tokens::NONE), 6);
    }

    #[test]
    fn a_bucket_becomes_a_window_and_a_window_a_bucket() {
        let bucket = WindowLimit { burst: Some(5), ..requests(60, 60) };
        let quota = used(&[bucket], 5, 0);
        assert_eq!(quota.relimited(&[requests(60, 60)]).available_calls(at(0), Tokens::NONE), 55);
        let quota = used(&[requests(60, 60)], 4, 0);
        assert_eq!(quota.relimited(&[bucket]).available_calls(at(0), Tokens::NONE), 1);
    }

    #[test]
    fn a_bucket_of_the_same_limit_stays_as_it_is() {
        let bucket = WindowLimit { burst: Some(5), ..WindowLimit::tokens(60, MINUTE) };
        let mut quota = Quota::new(&[bucket]);
        let taken = quota.take(at(0), Tokens::input(1)).expect("within the burst");
        quota.settle(taken, Tokens::input(900));
        let same = quota.relimited(&[bucket]);
        assert_eq!(same.next_call_at(at(1), Tokens::input(1)), quota.next_call_at(at(1), Tokens::input(1)));
        // The call that overdrew it is too old to be corrected, and still paid for.
        let mut late = Quota::new(&[WindowLimit { burst: Some(5), ..WindowLimit::tokens(1, MINUTE) }]);
        let taken = late.take(at(0), Tokens::input(1)).expect("within the burst");
        late.settle(taken, Tokens::input(30));
        late.settle(late.relimited(&[]).take(at(700), Tokens::NONE).expect("unlimited"), Tokens::NONE);
        let doubled = late.relimited(&[WindowLimit { burst: Some(5), ..WindowLimit::tokens(2, MINUTE) }]);
        assert!(
            doubled.next_call_at(at(700), Tokens::input(5)) < late.next_call_at(at(700), Tokens::input(5))
        );
    }

    #[test]
    fn a_receipt_stays_good() {
        let mut quota = Quota::new(&[WindowLimit::tokens(100, MINUTE)]);
        let taken = quota.take(at(0), Tokens::input(80)).expect("within the limit");
        let mut quota = quota.relimited(&[WindowLimit::tokens(60, MINUTE)]);
        assert_eq!(quota.available_calls(at(1), Tokens::input(20)), 0);
        quota.settle(taken, Tokens::input(20));
        assert_eq!(quota.available_calls(at(1), Tokens::input(20)), 2);
    }

    proptest! {
        /// Whenever limits are said anew: no window of a length that stays is ever overspent by a new call.
        #[test]
        fn no_window_is_overspent_by_a_change(
            steps in prop::collection::vec((0..20_u64, prop::option::weighted(0.2, 1..12_u64)), 1..120),
        ) {
            let mut limit = requests(5, 60);
            let mut quota = Quota::new(&[limit]);
            let (mut now, mut calls) = (0, Vec::new());
            for (seconds, count) in steps {
                now += seconds;
                if let Some(count) = count {
                    limit = requests(count, 60);
                    quota = quota.relimited(&[limit]);
                }
                if quota.take(at(now), Tokens::NONE).is_ok() {
                    calls.push(now);
                    let recent = calls.iter().filter(|call| **call + 60 > now).count() as u64;
                    prop_assert!(recent <= limit.count, "{recent} of {}", limit.count);
                }
            }
        }
    }
}
