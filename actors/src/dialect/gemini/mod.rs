//! Google's Gemini API: `generateContent` and its kin.
//!
//! The model stands in the path, the key in a header: in the address, where Google takes it too, every log
//! on the way would keep it. Vertex answers with the same errors, which are understood here.

mod address;
mod estimate;
mod fault;
mod rules;
mod shape;
mod stream;
mod usage;

use std::time::SystemTime;

use ::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;

use super::{Api, BadSecret, Dialect, StreamReader, secret_header};
use crate::id::Model;
use crate::outcome::{Fault, Gauges, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::tokens::Estimate;

#[cfg(test)]
pub(super) use rules::RULES;
#[cfg(test)]
pub(super) use shape::in_value;

const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Gemini as Google's AI Studio serves it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Gemini;

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn api(&self) -> Option<Api> {
        Some(Api::Gemini)
    }

    /// Source: Google's page on OpenAI compatibility, which knows chat completions and embeddings.
    fn hosts_openai(&self, path: &str) -> bool {
        matches!(path, "/chat/completions" | "/embeddings")
    }

    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret> {
        headers.insert(KEY, secret_header("", secret)?);
        Ok(())
    }

    fn address_to(&self, request: &Request, model: &Model) -> (String, Bytes) {
        (address::path(request, model), address::body(&request.body, model))
    }

    fn fault_in(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Option<Fault> {
        fault::in_answer(status, headers, body, now)
    }

    /// Nothing: Google sends no headers about limits.
    fn gauges(&self, _headers: &HeaderMap, _now: SystemTime) -> Gauges {
        Gauges::default()
    }

    fn usage_in(&self, body: &[u8]) -> Option<Usage> {
        usage::in_body(body)
    }

    fn estimate_tokens(&self, request: &Request) -> Estimate {
        estimate::tokens(request)
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::new(stream::Reader::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_into_its_header_and_hides() {
        let mut headers = HeaderMap::new();
        Gemini.authenticate(&Secret::new("AIza-1"), &mut headers).unwrap();
        assert_eq!(headers["x-goog-api-key"], "AIza-1");
        assert!(headers["x-goog-api-key"].is_sensitive());
        assert_eq!(Gemini.authenticate(&Secret::new(""), &mut headers), Err(BadSecret));
    }
}
