//! Whose API a call speaks: where its key stands, and in whose words it is answered.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::paths::{GEMINI, GEMINI_AS_OPENAI};

/// Whose API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tongue {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Tongue {
    /// Of a path, and of the header where a path is that of several.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        let is_list = path == "/v1/models" || path.starts_with("/v1/models/");
        if path.starts_with("/v1/messages") || (is_list && headers.contains_key("x-api-key")) {
            Self::Anthropic
        } else if path.starts_with(GEMINI) && !path.starts_with(GEMINI_AS_OPENAI) {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }

    /// A model as a list of these has it: what stands before its name, and after.
    pub(crate) const fn model_object(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::OpenAi => (br#"{"object":"model","created":0,"owned_by":"sim","id":"#, b"}"),
            Self::Anthropic => {
                (br#"{"type":"model","created_at":"1970-01-01T00:00:00Z","display_name":"sim","id":"#, b"}")
            }
            Self::Gemini => (br#"{"supportedGenerationMethods":["generateContent"],"name":"#, b"}"),
        }
    }

    /// What stands around the models of a list.
    pub(crate) const fn model_list(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::OpenAi => (br#"{"object":"list","data":["#, b"]}"),
            Self::Anthropic => (br#"{"has_more":false,"data":["#, b"]}"),
            Self::Gemini => (br#"{"models":["#, b"]}"),
        }
    }

    /// The key of a call.
    pub(crate) fn secret(self, headers: &HeaderMap) -> Option<&str> {
        match self {
            Self::OpenAi => bearer(headers),
            Self::Anthropic => headers.get("x-api-key")?.to_str().ok(),
            Self::Gemini => headers.get("x-goog-api-key")?.to_str().ok(),
        }
    }

    /// Where an answer tells its request's id.
    pub(crate) const fn request_id(self) -> HeaderName {
        match self {
            Self::OpenAi | Self::Gemini => HeaderName::from_static("x-request-id"),
            Self::Anthropic => HeaderName::from_static("request-id"),
        }
    }
}

/// The bearer token.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stands_where_each_api_has_it() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().expect("a value"))])
        };
        let anthropic = headers("x-api-key", "sk-a");
        let google = headers("x-goog-api-key", "sk-g");
        let openai = headers("authorization", "Bearer sk-o");
        for (path, headers, tongue, secret) in [
            ("/v1/models", &anthropic, Tongue::Anthropic, Some("sk-a")),
            ("/v1/messages", &anthropic, Tongue::Anthropic, Some("sk-a")),
            ("/v1/chat/completions", &anthropic, Tongue::OpenAi, None),
            ("/v1beta/models", &google, Tongue::Gemini, Some("sk-g")),
            ("/v1beta/openai/chat/completions", &openai, Tongue::OpenAi, Some("sk-o")),
            ("/v1/models", &openai, Tongue::OpenAi, Some("sk-o")),
        ] {
            let found = Tongue::of(path, headers);
            assert_eq!((found, found.secret(headers)), (tongue, secret), "{path}");
        }
    }
}
