//! Limits on tokens: what is reckoned, what is settled, and large jobs among small ones.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::scenario::{CALL, Scenario, Seen, World, ok, secs};
use crate::error::SendError;
use crate::outcome::Reason;
use crate::spec::{Counting, Dimension, Limits, MINUTE, WindowLimit};
use crate::upstream::Step;

/// A body that is reckoned with so many tokens of output. Its prompt, `[]`, counts for one of input.
fn asking(output_tokens: u64) -> String {
    format!(r#"{{"model":"m","messages":[],"max_tokens":{output_tokens}}}"#)
}

fn sent(world: &World, output_tokens: u64, count: usize) -> Vec<JoinHandle<Seen>> {
    let send = |_| {
        let (world, body) = (world.clone(), asking(output_tokens));
        tokio::spawn(async move { world.send_body(body).await })
    };
    (0..count).map(send).collect()
}

async fn ends(jobs: Vec<JoinHandle<Seen>>) -> Vec<Duration> {
    let mut ends = Vec::new();
    for job in jobs {
        let seen = job.await.expect("the caller's task lives");
        seen.ending.as_ref().expect("it was served");
        ends.push(seen.ended.since_start());
    }
    ends
}

/// A thousand tokens a second, so many at once.
fn bucket(burst: u64) -> Limits {
    Limits::default().and(WindowLimit { burst: Some(burst), ..WindowLimit::tokens(60_000, MINUTE) })
}

fn windows(limits: &[(u64, Dimension)]) -> Limits {
    let add =
        |all: Limits, (count, of): &(u64, Dimension)| all.and(WindowLimit::tokens(*count, MINUTE).of(*of));
    limits.iter().fold(Limits::default(), add)
}

/// An answer that says that it used so much.
fn used(input: u64, output: u64) -> Step {
    let usage =
        format!(r#"{{"choices":[],"usage":{{"prompt_tokens":{input},"completion_tokens":{output}}}}}"#);
    Step::answer(200, usage).after(CALL)
}

#[test]
fn what_was_reckoned_up_front_stays_and_what_was_counted_is_given_back() {
    for (counting, calls) in [(Counting::UpFront, 4), (Counting::Corrected, 20), (Counting::Used, 20)] {
        let limits = windows(&[(1_000, Dimension::Tokens)]);
        let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = limits.clone());
        // Asked for 247; three of prompt and four of answer were used.
        scenario.with(|spec| spec.providers[0].counting = counting).run(|world| async move {
            let mut served = 0;
            while world.now().since_start() < MINUTE && served < 20 {
                world.send_body(asking(247)).await.served_by("a");
                served += usize::from(world.now().since_start() < MINUTE);
            }
            assert_eq!(served, calls, "{counting:?}");
        });
    }
}

#[test]
fn input_and_output_are_limited_each_for_itself() {
    let limits = windows(&[(1_000, Dimension::InputTokens), (100, Dimension::OutputTokens)]);
    Scenario::keys(["a"]).each_key(|key| key.limits = limits.clone()).run(|world| async move {
        let jobs = sent(&world, 40, 3);
        let ended = ends(jobs).await;
        assert_eq!(ended[..2], [CALL; 2], "eighty of a hundred");
        assert!(ended[2] >= MINUTE, "{ended:?}");
        let too_large = world.send_body(asking(101)).await;
        let SendError::Exhausted { last, .. } = too_large.error() else { panic!("{too_large:?}") };
        assert_eq!(last.reason, Reason::NeverFits);
    });
}

#[test]
fn answers_without_a_maximum_are_reckoned_as_those_before() {
    let limits = windows(&[(2_000, Dimension::OutputTokens)]);
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = limits.clone()).otherwise(used(3, 400));
    scenario.run(|world| async move {
        let unsaid = r#"{"model":"m","messages":[]}"#;
        world.send_body(unsaid).await.served_by("a");
        world.settle().await;
        // 400, and a margin that shrinks: 600 for the second one, so that two more fit and a fourth doesn't.
        let jobs: Vec<_> = (0..3)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(async move { world.send_body(unsaid).await })
            })
            .collect();
        let ended = ends(jobs).await;
        assert!(ended[1] < secs(1) && ended[2] < secs(1), "{ended:?}");
        assert_eq!(world.calls_of("a"), 4);
        assert!(
            ended.iter().max() > Some(&(CALL * 2)),
            "the last one waited until others were settled: {ended:?}"
        );
    });
}

#[test]
fn small_jobs_pass_a_large_one_that_waits_for_tokens() {
    let scenario = Scenario::keys(["small", "large"]).with(|spec| {
        let keys = &mut spec.providers[0].keys;
        keys[0].limits = bucket(1_000);
        keys[1].limits = bucket(20_000);
    });
    scenario.run(|world| async move {
        // Fills the only key that is large enough: it is free for the next such job in 15 s.
        ends(sent(&world, 15_000 - 1, 1)).await;
        let large = sent(&world, 19_000 - 1, 1);
        world.settle().await;
        let small = ends(sent(&world, 100 - 1, 50)).await;
        assert!(small.iter().all(|end| *end < secs(1)), "nobody waits behind it: {small:?}");
        let large = ends(large).await;
        assert!(large[0] >= secs(14) && large[0] < secs(19), "{large:?}");
    });
}

#[test]
fn a_large_job_does_not_starve_behind_many_small_ones() {
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = bucket(5_000));
    scenario.run(|world| async move {
        ends(sent(&world, 5_000 - 1, 1)).await;
        let large = sent(&world, 4_000 - 1, 1);
        world.settle().await;
        // Half an hour of small ones, which take each token as soon as it is there.
        let small = sent(&world, 100 - 1, 10_000);
        let large = ends(large).await[0];
        // 32 of them pass, in 3.2 s; then the key is held until 4,000 have come together.
        assert!(large < secs(9), "{large:?}");
        let passed = world.calls().len() - 2;
        assert!((32..=40).contains(&passed), "{passed} passed it");
        for job in small {
            job.abort();
        }
    });
}

#[test]
fn a_large_job_of_a_group_gets_its_turn_too() {
    let scenario = Scenario::keys(["a", "b", "c"]).each_key(|key| {
        key.quota_group = Some("org".into());
        key.limits = bucket(5_000);
    });
    scenario.run(|world| async move {
        ends(sent(&world, 5_000 - 1, 1)).await;
        let large = sent(&world, 4_000 - 1, 1);
        world.settle().await;
        let small = sent(&world, 100 - 1, 10_000);
        let large = ends(large).await[0];
        assert!(large < secs(9), "{large:?}");
        for job in small {
            job.abort();
        }
    });
}

#[test]
fn a_held_key_is_let_go_when_its_job_leaves() {
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = bucket(5_000));
    scenario.run(|world| async move {
        ends(sent(&world, 5_000 - 1, 1)).await;
        let large = sent(&world, 5_000 - 1, 1);
        world.settle().await;
        let small = sent(&world, 100 - 1, 60);
        world.advance(secs(4)).await;
        let before = world.calls().len();
        for job in large {
            job.abort();
        }
        let small = ends(small).await;
        assert!(before < 50, "the key was held: {before}");
        assert!(small.iter().all(|end| *end < secs(9)), "{:?}", small.last());
    });
}

#[test]
fn mixed_sizes_use_every_token() {
    let scenario = Scenario::keys(["a", "b"]).each_key(|key| key.limits = bucket(3_000)).otherwise(ok());
    scenario.run(|world| async move {
        // 20 × 2,500 + 60 × 400 + 160 × 100 are 90,000 tokens: (90,000 − 6,000) / 2,000 a second are 42 s.
        let sizes = [(2_500, 20), (400, 60), (100, 160)];
        let mut jobs = Vec::new();
        for round in 0..20 {
            for (size, count) in sizes {
                jobs.extend(sent(&world, size - 1, count / 20));
            }
            assert!(round < 20);
        }
        let last = ends(jobs).await.into_iter().max().unwrap_or_default();
        assert!(last >= secs(42) && last < Duration::from_millis(44_100), "at least 95 %: {last:?}");
    });
}
