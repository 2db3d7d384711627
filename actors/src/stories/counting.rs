//! What is counted is what happened.

use std::collections::BTreeMap;

use crate::outcome::{Reason, Usage};
use crate::spec::{DAY, Limits};
use crate::stats::KeyStats;
use crate::upstream::{Piece, Step};
use crate::wheel::{AnswerBody, KeyCommand};

use futures_util::StreamExt;

use super::scenario::{CALL, Scenario, World, failing, key_id, millis, ok, secs, throttled, unauthorized};

impl World {
    async fn stats_of(&self, key: &str) -> KeyStats {
        self.wheel.stats().await.expect("Stats lives").key(&key_id("p", key))
    }
}

#[test]
fn after_a_run_the_counts_are_exact() {
    let scenario = Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(30)), ok(), failing()]);
    scenario.run(|world| async move {
        world.sent_many(501).await;
        world.advance(secs(40)).await;
        world.sent_many(10).await;
        world.settle().await;
        let report = world.wheel.stats().await.expect("Stats lives");
        for name in ["a", "b"] {
            let (stats, counts) = (report.key(&key_id("p", name)), world.key(name).counts);
            assert_eq!(stats.calls, world.calls_of(name) as u64);
            assert_eq!((stats.succeeded, stats.calls), (counts.succeeded, counts.calls));
            assert_eq!(stats.failures(), counts.failed + counts.throttled);
            assert_eq!(stats.took.count(), stats.succeeded);
        }
        let all = &report.providers()[&"p".into()];
        assert_eq!((all.succeeded, all.failures(), all.calls), (511, 2, 513));
        assert_eq!(all.failed, BTreeMap::from([(Reason::Throttled, 1), (Reason::ServerError, 1)]));
        let tokens = Usage { input_tokens: 3 * 511, output_tokens: 4 * 511, cached_tokens: 0 };
        assert_eq!(all.tokens, tokens);
        let took = all.took.percentiles();
        assert_eq!((took.p50, took.p99, took.max), (CALL, CALL, CALL));
        assert_eq!(all.first_content.count(), 0, "these were no streams");
    });
}

#[test]
fn a_busy_key_tells_in_batches_and_a_dying_one_what_is_left() {
    Scenario::keys(["a"]).upstream("a", [Step::silent()]).run(|world| async move {
        let hanging = world.send_many(1);
        world.settle().await;
        world.sent_many(100).await;
        world.settle().await;
        assert_eq!(world.stats_of("a").await.calls, 64, "one whole batch");
        assert!(world.wheel.crash_key(&key_id("p", "a")).await);
        world.settle().await;
        assert_eq!(world.stats_of("a").await.calls, 100);
        drop(hanging);
    });
}

#[test]
fn a_cancelled_call_is_a_call() {
    Scenario::keys(["a"]).otherwise(Step::silent()).run(|world| async move {
        for job in world.send_many(3) {
            world.settle().await;
            job.abort();
        }
        world.settle().await;
        let stats = world.stats_of("a").await;
        assert_eq!((stats.calls, stats.cancelled, stats.last_day.calls()), (3, 3, 3));
        assert_eq!((stats.succeeded, stats.failures()), (0, 0));
    });
}

#[test]
fn a_call_that_was_stopped_before_it_left_is_none() {
    Scenario::keys(["a"]).run(|world| async move {
        let job = world.send_many(1);
        // The job is on its way to its task, which looks once more before it sends.
        tokio::task::yield_now().await;
        world.wheel.command(&key_id("p", "a"), KeyCommand::Disable).await.expect("obeyed");
        world.settle().await;
        assert_eq!(world.stats_of("a").await.calls, world.calls_of("a") as u64);
        drop(job);
    });
}

#[test]
fn streams_tell_their_first_content_and_their_whole() {
    let say = |after, text: &'static str| Piece::Bytes(millis(after), text.into());
    let step = Step::stream(vec![
        say(20, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n"),
        say(70, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n"),
        say(0, "data: [DONE]\n\n"),
    ]);
    Scenario::keys(["a"]).otherwise(step.after(millis(10))).run(|world| async move {
        let answer = world.stream().await.expect("served");
        let AnswerBody::Stream(mut body) = answer.body else { panic!("not a stream") };
        while let Some(piece) = body.next().await {
            piece.expect("nothing breaks");
        }
        world.settle().await;
        let stats = world.stats_of("a").await;
        assert_eq!(stats.first_content.percentiles().max, millis(30));
        assert_eq!(stats.took.percentiles().max, millis(100));
        assert_eq!(stats.tokens.total_tokens(), 7);
    });
}

#[test]
fn suspended_time_adds_up_and_a_rest_that_is_on_counts() {
    Scenario::keys(["a", "b"]).run(|world| async move {
        let key = key_id("p", "a");
        for rest in [secs(10), secs(5)] {
            world.wheel.command(&key, KeyCommand::Disable).await.expect("obeyed");
            world.advance(rest).await;
            world.wheel.command(&key, KeyCommand::Enable).await.expect("obeyed");
            world.advance(secs(100)).await;
        }
        assert_eq!(world.stats_of("a").await.suspended_ms, 15_000);
        world.wheel.command(&key, KeyCommand::Rest(secs(30))).await.expect("obeyed");
        world.advance(secs(7)).await;
        assert_eq!(world.stats_of("a").await.suspended_ms, 22_000);
        world.advance(secs(100)).await;
        assert_eq!(world.stats_of("a").await.suspended_ms, 45_000);
        assert_eq!(world.stats_of("b").await.suspended_ms, 0);
    });
}

#[test]
fn a_crash_neither_stops_nor_doubles_a_suspension() {
    Scenario::keys(["a", "b"]).run(|world| async move {
        let (a, b) = (key_id("p", "a"), key_id("p", "b"));
        world.wheel.command(&a, KeyCommand::Disable).await.expect("obeyed");
        world.advance(secs(10)).await;
        assert!(world.wheel.crash_key(&a).await && world.wheel.crash_key(&b).await);
        world.advance(secs(10)).await;
        let (a, b) = (world.stats_of("a").await, world.stats_of("b").await);
        assert_eq!((a.suspended_ms, a.restarts), (20_000, 1));
        assert_eq!((b.suspended_ms, b.restarts), (0, 1));
    });
}

#[test]
fn the_last_day_is_a_day() {
    let one = Limits { concurrency: Some(1), ..Limits::default() };
    let scenario = Scenario::keys(["a", "b"]).each_key(|key| key.limits = one.clone());
    scenario.upstream("a", [unauthorized()]).run(|world| async move {
        world.send().await.served_by("b");
        world.settle().await;
        world.advance(secs(22 * 3_600)).await;
        let a = world.stats_of("a").await;
        assert_eq!((a.last_day.calls(), a.last_day.failed()), (1, [(Reason::BadCredential, 1)].into()));
        world.advance(secs(2 * 3_600)).await;
        let a = world.stats_of("a").await;
        assert_eq!((a.last_day.calls(), a.calls, a.failures()), (0, 1, 1));
        assert_eq!(a.suspended_ms / 1_000, DAY.as_secs(), "it is disabled all that time");
    });
}
