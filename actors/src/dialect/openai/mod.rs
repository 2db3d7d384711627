//! OpenAI's API, and the many that copy it.
//!
//! Groq, Mistral, DeepSeek, OpenRouter, Together, xAI, Cohere and Azure send bodies of
//! this shape, or near enough; where they differ it costs a row in `rules.rs`, not a dialect.

mod estimate;
mod fault;
mod rules;
mod shape;
mod stream;
mod usage;

use std::time::SystemTime;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;

use super::{Api, BadSecret, Dialect, KeyInHeader, StreamReader, hints, model_name, secret_header};
use crate::id::Model;
use crate::outcome::{Fault, Gauges, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::spec::Counting;
use crate::tokens::Estimate;

#[cfg(test)]
pub(super) use rules::RULES;
#[cfg(test)]
pub(super) use shape::in_value;

/// OpenAI and what speaks like it: chat completions, completions, embeddings, responses.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OpenAi;

impl OpenAi {
    /// The same with the bare key in `header` and not behind `Authorization: Bearer`: Azure has `api-key`.
    pub const fn with_key_header(header: HeaderName) -> KeyInHeader<Self> {
        KeyInHeader::new(Self, header)
    }
}

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn api(&self) -> Option<Api> {
        Some(Api::OpenAi)
    }

    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret> {
        headers.insert(AUTHORIZATION, secret_header("Bearer ", secret)?);
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

    fn gauges(&self, headers: &HeaderMap, _now: SystemTime) -> Gauges {
        hints::gauges(headers)
    }

    fn usage_in(&self, body: &[u8]) -> Option<Usage> {
        usage::in_body(body)
    }

    fn estimate_tokens(&self, request: &Request) -> Estimate {
        estimate::tokens(request)
    }

    /// OpenAI and Azure reckon with the prompt and `max_tokens` when a call comes, and leave it at that.
    /// Source: Azure's quota guide, "isn't the same as the token calculation used for billing"; OpenAI's
    /// rate-limit guide.
    fn counting(&self) -> Counting {
        Counting::UpFront
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::new(stream::Reader::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_sent_as_a_bearer_and_hides() {
        let mut headers = HeaderMap::new();
        OpenAi.authenticate(&Secret::new("sk-1"), &mut headers).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer sk-1");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(OpenAi.authenticate(&Secret::new(""), &mut headers), Err(BadSecret));
    }
}
