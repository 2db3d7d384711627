//! What one answer says of a key.

use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use keywheel_actors::dialect::Dialect;
use serde_json::Value;
use url::Url;

use super::finding::Finding;
use super::verdict::Verdict;

/// A whole answer, with the key scrubbed from its body.
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Fields of good answers that say no all the same: where, what stands there, and what it means.
///
/// Sources: DeepSeek's `/user/balance`, Cohere's `/v1/check-api-key`, xAI's `/api-key`.
const NOES: [(&str, bool, Finding, &str); 5] = [
    ("is_available", false, Finding::NoMoney, "the provider knows this key, but its account has no money"),
    ("valid", false, Finding::WrongKey, "the provider says that this key isn't valid"),
    ("api_key_blocked", true, Finding::WrongKey, "the provider knows this key and has blocked it"),
    ("api_key_disabled", true, Finding::WrongKey, "the provider knows this key and has disabled it"),
    ("team_blocked", true, Finding::AccountBanned, "the provider has blocked the team of this key"),
];

/// What `answer` means for the key that asked.
pub(super) fn verdict(dialect: &dyn Dialect, answer: &Answer<'_>, now: SystemTime) -> Verdict {
    if answer.status.is_redirection() {
        return redirected(answer);
    }
    // A web page with 401 or 403 comes from something before the API, which judges no keys.
    if is_web_page(answer) && !answer.status.is_server_error() {
        let says = format!("a web page answers here, not an API (HTTP {})", answer.status.as_u16());
        return Verdict::new(Finding::NotTheApi, says).advising(
            "look whether `base_url` is the API's, and whether a proxy or a firewall stands before it",
        );
    }
    if let Some(fault) = dialect.fault_in(answer.status, answer.headers, answer.body, now) {
        return Verdict::of_fault(&fault);
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(answer.body) else { return of_other_body(answer) };
    let no = NOES.iter().find(|(name, word, ..)| fields.get(*name) == Some(&Value::Bool(*word)));
    no.map_or_else(Verdict::valid, |(_, _, finding, says)| Verdict::new(*finding, *says))
}

/// All of these APIs answer the test with a JSON object; lists of models may come bare.
fn of_other_body(answer: &Answer<'_>) -> Verdict {
    if serde_json::from_slice::<Vec<Value>>(answer.body).is_ok() {
        return Verdict::valid();
    }
    Verdict::new(Finding::NotTheApi, "what answers here isn't the API: it sends no JSON")
        .advising("look whether `base_url` is the API's")
}

/// The key was not sent on to where a redirect points.
fn redirected(answer: &Answer<'_>) -> Verdict {
    let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    // The host alone: the rest may hold what the caller sent.
    let host = location.and_then(|location| Url::parse(location).ok()?.host_str().map(str::to_owned));
    let whither = host.map_or_else(|| "elsewhere".to_owned(), |host| format!("to {host}"));
    let says =
        format!("the address leads {whither} (HTTP {}), and keys follow no redirect", answer.status.as_u16());
    Verdict::new(Finding::Redirected, says).advising("write the address that it leads to as `base_url`")
}

fn is_web_page(answer: &Answer<'_>) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("text/html") || answer.body.trim_ascii_start().starts_with(b"<")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use keywheel_actors::dialect::{Anthropic, Gemini, OpenAi, PlainHttp};

    use super::*;

    fn finding(dialect: &dyn Dialect, status: u16, body: &str) -> Finding {
        let headers = HeaderMap::new();
        let status = StatusCode::from_u16(status).unwrap();
        verdict(dialect, &Answer { status, headers: &headers, body: body.as_bytes() }, SystemTime::UNIX_EPOCH)
            .finding
    }

    #[test]
    fn openai_and_its_kin() {
        for (status, body, wanted) in [
            (200, r#"{"object":"list","data":[]}"#, Finding::Valid),
            (200, r#"[{"id":"m"}]"#, Finding::Valid),
            (200, r#"{"data":{"limit":null,"usage":0.1}}"#, Finding::Valid),
            (
                401,
                r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#,
                Finding::WrongKey,
            ),
            (400, r#"{"code":"x","error":"Incorrect API key provided: x."}"#, Finding::WrongKey),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Finding::NoMoney),
            (429, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#, Finding::NoMoney),
            (429, r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#, Finding::Throttled),
            (429, r#"{"error":{"message":"too many requests per day (RPD)"}}"#, Finding::QuotaUsedUp),
            (403, r#"{"error":{"code":"unsupported_country_region_territory"}}"#, Finding::RegionDenied),
            (
                403,
                r#"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: api.model.read"}}"#,
                Finding::RightMissing,
            ),
            (403, r#"{"error":{"type":"access_terminated"}}"#, Finding::AccountBanned),
            (404, r#"{"error":{"message":"Invalid URL (GET /v2/models)"}}"#, Finding::NotFound),
            (405, r#"{"detail":"Method Not Allowed"}"#, Finding::Unclear),
            (500, r#"{"error":{"message":"oops"}}"#, Finding::ProviderIll),
            (503, "<html>down</html>", Finding::ProviderIll),
            (200, "<!doctype html><title>Welcome</title>", Finding::NotTheApi),
            (403, "<html>Attention required</html>", Finding::NotTheApi),
            (404, "<html>nothing here</html>", Finding::NotTheApi),
            (200, "Ollama is running", Finding::NotTheApi),
        ] {
            assert_eq!(finding(&OpenAi, status, body), wanted, "{status} {body}");
        }
    }

    #[test]
    fn the_others() {
        let google = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}"#;
        assert_eq!(finding(&Gemini, 400, google), Finding::WrongKey);
        assert_eq!(finding(&Gemini, 200, r#"{"models":[{}]}"#), Finding::Valid);
        let anthropic =
            r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#;
        assert_eq!(finding(&Anthropic, 401, anthropic), Finding::WrongKey);
        assert_eq!(finding(&Anthropic, 200, r#"{"data":[]}"#), Finding::Valid);
        assert_eq!(finding(&PlainHttp::bearer(), 401, ""), Finding::WrongKey);
    }

    #[test]
    fn a_good_answer_may_say_no() {
        for (body, wanted) in [
            (r#"{"is_available":true,"balance_infos":[]}"#, Finding::Valid),
            (r#"{"is_available":false,"balance_infos":[]}"#, Finding::NoMoney),
            (r#"{"valid":true}"#, Finding::Valid),
            (r#"{"valid":false}"#, Finding::WrongKey),
            (r#"{"api_key_blocked":false,"api_key_disabled":true}"#, Finding::WrongKey),
            (r#"{"team_blocked":true}"#, Finding::AccountBanned),
        ] {
            assert_eq!(finding(&OpenAi, 200, body), wanted, "{body}");
        }
    }

    #[test]
    fn a_redirect_tells_the_host_and_nothing_more() {
        let location = HeaderValue::from_static("https://login.example.com/?key=sk-1");
        let headers = HeaderMap::from_iter([(LOCATION, location)]);
        let answer = Answer { status: StatusCode::FOUND, headers: &headers, body: b"" };
        let verdict = verdict(&OpenAi, &answer, SystemTime::UNIX_EPOCH);
        assert_eq!(verdict.finding, Finding::Redirected);
        assert_eq!(
            verdict.says,
            "the address leads to login.example.com (HTTP 302), and keys follow no redirect"
        );
    }
}
