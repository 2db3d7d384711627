//! Which headers pass, in both directions. What isn't named here stays where it is.
//!
//! A client's credential and cookies never go to a provider, and what identifies the account of a key never comes
//! back. Lines about the connection belong to each connection.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::HeaderMap as ActixHeaders;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Request headers that providers are sent.
///
/// Sources: the API references of OpenAI, Anthropic, Google and OpenRouter.
const TO_PROVIDERS: [&str; 21] = [
    "accept",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "http-referer",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "openai-beta",
    "range",
    "user-agent",
    "x-goog-api-client",
    "x-goog-upload-protocol",
    "x-title",
];

/// Answer headers that clients are sent.
const TO_CLIENTS: [&str; 15] = [
    "accept-ranges",
    "anthropic-version",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-range",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "openai-model",
    "openai-processing-ms",
    "openai-version",
    "vary",
];

/// The headers of a client's request that go on to a provider, and `further` ones. Actix-web has another version of the same types.
pub(super) fn to_provider(headers: &ActixHeaders, further: &[HeaderName]) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(8);
    let connection = text(headers, "connection").unwrap_or_default();
    for (name, value) in headers {
        // Who names a header there means this connection (RFC 9110, 7.6.1).
        if connection.split(',').any(|named| named.trim().eq_ignore_ascii_case(name.as_str())) {
            continue;
        }
        let is_asked_for = || further.iter().any(|further| further.as_str() == name.as_str());
        if TO_PROVIDERS.binary_search(&name.as_str()).is_err() && !is_asked_for() {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            passed.append(name, value);
        }
    }
    passed
}

/// Puts the headers of a provider's answer that are a client's business into its response.
pub(super) fn to_client(headers: &HeaderMap, response: &mut HttpResponseBuilder) {
    for (name, value) in headers {
        if TO_CLIENTS.binary_search(&name.as_str()).is_ok() {
            response.append_header((name.as_str(), value.as_bytes()));
        }
    }
}

/// One header as text.
pub(super) fn text<'h>(headers: &'h ActixHeaders, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// What a client shows to be let in: wherever the SDKs put their key.
pub(super) fn token<'h>(headers: &'h ActixHeaders, query: &'h str) -> Option<&'h str> {
    let bearer = text(headers, "authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    bearer
        .or_else(|| ["x-api-key", "api-key", "x-goog-api-key"].iter().find_map(|name| text(headers, name)))
        .or_else(|| query.split('&').find_map(|part| part.strip_prefix("key=")))
        .filter(|token| !token.is_empty())
}

/// Whether a browser sends this for a page of another site, or for a name that only leads here (DNS rebinding).
pub(super) fn is_of_a_page(headers: &ActixHeaders) -> bool {
    let is_elsewhere = text(headers, "sec-fetch-site").is_some_and(|site| site.ends_with("-site"));
    let origin = text(headers, "origin").map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    let hosts = [text(headers, "host"), origin];
    is_elsewhere || hosts.into_iter().flatten().any(|host| !is_this_machine(host))
}

/// Whether a host with or without a port is this machine by a name that nobody else can give.
fn is_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Parameters in which a client may have put its own credential: it opens this gateway, and nothing behind it.
const CREDENTIALS: [&str; 3] = ["key", "access_token", "api_key"];

/// A client's query without its credential, with its question mark; empty if nothing is left.
pub(super) fn query_without_credential(query: &str) -> String {
    let is_credential = |part: &&str| CREDENTIALS.contains(&part.split('=').next().unwrap_or_default());
    let parts: Vec<&str> =
        query.split('&').filter(|part| !part.is_empty()).filter(|part| !is_credential(part)).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_lists_can_be_searched() {
        assert!(TO_PROVIDERS.is_sorted() && TO_CLIENTS.is_sorted());
    }

    #[test]
    fn no_credential_and_no_cookie_goes_on() {
        let request = TestRequest::default()
            .insert_header((header::AUTHORIZATION, "Bearer kw-1"))
            .insert_header(("x-api-key", "kw-1"))
            .insert_header(("api-key", "kw-1"))
            .insert_header(("x-goog-api-key", "kw-1"))
            .insert_header((header::COOKIE, "a=b"))
            .insert_header(("openai-organization", "org-1"))
            .insert_header(("transfer-encoding", "chunked"))
            .insert_header((header::ACCEPT_ENCODING, "gzip"))
            .insert_header(("openai-beta", "assistants=v2"))
            .insert_header(("x-mine", "1"))
            .insert_header(("x-yours", "1"))
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .to_http_request();
        let passed = to_provider(request.headers(), &[HeaderName::from_static("x-mine")]);
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "openai-beta", "x-mine"]);
    }

    #[test]
    fn what_is_said_of_the_connection_stays_on_it() {
        let request = TestRequest::default()
            .insert_header((header::CONNECTION, "close, X-Title"))
            .insert_header(("x-title", "hop"))
            .insert_header((header::ACCEPT, "*/*"))
            .to_http_request();
        let passed = to_provider(request.headers(), &[]);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn what_tells_of_the_account_stays_here() {
        let named = ["set-cookie", "openai-organization", "x-ratelimit-remaining-requests", "x-request-id"];
        let named = named.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")));
        let mut headers = HeaderMap::from_iter(named);
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        let mut response = actix_web::HttpResponse::Ok();
        to_client(&headers, &mut response);
        let response = response.finish();
        assert_eq!(response.headers().len(), 1);
        assert_eq!(
            response.headers().get("content-type").and_then(|kind| kind.to_str().ok()),
            Some("text/plain")
        );
    }

    #[test]
    fn a_token_is_found_wherever_an_sdk_puts_it() {
        let of = |name: &'static str, value: &'static str| {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            token(request.headers(), "").map(str::to_owned)
        };
        assert_eq!(of("authorization", "bearer kw-1"), Some("kw-1".to_owned()));
        assert_eq!(of("authorization", "Basic a2V5"), None);
        assert_eq!(of("authorization", "Bearer "), None);
        assert_eq!(of("x-api-key", "kw-2"), Some("kw-2".to_owned()));
        assert_eq!(of("x-goog-api-key", "kw-3"), Some("kw-3".to_owned()));
        assert_eq!(token(&ActixHeaders::new(), "alt=sse&key=kw-4"), Some("kw-4"));
    }

    #[test]
    fn other_pages_and_other_names_are_known() {
        let is_page = |pairs: &[(&'static str, &'static str)]| {
            let request =
                pairs.iter().fold(TestRequest::default(), |request, pair| request.insert_header(*pair));
            is_of_a_page(request.to_http_request().headers())
        };
        for ours in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.2"] {
            assert!(!is_page(&[("host", ours)]), "{ours}");
        }
        assert!(!is_page(&[("host", "localhost:8080"), ("origin", "http://localhost:3000")]));
        assert!(!is_page(&[("host", "localhost:8080"), ("sec-fetch-site", "same-origin")]));
        for foreign in ["evil.example", "127.0.0.1.evil.example:8080", "10.0.0.1", ""] {
            assert!(is_page(&[("host", foreign)]), "{foreign}");
        }
        assert!(is_page(&[("host", "localhost"), ("origin", "https://evil.example")]));
        assert!(is_page(&[("host", "localhost"), ("origin", "null")]));
        assert!(is_page(&[("host", "localhost"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_query_goes_on_without_its_credential() {
        assert_eq!(query_without_credential("alt=sse&key=x&access_token=y"), "?alt=sse");
        assert_eq!(query_without_credential("key=x"), "");
        assert_eq!(query_without_credential(""), "");
        assert_eq!(query_without_credential("monkey=1"), "?monkey=1");
    }
}
