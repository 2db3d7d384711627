//! What an answer says, in whichever dialect it says it.

use serde_json::Value;

/// The text of a provider's answer: the model's words without what is around them.
///
/// Known are OpenAI's chat completions, completions and responses, Anthropic's messages and Gemini's
/// `generateContent`; of several choices the first counts, parts are joined. `None` if there is no text, as
/// with embeddings or mere tool calls.
pub(in crate::batch) fn text_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let chat = &body["choices"][0]["message"]["content"];
    let completion = &body["choices"][0]["text"];
    let said = [chat, completion].into_iter().find_map(|text| text.as_str().map(str::to_owned));
    let parts = || {
        [
            parts_of(chat, "text"),
            parts_of(&body["content"], "text"),
            parts_of(&body["candidates"][0]["content"]["parts"], "text"),
            body["output"]
                .as_array()
                .and_then(|items| joined(items.iter().filter_map(|item| parts_of(&item["content"], "text")))),
        ]
        .into_iter()
        .find_map(|text| text)
    };
    said.or_else(parts)
}

/// Whether the model stopped because its answer had reached the most tokens it was to have.
pub(super) fn is_cut_short(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return false };
    body["choices"][0]["finish_reason"] == "length"
        || body["stop_reason"] == "max_tokens"
        || body["candidates"][0]["finishReason"] == "MAX_TOKENS"
        || body["incomplete_details"]["reason"] == "max_output_tokens"
}

fn parts_of(parts: &Value, field: &str) -> Option<String> {
    joined(parts.as_array()?.iter().filter_map(|part| part[field].as_str().map(str::to_owned)))
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    texts.reduce(|before, text| before + &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialects_words_are_found() {
        for (body, text) in [
            (r#"{"choices":[{"message":{"content":"88"}},{"message":{"content":"no"}}]}"#, Some("88")),
            (
                r#"{"choices":[{"message":{"content":[{"type":"text","text":"8"},{"text":"8"}]}}]}"#,
                Some("88"),
            ),
            (r#"{"choices":[{"text":"88"}]}"#, Some("88")),
            (r#"{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"88"}]}"#, Some("88")),
            (r#"{"candidates":[{"content":{"parts":[{"text":"8"},{"text":"8"}]}}]}"#, Some("88")),
            (
                r#"{"output":[{"type":"reasoning"},{"content":[{"type":"output_text","text":"88"}]}]}"#,
                Some("88"),
            ),
            (r#"{"choices":[{"message":{"content":null,"tool_calls":[]}}]}"#, None),
            (r#"{"data":[{"embedding":[0.5]}]}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(text_of(body.as_bytes()).as_deref(), text, "{body}");
        }
    }

    #[test]
    fn every_dialect_tells_that_its_words_ran_out() {
        for body in [
            r#"{"choices":[{"message":{"content":"8"},"finish_reason":"length"}]}"#,
            r#"{"content":[{"type":"text","text":"8"}],"stop_reason":"max_tokens"}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"8"}]},"finishReason":"MAX_TOKENS"}]}"#,
            r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}"#,
        ] {
            assert!(is_cut_short(body.as_bytes()), "{body}");
        }
        for body in
            [r#"{"choices":[{"finish_reason":"stop"}]}"#, r#"{"stop_reason":"end_turn"}"#, "[]", "<html>"]
        {
            assert!(!is_cut_short(body.as_bytes()), "{body}");
        }
    }
}
