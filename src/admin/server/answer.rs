//! What is said back, with headers that let no other page do anything with it.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::config::lookalike::hushed;

/// An answer, whole or as a stream.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Why something wasn't done.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::admin) struct Refused {
    pub(in crate::admin) error: String,
}

/// Everything comes from here, nothing is written inside the page itself, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer says to browsers.
const CAREFUL: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Adds what every answer says.
pub(super) fn careful(mut answer: Answer) -> Answer {
    for (name, value) in CAREFUL {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Bytes of a kind.
pub(super) fn bytes(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // What is told are strings and numbers; they can always be encoded.
    bytes(status, "application/json", serde_json::to_vec(value).unwrap_or_default())
}

/// A refusal with its reason.
pub(super) fn refused(status: StatusCode, error: &str) -> Answer {
    // A path or an order is quoted, and a key may stand in the place of a name.
    json(status, &Refused { error: hushed(error).into_owned() })
}
