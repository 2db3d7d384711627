//! Answers of 200 that are none.

use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use ::http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;

use crate::outcome::{Fault, Reason};

/// Whether a successful body that isn't a JSON object should have been one.
///
/// Sound, files and server-sent events are no JSON and no fault, and 204 has no body by its definition.
pub(super) fn broken(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Fault> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let is_json = content_type.map(|kind| kind.to_ascii_lowercase().contains("json"));
    // No API of a model's answers so, but what stands before one does: a proxy's page, a wrong address.
    if content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html")) {
        let says = "a web page answers here, not an API; hint: look whether `base_url` is the API's";
        return Some(Fault::new(Reason::Cut, says));
    }
    // Blank lines keep the connection alive while DeepSeek's queue is long.
    if body.trim_ascii().is_empty() {
        let needs_a_body = status != StatusCode::NO_CONTENT && is_json != Some(false);
        return needs_a_body.then(|| Fault::new(Reason::Cut, "the answer is empty"));
    }
    let is_whole = is_json != Some(true) || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    (!is_whole).then(|| Fault::new(Reason::Cut, "the answer breaks off inside its JSON"))
}

/// Whether an answer must be unpacked before it can be read. Nobody here asks for such answers, and nobody unpacks
/// them: a megabyte of them may be a gigabyte.
pub(crate) fn is_compressed(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    codings
        .map(|coding| coding.as_bytes().trim_ascii())
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn a_web_page_is_no_answer() {
        let fault_in = |kind: &'static str, body: &[u8]| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            broken(StatusCode::OK, &headers, body)
        };
        for body in [&b"<html>Sign in</html>"[..], b"", b"{}"] {
            let fault = fault_in("Text/HTML; charset=utf-8", body).unwrap();
            assert!(fault.reason == Reason::Cut && fault.message.contains("`base_url`"), "{fault}");
        }
        assert_eq!(fault_in("text/plain", b"<laughs> hello"), None, "a transcript may be anything");
    }

    #[test]
    fn compressed_is_what_says_so() {
        for (said, wanted) in [
            ("gzip", true),
            ("GZIP", true),
            ("br, gzip", true),
            ("identity", false),
            (" Identity ", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(said))]);
            assert_eq!(is_compressed(&headers), wanted, "{said}");
        }
        assert!(!is_compressed(&HeaderMap::new()));
    }
}
