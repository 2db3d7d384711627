//! Anthropic's Messages API.
//!
//! As everywhere here a base URL ends with the version, `https://api.anthropic.com/v1`; the vendor's own SDKs
//! take the bare host.

mod estimate;
mod fault;
mod limits;
mod rules;
mod shape;
mod stream;
mod usage;

use std::time::SystemTime;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;

use super::{Api, BadSecret, Dialect, StreamReader, model_name, secret_header};
use crate::id::Model;
use crate::outcome::{Fault, Gauges, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::tokens::{Estimate, Tokens};

#[cfg(test)]
pub(super) use rules::RULES;
#[cfg(test)]
pub(super) use shape::in_value;

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version whose bodies and events this dialect reads; the only one that the vendor still documents.
const VERSION_READ: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Anthropic and what speaks like it: messages, counting of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Anthropic;

impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn api(&self) -> Option<Api> {
        Some(Api::Anthropic)
    }

    /// Source: Anthropic's page on OpenAI SDK compatibility, which knows chat completions alone.
    fn hosts_openai(&self, path: &str) -> bool {
        path == "/chat/completions"
    }

    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret> {
        headers.insert(KEY, secret_header("", secret)?);
        headers.insert(VERSION, VERSION_READ);
        Ok(())
    }

    fn address_to(&self, request: &Request, model: &Model) -> (String, Bytes) {
        (request.path.clone(), model_name::with_model(&request.body, model.as_str()))
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

    fn gauges(&self, headers: &HeaderMap, now: SystemTime) -> Gauges {
        limits::gauges(headers, now)
    }

    fn usage_in(&self, body: &[u8]) -> Option<Usage> {
        usage::in_body(body)
    }

    fn estimate_tokens(&self, request: &Request) -> Estimate {
        estimate::tokens(request)
    }

    /// What the cache gave doesn't count. Source: Anthropic's rate limits, "cache-aware ITPM"; for the oldest
    /// models it does, and they throttle a little sooner.
    fn counted(&self, usage: &Usage) -> Tokens {
        let input = usage.input_tokens.saturating_sub(usage.cached_tokens);
        Tokens { input, output: usage.output_tokens }
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::new(stream::Reader::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_into_its_header_with_the_version_beside_it() {
        let mut headers = HeaderMap::new();
        Anthropic.authenticate(&Secret::new("sk-ant-1"), &mut headers).unwrap();
        assert_eq!(headers["x-api-key"], "sk-ant-1");
        assert!(headers["x-api-key"].is_sensitive());
        assert_eq!(headers["anthropic-version"], "2023-06-01");
        assert_eq!(headers.len(), 2);
        assert_eq!(Anthropic.authenticate(&Secret::new("a\nb"), &mut headers), Err(BadSecret));
    }
}
