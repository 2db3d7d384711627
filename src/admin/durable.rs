//! Orders that are carried out on what is remembered, while nothing runs.

use keywheel_actors::board::{Cause, KeyState};
use keywheel_actors::store::{KeyMemory, RestMemory, Wall};

use super::operator::Order;

/// What is to be remembered of a key after `order`.
pub(super) fn ordered(mut key: KeyMemory, order: Order, today: Wall) -> KeyMemory {
    match order {
        Order::Disable => impose(&mut key, KeyState::Disabled, None),
        // A disabled key rests already, and until somebody enables it.
        Order::Rest { .. } if key.rests.iter().any(is_order_to_disable) => {}
        Order::Rest { duration } => {
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            impose(&mut key, KeyState::RateLimited, Some(Wall(today.0.saturating_add(millis))));
        }
        Order::Enable | Order::Reset => {
            key.rests.clear();
            (key.strikes, key.throttles, key.money_probes) = (0, 0, 0);
        }
    }
    key
}

fn is_order_to_disable(rest: &RestMemory) -> bool {
    rest.cause == Cause::Operator && rest.state == KeyState::Disabled
}

/// An operator's word on the whole key replaces an earlier one; what the provider said stays beside it.
fn impose(key: &mut KeyMemory, state: KeyState, until: Option<Wall>) {
    key.rests.retain(|rest| rest.cause != Cause::Operator);
    let message = "by command".into();
    key.rests.push(RestMemory { lane: None, shared: false, state, cause: Cause::Operator, until, message });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_operators_word_is_replaced_by_the_next_one() {
        let rested =
            ordered(KeyMemory::default(), Order::Rest { duration: Duration::from_secs(9) }, Wall(1_000));
        assert_eq!(rested.rests[0].until, Some(Wall(10_000)));
        let disabled = ordered(rested, Order::Disable, Wall(2_000));
        assert_eq!(disabled.rests.len(), 1);
        assert_eq!((disabled.rests[0].state, disabled.rests[0].until), (KeyState::Disabled, None));
        let rested = ordered(disabled.clone(), Order::Rest { duration: Duration::from_secs(9) }, Wall(2_500));
        assert_eq!(rested.rests, disabled.rests, "a rest doesn't enable it");
        assert_eq!(ordered(disabled, Order::Enable, Wall(3_000)).rests, []);
    }
}
