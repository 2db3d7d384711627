//! Tokens used, as an answer tells them.

use serde::Deserialize;

use crate::dialect::object;
use crate::outcome::Usage;

/// The usage in a finished body.
pub(super) fn in_body(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Told>,
    }
    object::fields_of::<Answer>(body)?.usage.map(Told::counted)
}

/// What an answer, or one event of a stream, tells. Each field of a later event replaces the earlier one:
/// `output_tokens` is cumulative.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Told {
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_creation: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
}

impl Told {
    /// This, where it says something, over what `earlier` events said.
    pub(super) fn over(self, earlier: Self) -> Self {
        Self {
            input: self.input.or(earlier.input),
            output: self.output.or(earlier.output),
            cache_creation: self.cache_creation.or(earlier.cache_creation),
            cache_read: self.cache_read.or(earlier.cache_read),
        }
    }

    /// In our words: Anthropic's `input_tokens` leave out what its cache took or gave.
    pub(super) fn counted(self) -> Usage {
        let prompt = [self.input, self.cache_creation, self.cache_read];
        Usage {
            input_tokens: prompt.into_iter().flatten().fold(0, u64::saturating_add),
            output_tokens: self.output.unwrap_or(0),
            cached_tokens: self.cache_read.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cache_gave_is_part_of_the_prompt() {
        for (body, wanted) in [
            (r#"{"usage":{"input_tokens":9,"output_tokens":2}}"#, Some([9, 2, 0])),
            (
                r#"{"usage":{"input_tokens":9,"output_tokens":2,"cache_creation_input_tokens":100,
                    "cache_read_input_tokens":1000,"service_tier":"standard"}}"#,
                Some([1109, 2, 1000]),
            ),
            (r#"{"usage":{"input_tokens":9,"cache_read_input_tokens":null}}"#, Some([9, 0, 0])),
            (r#"{"input_tokens":9}"#, None),
            (r#"{"usage":null}"#, None),
            ("[]", None),
        ] {
            let told = in_body(body.as_bytes());
            let counts = told.map(|usage| [usage.input_tokens, usage.output_tokens, usage.cached_tokens]);
            assert_eq!(counts, wanted, "{body}");
        }
    }
}
