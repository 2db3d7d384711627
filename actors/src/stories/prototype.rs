//! The defects of the earlier prototype that concern rotation: each must not come back.

use crate::board::{Cause, KeyState};
use crate::error::SendError;
use crate::outcome::Reason;
use crate::spec::{DAY, Limits, WindowLimit};
use crate::upstream::Step;

use super::scenario::{Scenario, broke, failing, key_id, ok, secs, throttled, unauthorized};

/// "A stored retry-after that nothing used."
#[test]
fn the_providers_retry_after_decides() {
    Scenario::keys(["a"]).upstream("a", [throttled(secs(300))]).run(|world| async move {
        let seen = world.send().await;
        assert!(seen.ended.since_start() >= secs(300), "{:?}", seen.ended);
    });
}

/// "Results charged to the current key instead of the one that made the call."
#[test]
fn a_result_is_charged_to_the_key_that_made_the_call() {
    let late = unauthorized().after(secs(5));
    Scenario::keys(["a", "b"]).upstream("a", [late]).run(|world| async move {
        let first = world.send_many(1);
        world.advance(secs(1)).await;
        world.send().await.served_by("b");
        for job in first {
            job.await.expect("lives").served_by("b");
        }
        assert_eq!((world.state("a"), world.state("b")), (KeyState::Disabled, KeyState::Active));
        assert_eq!((world.key("a").counts.failed, world.key("b").counts.failed), (1, 0));
    });
}

/// "Success that never reset a counter."
#[test]
fn a_success_forgets_earlier_failures() {
    let odd = || Step::answer(418, "{}");
    Scenario::keys(["a", "b"]).run(|world| async move {
        for _ in 0..12 {
            world.upstream.then("a", odd());
            for _ in 0..4 {
                world.send().await;
            }
        }
        assert_eq!(world.state("a"), KeyState::Active, "a success lay between any two failures");
    });
}

/// "`disabled` never set and daily limits never enforced."
#[test]
fn a_daily_limit_holds() {
    let limits = Limits::default().and(WindowLimit::requests(2, DAY));
    Scenario::keys(["a"]).each_key(|key| key.limits = limits.clone()).run(|world| async move {
        world.sent_many(3).await;
        assert!(world.now().since_start() >= DAY);
    });
}

/// "An index of −1", "an empty fallback order that tried nobody".
#[test]
fn no_key_and_no_order_are_no_accidents() {
    Scenario::providers([("p", [].as_slice()), ("q", ["b"].as_slice())]).run(|world| async move {
        world.send().await.served_by("b");
    });
    Scenario::keys([]).run(|world| async move {
        let seen = world.send().await;
        assert!(matches!(seen.error(), SendError::Unavailable { retry_after: None, .. }));
    });
}

/// "A timeout that gave up the provider at once."
#[test]
fn a_timeout_is_one_fault_among_others() {
    let scenario = Scenario::keys(["a"]).with(|spec| spec.providers[0].timeouts.whole_content = secs(10));
    scenario.upstream("a", [Step::silent()]).run(|world| async move {
        world.send().await.served_by("a").attempts(2);
    });
}

/// "Network faults that disabled keys."
#[test]
fn network_faults_disable_no_key() {
    Scenario::keys(["a"]).run(|world| async move {
        for _ in 0..100 {
            world.upstream.then("a", Step::refused());
        }
        for _ in 0..5 {
            world.send().await;
        }
        assert_eq!(world.state("a"), KeyState::Active);
    });
}

/// "A quota branch that was never reached."
#[test]
fn no_money_is_told_from_too_fast() {
    Scenario::keys(["a", "b"]).upstream("a", [broke()]).run(|world| async move {
        world.send().await.served_by("b");
        let status = world.key("a").status;
        assert_eq!(status.state, KeyState::Failed);
        assert_eq!(status.why.expect("a reason").cause, Cause::Fault(Reason::MoneyGone));
        world.advance(secs(14 * 60)).await;
        world.send().await.served_by("b");
        world.advance(secs(61)).await;
        world.send().await.served_by("a");
    });
}

/// "An unbounded in-memory failure log."
#[test]
fn failures_are_counted_not_hoarded() {
    Scenario::keys(["a"]).run(|world| async move {
        for _ in 0..50 {
            world.upstream.then("a", failing());
            world.upstream.then("a", ok());
            world.send().await;
        }
        let stats = world.wheel.stats().await.expect("Stats lives");
        let key = stats.key(&key_id("p", "a"));
        assert_eq!((key.failed[&Reason::ServerError], key.last_day.failures()), (50, 50));
        world.advance(DAY + secs(3_600)).await;
        let stats = world.wheel.stats().await.expect("Stats lives");
        let key = stats.key(&key_id("p", "a"));
        assert_eq!((key.failures(), key.last_day.failures()), (50, 0));
    });
}
