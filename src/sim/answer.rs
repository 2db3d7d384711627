//! Proper answers, deterministic: the same prompt always gets the same text.

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::account::Cost;
use super::ask::{Ask, Form, StreamUsage};
use super::spec::Words;

/// Characters of the prompt that are repeated in the answer, for people who watch.
const EXCERPT_CHARS_MAX: usize = 48;

/// Numbers of an embedding: enough to tell two apart.
const EMBEDDING_DIMENSIONS: usize = 8;

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
    const fn finish_reason(self) -> &'static str {
        match self {
            Self::Full => r#""stop""#,
            Self::CutShort => r#""length""#,
        }
    }
}

/// A stream of events as one text, with the places where it may be cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Events {
    pub(crate) bytes: Bytes,
    /// Where each event begins and ends.
    pub(crate) ranges: Vec<Range<usize>>,
}

impl Scribe {
    /// A chat completion in one piece.
    pub(crate) fn chat(&self, ask: &Ask<'_>) -> Bytes {
        let (text, finish) = (self.text(ask), self.length.finish_reason());
        let mut body = Vec::with_capacity(512 + text.len());
        self.write_head(&mut body, "chat.completion", ask);
        write_all(
            &mut body,
            format_args!(
                r#""choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":{finish}}}],"#
            ),
        );
        write_usage(&mut body, ask, &text);
        body.push(b'}');
        body.into()
    }

    /// A chat completion as events: role, content, finish, perhaps usage, `[DONE]`.
    pub(crate) fn chat_events(&self, ask: &Ask<'_>, usage: StreamUsage) -> Events {
        let text = self.text(ask);
        let mut head = Vec::with_capacity(192);
        head.extend_from_slice(b"data: ");
        self.write_head(&mut head, "chat.completion.chunk", ask);
        let mut events = EventWriter {
            bytes: Vec::with_capacity((self.chunks + 4) * (head.len() + 96)),
            ranges: Vec::with_capacity(self.chunks + 4),
            head,
            tail: match usage {
                StreamUsage::Included => r#","usage":null}"#,
                StreamUsage::LeftOut => "}",
            },
        };
        events.choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null");
        // Chunks are cut between characters: the excerpt need not be ASCII.
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let chars = places.len() - 1;
        for chunk in 0..self.chunks {
            let from = places[chunk * chars / self.chunks];
            let to = places[(chunk + 1) * chars / self.chunks];
            events.choice(&format!(r#"{{"content":"{}"}}"#, &text[from..to]), "null");
        }
        events.choice("{}", self.length.finish_reason());
        if usage == StreamUsage::Included {
            events.usage(ask, &text);
        }
        events.done()
    }

    /// What the call costs in the end, as its answer tells.
    pub(crate) fn used(&self, ask: &Ask<'_>) -> Cost {
        match ask.form {
            Form::Chat | Form::ChatStream(_) => ask.used(&self.text(ask)),
            Form::Embeddings => ask.cost(),
        }
    }

    /// The prompt's checksum, in words or in numbers; nothing in it needs escaping in JSON.
    fn text(&self, ask: &Ask<'_>) -> String {
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

    fn write_head(&self, body: &mut Vec<u8>, object: &str, ask: &Ask<'_>) {
        let Self { call, created, .. } = self;
        write_all(
            body,
            format_args!(
                r#"{{"id":"chatcmpl-sim-{call}","object":"{object}","created":{created},"system_fingerprint":"fp_sim","model":"#
            ),
        );
        write_json_string(body, &ask.model);
        body.push(b',');
    }
}

/// One vector for each input.
pub(crate) fn embeddings(ask: &Ask<'_>) -> Bytes {
    let inputs = inputs(ask.prompt);
    let mut body = Vec::with_capacity(256 + inputs.len() * 256);
    body.extend_from_slice(br#"{"object":"list","data":["#);
    for (index, input) in inputs.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_all(&mut body, format_args!(r#"{{"object":"embedding","index":{index},"embedding":["#));
        for (place, byte) in checksum(input.as_bytes()).to_be_bytes().iter().enumerate() {
            let comma = if place + 1 < EMBEDDING_DIMENSIONS { "," } else { "" };
            write_all(&mut body, format_args!("{}{comma}", f64::from(*byte) / 256.0));
        }
        body.extend_from_slice(b"]}");
    }
    body.extend_from_slice(br#"],"model":"#);
    write_json_string(&mut body, &ask.model);
    let tokens = ask.prompt_tokens();
    write_all(&mut body, format_args!(r#","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#));
    body.into()
}

/// Writes server-sent events of OpenAI's shape.
struct EventWriter {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
    /// What every event begins with, up to its choices.
    head: Vec<u8>,
    /// What every event but the one with the usage ends with.
    tail: &'static str,
}

impl EventWriter {
    fn choice(&mut self, delta: &str, finish_reason: &str) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&self.head);
        let tail = self.tail;
        write_all(
            &mut self.bytes,
            format_args!(
                r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}]{tail}"#
            ),
        );
        self.end(start);
    }

    fn usage(&mut self, ask: &Ask<'_>, text: &str) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&self.head);
        self.bytes.extend_from_slice(br#""choices":[],"#);
        write_usage(&mut self.bytes, ask, text);
        self.bytes.push(b'}');
        self.end(start);
    }

    fn end(&mut self, start: usize) {
        self.bytes.extend_from_slice(b"\n\n");
        self.ranges.push(start..self.bytes.len());
    }

    fn done(mut self) -> Events {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(b"data: [DONE]");
        self.end(start);
        Events { bytes: self.bytes.into(), ranges: self.ranges }
    }
}

fn write_usage(body: &mut Vec<u8>, ask: &Ask<'_>, text: &str) {
    let Cost { prompt, answer: completion } = ask.used(text);
    let total = prompt + completion;
    write_all(
        body,
        format_args!(
            r#""usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#
        ),
    );
}

fn write_all(body: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory can't fail.
    let _ = body.write_fmt(text);
}

/// `text` as a JSON string, in its quotes.
pub(crate) fn write_json_string(body: &mut Vec<u8>, text: &str) {
    // Writing a string into memory can't fail.
    let _ = serde_json::to_writer(body, text);
}

/// The content of the last message, as JSON.
fn last_content(messages: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
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

/// The inputs of a call for embeddings: one text, several texts, or one text given as token numbers.
fn inputs(input: &str) -> Vec<&str> {
    match serde_json::from_str::<Vec<&RawValue>>(input) {
        Ok(several) if several.first().is_some_and(|first| first.get().starts_with(['"', '['])) => {
            several.into_iter().map(RawValue::get).collect()
        }
        Ok(_) | Err(_) => vec![input],
    }
}

/// A checksum that keeps up with long prompts: eight bytes at a time, multiplied and rotated.
fn checksum(bytes: &[u8]) -> u64 {
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SCRIBE: Scribe =
        Scribe { call: 7, created: 1_700_000_000, chunks: 4, words: Words::Excerpt, length: Length::Full };

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    fn chat(content: &str) -> Vec<u8> {
        json!({"model": "m\"x", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": content}]})
            .to_string()
            .into_bytes()
    }

    fn text(content: &str) -> String {
        let body = chat(content);
        let answer = json(&SCRIBE.chat(&Ask::chat(&body).unwrap()));
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_plain_answer_has_openais_shape() {
        let body = chat("hello");
        let answer = json(&SCRIBE.chat(&Ask::chat(&body).unwrap()));
        assert_eq!(answer["id"], "chatcmpl-sim-7");
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["created"], 1_700_000_000);
        assert_eq!(answer["model"], "m\"x");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        // The messages are 67 bytes of JSON and the text 25.
        assert_eq!(answer["usage"], json!({"prompt_tokens": 17, "completion_tokens": 7, "total_tokens": 24}));
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

    #[test]
    fn a_stream_says_the_same_as_a_plain_answer() {
        let body = chat("grüße");
        let ask = Ask::chat(&body).unwrap();
        for (usage, events_expected) in [(StreamUsage::LeftOut, 7), (StreamUsage::Included, 8)] {
            let events = SCRIBE.chat_events(&ask, usage);
            let texts: Vec<&str> = events
                .ranges
                .iter()
                .map(|range| std::str::from_utf8(&events.bytes[range.clone()]).unwrap())
                .map(|event| event.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap())
                .collect();
            assert_eq!((texts.len(), texts[texts.len() - 1]), (events_expected, "[DONE]"));
            let chunks: Vec<Value> =
                texts[..texts.len() - 1].iter().map(|event| json(event.as_bytes())).collect();
            assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
            let said: String =
                chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
            assert_eq!(said, text("grüße"));
            assert_eq!(chunks[5]["choices"][0]["finish_reason"], "stop");
            match usage {
                StreamUsage::LeftOut => assert!(chunks[0].get("usage").is_none()),
                StreamUsage::Included => {
                    assert!(chunks[0]["usage"].is_null());
                    assert_eq!(
                        (&chunks[6]["choices"], &chunks[6]["usage"]["prompt_tokens"]),
                        (&json!([]), &json!(18))
                    );
                }
            }
        }
    }

    #[test]
    fn every_chunk_of_a_long_stream_has_content() {
        let body = chat("hi");
        let scribe = Scribe { chunks: 500, ..SCRIBE };
        let events = scribe.chat_events(&Ask::chat(&body).unwrap(), StreamUsage::LeftOut);
        let contents: Vec<usize> = events.ranges[1..501]
            .iter()
            .map(|range| json(&events.bytes[range.start + 6..range.end]))
            .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap().len())
            .collect();
        assert_eq!(contents, [1; 500]);
    }

    #[test]
    fn embeddings_come_one_for_each_input() {
        for (input, count) in
            [(json!("a"), 1), (json!(["a", "b"]), 2), (json!([1, 2, 3]), 1), (json!([[1], [2]]), 2)]
        {
            let body = json!({"model": "e", "input": input}).to_string();
            let answer = json(&embeddings(&Ask::embeddings(body.as_bytes()).unwrap()));
            let data = answer["data"].as_array().unwrap();
            assert_eq!(data.len(), count);
            assert_eq!(data[0]["embedding"].as_array().unwrap().len(), EMBEDDING_DIMENSIONS);
            if count == 2 {
                assert_ne!(data[0]["embedding"], data[1]["embedding"]);
            }
        }
    }
}
