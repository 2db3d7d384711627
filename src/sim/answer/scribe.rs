//! What the answers of one provider have in common, and their text.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::account::Cost;
use super::super::ask::{Ask, Form};
use super::super::spec::Words;

/// Characters of the prompt that are repeated in the answer, for people who watch.
const EXCERPT_CHARS_MAX: usize = 48;

/// What the answers of one provider have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scribe {
    /// The call's number.
    pub(crate) call: u64,
    /// The date, in seconds since 1970.
    pub(crate) created: u64,
    /// Content chunks of a stream; answers are at least as many characters long.
    pub(crate) chunks: usize,
    /// What kind of text.
    pub(crate) words: Words,
    /// How much of it.
    pub(crate) length: Length,
}

/// How much of its text an answer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    Full,
    /// The first half, as if the model had reached its token limit.
    CutShort,
}

impl Length {
    pub(super) const fn finish_reason(self) -> &'static str {
        match self {
            Self::Full => "stop",
            Self::CutShort => "length",
        }
    }
}

impl Scribe {
    /// What the call costs in the end, as its answer tells.
    pub(crate) fn used(&self, ask: &Ask<'_>) -> Cost {
        match ask.form {
            Form::Chat(_)
            | Form::Completion(_)
            | Form::Response(_)
            | Form::Message(_)
            | Form::Generation(_) => ask.used(&self.text(ask)),
            Form::Embeddings(_) | Form::Speech | Form::Upload(_) | Form::Download(_) => ask.cost(),
        }
    }

    /// The prompt's checksum, in words or in numbers; nothing in it needs escaping in JSON.
    pub(super) fn text(&self, ask: &Ask<'_>) -> String {
        let checksum = checksum(ask.prompt.as_bytes());
        let mut text = match self.words {
            Words::Excerpt => {
                let excerpt = last_content(ask.prompt).map_or("", excerpt);
                format!("sim {checksum:016x}: {excerpt}")
            }
            Words::Numbers => format!("{:?}", checksum.to_be_bytes()),
        };
        match self.length {
            Length::Full => {}
            Length::CutShort => {
                let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
                text.truncate(middle);
            }
        }
        let chars = text.chars().count();
        if chars < self.chunks {
            let filling = match self.words {
                Words::Excerpt => ".",
                Words::Numbers => " ",
            };
            text.push_str(&filling.repeat(self.chunks - chars));
        }
        text
    }
}

/// The content of the last message, or a prompt that is but a text, as JSON.
fn last_content(messages: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    if messages.starts_with('"') {
        return Some(messages);
    }
    let messages: Vec<Message<'_>> = serde_json::from_str(messages).ok()?;
    messages.last()?.content.map(RawValue::get)
}

/// The beginning of a JSON string, up to its first escape: so it needs no escaping either.
fn excerpt(json: &str) -> &str {
    let Some(text) = json.strip_prefix('"') else { return "" };
    let plain = text.find(['"', '\\']).unwrap_or(0);
    let end = text.char_indices().nth(EXCERPT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    &text[..plain.min(end)]
}

/// A checksum that keeps up with long prompts: eight bytes at a time, multiplied and rotated.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    /// An odd number with its bits spread evenly (the golden ratio × 2⁶⁴), so that every bit reaches the others.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(SPREAD).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    // Twice, so that the last bytes reach all digits too.
    mix(mix(sum, last), 0)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) const SCRIBE: Scribe =
        Scribe { call: 7, created: 1_700_000_000, chunks: 4, words: Words::Excerpt, length: Length::Full };

    pub(in super::super) fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    pub(in super::super) fn chat(content: &str) -> Vec<u8> {
        json!({"model": "m\"x", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": content}]})
            .to_string()
            .into_bytes()
    }

    pub(in super::super) fn text(content: &str) -> String {
        let body = chat(content);
        let answer = json(&SCRIBE.chat(&Ask::chat(&body).unwrap()));
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_text_depends_on_the_prompt_alone_and_shows_its_beginning() {
        assert_eq!(text("hello"), text("hello"));
        assert!(text("hello").ends_with(": hello"), "{}", text("hello"));
        assert_ne!(text("hello")[..20], text("hellp")[..20]);
        let long = "ö".repeat(100);
        assert!(text(&long).ends_with(&format!(": {}", "ö".repeat(48))), "{}", text(&long));
        assert!(text("say \"x\"").ends_with(": say "), "{}", text("say \"x\""));
    }

    #[test]
    fn an_answer_in_numbers_is_json_unless_it_is_cut_short() {
        let body = chat("hello");
        let told = |length| {
            let scribe = Scribe { words: Words::Numbers, length, ..SCRIBE };
            let choice = json(&scribe.chat(&Ask::chat(&body).unwrap()))["choices"][0].clone();
            let text = choice["message"]["content"].as_str().unwrap().to_owned();
            (serde_json::from_str::<Vec<u8>>(&text).ok(), choice["finish_reason"].clone())
        };
        let (numbers, reason) = told(Length::Full);
        assert_eq!((numbers.map(|numbers| numbers.len()), reason), (Some(8), json!("stop")));
        assert_eq!(told(Length::CutShort), (None, json!("length")));
    }
}
