//! What a request says about its tokens, before it is sent.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{object, weight};
use crate::request::Request;
use crate::tokens::Estimate;

/// The estimate. Nothing for what isn't a JSON object.
pub(super) fn tokens(request: &Request) -> Estimate {
    let Some(ask) = object::fields_of::<Ask<'_>>(&request.body) else { return Estimate::NOTHING };
    let parts = [ask.contents, ask.system_instruction, ask.tools, ask.content, ask.requests];
    let is_embedding = ask.content.is_some() || ask.requests.is_some();
    Estimate {
        input: weight::tokens_of(&parts),
        output_max: if is_embedding { Some(0) } else { ask.generation_config.max_output_tokens },
        answers: ask.generation_config.candidate_count.unwrap_or(1).max(1),
    }
}

/// Google takes both spellings of its fields' names.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ask<'a> {
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
    #[serde(borrow, alias = "system_instruction")]
    system_instruction: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    /// Of embeddings.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    /// Of many embeddings at once.
    #[serde(borrow)]
    requests: Option<&'a RawValue>,
    #[serde(alias = "generation_config")]
    generation_config: Generation,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Generation {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
    #[serde(alias = "candidate_count")]
    candidate_count: Option<u64>,
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;
    use crate::id::Model;
    use crate::request::Delivery;

    fn estimate(body: &str) -> Estimate {
        tokens(&Request {
            method: Method::POST,
            path: "/models/m:generateContent".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model: Model::from("m"),
            delivery: Delivery::Whole,
            to: crate::request::Destination::Routed,
            upload: None,
        })
    }

    #[test]
    fn prompt_and_maximum_are_found_in_both_spellings() {
        // 33 bytes.
        let contents = r#""contents":[{"parts":[{"text":"12345678901"}]}]"#;
        let found = |fields: &str| estimate(&format!("{{{contents}{fields}}}"));
        assert_eq!(found(""), Estimate { input: 9, output_max: None, answers: 1 });
        assert_eq!(found(r#","system_instruction":{"parts":[{"text":"1234"}]}"#).input, 16);
        let asked = Estimate { input: 9, output_max: Some(900), answers: 2 };
        assert_eq!(found(r#","generationConfig":{"maxOutputTokens":900,"candidateCount":2}"#), asked);
        assert_eq!(found(r#","generation_config":{"max_output_tokens":900,"candidate_count":2}"#), asked);
        let embedding = estimate(r#"{"content":{"parts":[{"text":"1234"}]}}"#);
        assert_eq!(embedding, Estimate { input: 7, output_max: Some(0), answers: 1 });
        assert_eq!(estimate("--form"), Estimate::NOTHING);
    }
}
