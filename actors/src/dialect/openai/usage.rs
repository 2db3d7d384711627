//! Tokens used, as an answer tells them.

use serde::Deserialize;
use serde_json::Value;

use crate::dialect::object;
use crate::outcome::Usage;

/// The usage in a finished body.
pub(super) fn in_body(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Told>,
    }
    object::fields_of::<Answer>(body)?.usage?.counted()
}

/// The usage in one event of a stream: a chunk's own, Groq's under `x_groq`, or a response's.
pub(super) fn in_event(event: &Value) -> Option<Usage> {
    let places = ["/usage", "/response/usage", "/x_groq/usage"];
    places.iter().find_map(|place| Told::deserialize(event.pointer(place)?).ok()?.counted())
}

/// Both families of names: chat completions and embeddings say `prompt_tokens`, responses say `input_tokens`,
/// and some gateways say both.
#[derive(Deserialize)]
struct Told {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    /// DeepSeek's name for the cached ones.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

impl Told {
    /// `None` if it tells of no tokens: transcriptions are counted in seconds.
    fn counted(self) -> Option<Usage> {
        let input = self.prompt_tokens.or(self.input_tokens);
        let output = self.completion_tokens.or(self.output_tokens);
        if input.is_none() && output.is_none() {
            return None;
        }
        let details = self.prompt_tokens_details.or(self.input_tokens_details);
        let cached = details.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens);
        Some(Usage {
            input_tokens: input.unwrap_or(0),
            output_tokens: output.unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_names_are_read() {
        for (body, wanted) in [
            (
                r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":2,
                    "total_tokens":11,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0}}}"#,
                Some([9, 2, 8]),
            ),
            (
                r#"{"usage":{"input_tokens":9,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}}"#,
                Some([9, 2, 4]),
            ),
            (r#"{"usage":{"prompt_tokens":9,"total_tokens":9}}"#, Some([9, 0, 0])),
            (
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":2,"input_tokens":0,"output_tokens":0}}"#,
                Some([9, 2, 0]),
            ),
            (r#"{"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":3}}"#, Some([9, 0, 3])),
            (r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":null}}"#, Some([9, 0, 0])),
            (r#"{"usage":{"type":"duration","seconds":3}}"#, None),
            (r#"{"usage":null}"#, None),
            (r#"{"usage":{"prompt_tokens":"many"}}"#, None),
            ("[]", None),
            ("", None),
        ] {
            let told = in_body(body.as_bytes());
            let counts = told.map(|usage| [usage.input_tokens, usage.output_tokens, usage.cached_tokens]);
            assert_eq!(counts, wanted, "{body}");
        }
    }
}
