//! `pick = "sticky"`: prompts that begin alike go to one key, and nobody waits for it.

use std::collections::{BTreeMap, BTreeSet};

use super::scenario::{CALL, Scenario, World, at_once, secs, throttled};
use crate::spec::{Limits, Pick};

fn body(instructions: usize, question: usize) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"system","content":"S{instructions}"}},{{"role":"user","content":"{question}"}}]}}"#
    )
}

fn sticky<const N: usize>(keys: [&str; N]) -> Scenario {
    Scenario::keys(keys).with(|spec| spec.providers[0].rotation.pick = Pick::Sticky)
}

/// Which key serves each of twelve beginnings, asked so often.
async fn served(world: &World, questions: usize) -> BTreeMap<usize, BTreeSet<String>> {
    let mut served: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for question in 0..questions {
        for beginning in 0..12 {
            let seen = world.send_body(body(beginning, question)).await;
            served.entry(beginning).or_default().insert(seen.key().to_owned());
        }
    }
    served
}

#[test]
fn jobs_that_begin_alike_share_a_key() {
    sticky(["a", "b", "c"]).run(|world| async move {
        let served = served(&world, 5).await;
        assert!(served.values().all(|keys| keys.len() == 1), "{served:?}");
        assert_eq!(served.values().flatten().collect::<BTreeSet<_>>().len(), 3, "spread over all keys");
    });
}

#[test]
fn a_key_that_rests_moves_only_its_own_jobs() {
    sticky(["a", "b", "c"]).run(|world| async move {
        let before = served(&world, 1).await;
        world.upstream.then("b", throttled(secs(30)));
        let during = served(&world, 3).await;
        for (beginning, keys) in &before {
            let moved = during[beginning] != *keys;
            assert_eq!(moved, keys.contains("b"), "{beginning}: {keys:?}, then {:?}", during[beginning]);
            assert!(!during[beginning].contains("b"));
        }
        world.advance(secs(31)).await;
        // The probe comes first; then everything is where it was.
        served(&world, 1).await;
        assert_eq!(served(&world, 1).await, before);
    });
}

#[test]
fn nobody_waits_for_the_key_it_belongs_to() {
    let scenario = sticky(["a", "b", "c"]).each_key(|key| key.limits = at_once(2));
    scenario.run(|world| async move {
        let jobs: Vec<_> = (0..6)
            .map(|question| {
                let world = world.clone();
                tokio::spawn(async move { world.send_body(body(0, question)).await })
            })
            .collect();
        for job in jobs {
            job.await.expect("the caller's task lives").at(CALL);
        }
        assert_eq!(["a", "b", "c"].map(|key| world.calls_of(key)), [2; 3], "six at once need all three");
    });
}

#[test]
fn the_whole_quota_is_used_though_all_begin_alike() {
    let limits = Limits::rpm_with_burst(600, 5);
    sticky(["a", "b"]).each_key(|key| key.limits = limits.clone()).run(|world| async move {
        let jobs: Vec<_> = (0..210)
            .map(|question| {
                let world = world.clone();
                tokio::spawn(async move { world.send_body(body(0, question)).await })
            })
            .collect();
        let mut last = secs(0);
        for job in jobs {
            last = last.max(job.await.expect("the caller's task lives").ended.since_start());
        }
        // Ten at once, then twenty a second.
        assert!(last >= secs(10) && last < secs(10) + CALL * 3, "{last:?}");
    });
}
