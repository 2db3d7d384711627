//! Identical rows, scripted: who calls, who waits, what is kept.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use futures_util::future::join_all;
use hyper::header::HeaderValue;
use keywheel_actors::clock::Moment;
use keywheel_actors::id::KeyId;
use keywheel_actors::outcome::{Attempt, Fault, Reason, Usage};
use keywheel_actors::request::Delivery;
use tempfile::TempDir;

use super::*;

/// A cache, and a provider that counts its calls.
struct Scenario {
    directory: TempDir,
    cache: Cache,
    calls: Cell<u64>,
}

/// How the provider ends a call.
#[derive(Clone, Copy)]
enum Says {
    Words(&'static str),
    Down,
    No,
}

impl Scenario {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let cache = Cache::open(&directory.path().join("cache"), None).unwrap();
        Self { directory, cache, calls: Cell::new(0) }
    }

    /// The same directory in the next run.
    fn next_run(self) -> Self {
        let cache = Cache::open(&self.directory.path().join("cache"), None).unwrap();
        Self { cache, calls: Cell::new(0), ..self }
    }

    /// A row with this body; the provider answers so if it is asked.
    async fn row(&self, body: &'static str, says: Says) -> Answered {
        self.row_expecting(None, body, says).await
    }

    async fn row_expecting(&self, expect: Option<&Expectation>, body: &'static str, says: Says) -> Answered {
        let ask = async |_| {
            self.calls.set(self.calls.get() + 1);
            tokio::task::yield_now().await;
            Answered::by_wheel(says.result())
        };
        self.cache.answer(request(body), expect, ask).await
    }

    /// The entries on the disk.
    fn files(&self) -> Vec<PathBuf> {
        let inside = |directory: PathBuf| fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let first = inside(self.directory.path().join("cache"));
        let second = first.filter(|path| !path.ends_with("unfinished")).flat_map(inside);
        second.flat_map(inside).collect()
    }
}

impl Says {
    fn result(self) -> Result<Answer, SendError> {
        match self {
            Self::Words(words) => {
                let mut headers = HeaderMap::new();
                headers.insert("x-request-id", HeaderValue::from_static("req_1"));
                let body = serde_json::json!({"choices": [{"message": {"content": words}}]}).to_string();
                let attempts = vec![attempt()];
                Ok(Answer {
                    status: StatusCode::OK,
                    headers,
                    body: AnswerBody::Whole(body.into()),
                    served: Served { provider: "p".into(), fell_back: false, attempts },
                    usage: Some(Usage { input_tokens: 10, output_tokens: 1, cached_tokens: 0 }),
                })
            }
            Self::Down => {
                let last = Box::new(Fault::new(Reason::ServerError, ""));
                Err(SendError::Exhausted { last, attempts: vec![attempt()] })
            }
            Self::No => Err(SendError::Refused(Box::new(RefusedAnswer {
                fault: Fault::new(Reason::TooLong, "too long"),
                status: StatusCode::BAD_REQUEST,
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
                attempts: vec![attempt()],
            }))),
        }
    }
}

fn attempt() -> Attempt {
    Attempt {
        key: KeyId { provider: "p".into(), key: "k".into() },
        model: "m".into(),
        started: Moment::ZERO,
        took: Duration::ZERO,
        fault: None,
    }
}

fn request(body: &'static str) -> Request {
    Request {
        method: hyper::Method::POST,
        path: "/x".to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
        model: "m".into(),
        delivery: Delivery::Whole,
        to: keywheel_actors::request::Destination::Routed,
        upload: None,
    }
}

/// `req_1 cache 0 calls 0 tokens`, or the code of the failure in place of the id.
fn told(answered: &Answered) -> String {
    let id = match &answered.result {
        Ok(answer) => answer.headers["x-request-id"].to_str().unwrap(),
        Err(fault) => fault.code(),
    };
    let by = match answered.origin {
        Origin::Wheel => "wheel",
        Origin::Cache => "cache",
    };
    let tokens: u64 = answered.paid().map(|(_, usage)| usage.input_tokens + usage.output_tokens).sum();
    format!("{id} {by} {} calls {tokens} tokens", answered.attempts.len())
}

fn body_of(answered: Answered) -> Bytes {
    match answered.result.unwrap().body {
        AnswerBody::Whole(body) => body,
        AnswerBody::Stream(_) => unreachable!("the script has none"),
    }
}

#[tokio::test]
async fn identical_rows_at_once_share_one_call() {
    let scenario = Scenario::new();
    let rows = join_all((0..100).map(|_| scenario.row("a", Says::Words("hi")))).await;
    assert_eq!(scenario.calls.get(), 1);
    assert_eq!(told(&rows[0]), "req_1 wheel 1 calls 11 tokens");
    assert!(rows[1..].iter().all(|row| told(row) == "req_1 cache 0 calls 0 tokens"));
    let bodies: Vec<Bytes> = rows.into_iter().map(body_of).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(scenario.cache.summary(), CacheSummary { stored: 1, unreadable: 0, fault: None });
}

#[tokio::test]
async fn a_later_run_finds_the_answer_of_an_earlier_one() {
    let scenario = Scenario::new();
    let first = body_of(scenario.row("a", Says::Words("hi")).await);
    let scenario = scenario.next_run();
    let again = scenario.row("a", Says::Down).await;
    assert_eq!(told(&again), "req_1 cache 0 calls 0 tokens");
    assert_eq!(body_of(again), first);
    assert_eq!(told(&scenario.row("b", Says::Words("ho")).await), "req_1 wheel 1 calls 11 tokens");
    assert_eq!(scenario.calls.get(), 1);
}

#[tokio::test]
async fn after_a_failure_the_next_row_asks_itself() {
    let scenario = Scenario::new();
    let rows = [Says::Down, Says::Down, Says::Words("hi"), Says::Words("hi")];
    let rows = join_all(rows.map(|says| scenario.row("a", says))).await;
    let told: Vec<String> = rows.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "exhausted wheel 1 calls 0 tokens",
            "exhausted wheel 1 calls 0 tokens",
            "req_1 wheel 1 calls 11 tokens",
            "req_1 cache 0 calls 0 tokens",
        ]
    );
    assert_eq!(scenario.files().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_shared_at_once_and_never_kept() {
    let scenario = Scenario::new();
    let rows = join_all((0..3).map(|_| scenario.row("a", Says::No))).await;
    assert_eq!(scenario.calls.get(), 1);
    assert_eq!(told(&rows[0]), "too_long wheel 1 calls 0 tokens");
    assert_eq!(told(&rows[2]), "too_long cache 0 calls 0 tokens");
    assert!(scenario.files().is_empty());
}

#[tokio::test]
async fn a_row_that_is_given_up_lets_the_next_one_ask() {
    let scenario = Scenario::new();
    let calls_begun = async {
        while scenario.calls.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let mut second = Box::pin(scenario.row("a", Says::Words("hi")));
    {
        let first = scenario.row("a", Says::Words("hi"));
        let both = async { tokio::join!(first, second.as_mut()) };
        tokio::select! {
            biased;
            () = calls_begun => {}
            _ = both => unreachable!("a call takes longer than its beginning"),
        }
    }
    assert_eq!(told(&second.await), "req_1 wheel 1 calls 11 tokens");
    assert_eq!(scenario.calls.get(), 2);
}

#[tokio::test]
async fn a_torn_entry_is_counted_and_asked_for_again() {
    let scenario = Scenario::new();
    scenario.row("a", Says::Words("hi")).await;
    let file = scenario.files().remove(0);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let scenario = scenario.next_run();
    assert_eq!(told(&scenario.row("a", Says::Words("hi")).await), "req_1 wheel 1 calls 11 tokens");
    assert_eq!(scenario.cache.summary(), CacheSummary { stored: 1, unreadable: 1, fault: None });
    assert_eq!(told(&scenario.next_run().row("a", Says::Down).await), "req_1 cache 0 calls 0 tokens");
}

#[tokio::test]
async fn what_this_run_does_not_expect_is_asked_for_again() {
    let scenario = Scenario::new();
    scenario.row("a", Says::Words("hi")).await;
    let scenario = scenario.next_run();
    let json = Expectation::json();
    let row = scenario.row_expecting(Some(&json), "a", Says::Words("[1]")).await;
    assert_eq!(told(&row), "req_1 wheel 1 calls 11 tokens");
    let row = scenario.row_expecting(Some(&json), "a", Says::Down).await;
    assert_eq!(told(&row), "req_1 cache 0 calls 0 tokens", "the new answer took the old one's place");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_fails_no_row() {
    let scenario = Scenario::new();
    // A file where a directory should be: nothing can be put there, whoever tries.
    fs::write(scenario.directory.path().join("cache/unfinished"), "").unwrap();
    assert_eq!(told(&scenario.row("a", Says::Words("hi")).await), "req_1 wheel 1 calls 11 tokens");
    assert_eq!(told(&scenario.row("b", Says::Words("hi")).await), "req_1 wheel 1 calls 11 tokens");
    let summary = scenario.cache.summary();
    assert_eq!((summary.stored, summary.unreadable), (0, 0));
    assert!(summary.fault.is_some());
}
