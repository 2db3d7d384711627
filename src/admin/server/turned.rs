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
pub(super) async fn away(turned: Turned) -> Answer {
    match turned {
        Turned::Garbled(why) => refused(StatusCode::BAD_REQUEST, why),
        Turned::Foreign(why) => refused(StatusCode::FORBIDDEN, why),
        Turned::NotJson => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a change is JSON"),
        Turned::NoToken => refused(StatusCode::UNAUTHORIZED, "the token is needed"),
        Turned::BadToken => {
            tokio::time::sleep(BAD_TOKEN_REST).await;
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
            Err(turned) => return away(turned).await,
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
