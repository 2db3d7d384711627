//! Networks that fail: silence, dripping bytes, resets, names that lead nowhere, addresses that lead elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;

use crate::one::{ASKED, Kind, toml};
use crate::raw::{Door, Heard, Raw, Step};
use crate::run::{Figures, Run};
use crate::support::live::{STATE, until};
use crate::support::millis;
use crate::support::program::Desk;
use crate::words::{
    CHUNKED, DONE, HELLO, JSON, LAST_CHUNK, begun, chunk, head, in_turn, say, stream_of, well, whole,
};

/// Whoever has waited its time for one call makes no second one there.
const WAITED_FOR: [u32; 3] = [2, 2, 2];

/// A gateway over `ill` with such timeouts and a provider that is well, which serves what the first one doesn't.
async fn served_by_another(ill: Raw, timeouts: &str, asked: [u32; 3]) -> Run<Raw> {
    let mut run = Run::over_raw(vec![(ill, timeouts), (Raw::start(well), "")], &[]);
    for (kind, attempts) in [Kind::Chat, Kind::Stream, Kind::Chat].into_iter().zip(asked) {
        run.one(kind).await.served_by("p1", attempts);
    }
    run.assert_keys_are_active(&["p0", "p1"]);
    run
}

#[tokio::test]
async fn who_says_nothing_is_left_for_another() {
    let timeouts = "timeouts = { whole_content = \"200ms\", first_content_with_fallback = \"200ms\" }";
    let silent = Raw::start(|_| vec![Step::Stop]);
    let mut run = served_by_another(silent, timeouts, WAITED_FOR).await;
    until("nobody waits any more", || run.providers[0].seen().left == 3);
    assert_eq!(run.send(2).await, 2);
    assert_eq!(run.send(40).await, 40, "the others don't wait for it");
    let calls = run.providers[0].calls();
    assert!(calls < 5 + 5, "it is only probed: {calls}");
    assert_eq!(run.join().await.served, 45);
}

#[tokio::test]
async fn who_ends_no_handshake_is_left_for_another() {
    let (silent, good) = (Raw::start(well), Raw::start(well));
    let https = silent.base_url().replace("http:", "https:");
    let config = toml("p0", &https, "") + &toml("p1", &good.base_url(), "");
    let mut run = Run::over(vec![silent, good], &config, &["--set", "timeouts.connect=300ms"]);
    for (kind, attempts) in [Kind::Chat, Kind::Stream, Kind::Chat].into_iter().zip(ASKED) {
        run.one(kind).await.served_by("p1", attempts);
    }
    run.assert_keys_are_active(&["p0", "p1"]);
    assert_eq!(run.providers[0].seen().connections, 5);
    assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 3 });
}

#[tokio::test]
async fn who_is_slow_within_its_limits_serves_alone() {
    let slow = Raw::start(|heard| match (heard.is_stream, heard.number) {
        (false, _) => vec![Step::Pause(millis(300)), say(whole())],
        (true, 1) => vec![Step::Pause(millis(300)), say(stream_of(&[HELLO, DONE]))],
        (true, _) => {
            let rest = [chunk(HELLO), chunk(DONE), LAST_CHUNK.into()].concat();
            let [waits, more] =
                [": one moment\n\n", "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"];
            let begun = [CHUNKED.as_bytes(), &chunk(waits), &chunk(more)].concat();
            vec![say(begun), Step::Pause(millis(300)), say(rest)]
        }
    });
    let mut run = Run::over_raw(vec![(slow, ""), (Raw::start(well), "")], &[]);
    for kind in [Kind::Chat, Kind::Stream, Kind::Stream] {
        run.one(kind).await.served_by("p0", 1);
    }
    assert_eq!(run.providers[1].calls(), 0);
    assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 3 });
}

#[tokio::test]
async fn a_head_that_drips_is_no_answer() {
    let timeouts = "timeouts = { whole_content = \"200ms\", first_content_with_fallback = \"200ms\" }";
    let dripping = Raw::start(|heard| match &well(heard)[..] {
        [Step::Say(bytes)] => vec![Step::Drip(bytes.clone(), millis(20))],
        _ => unreachable!("it says all at once"),
    });
    let run = served_by_another(dripping, timeouts, WAITED_FOR).await;
    until("nobody waits any more", || run.providers[0].seen().left == 3);
    assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 6 });
}

#[tokio::test]
async fn a_body_that_drips_never_looks_whole_before_it_is() {
    let drips = |bytes: &[u8], gap: u64| Step::Drip(Bytes::copy_from_slice(bytes), millis(gap));
    // Not one of these comes to its end within the limits.
    let dripping = Raw::start(move |heard: &Heard| {
        if heard.is_stream {
            vec![say([CHUNKED.as_bytes(), &chunk(HELLO)].concat()), drips(&chunk(HELLO), 50)]
        } else {
            vec![say(head(JSON.len())), drips(JSON.as_bytes(), 50)]
        }
    });
    let timeouts = "timeouts = { idle = \"300ms\", total = \"600ms\" }";
    let mut run = Run::over_raw(vec![(dripping, timeouts), (Raw::start(well), "")], &[]);
    run.one(Kind::Chat).await.served_by("p1", 3);
    run.one(Kind::Stream).await.broke_off_behind(HELLO);
    until("nobody waits any more", || run.providers[0].seen().left == 3);
    assert_eq!(run.join().await, Figures { requests: 2, served: 1, calls: 4 });

    let patient = Raw::start(move |heard| match &well(heard)[..] {
        [Step::Say(bytes)] => vec![drips(bytes, 1)],
        _ => unreachable!("it says all at once"),
    });
    let mut run = Run::over_raw(vec![(patient, ""), (Raw::start(well), "")], &[]);
    assert_eq!(run.one(Kind::Chat).await.served_by("p0", 1).text(), JSON);
    assert_eq!(run.one(Kind::Stream).await.served_by("p0", 1).text(), [HELLO, DONE].concat());
    assert_eq!(run.join().await, Figures { requests: 2, served: 2, calls: 2 });
}

/// How an answer can come to nothing before anybody has seen any of it.
fn broken_answers() -> Vec<Vec<Step>> {
    let half = |length: usize| say(head(length) + &JSON[..JSON.len() / 2]);
    let closed = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let in_two_ways = head(JSON.len()).replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n");
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(2 << 20));
    let chunked = |end: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        say([head.as_bytes(), &chunk(&JSON[..20]), end.as_bytes()].concat())
    };
    vec![
        vec![Step::Reset],
        vec![Step::HangUp],
        vec![say(&whole()[..30]), Step::Reset],
        vec![say(&whole()[..30]), Step::HangUp],
        vec![half(JSON.len()), Step::Reset],
        vec![half(JSON.len()), Step::HangUp],
        vec![half(JSON.len() / 2)],
        vec![say(closed.to_owned() + &JSON[..20]), Step::HangUp],
        vec![chunked("5\r\nha"), Step::Reset],
        vec![chunked(""), Step::HangUp],
        vec![chunked("0\r\n"), Step::HangUp],
        vec![say(in_two_ways + JSON), Step::HangUp],
        vec![say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc"), Step::HangUp],
        vec![say(long), Step::Stop],
        vec![say("SSH-2.0-OpenSSH_9.9\r\n"), Step::Stop],
    ]
}

#[tokio::test]
async fn an_answer_that_breaks_before_anybody_saw_it_is_got_again() {
    let broken = broken_answers();
    let count = broken.len();
    // Good answers between them, so that the provider isn't left alone.
    let mut run = Run::over_raw(vec![(in_turn(broken, 2), "")], &[]);
    for number in 0..count {
        let one = run.one(Kind::Chat).await;
        assert_eq!(one.served_by("p0", 2).text(), JSON, "{number}");
        run.one(Kind::Chat).await.served_by("p0", 1);
    }
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: 2 * count, served: 2 * count, calls: 3 * count });
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_content_is_got_again() {
    let comment = ": one moment\n\n";
    let broken = vec![
        vec![Step::Reset],
        vec![begun(comment), Step::Reset],
        vec![begun(comment), say(&chunk(HELLO)[..40]), Step::Reset],
        vec![begun(comment), Step::HangUp],
        vec![begun(comment), say(LAST_CHUNK)],
    ];
    let count = broken.len();
    let mut run = Run::over_raw(vec![(in_turn(broken, 1), "")], &[]);
    for _ in 0..count {
        let one = run.one(Kind::Stream).await;
        assert_eq!(one.served_by("p0", 2).text(), [HELLO, DONE].concat());
    }
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: count, served: count, calls: 2 * count });
}

#[tokio::test]
async fn a_stream_that_breaks_behind_its_content_tells_of_it() {
    let broken = vec![
        // A reset may overtake what was said before, so it waits until that has been seen.
        vec![begun(HELLO), Step::AwaitCue, Step::Reset],
        vec![begun(HELLO), say(&chunk(HELLO)[..40]), Step::AwaitCue, Step::Reset],
        vec![begun(HELLO), say(&chunk(HELLO)[..40]), Step::HangUp],
        vec![begun(HELLO), Step::HangUp],
        vec![begun(HELLO), say("0\r\n"), Step::HangUp],
        vec![begun(HELLO), say(LAST_CHUNK)],
    ];
    let count = broken.len();
    let mut run = Run::over_raw(vec![(in_turn(broken, 1), ""), (Raw::start(well), "")], &[]);
    for _ in 0..count {
        let one = run.one(Kind::Stream).await;
        one.broke_off_behind(HELLO);
        assert_eq!((one.provider.as_str(), one.attempts), ("p0", 1));
        run.one(Kind::Stream).await.served_by("p0", 1);
    }
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: 2 * count, served: count, calls: 2 * count });
}

#[tokio::test]
async fn a_file_that_breaks_off_breaks_its_connection() {
    let kind = |head: String| head.replace("application/json", "audio/wav");
    let of_length = kind(head(1_000)) + "RIFF";
    let in_chunks = CHUNKED.replace("text/event-stream", "audio/wav");
    let in_chunks = [in_chunks.as_bytes(), &chunk("RIFF")].concat();
    // Each waits until its beginning has been seen: what breaks before that may take the head with it.
    let broken = vec![
        vec![say(&of_length), Step::AwaitCue, Step::Reset],
        vec![say(&of_length), Step::AwaitCue, Step::HangUp],
        vec![say(&of_length), Step::AwaitCue, Step::Stop],
        vec![say(&in_chunks), Step::AwaitCue, Step::Reset],
        vec![say(&in_chunks), Step::AwaitCue, say("5\r\nha"), Step::HangUp],
        vec![say(&in_chunks), Step::AwaitCue, Step::HangUp],
        vec![say(&in_chunks), Step::AwaitCue, say("0\r\n"), Step::HangUp],
        vec![say(&in_chunks), Step::AwaitCue, Step::Stop],
    ];
    let count = broken.len();
    let mut run = Run::over_raw(vec![(in_turn(broken, 1), "timeouts = { idle = \"300ms\" }")], &[]);
    for number in 0..count {
        let file = run.one(Kind::File).await;
        assert!(file.is_broken && file.text().starts_with("RIFF"), "{number}: {}", file.text());
        run.one(Kind::Chat).await.served_by("p0", 1);
    }
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: 2 * count, served: count, calls: 2 * count });
}

#[tokio::test]
async fn connections_that_are_closed_every_other_time_cost_a_call_and_no_answer() {
    let flapping = Raw::behind(Door::Flapping, |heard| {
        let answer = if heard.is_stream { stream_of(&[HELLO, DONE]) } else { whole().into_bytes() };
        let answer = String::from_utf8(answer).expect("text");
        vec![say(answer.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1)), Step::HangUp]
    });
    let mut run = Run::over_raw(vec![(flapping, "")], &[]);
    for number in 0..10 {
        let kind = if number % 2 == 0 { Kind::Chat } else { Kind::Stream };
        run.one(kind).await.served_by("p0", 2);
    }
    assert_eq!(run.providers[0].seen().connections, 20);
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: 10, served: 10, calls: 10 });
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_left_for_another() {
    let good = Raw::start(well);
    let config = toml("p0", "https://does-not-exist.invalid/v1", "") + &toml("p1", &good.base_url(), "");
    let desk = Desk::new(&format!("{STATE}{config}"));
    // Keys that leave the machine are nobody else's to read.
    fs::set_permissions(desk.path("keywheel.toml"), Permissions::from_mode(0o600)).expect("it is ours");
    let mut run = Run::at(desk, vec![good], &[], &[]);
    for (kind, attempts) in [Kind::Chat, Kind::Stream, Kind::Chat].into_iter().zip(ASKED) {
        run.one(kind).await.served_by("p1", attempts);
    }
    run.assert_keys_are_active(&["p0", "p1"]);
    until("it is logged", || run.logged().matches("dns error").count() == 5);
    assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 3 });
}

#[tokio::test]
async fn an_address_that_leads_elsewhere_is_never_followed() {
    let elsewhere = Raw::start(well);
    let there = elsewhere.base_url();
    let moved = move |heard: &Heard| {
        let status =
            ["301 Moved", "302 Found", "303 See Other", "307 For now", "308 For good"][heard.number % 5];
        let location = format!("{there}/chat/completions?from=p0");
        vec![say(format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"))]
    };
    let run = served_by_another(Raw::start(moved.clone()), "", ASKED).await;
    until("it is logged", || {
        run.logged().matches("leads to 127.0.0.1, and keys follow no redirect").count() == 5
    });
    assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 8 });

    let mut run = Run::over_raw(vec![(Raw::start(moved), "")], &[]);
    let file = run.one(Kind::File).await;
    assert_eq!((file.status, file.attempts), (400, 1), "{}", file.text());
    let chat = run.one(Kind::Chat).await;
    assert_eq!((chat.status, chat.attempts), (502, 5), "{}", chat.text());
    assert!(
        chat.text().contains("hint: write the address that it leads to as `base_url`"),
        "{}",
        chat.text()
    );
    run.assert_keys_are_active(&["p0"]);
    assert_eq!(run.join().await, Figures { requests: 2, served: 0, calls: 6 });
    assert_eq!(elsewhere.seen().connections, 0);
}
