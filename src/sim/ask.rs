//! What a call asks for, read out of its body only as far as needed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::account::Cost;

/// Characters of a prompt that OpenAI reckons as one token.
/// Source: <https://platform.openai.com/tokenizer>, "one token generally corresponds to ~4 characters".
const BYTES_PER_TOKEN: usize = 4;

/// A call for work.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) model: Cow<'a, str>,
    /// The messages or the input, as JSON.
    pub(crate) prompt: &'a str,
    /// The most tokens to be produced. Zero if it isn't said.
    pub(crate) max_tokens: u64,
    pub(crate) form: Form,
}

/// What the answer is to look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// A chat completion in one piece.
    Chat,
    /// A chat completion as events.
    ChatStream(StreamUsage),
    /// One vector for each input.
    Embeddings,
}

/// Whether a stream ends with an event that tells its usage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamUsage {
    Included,
    LeftOut,
}

impl<'a> Ask<'a> {
    /// Reads the body of a call for a chat completion.
    pub(crate) fn chat(body: &'a [u8]) -> serde_json::Result<Self> {
        let chat: Chat<'a> = serde_json::from_slice(body)?;
        let usage = match chat.stream_options {
            Some(StreamOptions { include_usage: Some(true) }) => StreamUsage::Included,
            Some(StreamOptions { include_usage: Some(false) | None }) | None => StreamUsage::LeftOut,
        };
        Ok(Self {
            model: chat.model.0,
            prompt: chat.messages.get(),
            max_tokens: chat.max_completion_tokens.or(chat.max_tokens).unwrap_or(0),
            form: if chat.stream == Some(true) { Form::ChatStream(usage) } else { Form::Chat },
        })
    }

    /// Reads the body of a call for embeddings.
    pub(crate) fn embeddings(body: &'a [u8]) -> serde_json::Result<Self> {
        let embeddings: Embeddings<'a> = serde_json::from_slice(body)?;
        Ok(Self {
            model: embeddings.model.0,
            prompt: embeddings.input.get(),
            max_tokens: 0,
            form: Form::Embeddings,
        })
    }

    /// Tokens of the prompt: a quarter of its bytes, rounded up.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        self.prompt.len().div_ceil(BYTES_PER_TOKEN) as u64
    }

    /// What the call takes from token limits: the prompt and all that it may produce, reckoned beforehand.
    /// Source: OpenAI's rate limit guide, "calculated as the maximum of `max_tokens` and the estimated
    /// number of tokens based on the character count of your request"; the sum is the safer reading.
    pub(crate) fn cost(&self) -> Cost {
        Cost { prompt: self.prompt_tokens(), answer: self.max_tokens }
    }

    /// What it costs in the end, if this text is the answer.
    pub(crate) fn used(&self, text: &str) -> Cost {
        let answer = match self.max_tokens {
            0 => text_tokens(text),
            max => text_tokens(text).min(max),
        };
        Cost { prompt: self.prompt_tokens(), answer }
    }
}

/// How many tokens a text would be.
fn text_tokens(text: &str) -> u64 {
    text.len().div_ceil(BYTES_PER_TOKEN) as u64
}

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    messages: &'a RawValue,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Embeddings<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    input: &'a RawValue,
}

/// A string that is copied only if it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_what_it_needs() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"hello"}],"tools":[{"x":1}],"max_tokens":10}"#;
        let ask = Ask::chat(body).unwrap();
        assert_eq!(ask.model, "m");
        assert_eq!(ask.prompt, r#"[{"role":"user","content":"hello"}]"#);
        assert_eq!((ask.cost(), ask.form), (Cost { prompt: 9, answer: 10 }, Form::Chat));
    }

    #[test]
    fn streams_say_whether_they_want_usage() {
        for (options, usage) in [
            ("", StreamUsage::LeftOut),
            (r#","stream_options":{"include_usage":false}"#, StreamUsage::LeftOut),
            (r#","stream_options":{"include_usage":true}"#, StreamUsage::Included),
        ] {
            let body = format!(r#"{{"model":"m","messages":[],"stream":true{options}}}"#);
            assert_eq!(Ask::chat(body.as_bytes()).unwrap().form, Form::ChatStream(usage));
        }
    }

    #[test]
    fn newer_name_of_the_token_limit_wins() {
        let body = br#"{"model":"m","messages":[],"max_tokens":10,"max_completion_tokens":20}"#;
        assert_eq!(Ask::chat(body).unwrap().max_tokens, 20);
    }

    #[test]
    fn an_escaped_model_is_understood() {
        assert_eq!(Ask::chat(br#"{"model":"a\"b","messages":[]}"#).unwrap().model, "a\"b");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (body, missing) in [("{}", "model"), (r#"{"model":"m"}"#, "messages")] {
            let error = Ask::chat(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
