//! Streams: what happens before the first content is repaired, what happens after it is told.

use std::sync::Arc;

use ::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::board::KeyState;
use crate::dialect::{Anthropic, Dialect, Gemini, OpenAi};
use crate::error::SendError;
use crate::outcome::Reason;
use crate::request::{Delivery, HoldBack, Request, Terms};
use crate::spec::Limits;
use crate::upload::Upload;
use crate::upstream::{Piece, Step};
use crate::wheel::{Answer, AnswerBody};

use super::scenario::{Scenario, World, key_id, millis, ok, request, secs, throttled};

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
fn what_was_seen_of_a_stream_is_known_wherever_it_ends() {
    let step = || Step::stream(vec![say(ROLE), say(HELLO), say(HELLO), Piece::Stall]);
    for (hold_back, step) in
        [(HoldBack::None, step()), (HoldBack::FirstContent, step()), (HoldBack::Full, whole())]
    {
        Scenario::keys(["a"]).otherwise(step).run(|world| async move {
            let sent = world.wheel.send(request(Delivery::Stream), holding(hold_back)).await.expect("served");
            let AnswerBody::Stream(mut body) = sent.body else { panic!("a stream") };
            if hold_back == HoldBack::Full {
                let seen = body.seen().expect("these are events");
                assert_eq!(
                    (seen.input_tokens, seen.output_tokens),
                    (5, 6),
                    "it told, though nobody has read it"
                );
                return;
            }
            let mut bytes = 0;
            while bytes < [ROLE, HELLO, HELLO].concat().len() {
                bytes += body.next().await.expect("there is more").expect("bytes").len();
            }
            assert_eq!(body.usage(), None, "it hasn't ended");
            let seen = body.seen().expect("these are events");
            assert_eq!((seen.input_tokens, seen.output_tokens), (0, 2), "{hold_back:?}");
        });
    }
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
fn what_breaks_behind_its_end_breaks_nothing() {
    let ends = [vec![Piece::Break], vec![Piece::Stall], vec![say("data: [DO"), Piece::Break], vec![say(":")]];
    for end in ends {
        let step = Step::stream([vec![say(HELLO), say(USAGE), say(DONE)], end].concat());
        Scenario::keys(["a"]).otherwise(step).run(|world| async move {
            for hold_back in [HoldBack::None, HoldBack::FirstContent, HoldBack::Full] {
                let sent = world.wheel.send(request(Delivery::Stream), holding(hold_back)).await;
                assert_eq!(read(sent.expect("served")).await, ([HELLO, USAGE, DONE].concat(), true));
            }
            world.advance(millis(1)).await;
            let view = world.key("a");
            assert_eq!((view.counts.succeeded, view.counts.failed, view.counts.tokens), (3, 0, 33));
        });
    }
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

/// Gemini's, which is marked by what it says of each candidate.
fn gemini() -> Scenario {
    Scenario::keys(["a"]).with(|spec| spec.providers[0].dialect = Arc::new(Gemini))
}

/// The text of a stream of Gemini's, and whether its end was clean.
async fn of_gemini(world: &World, hold_back: HoldBack) -> (String, bool) {
    let path = "/models/m:streamGenerateContent?alt=sse".to_owned();
    let sent = Request { path, ..request(Delivery::Stream) };
    read(world.wheel.send(sent, holding(hold_back)).await.expect("served")).await
}

#[test]
fn of_several_candidates_each_must_be_finished() {
    let first =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}]}\n\n";
    let begun = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]},\"index\":1}]}\n\n";
    let second = "data: {\"candidates\":[{\"finishReason\":\"STOP\",\"index\":1}]}\n\n";
    gemini().run(|world| async move {
        for before in [[first, begun], [begun, first]] {
            for end in [vec![], vec![Piece::Break], vec![Piece::Stall]] {
                let cut = [before.map(say).to_vec(), end].concat();
                world.upstream.then("a", Step::stream(cut.clone()));
                assert_eq!(
                    of_gemini(&world, HoldBack::FirstContent).await,
                    (before.concat(), false),
                    "{cut:?}"
                );
            }
            world.upstream.then("a", Step::stream([before.map(say).to_vec(), vec![say(second)]].concat()));
            let whole = [before.concat(), second.to_owned()].concat();
            assert_eq!(of_gemini(&world, HoldBack::FirstContent).await, (whole, true));
        }
    });
}

#[test]
fn who_calls_each_piece_the_last_must_close_well() {
    let each =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}]}\n\n";
    let pieces = || vec![say(each), say(each), say(each)];
    gemini().run(|world| async move {
        for end in [Piece::Break, Piece::Stall] {
            let cut = Step::stream([pieces(), vec![end]].concat());
            world.upstream.then("a", cut);
            assert_eq!(of_gemini(&world, HoldBack::FirstContent).await, (each.repeat(3), false));
        }
        for hold_back in [HoldBack::None, HoldBack::FirstContent, HoldBack::Full] {
            world.upstream.then("a", Step::stream(pieces()));
            assert_eq!(of_gemini(&world, hold_back).await, (each.repeat(3), true));
        }
        // The last of them without its blank line.
        world.upstream.then("a", Step::stream([pieces(), vec![say(each.trim_end())]].concat()));
        let (text, is_clean) = of_gemini(&world, HoldBack::FirstContent).await;
        assert_eq!((text, is_clean), ([each.repeat(3).as_str(), each.trim_end()].concat(), true));
    });
}

#[test]
fn pieces_that_are_called_the_last_are_counted_like_others() {
    let each =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}]}\n\n";
    gemini().run(|world| async move {
        for hold_back in [HoldBack::None, HoldBack::FirstContent] {
            world.upstream.then("a", Step::stream(vec![say(each), say(each), say(each), Piece::Stall]));
            let path = "/models/m:streamGenerateContent?alt=sse".to_owned();
            let sent = Request { path, ..request(Delivery::Stream) };
            let answer = world.wheel.send(sent, holding(hold_back)).await.expect("served");
            let AnswerBody::Stream(mut body) = answer.body else { panic!("a stream") };
            for _ in 0..3 {
                assert_eq!(body.next().await.expect("a piece").expect("a piece"), each);
            }
            assert_eq!(body.seen().map(|seen| seen.output_tokens), Some(3), "{hold_back:?}");
        }
    });
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
fn a_reader_who_leaves_behind_the_closing_event_has_got_all_of_it() {
    let step = Step::stream(vec![say(HELLO), say(USAGE), say(DONE), Piece::Stall]);
    Scenario::keys(["a"]).otherwise(step).run(|world| async move {
        let answer = world.stream().await.expect("served");
        let AnswerBody::Stream(mut body) = answer.body else { panic!("a stream") };
        for wanted in [HELLO, USAGE, DONE] {
            assert!(!body.is_handed_out() && body.usage().is_none());
            assert_eq!(body.next().await.expect("a piece").expect("a piece"), wanted);
        }
        assert!(body.is_handed_out() && body.usage().is_some());
        drop(body);
        world.advance(millis(1)).await;
        let view = world.key("a");
        assert_eq!(
            (view.in_flight, view.counts.succeeded, view.counts.cancelled, view.counts.tokens),
            (0, 1, 0, 11)
        );
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
fn a_stream_that_nobody_reads_gives_its_key_back_at_its_deadline() {
    let endless = Step::stream(vec![say(HELLO), say(HELLO), Piece::Stall]);
    Scenario::keys(["a"]).otherwise(endless).run(|world| async move {
        let terms = Terms { deadline: world.now() + secs(5), ..Terms::default() };
        let answer = world.wheel.send(request(Delivery::Stream), terms).await.expect("served");
        world.advance(millis(4_900)).await;
        assert_eq!(world.key("a").in_flight, 1);
        world.advance(millis(100)).await;
        let view = world.key("a");
        assert_eq!((view.in_flight, view.counts.cancelled, view.counts.failed), (0, 1, 0));
        assert_eq!(read(answer).await, (HELLO.to_owned(), false), "what was held for it, and no clean end");
    });
}

#[test]
fn a_stream_that_is_read_too_slowly_is_not_held_against_the_provider() {
    let scenario = Scenario::keys(["a"]).with(|spec| spec.providers[0].timeouts.total = secs(60));
    scenario.otherwise(Step::stream(vec![say(HELLO); 90])).run(|world| async move {
        let answer = world.stream().await.expect("served");
        let AnswerBody::Stream(mut body) = answer.body else { panic!("a stream") };
        let mut pieces = 0;
        while let Some(Ok(_)) = body.next().await {
            pieces += 1;
            world.advance(secs(1)).await;
        }
        assert_eq!(pieces, 60);
        let view = world.key("a");
        assert_eq!((view.in_flight, view.counts.cancelled, view.counts.failed), (0, 1, 0));
    });
}

#[test]
fn a_stream_that_was_handed_out_is_served_though_nobody_asks_for_its_end() {
    let step = Step::stream(vec![say(HELLO), say(DONE), Piece::Stall]);
    Scenario::keys(["a"]).otherwise(step).run(|world| async move {
        let answer = world.stream().await.expect("served");
        let AnswerBody::Stream(mut body) = answer.body else { panic!("a stream") };
        for wanted in [HELLO, DONE] {
            assert_eq!(body.next().await.expect("a piece").expect("a piece"), wanted);
        }
        world.advance(secs(3_600)).await;
        let view = world.key("a");
        assert_eq!((view.in_flight, view.counts.succeeded), (0, 1));
        assert!(body.next().await.is_none());
    });
}

#[test]
fn streams_end_at_their_own_deadlines_in_whatever_order_they_began() {
    let endless = Step::stream(vec![say(HELLO), Piece::Stall]);
    Scenario::keys(["a"]).otherwise(endless).run(|world| async move {
        let mut streams = Vec::new();
        for seconds in [30, 10, 20] {
            let terms = Terms { deadline: world.now() + secs(seconds), ..Terms::default() };
            streams.push(world.wheel.send(request(Delivery::Stream), terms).await.expect("served"));
        }
        for left in [3, 2, 1, 0] {
            assert_eq!(world.key("a").in_flight, left);
            world.advance(secs(10)).await;
        }
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

/// A stream whose first event comes and whose end doesn't.
fn torn() -> Step {
    Step::stream(vec![say(ROLE), say(HELLO), Piece::Break])
}

fn holding(hold_back: HoldBack) -> Terms {
    Terms { hold_back, ..Terms::default() }
}

#[test]
fn what_is_held_back_to_its_end_is_repaired_in_the_middle() {
    let broken = [
        torn(),
        Step::stream(vec![say(HELLO), say(ERROR)]),
        Step::stream(vec![say(HELLO), Piece::Stall]),
        Step::stream(vec![say(HELLO)]),
    ];
    for step in broken {
        Scenario::keys(["a", "b"]).otherwise(whole()).upstream("a", [step]).run(|world| async move {
            let sent = world.wheel.send(request(Delivery::Stream), holding(HoldBack::Full)).await;
            let answer = sent.expect("served");
            assert_eq!(answer.served.attempts.len(), 2);
            assert_eq!(read(answer).await, ([ROLE, HELLO, USAGE, DONE].concat(), true));
        });
    }
}

#[test]
fn what_is_not_held_back_begins_with_its_first_event() {
    Scenario::keys(["a", "b"]).upstream("a", [torn()]).otherwise(whole()).run(|world| async move {
        let sent = world.wheel.send(request(Delivery::Stream), holding(HoldBack::None)).await;
        let answer = sent.expect("it began");
        assert_eq!(world.now().since_start(), millis(0), "nobody waited for content");
        assert_eq!(read(answer).await, ([ROLE, HELLO].concat(), false), "and so the cut is told");
    });
}

#[test]
fn bytes_of_any_kind_are_passed_on_as_they_come() {
    let bytes = Step::stream(vec![say("RIFF"), say("wave")]).header("content-type", "audio/wav");
    let cut = Step::stream(vec![say("RIFF"), Piece::Break]).header("content-type", "audio/wav");
    Scenario::keys(["a"]).upstream("a", [bytes, cut, throttled(secs(1))]).otherwise(ok()).run(
        |world| async move {
            let passed = || world.wheel.send(request(Delivery::Passed), Terms::default());
            let answer = passed().await.expect("served");
            assert_eq!(world.key("a").in_flight, 1, "the answer holds the credit");
            assert_eq!(read(answer).await, ("RIFFwave".to_owned(), true));
            assert_eq!(read(passed().await.expect("served")).await, ("RIFF".to_owned(), false));
            let answer = passed().await.expect("a refusal is understood, and the job waits");
            assert_eq!(answer.served.attempts.len(), 2);
        },
    );
}

#[test]
fn whoever_stops_in_the_middle_is_waited_for_as_long_as_the_idle_limit_says() {
    let events = Step::stream(vec![say(HELLO), Piece::Stall]);
    let bytes = Step::stream(vec![say(HELLO), Piece::Stall]).header("content-type", "audio/wav");
    for (step, delivery) in [(events, Delivery::Stream), (bytes, Delivery::Passed)] {
        Scenario::keys(["a"]).otherwise(step).run(|world| async move {
            for hold_back in [HoldBack::None, HoldBack::FirstContent] {
                let began = world.now();
                let sent = world.wheel.send(request(delivery), holding(hold_back)).await;
                assert_eq!(read(sent.expect("it began")).await, (HELLO.to_owned(), false));
                assert_eq!(world.now().since(began), millis(10) + secs(20), "{delivery:?} {hold_back:?}");
            }
        });
    }
}

#[test]
fn what_is_compressed_is_no_answer_unless_bytes_are_all_that_is_wanted() {
    let compressed = || Step::stream(vec![say("\x1f"), say(HELLO)]).header("content-encoding", "gzip");
    let scenario = Scenario::keys(["a", "b"]).upstream("a", [compressed(), compressed(), compressed()]);
    scenario.otherwise(ok()).run(|world| async move {
        for delivery in [Delivery::Whole, Delivery::Stream] {
            let answer = world.wheel.send(request(delivery), Terms::default()).await.expect("served");
            assert_eq!(answer.served.attempts.len(), 2);
            let fault = answer.served.attempts[0].fault.clone().expect("the first failed");
            assert_eq!(
                (fault.reason, &*fault.message),
                (Reason::Cut, "the answer is compressed, which nobody asked for")
            );
        }
        let answer = world.wheel.send(request(Delivery::Passed), Terms::default()).await.expect("served");
        assert_eq!(answer.served.attempts.len(), 1);
        assert_eq!(read(answer).await, (["\x1f", HELLO].concat(), true));
    });
}

#[test]
fn what_has_not_changed_is_an_answer_to_who_asked_for_that() {
    let unchanged = || Step::answer(304, "").header("etag", "1");
    Scenario::keys(["a"]).otherwise(unchanged()).run(|world| async move {
        for _ in 0..6 {
            let answer = world.wheel.send(request(Delivery::Passed), Terms::default()).await.expect("served");
            assert_eq!(
                (answer.status, answer.headers["etag"].as_bytes()),
                (StatusCode::NOT_MODIFIED, &b"1"[..])
            );
        }
        assert_eq!(world.state("a"), KeyState::Active);
        assert!(world.wheel.send(request(Delivery::Whole), Terms::default()).await.is_err(), "nobody asked");
    });
}

#[test]
fn what_a_provider_keeps_is_not_judged_as_a_models_answer() {
    let failed = || {
        let record = r#"{"status":"failed","error":{"code":"insufficient_quota","message":"sk-x"}}"#;
        Step::answer(200, record).header("content-type", "application/json")
    };
    let kept = |method: Method| Request {
        method,
        path: "/responses/resp_1".to_owned(),
        body: Bytes::new(),
        ..request(Delivery::Passed)
    };
    Scenario::keys(["a"]).otherwise(failed()).run(|world| async move {
        for method in [Method::GET, Method::HEAD, Method::GET, Method::HEAD, Method::GET, Method::HEAD] {
            let answer = world.wheel.send(kept(method), Terms::default()).await.expect("served");
            assert_eq!(answer.served.attempts.len(), 1);
        }
        assert_eq!(world.state("a"), KeyState::Active);
    });
}

#[test]
fn an_upload_of_which_something_is_gone_is_not_sent_again() {
    let upload = || Upload::new(futures_util::stream::iter([Ok(Bytes::from_static(b"rest"))]), None);
    Scenario::keys(["a", "b"]).upstream("a", [throttled(secs(1))]).otherwise(ok()).run(|world| async move {
        let kept = Request { upload: Some(upload()), ..request(Delivery::Passed) };
        let answer = world.wheel.send(kept, Terms::default()).await.expect("nothing of it was taken");
        assert_eq!(answer.served.attempts.len(), 2);

        let spent = upload();
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(spent.poll_piece(&mut task).is_ready());
        world.upstream.then("a", throttled(secs(1)));
        world.upstream.then("b", throttled(secs(1)));
        let sent = Request { upload: Some(spent), ..request(Delivery::Passed) };
        let error = world.wheel.send(sent, Terms::default()).await.expect_err("it can't be sent twice");
        let SendError::Refused(refused) = error else { panic!("{error:?}") };
        assert_eq!((refused.status.as_u16(), refused.attempts.len()), (429, 1));
    });
}

#[test]
fn an_event_that_comes_in_small_pieces_is_waited_for_as_long_as_they_come() {
    let slowly = || {
        let pieces = HELLO.as_bytes().chunks(8).map(|piece| Piece::Bytes(secs(5), Bytes::from_static(piece)));
        pieces.collect::<Vec<_>>()
    };
    for hold_back in [HoldBack::FirstContent, HoldBack::Full] {
        let pieces = [vec![say(HELLO)], slowly(), vec![say(DONE)]].concat();
        Scenario::keys(["a"]).otherwise(Step::stream(pieces)).run(|world| async move {
            let sent = world.wheel.send(request(Delivery::Stream), holding(hold_back)).await;
            assert_eq!(
                read(sent.expect("served")).await,
                ([HELLO, HELLO, DONE].concat(), true),
                "{hold_back:?}"
            );
        });
    }
}

#[test]
fn what_was_held_to_its_end_is_whole_though_it_is_read_late() {
    Scenario::keys(["a"]).otherwise(whole()).run(|world| async move {
        let terms = Terms { deadline: world.now() + secs(5), ..holding(HoldBack::Full) };
        let answer = world.wheel.send(request(Delivery::Stream), terms).await.expect("served");
        world.advance(secs(10)).await;
        assert_eq!(read(answer).await, ([ROLE, HELLO, USAGE, DONE].concat(), true));
        let view = world.key("a");
        assert_eq!((view.in_flight, view.counts.succeeded, view.counts.cancelled), (0, 1, 0));
    });
}

/// What a dialect streams, and its path: several events, of which the last closes the stream.
fn streams() -> [(Arc<dyn Dialect>, &'static str, Vec<&'static str>); 4] {
    let gemini = [
        r#"data: {"candidates":[{"content":{"parts":[{"text":"hé"}]}},{"content":{"parts":[{"text":"a"}]},"index":1}]}"#,
        r#"data: {"candidates":[{"content":{"parts":[{"text":"l"}]},"finishReason":"STOP"}]}"#,
        r#"data: {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP","index":1}]}"#,
    ];
    let anthropic = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hé\"}}",
        "event: ping\ndata: {\"type\":\"ping\"}",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ];
    let responses = [
        "event: response.created\ndata: {\"type\":\"response.created\"}",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hé\"}",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"error\":null}}",
    ];
    let chat = [
        ": waiting",
        r#"data:{"choices":[{"index":0,"delta":{"content":"hé"},"finish_reason":null}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "data: [DONE]",
    ];
    [
        (Arc::new(Gemini), "/models/m:streamGenerateContent?alt=sse", gemini.to_vec()),
        (Arc::new(Anthropic), "/messages", anthropic.to_vec()),
        (Arc::new(OpenAi), "/responses", responses.to_vec()),
        (Arc::new(OpenAi), "/chat/completions", chat.to_vec()),
    ]
}

#[test]
fn a_stream_that_is_cut_at_any_byte_never_looks_whole() {
    for (dialect, path, events) in streams() {
        for line_end in ["\n", "\r\n", "\r"] {
            let whole = events.iter().map(|event| event.replace('\n', line_end) + line_end + line_end);
            let whole: String = whole.collect();
            let closed_at = whole.trim_end().len();
            for cut in 0..whole.len() {
                let at_once = |bytes: &str, to: usize| {
                    Piece::Bytes(millis(10), Bytes::copy_from_slice(&bytes.as_bytes()[..to]))
                };
                let scenario = Scenario::keys(["a"]).with(|spec| {
                    spec.providers[0].dialect = Arc::clone(&dialect);
                });
                let pieces = vec![at_once(&whole, cut)];
                let scenario = scenario.upstream("a", [Step::stream(pieces)]);
                let scenario = scenario.otherwise(Step::stream(vec![at_once(&whole, whole.len())]));
                let whole = whole.clone();
                scenario.run(|world| async move {
                    let sent = Request { path: path.to_owned(), ..request(Delivery::Stream) };
                    let answer = world.wheel.send(sent, Terms::default()).await.expect("served");
                    let is_first = answer.served.attempts.len() == 1;
                    let (text, is_clean) = read(answer).await;
                    assert_eq!(is_clean, !is_first || cut >= closed_at, "{:?}", &whole.as_bytes()[..cut]);
                    assert!(whole.starts_with(&text), "{text:?}");
                });
            }
        }
    }
}
