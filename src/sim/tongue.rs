//! Whose API a call speaks: where its key stands, and in whose words it is answered.

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

/// Whose API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tongue {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Tongue {
    /// Of a path.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/v1/messages") {
            Self::Anthropic
        } else if path.starts_with("/v1beta/") {
            Self::Gemini
        } else {
            Self::OpenAi
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
