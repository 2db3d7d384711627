//! What an answer must be to count as one.

use std::fmt;
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::schema::{Schema, SchemaError};
use super::text::{is_cut_short, text_of};

/// Characters of an explanation: enough for a place and a rule, not for a list of a thousand values.
const WHY_CHARS_MAX: usize = 400;

/// What the words of every answer must be.
#[derive(Debug)]
pub struct Expectation(Form);

#[derive(Debug)]
enum Form {
    Json,
    Schema(Box<Schema>),
}

/// Why an answer isn't what was expected, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Unexpected(String);

impl Expectation {
    /// One JSON value, with nothing but white space around it.
    pub const fn json() -> Self {
        Self(Form::Json)
    }

    /// One JSON value that satisfies the JSON schema in a file.
    ///
    /// # Errors
    /// [`SchemaError`] if the file is no schema, or refers to one that isn't on this machine.
    pub fn schema(path: &Path) -> Result<Self, SchemaError> {
        Ok(Self(Form::Schema(Box::new(Schema::read(path)?))))
    }

    /// Looks at the body of a provider's answer.
    pub(in crate::batch) fn check(&self, body: &[u8]) -> Result<(), Unexpected> {
        let Some(text) = text_of(body) else {
            return Err(Unexpected::because("it has no text", body));
        };
        let checked = match &self.0 {
            Form::Json => {
                serde_json::from_str::<IgnoredAny>(&text).map(drop).map_err(|error| no_json(&text, &error))
            }
            Form::Schema(schema) => serde_json::from_str::<Value>(&text)
                .map_err(|error| no_json(&text, &error))
                .and_then(|value| schema.check(&value)),
        };
        checked.map_err(|why| Unexpected::because(&why, body))
    }
}

fn no_json(text: &str, error: &serde_json::Error) -> String {
    let fence = if text.trim_start().starts_with("```") { "; it stands in a code fence" } else { "" };
    format!("its text is not one JSON value: {error}{fence}")
}

impl Unexpected {
    fn because(why: &str, body: &[u8]) -> Self {
        let mut told: String = why.chars().take(WHY_CHARS_MAX).collect();
        if told.len() < why.len() {
            told.push('…');
        }
        if is_cut_short(body) {
            told.push_str("; the model stopped at its token limit: hint: raise the row's `max_tokens`");
        }
        Self(told)
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chat completion that says `text` and ended for `reason`.
    fn body(text: &str, reason: &str) -> Vec<u8> {
        serde_json::json!({"choices": [{"message": {"content": text}, "finish_reason": reason}]})
            .to_string()
            .into_bytes()
    }

    fn why(text: &str, reason: &str) -> String {
        Expectation::json().check(&body(text, reason)).unwrap_err().to_string()
    }

    #[test]
    fn one_value_of_any_kind_is_json() {
        for text in ["{}", " [1, 2.5e3]\n", "null", "88", r#""words""#] {
            assert_eq!(Expectation::json().check(&body(text, "stop")), Ok(()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_with_its_place() {
        assert_eq!(
            why(r#"{"a":1} {"b":2}"#, "stop"),
            "its text is not one JSON value: trailing characters at line 1 column 9"
        );
        assert_eq!(
            why("Sure! {}", "stop"),
            "its text is not one JSON value: expected value at line 1 column 1"
        );
        assert_eq!(
            why("```json\n{}\n```", "stop"),
            "its text is not one JSON value: expected value at line 1 column 1; it stands in a code fence"
        );
        let embedding = Expectation::json().check(br#"{"data":[{"embedding":[0.5]}]}"#).unwrap_err();
        assert_eq!(embedding.to_string(), "it has no text");
    }

    #[test]
    fn a_token_limit_is_named_as_the_likely_cause() {
        assert_eq!(
            why(r#"{"a":"#, "length"),
            "its text is not one JSON value: EOF while parsing a value at line 1 column 5; \
             the model stopped at its token limit: hint: raise the row's `max_tokens`"
        );
    }

    #[test]
    fn an_explanation_has_an_end() {
        let told = Unexpected::because(&"ö".repeat(1_000), b"{}").to_string();
        assert_eq!(told, "ö".repeat(400) + "…");
    }
}
