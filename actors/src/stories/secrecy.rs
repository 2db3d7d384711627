//! A provider that repeats a key, in whatever form, is not repeated.

use std::iter;

use crate::error::SendError;
use crate::secret::Secret;
use crate::spec::KeySpec;
use crate::upstream::{Piece, Step};

use super::scenario::{Scenario, ok};

const KEY: &str = "sk-canary/0123456789+abcdefgh";

/// The key as it is, escaped for JSON and for URLs, and `Bearer KEY` in base64.
const ECHOES: [&str; 4] = [
    KEY,
    "sk-canary\\/0123456789\\u002babcdefgh",
    "sk-canary%2F0123456789%2babcdefgh",
    "QmVhcmVyIHNrLWNhbmFyeS8wMTIzNDU2Nzg5K2FiY2RlZmdo",
];

fn guarded() -> Scenario {
    let key = |key: &mut KeySpec| key.secret = Secret::new(KEY);
    Scenario::keys(["a", "b"]).with(|spec| key(&mut spec.providers[0].keys[0]))
}

/// Nothing of the key in sight, as far as anybody could put it together again.
#[track_caller]
fn assert_clean(text: &str) {
    // The mask ends with the last four characters.
    for part in ["canary", "0123456789", "abcdefg", "Y2FuYXJ5", "MDEyMzQ1", "NhbmFyeS8wMTIz"] {
        assert!(!text.contains(part), "`{part}` in {text}");
    }
}

#[test]
fn an_error_that_repeats_the_key_is_clean_wherever_it_goes() {
    for echo in ECHOES {
        let body = format!(
            r#"{{"error":{{"message":"no {echo}","code":"{echo}","type":"invalid_request_error"}}}}"#
        );
        let step = Step::answer(400, body).header("x-debug", echo).header("x-kind", "harmless");
        guarded().upstream("a", [step]).run(|world| async move {
            let mut events = world.wheel.events();
            let seen = world.send().await;
            let SendError::Refused(refused) = seen.error() else { panic!("{seen:?}") };
            assert!(refused.fault.message.ends_with("sk-…efgh"), "{}", refused.fault);
            assert_eq!(refused.headers["x-kind"], "harmless");
            assert_clean(&String::from_utf8_lossy(&refused.body));
            assert_clean(&format!("{refused:?} {}", seen.error()));
            world.settle().await;
            let told: Vec<_> = iter::from_fn(|| events.try_recv().ok()).collect();
            assert!(!told.is_empty());
            assert_clean(&format!("{told:?} {:?}", world.key("a")));
        });
    }
}

#[test]
fn a_message_that_is_cut_inside_the_key_is_clean() {
    for echo in ECHOES {
        let body = format!(r#"{{"error":{{"message":"{}{echo}"}}}}"#, "x".repeat(285));
        guarded().upstream("a", [Step::answer(400, body)]).run(|world| async move {
            let seen = world.send().await;
            assert_clean(&format!("{seen:?}"));
        });
    }
}

#[test]
fn the_headers_of_a_good_answer_are_clean() {
    for echo in ECHOES {
        let step = ok().header("x-debug", echo).header("x-kind", "harmless");
        guarded().upstream("a", [step]).run(|world| async move {
            let answer = world.send().await.ending.expect("served");
            assert_eq!(answer.headers["x-kind"], "harmless");
            assert_clean(&format!("{:?}", answer.headers));
        });
    }
}

#[test]
fn a_stream_that_fails_is_clean() {
    for echo in ECHOES {
        let error =
            format!("data: {{\"error\":{{\"message\":\"no {echo}\",\"code\":\"content_filter\"}}}}\n\n");
        let error = Piece::Bytes(std::time::Duration::ZERO, error.into());
        let step = Step::stream(vec![error]).header("x-debug", echo);
        guarded().otherwise(step).run(|world| async move {
            let mut events = world.wheel.events();
            let ending = world.stream().await.map(|_| ());
            let error = ending.expect_err("it told of nothing but an error");
            assert_clean(&format!("{error:?} {error}"));
            world.settle().await;
            let told: Vec<_> = iter::from_fn(|| events.try_recv().ok()).collect();
            assert_clean(&format!("{told:?}"));
        });
    }
}
