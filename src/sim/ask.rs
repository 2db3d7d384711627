//! What a call asks for, read out of its body only as far as needed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::account::Cost;
use super::tongue::Tongue;

/// Characters of a prompt that OpenAI reckons as one token.
/// Source: <https://platform.openai.com/tokenizer>, "one token generally corresponds to ~4 characters".
const BYTES_PER_TOKEN: usize = 4;

/// A call for work.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ask<'a> {
    /// Empty if the call is none of a model.
    pub(crate) model: Cow<'a, str>,
    /// The messages or the input, as JSON.
    pub(crate) prompt: &'a str,
    /// The most tokens to be produced. Zero if it isn't said.
    pub(crate) max_tokens: u64,
    /// The function that has to be called instead of an answer in words.
    pub(crate) function: Option<Cow<'a, str>>,
    pub(crate) form: Form,
}

/// What the answer is to look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// OpenAI's chat completion.
    Chat(Manner),
    /// OpenAI's completion of the kind before chat.
    Completion(Manner),
    /// OpenAI's response.
    Response(Manner),
    /// Anthropic's message.
    Message(Manner),
    /// Gemini's generated content.
    Generation(Manner),
    /// One vector for each input.
    Embeddings(Encoding),
    /// A sound.
    Speech,
    /// What was received.
    Upload(Received),
    /// A file of so many bytes.
    Download(u64),
}

/// How an answer comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// In one piece.
    Whole,
    /// As events.
    Stream(StreamUsage),
}

/// Whether a stream ends with an event that tells its usage, where that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamUsage {
    Included,
    LeftOut,
}

/// How vectors are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// As JSON's numbers.
    Numbers,
    /// As the bytes of their numbers of 32 bits, little end first, in base64.
    Base64,
}

/// A body that wasn't kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

impl Form {
    /// Whose API it belongs to.
    pub(crate) const fn tongue(self) -> Tongue {
        match self {
            Self::Chat(_)
            | Self::Completion(_)
            | Self::Response(_)
            | Self::Embeddings(_)
            | Self::Speech
            | Self::Upload(_)
            | Self::Download(_) => Tongue::OpenAi,
            Self::Message(_) => Tongue::Anthropic,
            Self::Generation(_) => Tongue::Gemini,
        }
    }

    /// How it comes.
    pub(crate) const fn manner(self) -> Manner {
        match self {
            Self::Chat(manner)
            | Self::Completion(manner)
            | Self::Response(manner)
            | Self::Message(manner)
            | Self::Generation(manner) => manner,
            Self::Embeddings(_) | Self::Speech | Self::Upload(_) | Self::Download(_) => Manner::Whole,
        }
    }
}

impl<'a> Ask<'a> {
    /// Reads the body of a call for a chat completion.
    pub(crate) fn chat(body: &'a [u8]) -> serde_json::Result<Self> {
        let chat: Chat<'a> = serde_json::from_slice(body)?;
        Ok(Self {
            function: forced_function(chat.tools, chat.tool_choice),
            model: chat.model.0,
            prompt: chat.messages.get(),
            max_tokens: chat.max_completion_tokens.or(chat.max_tokens).unwrap_or(0),
            form: Form::Chat(manner(chat.stream, chat.stream_options.as_ref())),
        })
    }

    /// Reads the body of a call for a completion.
    pub(crate) fn completion(body: &'a [u8]) -> serde_json::Result<Self> {
        let completion: Completion<'a> = serde_json::from_slice(body)?;
        let form = Form::Completion(manner(completion.stream, completion.stream_options.as_ref()));
        Ok(Self {
            max_tokens: completion.max_tokens.unwrap_or(0),
            ..Self::plain(completion.model.0, completion.prompt.get(), form)
        })
    }

    /// Reads the body of a call for a response.
    pub(crate) fn response(body: &'a [u8]) -> serde_json::Result<Self> {
        let response: Response<'a> = serde_json::from_slice(body)?;
        let form = Form::Response(manner(response.stream, None));
        Ok(Self {
            max_tokens: response.max_output_tokens.unwrap_or(0),
            ..Self::plain(response.model.0, response.input.get(), form)
        })
    }

    /// Reads the body of a call for one of Anthropic's messages.
    pub(crate) fn message(body: &'a [u8]) -> serde_json::Result<Self> {
        let message: Message<'a> = serde_json::from_slice(body)?;
        let form = Form::Message(manner(message.stream, None));
        Ok(Self {
            max_tokens: message.max_tokens,
            ..Self::plain(message.model.0, message.messages.get(), form)
        })
    }

    /// Reads the body of a call for Gemini's content; its path says the model and the manner.
    pub(crate) fn generation(model: &'a str, manner: Manner, body: &'a [u8]) -> serde_json::Result<Self> {
        let generation: Generation<'a> = serde_json::from_slice(body)?;
        let most = generation.generation_config.and_then(|config| config.max_output_tokens);
        Ok(Self {
            max_tokens: most.unwrap_or(0),
            ..Self::plain(Cow::Borrowed(model), generation.contents.get(), Form::Generation(manner))
        })
    }

    /// Reads the body of a call for embeddings.
    pub(crate) fn embeddings(body: &'a [u8]) -> serde_json::Result<Self> {
        let embeddings: Embeddings<'a> = serde_json::from_slice(body)?;
        let encoding = match embeddings.encoding_format {
            Some(EncodingFormat::Base64) => Encoding::Base64,
            Some(EncodingFormat::Float) | None => Encoding::Numbers,
        };
        Ok(Self::plain(embeddings.model.0, embeddings.input.get(), Form::Embeddings(encoding)))
    }

    /// Reads the body of a call for speech.
    pub(crate) fn speech(body: &'a [u8]) -> serde_json::Result<Self> {
        let speech: Embeddings<'a> = serde_json::from_slice(body)?;
        Ok(Self::plain(speech.model.0, speech.input.get(), Form::Speech))
    }

    /// A call that says little.
    pub(crate) fn plain(model: Cow<'a, str>, prompt: &'a str, form: Form) -> Self {
        Self { model, prompt, max_tokens: 0, function: None, form }
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

fn manner(stream: Option<bool>, options: Option<&StreamOptions>) -> Manner {
    let usage = match options {
        Some(StreamOptions { include_usage: Some(true) }) => StreamUsage::Included,
        Some(StreamOptions { include_usage: Some(false) | None }) | None => StreamUsage::LeftOut,
    };
    if stream == Some(true) { Manner::Stream(usage) } else { Manner::Whole }
}

/// The function that has to be called: the one that is named or, if it may be any, the first.
fn forced_function<'a>(tools: Option<Vec<Tool<'a>>>, choice: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    let choice = choice?.get();
    if choice == r#""required""# {
        return tools?.into_iter().find_map(|tool| Some(tool.function?.name.0));
    }
    Some(serde_json::from_str::<Tool<'a>>(choice).ok()?.function?.name.0)
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
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    prompt: &'a RawValue,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    input: &'a RawValue,
    stream: Option<bool>,
    max_output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    messages: &'a RawValue,
    stream: Option<bool>,
    max_tokens: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    #[serde(borrow)]
    contents: &'a RawValue,
    generation_config: Option<GenerationConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    max_output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Embeddings<'a> {
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    input: &'a RawValue,
    encoding_format: Option<EncodingFormat>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EncodingFormat {
    Float,
    Base64,
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
        assert_eq!((ask.cost(), ask.form), (Cost { prompt: 9, answer: 10 }, Form::Chat(Manner::Whole)));
    }

    #[test]
    fn streams_say_whether_they_want_usage() {
        for (options, usage) in [
            ("", StreamUsage::LeftOut),
            (r#","stream_options":{"include_usage":false}"#, StreamUsage::LeftOut),
            (r#","stream_options":{"include_usage":true}"#, StreamUsage::Included),
        ] {
            let body = format!(r#"{{"model":"m","messages":[],"stream":true{options}}}"#);
            assert_eq!(Ask::chat(body.as_bytes()).unwrap().form, Form::Chat(Manner::Stream(usage)));
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

    #[test]
    fn a_function_is_called_only_if_it_must_be() {
        for (choice, function) in [
            (r#""required""#, Some("first")),
            (r#"{"type":"function","function":{"name":"second"}}"#, Some("second")),
            (r#""auto""#, None),
            (r#""none""#, None),
        ] {
            let body = format!(
                r#"{{"model":"m","messages":[],"tool_choice":{choice},"tools":[{{"type":"custom"}},{{"type":"function","function":{{"name":"first"}}}}]}}"#
            );
            assert_eq!(Ask::chat(body.as_bytes()).unwrap().function.as_deref(), function, "{choice}");
        }
    }
}
