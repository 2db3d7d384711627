//! Any other HTTP API: only what HTTP itself says can be understood.

use std::borrow::Cow;
use std::time::SystemTime;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;

use super::{BadSecret, Dialect, Ending, EventMeaning, StreamReader, hints, message, secret_header, sse};
use crate::id::Model;
use crate::outcome::{Fault, Gauges, Reason, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::tokens::Estimate;

/// An API of which nothing is known but that it speaks HTTP and takes its key in a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlainHttp {
    header: HeaderName,
    prefix: Cow<'static, str>,
}

impl PlainHttp {
    /// Sends the key as `Authorization: Bearer …`.
    pub const fn bearer() -> Self {
        Self { header: AUTHORIZATION, prefix: Cow::Borrowed("Bearer ") }
    }

    /// Sends the key in `header`, behind `prefix` (often empty).
    pub fn header(header: HeaderName, prefix: impl Into<Cow<'static, str>>) -> Self {
        Self { header, prefix: prefix.into() }
    }
}

impl Default for PlainHttp {
    fn default() -> Self {
        Self::bearer()
    }
}

impl Dialect for PlainHttp {
    fn name(&self) -> &'static str {
        "http"
    }

    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret> {
        headers.insert(self.header.clone(), secret_header(&self.prefix, secret)?);
        Ok(())
    }

    /// The request as it is: where a model's name would stand is unknown.
    fn address_to(&self, request: &Request, _model: &Model) -> (String, Bytes) {
        (request.path.clone(), request.body.clone())
    }

    fn fault_in(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Option<Fault> {
        let reason = reason_of(status)?;
        let rest = if reason == Reason::Throttled {
            hints::throttle_rest(headers, now, &hints::gauges(headers), None, "")
        } else {
            hints::retry_after(headers, now)
        };
        let message = message::of_plain_body(status, body);
        Some(Fault::new(reason, message).resting(rest).with_status(status.as_u16()))
    }

    fn gauges(&self, headers: &HeaderMap, _now: SystemTime) -> Gauges {
        hints::gauges(headers)
    }

    fn usage_in(&self, _body: &[u8]) -> Option<Usage> {
        None
    }

    fn estimate_tokens(&self, _request: &Request) -> Estimate {
        Estimate::NOTHING
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::new(PlainStream)
    }
}

/// What a status means where bodies can't be read. `None` is success.
///
/// A 403 is the key's, the region's or the request's matter and nothing tells which: it counts
/// against the key as unclassified and condemns nobody. A 408 is worth another call, like a 5xx:
/// the server gave up waiting.
const fn reason_of(status: StatusCode) -> Option<Reason> {
    Some(match status.as_u16() {
        200..=299 => return None,
        401 => Reason::BadCredential,
        402 => Reason::MoneyGone,
        429 => Reason::Throttled,
        503 => Reason::Overloaded,
        408 | 500..=599 => Reason::ServerError,
        400 | 404..=499 => Reason::CallerMistake,
        _ => Reason::Unclassified,
    })
}

/// Every event with data is content, and the end of the body is the end.
struct PlainStream;

impl StreamReader for PlainStream {
    fn read(&mut self, event: &sse::Event<'_>) -> EventMeaning {
        if event.data.is_empty() { EventMeaning::Prelude } else { EventMeaning::Content }
    }

    fn usage(&self) -> Option<Usage> {
        None
    }

    fn ending(&self) -> Ending {
        Ending::Unmarked
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::HeaderValue;

    use super::*;
    use crate::outcome::Scope;

    fn fault(status: u16, headers: &HeaderMap) -> Option<Fault> {
        let status = StatusCode::from_u16(status).unwrap();
        PlainHttp::bearer().fault_in(status, headers, b"no", SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn only_the_status_counts() {
        for (status, reason, scope) in [
            (301, Reason::Unclassified, Scope::Key),
            (400, Reason::CallerMistake, Scope::Request),
            (401, Reason::BadCredential, Scope::Key),
            (402, Reason::MoneyGone, Scope::Group),
            (403, Reason::Unclassified, Scope::Key),
            (404, Reason::CallerMistake, Scope::Request),
            (408, Reason::ServerError, Scope::Provider),
            (429, Reason::Throttled, Scope::Lane),
            (500, Reason::ServerError, Scope::Provider),
            (503, Reason::Overloaded, Scope::Provider),
        ] {
            let fault = fault(status, &HeaderMap::new()).unwrap();
            assert_eq!((fault.reason, fault.scope, fault.status), (reason, scope, Some(status)), "{status}");
            assert_eq!(&*fault.message, "no");
        }
        assert_eq!(fault(204, &HeaderMap::new()), None);
    }

    #[test]
    fn a_throttle_rests_as_long_as_it_says() {
        let headers =
            HeaderMap::from_iter([("retry-after".parse().unwrap(), HeaderValue::from_static("120"))]);
        assert_eq!(fault(429, &headers).unwrap().rest, Some(Duration::from_secs(120)));
        assert_eq!(fault(503, &headers).unwrap().rest, Some(Duration::from_secs(120)));
    }

    #[test]
    fn the_key_goes_where_it_is_wanted_and_hides() {
        let mut headers = HeaderMap::new();
        let secret = Secret::new("k1");
        PlainHttp::bearer().authenticate(&secret, &mut headers).unwrap();
        PlainHttp::header(HeaderName::from_static("x-key"), "").authenticate(&secret, &mut headers).unwrap();
        assert_eq!(headers["authorization"], "Bearer k1");
        assert_eq!(headers["x-key"], "k1");
        assert!(headers.values().all(HeaderValue::is_sensitive));
        let broken = Secret::new("k1\r\nx-evil: 1");
        assert_eq!(PlainHttp::bearer().authenticate(&broken, &mut headers), Err(BadSecret));
    }

    #[test]
    fn a_stream_is_all_content_and_ends_with_its_body() {
        let mut reader = PlainHttp::bearer().stream_reader();
        assert_eq!(reader.read(&sse::Event::parse(b": ping\n\n")), EventMeaning::Prelude);
        assert_eq!(reader.read(&sse::Event::parse(b"data: [DONE]\n\n")), EventMeaning::Content);
        assert_eq!(reader.ending(), Ending::Unmarked);
        assert_eq!(reader.usage(), None);
    }
}
