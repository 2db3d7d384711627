//! What is said to those whom the gate turned away, and how one gets past it.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use keywheel_actors::clock::Moment;
use serde::Deserialize;

use super::answer::{Answer, json, refused};
use super::gate::{Gate, Turned};
use super::orders;
use super::route::Place;

/// Whoever guesses tokens waits so long for each, and holds one of the few connections meanwhile. A person who
/// mistyped doesn't notice.
const BAD_TOKEN_REST: Duration = Duration::from_millis(500);

/// What a browser shows to get in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// The refusal of a request.
pub(super) async fn away(turned: Turned, gate: &Gate) -> Answer {
    match turned {
        Turned::Garbled(why) => refused(StatusCode::BAD_REQUEST, why),
        Turned::Foreign(why) => refused(StatusCode::FORBIDDEN, why),
        Turned::NotJson => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a change is JSON"),
        Turned::NoToken => refused(StatusCode::UNAUTHORIZED, "the token is needed"),
        Turned::BadToken => {
            // A flood of them mustn't hold all connections: the right token needs one.
            if let Ok(_place) = gate.resting.try_acquire() {
                tokio::time::sleep(BAD_TOKEN_REST).await;
            }
            refused(StatusCode::UNAUTHORIZED, "this isn't the token")
        }
    }
}

/// Begins or ends a session.
pub(super) async fn log_in_or_out(
    gate: &Gate,
    place: Place,
    request: Request<Incoming>,
    now: Moment,
) -> Answer {
    let headers = request.headers().clone();
    let cookie = if place == Place::Login {
        let said = match orders::said(request).await {
            Ok(said) => said,
            Err(refusal) => return refusal,
        };
        // Why it can't be understood would quote the token.
        let Ok(Login { token }) = serde_json::from_slice(&said) else {
            return refused(StatusCode::BAD_REQUEST, "a login is `{\"token\": \"...\"}`");
        };
        match gate.log_in(&token, &headers, now) {
            Ok(cookie) => cookie,
            Err(turned) => return away(turned, gate).await,
        }
    } else {
        gate.log_out(&headers)
    };
    let mut answer = json(StatusCode::OK, &serde_json::json!({}));
    // It is made of hexadecimal digits and our own words.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::gate::BAD_TOKENS_MAX;
    use super::*;

    #[tokio::test]
    async fn a_flood_of_wrong_tokens_holds_a_few_places_only() {
        let gate = Gate::new("127.0.0.1:9090".parse().unwrap(), None);
        let wrong = || Box::pin(away(Turned::BadToken, &gate));
        let mut waiting: Vec<_> = (0..BAD_TOKENS_MAX).map(|_| wrong()).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
        let said = wrong().now_or_never().expect("the next one hears it at once");
        assert_eq!(said.status(), StatusCode::UNAUTHORIZED);
        drop(waiting);
        assert!(wrong().now_or_never().is_none(), "their places are free again");
    }
}
