//! Where a request goes whose row doesn't say so.

use keywheel_actors::id::Model;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::written::WrittenRow;

/// The path of a chat, without its version.
pub(super) const CHAT: &str = "/chat/completions";

/// The path of Anthropic's rows.
pub(super) const MESSAGES: &str = "/messages";

/// What else than `input` says which of OpenAI's two APIs with an `input` is meant.
///
/// Source: OpenAI's API reference, "Create embeddings" and "Create a model response".
#[derive(Deserialize)]
struct InputHints {
    dimensions: Option<IgnoredAny>,
    encoding_format: Option<IgnoredAny>,
    instructions: Option<IgnoredAny>,
    max_output_tokens: Option<IgnoredAny>,
    previous_response_id: Option<IgnoredAny>,
    reasoning: Option<IgnoredAny>,
    text: Option<IgnoredAny>,
    tools: Option<IgnoredAny>,
}

/// The path below a provider's base URL, which ends with the version: `/v1/embeddings` → `/embeddings`.
pub(super) fn below_base(url: &str) -> &str {
    match url.strip_prefix("/v1") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) | None => url,
    }
}

/// The path of a bare body, by what it holds.
///
/// # Errors
/// If it might go to either of two, as a sentence.
pub(super) fn guessed(written: &WrittenRow<'_>, model: &Model, body: &[u8]) -> Result<String, String> {
    if written.messages.is_some() {
        return Ok(CHAT.to_owned());
    }
    if written.contents.is_some() {
        // The dialect puts the name of the model that is asked in this place.
        let name = model.as_str().trim_start_matches("models/");
        return Ok(format!("/models/{name}:generateContent"));
    }
    if let Some(input) = written.input {
        return of_input(input, model, body).map(str::to_owned);
    }
    Ok(if written.prompt.is_some() { "/completions" } else { CHAT }.to_owned())
}

fn of_input(input: &RawValue, model: &Model, body: &[u8]) -> Result<&'static str, String> {
    let hints: InputHints = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let is_embedding_model = model.as_str().to_ascii_lowercase().contains("embed");
    if is_embedding_model || hints.dimensions.is_some() || hints.encoding_format.is_some() {
        return Ok("/embeddings");
    }
    let are_messages = serde_json::from_str::<Vec<&RawValue>>(input.get())
        .is_ok_and(|items| items.first().is_some_and(|item| item.get().starts_with('{')));
    let response_hints = [
        hints.instructions,
        hints.max_output_tokens,
        hints.previous_response_id,
        hints.reasoning,
        hints.text,
        hints.tools,
    ];
    if are_messages || response_hints.iter().any(Option::is_some) {
        return Ok("/responses");
    }
    Err("`input` may be meant for /v1/embeddings or for /v1/responses; hint: say which with --url".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_version_segment_is_stripped() {
        for (url, path) in [
            ("/v1/chat/completions", "/chat/completions"),
            ("/chat/completions", "/chat/completions"),
            ("/v1beta/models", "/v1beta/models"),
            ("/v1", "/v1"),
        ] {
            assert_eq!(below_base(url), path);
        }
    }

    #[test]
    fn a_body_tells_where_it_goes() {
        for (body, path) in [
            (r#"{"messages":[],"input":1}"#, Some("/chat/completions")),
            (r#"{"contents":[]}"#, Some("/models/m:generateContent")),
            (r#"{"prompt":"x"}"#, Some("/completions")),
            ("{}", Some("/chat/completions")),
            (r#"{"input":[{"role":"user"}]}"#, Some("/responses")),
            (r#"{"input":"x","instructions":"y"}"#, Some("/responses")),
            (r#"{"input":"x","dimensions":8}"#, Some("/embeddings")),
            (r#"{"input":["x"]}"#, None),
        ] {
            let written = serde_json::from_str(body).unwrap();
            let found = guessed(&written, &Model::from("m"), body.as_bytes());
            assert_eq!(found.ok().as_deref(), path, "{body}");
        }
        let body = r#"{"input":"x"}"#;
        let found = guessed(&serde_json::from_str(body).unwrap(), &"Qwen3-Embedding-8B".into(), b"{}");
        assert_eq!(found.as_deref(), Ok("/embeddings"));
    }
}
