//! Answers a row: out of the cache, or by asking until the answer is what was expected.
//!
//! The wheel repairs what providers get wrong on the way; whether an answer says what it should is for
//! the row to know. Both draw on the row's one budget of attempts.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::Either;
use keywheel_actors::error::SendError;
use keywheel_actors::outcome::{Attempt, Reason, Scope, Usage};
use keywheel_actors::request::{Request, Terms};
use keywheel_actors::{Answer, AnswerBody};

use super::cache::Cache;
use super::expect::{Expectation, Unexpected};
use super::{Answered, Origin, RowFault, Told, UnexpectedAnswer};

/// What counts as an answer, and where answers are kept.
#[derive(Clone, Default, Debug)]
pub struct Answers {
    /// What every answer must be; `None` for anything that a provider calls one.
    pub expect: Option<Arc<Expectation>>,
    /// Where answers to identical rows are found.
    pub cache: Option<Arc<Cache>>,
}

impl Answers {
    /// Answers one row. `send` is the wheel.
    pub(in crate::batch) fn answer<S, F>(
        &self,
        request: Request,
        terms: Terms,
        send: S,
    ) -> impl Future<Output = Answered>
    where
        S: Fn(Request, Terms) -> F,
        F: Future<Output = Result<Answer, SendError>>,
    {
        match (&self.cache, &self.expect) {
            (None, None) => Either::Left(send(request, terms).map(Answered::by_wheel)),
            // In a box, so that rows are no larger in memory where neither is asked for.
            (Some(_), _) | (None, Some(_)) => Either::Right(Box::pin(self.look_or_ask(request, terms, send))),
        }
    }

    async fn look_or_ask<S, F>(&self, request: Request, terms: Terms, send: S) -> Answered
    where
        S: Fn(Request, Terms) -> F,
        F: Future<Output = Result<Answer, SendError>>,
    {
        let expect = self.expect.as_deref();
        let ask = async |request| match expect {
            None => Answered::by_wheel(send(request, terms).await),
            Some(expect) => ask_for(expect, request, terms, &send).await,
        };
        match &self.cache {
            None => ask(request).await,
            Some(cache) => cache.answer(request, expect, ask).await,
        }
    }
}

/// Asks until the answer is as expected, or the row's attempts are used up.
async fn ask_for<S, F>(expect: &Expectation, request: Request, terms: Terms, send: S) -> Answered
where
    S: Fn(Request, Terms) -> F,
    F: Future<Output = Result<Answer, SendError>>,
{
    let mut row = AskedRow::default();
    let mut attempts_left = terms.attempts_max;
    loop {
        let terms = Terms { attempts_max: attempts_left, ..terms };
        let (answer, attempts) = match send(request.clone(), terms).await {
            Err(error) => return row.failed(error),
            Ok(mut answer) => {
                let attempts = std::mem::take(&mut answer.served.attempts);
                (answer, attempts)
            }
        };
        let wrong = match &answer.body {
            AnswerBody::Whole(body) => expect.check(body).err(),
            AnswerBody::Stream(_) => None,
        };
        let used = used_by(&attempts, attempts_left);
        row.attempts.extend(attempts);
        let Some(wrong) = wrong else { return row.answered(answer) };
        row.thrown_away.push(answer.usage);
        attempts_left = attempts_left.saturating_sub(used);
        if attempts_left == 0 {
            return row.gave_up(answer, &wrong);
        }
    }
}

/// What an answer that is thrown away costs the row: one attempt, and those that the wheel lost to faults
/// of the provider on the way. The wheel had at least one left when it was answered; faults beyond that
/// were an outage's, which are free.
fn used_by(attempts: &[Attempt], attempts_left: u32) -> u32 {
    let faults = attempts.iter().filter(|attempt| is_provider_fault(attempt)).count();
    let faults = u32::try_from(faults).unwrap_or(u32::MAX);
    faults.min(attempts_left.saturating_sub(1)).saturating_add(1)
}

/// Whether the wheel charges it to the attempts.
fn is_provider_fault(attempt: &Attempt) -> bool {
    let Some(fault) = &attempt.fault else { return false };
    match fault.reason {
        Reason::SlowDown
        | Reason::Overloaded
        | Reason::ServerError
        | Reason::Unreachable
        | Reason::Stalled
        | Reason::Cut => true,
        Reason::ModelGone => false,
        Reason::Throttled
        | Reason::QuotaUsedUp
        | Reason::BadCredential
        | Reason::AccountBanned
        | Reason::MoneyGone
        | Reason::ModelDenied
        | Reason::RegionDenied
        | Reason::Unclassified
        | Reason::TooLong
        | Reason::NeverFits
        | Reason::PolicyRefused
        | Reason::CallerMistake
        | Reason::CallerGone
        | Reason::DeadlineOver
        | Reason::Stopped => fault.scope == Scope::Provider,
    }
}

/// A row between two answers.
#[derive(Debug, Default)]
struct AskedRow {
    attempts: Vec<Attempt>,
    thrown_away: Vec<Option<Usage>>,
}

impl AskedRow {
    fn ended(self, result: Result<Answer, RowFault>) -> Answered {
        Answered { result, attempts: self.attempts, thrown_away: self.thrown_away, origin: Origin::Wheel }
    }

    fn answered(self, answer: Answer) -> Answered {
        self.ended(Ok(answer))
    }

    fn failed(mut self, error: SendError) -> Answered {
        self.attempts.extend_from_slice(error.attempts());
        let attempts = self.attempts.clone();
        // These two say how many calls there were, and mean the row's.
        let error = match error {
            SendError::Exhausted { last, attempts: _ } => SendError::Exhausted { last, attempts },
            SendError::DeadlineOver { attempts: _ } => SendError::DeadlineOver { attempts },
            SendError::Refused(_)
            | SendError::Unavailable { .. }
            | SendError::NoRoute { .. }
            | SendError::QueueFull { .. }
            | SendError::Draining
            | SendError::Lost => error,
        };
        self.ended(Err(RowFault::Sent(error)))
    }

    fn gave_up(self, answer: Answer, wrong: &Unexpected) -> Answered {
        let body = match answer.body {
            AnswerBody::Whole(body) => body,
            // Only whole answers are looked into.
            AnswerBody::Stream(_) => bytes::Bytes::new(),
        };
        let told = Told { status: answer.status, headers: answer.headers, body };
        let answers = self.thrown_away.len();
        let unexpected = UnexpectedAnswer { told, why: wrong.to_string(), answers };
        self.ended(Err(RowFault::Unexpected(Box::new(unexpected))))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::{HeaderMap, Method, StatusCode};
    use keywheel_actors::clock::Moment;
    use keywheel_actors::id::KeyId;
    use keywheel_actors::outcome::{Fault, Served};
    use keywheel_actors::request::Delivery;

    use super::*;

    /// A wheel with a script: what each call comes to, and the attempts that it was allowed.
    struct Script {
        says: RefCell<VecDeque<Result<Answer, SendError>>>,
        allowed: RefCell<Vec<u32>>,
    }

    impl Script {
        fn new(says: impl IntoIterator<Item = Result<Answer, SendError>>) -> Self {
            Self { says: RefCell::new(says.into_iter().collect()), allowed: RefCell::default() }
        }

        /// A row that expects JSON, with so many attempts. Everything is there at once.
        fn play(&self, attempts_max: u32) -> Answered {
            let answers = Answers { expect: Some(Arc::new(Expectation::json())), cache: None };
            let request = Request {
                method: Method::POST,
                path: "/x".to_owned(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                model: "m".into(),
                delivery: Delivery::Whole,
                to: keywheel_actors::request::Destination::Routed,
                upload: None,
            };
            let send = async |_, terms: Terms| {
                self.allowed.borrow_mut().push(terms.attempts_max);
                self.says.borrow_mut().pop_front().expect("the script is long enough")
            };
            let terms = Terms { attempts_max, ..Terms::default() };
            answers.answer(request, terms, send).now_or_never().expect("nothing waits")
        }
    }

    /// What the wheel hands out after these faults.
    fn answer(words: &str, faults: &[Reason]) -> Answer {
        let body = serde_json::json!({"choices": [{"message": {"content": words}}]}).to_string();
        let attempts = faults.iter().map(|reason| attempt(Some(*reason))).chain([attempt(None)]).collect();
        Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: AnswerBody::Whole(body.into()),
            served: Served { provider: "p".into(), fell_back: false, attempts },
            usage: Some(Usage { input_tokens: 10, output_tokens: 3, cached_tokens: 0 }),
        }
    }

    fn attempt(fault: Option<Reason>) -> Attempt {
        Attempt {
            key: KeyId { provider: "p".into(), key: "k".into() },
            model: "m".into(),
            started: Moment::ZERO,
            took: Duration::ZERO,
            fault: fault.map(|reason| Fault::new(reason, "")),
        }
    }

    /// Code, calls made, answers thrown away, tokens paid for.
    fn told(answered: &Answered) -> (&'static str, usize, usize, u64) {
        let code = answered.result.as_ref().map_or_else(RowFault::code, |_| "ok");
        let tokens = answered.paid().map(|(_, usage)| usage.input_tokens + usage.output_tokens).sum();
        (code, answered.attempts.len(), answered.thrown_away.len(), tokens)
    }

    #[test]
    fn an_unexpected_answer_is_asked_for_again_and_paid_for() {
        let script = Script::new([Ok(answer("Sure!", &[])), Ok(answer("{}", &[]))]);
        let answered = script.play(5);
        assert_eq!(told(&answered), ("ok", 2, 1, 26));
        assert_eq!(*script.allowed.borrow(), [5, 4]);
        assert!(answered.paid().all(|(call, _)| call.is_some_and(|call| call.fault.is_none())));
    }

    #[test]
    fn the_wheels_faults_and_unexpected_answers_share_the_attempts() {
        let faults = [Reason::ServerError, Reason::Throttled, Reason::BadCredential, Reason::Cut];
        let script = Script::new([
            Ok(answer("no", &faults)),
            Ok(answer("no", &[])),
            Ok(answer("no", &[Reason::Throttled])),
        ]);
        let answered = script.play(5);
        assert_eq!(*script.allowed.borrow(), [5, 2, 1], "two faults and an answer, then an answer each");
        assert_eq!(told(&answered), ("unexpected_answer", 8, 3, 39));
        assert_eq!(
            answered.result.as_ref().unwrap_err().to_string(),
            "none of 3 answers is what was expected, the last one: its text is not one JSON value: \
             expected ident at line 1 column 2"
        );
        let told = answered.result.unwrap_err().into_told().expect("the provider's words are kept");
        assert_eq!(told.status, StatusCode::OK);
        assert_eq!(&told.body[..], br#"{"choices":[{"message":{"content":"no"}}]}"#);
    }

    #[test]
    fn a_single_attempt_is_never_repeated() {
        let script = Script::new([Ok(answer("no", &[Reason::Throttled]))]);
        let answered = script.play(1);
        assert_eq!(told(&answered), ("unexpected_answer", 2, 1, 13));
        let message = answered.result.unwrap_err().to_string();
        assert!(message.starts_with("the answer is not what was expected: its text"), "{message}");
    }

    #[test]
    fn faults_of_an_outage_leave_the_row_its_last_attempt() {
        let script = Script::new([Ok(answer("no", &[Reason::Unreachable; 9]))]);
        assert_eq!(told(&script.play(5)), ("unexpected_answer", 10, 1, 13));
    }

    #[test]
    fn a_row_that_fails_after_an_unexpected_answer_tells_of_all_its_calls() {
        let last = Box::new(Fault::new(Reason::ServerError, "boom"));
        let attempts = vec![attempt(Some(Reason::ServerError))];
        let script = Script::new([Ok(answer("no", &[])), Err(SendError::Exhausted { last, attempts })]);
        let answered = script.play(2);
        assert_eq!(told(&answered), ("exhausted", 2, 1, 13));
        let message = answered.result.unwrap_err().to_string();
        assert!(message.starts_with("gave up after 2 calls, the last one: "), "{message}");
    }

    #[test]
    fn what_nobody_expects_is_not_looked_at() {
        let answered = Answered::by_wheel(Ok(answer("no", &[Reason::ServerError])));
        assert_eq!(told(&answered), ("ok", 2, 0, 13));
    }
}
