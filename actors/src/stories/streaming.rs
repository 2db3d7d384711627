//! Streams: what happens before the first content is repaired, what happens after it is told.

use bytes::Bytes;
use futures_util::StreamExt;

use crate::outcome::Reason;
use crate::spec::Limits;
use crate::upstream::{Piece, Step};
use crate::wheel::{Answer, AnswerBody};

use super::scenario::{Scenario, key_id, millis, secs};

const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ERROR: &str =
    "data: {\"error\":{\"type\":\"server_error\",\"code\":\"internal\",\"message\":\"sk-a broke\"}}\n\n";

fn say(text: &'static str) -> Piece {
    Piece::Bytes(millis(10), Bytes::from_static(text.as_bytes()))
}

fn whole() -> Step {
    Step::stream(vec![say(ROLE), say(HELLO), say(USAGE), say(DONE)])
}

/// The text that came, and whether the end was clean.
async fn read(answer: Answer) -> (String, bool) {
    let AnswerBody::Stream(mut body) = answer.body else { panic!("a stream") };
    let mut text = String::new();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).expect("text")),
            Err(error) => {
                assert!(!error.to_string().contains("sk-a"), "the key is scrubbed");
                return (text, false);
            }
        }
    }
    (text, true)
}

#[test]
fn a_whole_stream_comes_byte_for_byte_and_its_usage_counts() {
    Scenario::keys(["a"]).otherwise(whole()).run(|world| async move {
        let answer = world.stream().await.expect("served");
        assert_eq!(world.key("a").in_flight, 1, "the stream holds the credit");
        assert_eq!(read(answer).await, ([ROLE, HELLO, USAGE, DONE].concat(), true));
        world.advance(millis(1)).await;
        let view = world.key("a");
        assert_eq!((view.in_flight, view.counts.succeeded, view.counts.tokens), (0, 1, 11));
    });
}

#[test]
fn a_last_line_without_its_blank_line_still_ends_the_stream() {
    let step = Step::stream(vec![say(HELLO), say("data: [DONE]\n")]);
    Scenario::keys(["a"]).otherwise(step).run(|world| async move {
        let answer = world.stream().await.expect("served");
        assert_eq!(read(answer).await, ([HELLO, "data: [DONE]\n"].concat(), true));
    });
}

#[test]
fn before_the_first_content_anything_falls_over() {
    let broken = [
        Step::stream(vec![say(ROLE), Piece::Break]),
        Step::stream(vec![say(ROLE), say(ERROR)]),
        Step::stream(vec![say(ROLE)]),
        Step::stream(vec![say(ROLE), Piece::Stall]),
    ];
    for step in broken {
        Scenario::keys(["a", "b"]).otherwise(whole()).upstream("a", [step]).run(|world| async move {
            let answer = world.stream().await.expect("served");
            assert_eq!(answer.served.attempts.len(), 2);
            let (text, clean) = read(answer).await;
            assert_eq!((text.matches("hello").count(), clean), (1, true));
        });
    }
}

#[test]
fn after_it_a_cut_is_an_error_behind_whole_events() {
    let torn = "data: {\"choices\":[{\"ind";
    let broken = [
        Step::stream(vec![say(HELLO), Piece::Break]),
        Step::stream(vec![say(HELLO), say(torn)]),
        Step::stream(vec![say(HELLO), say(torn), Piece::Break]),
        Step::stream(vec![say(HELLO), say(ERROR)]),
        Step::stream(vec![say(HELLO), Piece::Stall]),
    ];
    for step in broken {
        Scenario::keys(["a", "b"]).otherwise(whole()).upstream("a", [step]).run(|world| async move {
            let answer = world.stream().await.expect("served");
            assert_eq!(read(answer).await, (HELLO.to_owned(), false));
            world.advance(millis(1)).await;
            let view = world.key("a");
            assert_eq!((view.in_flight, view.counts.failed), (0, 1));
            let stats = world.wheel.stats().await.expect("Stats lives");
            assert_eq!(stats.key(&key_id("p", "a")).failures(), 1);
            assert!(!stats.key(&key_id("p", "a")).failed.contains_key(&Reason::CallerGone));
        });
    }
}

#[test]
fn a_reader_who_leaves_frees_the_credit() {
    let narrow = Limits { concurrency: Some(1), ..Limits::default() };
    let scenario = Scenario::keys(["a"]).each_key(|key| key.limits = narrow.clone());
    scenario.otherwise(Step::stream(vec![say(HELLO), Piece::Stall])).run(|world| async move {
        let first = world.stream().await.expect("served");
        drop(first);
        world.stream().await.expect("the credit is back");
        assert_eq!(world.key("a").counts.cancelled, 1);
    });
}

#[test]
fn a_slow_reader_is_not_the_providers_fault() {
    Scenario::keys(["a"]).otherwise(whole()).run(|world| async move {
        let answer = world.stream().await.expect("served");
        world.advance(secs(120)).await;
        assert!(read(answer).await.1, "the idle limit counts the provider's silence only");
    });
}

#[test]
fn a_silent_provider_is_left_for_another_in_time() {
    let scenario = Scenario::providers([("p", ["a"].as_slice()), ("q", ["b"].as_slice())]);
    scenario.otherwise(whole()).upstream("a", [Step::silent(), Step::silent()]).run(|world| async move {
        let answer = world.stream().await.expect("served");
        assert_eq!(answer.served.provider.as_str(), "q");
        let waited = world.now().since_start();
        assert!(waited >= secs(30) && waited < secs(31), "twice 15 s: {waited:?}");
    });
}

#[test]
fn a_drain_ends_streams_too_even_those_that_nobody_reads() {
    Scenario::keys(["a"]).otherwise(Step::stream(vec![say(HELLO), Piece::Stall])).run(|world| async move {
        let read_on = world.stream().await.expect("served");
        let left_alone = world.stream().await.expect("served");
        let reader = tokio::spawn(read(read_on));
        let report = world.wheel.drain(secs(5)).await;
        assert_eq!(report.cut_off, 2);
        assert_eq!(reader.await.expect("lives"), (HELLO.to_owned(), false));
        assert!(world.now().since_start() <= secs(8), "{:?}", world.now());
        drop(left_alone);
    });
}

#[test]
fn a_stream_that_probes_an_ill_provider_needn_t_end_first() {
    let endless = Step::stream(vec![say(HELLO), Piece::Stall]);
    Scenario::keys(["a"]).otherwise(endless).run(|world| async move {
        for _ in 0..5 {
            world.upstream.then("a", Step::refused());
        }
        assert!(world.send().await.ending.is_err(), "five failures trip the breaker");
        let probe = world.stream().await.expect("served");
        let second = world.stream().await.expect("the provider is well again");
        drop((probe, second));
    });
}
