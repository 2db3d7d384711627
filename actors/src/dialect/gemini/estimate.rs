//! How many tokens a request will count for, before it is sent.

use serde::Deserialize;

use crate::dialect::object;
use crate::dialect::weight::Bulk;
use crate::request::Request;

/// The estimate: the prompt alone, since Google's limits of tokens are of input tokens a minute.
/// Zero for what isn't a JSON object.
pub(super) fn tokens(request: &Request) -> u64 {
    let Some(ask) = object::fields_of::<Ask>(&request.body) else { return 0 };
    Bulk::tokens_of(&[ask.contents, ask.system_instruction, ask.tools, ask.content, ask.requests])
}

/// Google takes both spellings of its fields' names.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ask {
    contents: Bulk,
    #[serde(alias = "system_instruction")]
    system_instruction: Bulk,
    tools: Bulk,
    /// Of embeddings.
    content: Bulk,
    /// Of many embeddings at once.
    requests: Bulk,
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;
    use crate::id::Model;
    use crate::request::Delivery;

    fn estimate(body: &str) -> u64 {
        tokens(&Request {
            method: Method::POST,
            path: "/models/m:generateContent".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model: Model::from("m"),
            delivery: Delivery::Whole,
        })
    }

    #[test]
    fn the_prompt_counts_and_the_answer_does_not() {
        let contents = r#""contents":[{"parts":[{"text":"12345678"}]}]"#;
        assert_eq!(estimate(&format!("{{{contents}}}")), 2);
        assert_eq!(
            estimate(&format!(r#"{{{contents},"system_instruction":{{"parts":[{{"text":"1234"}}]}}}}"#)),
            3
        );
        assert_eq!(estimate(&format!(r#"{{{contents},"generationConfig":{{"maxOutputTokens":9000}}}}"#)), 2);
        assert_eq!(estimate(r#"{"content":{"parts":[{"text":"1234"}]}}"#), 1);
        assert_eq!(estimate("--form"), 0);
    }
}
