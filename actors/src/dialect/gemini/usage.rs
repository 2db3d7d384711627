//! Tokens used, as an answer tells them.

use serde::Deserialize;
use serde_json::Value;

use crate::dialect::object;
use crate::outcome::Usage;

/// The usage in a finished body.
pub(super) fn in_body(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        usage_metadata: Option<Told>,
    }
    object::fields_of::<Answer>(body)?.usage_metadata.map(Told::counted)
}

/// The usage in one chunk of a stream; each tells the sum so far.
pub(super) fn in_chunk(chunk: &Value) -> Option<Usage> {
    Some(Told::deserialize(chunk.get("usageMetadata")?).ok()?.counted())
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<u64>,
    #[serde(rename = "toolUsePromptTokenCount")]
    tool_use: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached: Option<u64>,
}

impl Told {
    /// In our words: Google's count of the prompt holds what was cached, and thoughts stand beside the candidates.
    fn counted(self) -> Usage {
        let sum = |parts: [Option<u64>; 2]| parts.into_iter().flatten().fold(0, u64::saturating_add);
        Usage {
            input_tokens: sum([self.prompt, self.tool_use]),
            output_tokens: sum([self.candidates, self.thoughts]),
            cached_tokens: self.cached.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_output_and_the_cache_is_input() {
        for (body, wanted) in [
            (
                r#"{"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11}}"#,
                Some([9, 2, 0]),
            ),
            (
                r#"{"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"thoughtsTokenCount":30,
                    "toolUsePromptTokenCount":1,"cachedContentTokenCount":8}}"#,
                Some([10, 32, 8]),
            ),
            (r#"{"usageMetadata":{"promptTokenCount":9}}"#, Some([9, 0, 0])),
            (r#"{"candidates":[]}"#, None),
            (r#"{"usageMetadata":{"promptTokenCount":"9"}}"#, None),
        ] {
            let told = in_body(body.as_bytes());
            let counts = told.map(|usage| [usage.input_tokens, usage.output_tokens, usage.cached_tokens]);
            assert_eq!(counts, wanted, "{body}");
        }
    }
}
