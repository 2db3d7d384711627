//! Chat completions: a text, or a call of the function that was asked for.

use bytes::Bytes;

use super::super::ask::{Ask, StreamUsage};
use super::events::{EventWriter, Events, pieces};
use super::json::{json_string, write_all, write_json_string, write_usage};
use super::scribe::Scribe;

/// Bytes of an event beside its piece of the text.
const EVENT_BYTES: usize = 288;
/// Events of a stream beside those with content: role, finish, usage, end.
const FURTHER_EVENTS: usize = 4;

impl Scribe {
    /// A chat completion in one piece.
    pub(crate) fn chat(&self, ask: &Ask<'_>) -> Bytes {
        let text = self.text(ask);
        let mut body = self.chat_head("chat.completion", ask);
        body.extend_from_slice(br#""choices":[{"index":0,"message":{"role":"assistant","#);
        match &ask.function {
            None => write_all(&mut body, format_args!(r#""content":"{text}","refusal":null"#)),
            Some(function) => write_all(
                &mut body,
                format_args!(
                    r#""content":null,"refusal":null,"tool_calls":[{}]"#,
                    self.tool_call(function, &json_string(&arguments(&text)))
                ),
            ),
        }
        let finish = self.chat_finish(ask);
        write_all(&mut body, format_args!(r#"}},"logprobs":null,"finish_reason":"{finish}"}}],"#));
        write_usage(&mut body, ask.used(&text));
        body.push(b'}');
        body.into()
    }

    /// A chat completion as events: role, content, finish, perhaps usage, `[DONE]`.
    pub(crate) fn chat_events(&self, ask: &Ask<'_>, usage: StreamUsage) -> Events {
        let text = self.text(ask);
        let head = self.chat_head("chat.completion.chunk", ask);
        let head = String::from_utf8_lossy(&head);
        let tail = match usage {
            StreamUsage::Included => r#","usage":null}"#,
            StreamUsage::LeftOut => "}",
        };
        let mut events = EventWriter::new(self.chunks + FURTHER_EVENTS, EVENT_BYTES);
        let mut choice = |delta: std::fmt::Arguments<'_>, finish: &str| {
            events.data(format_args!(
                r#"{head}"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]{tail}"#
            ));
        };
        match &ask.function {
            None => {
                choice(format_args!(r#"{{"role":"assistant","content":"","refusal":null}}"#), "null");
                for piece in pieces(&text, self.chunks) {
                    choice(format_args!(r#"{{"content":"{piece}"}}"#), "null");
                }
            }
            Some(function) => {
                let call = self.tool_call(function, r#""""#);
                let call = call.replacen('{', r#"{"index":0,"#, 1);
                let role = format_args!(r#"{{"role":"assistant","content":null,"tool_calls":[{call}]}}"#);
                choice(role, "null");
                for piece in pieces(&arguments(&text), self.chunks) {
                    let piece = json_string(piece);
                    choice(
                        format_args!(
                            r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{piece}}}}}]}}"#
                        ),
                        "null",
                    );
                }
            }
        }
        choice(format_args!("{{}}"), &json_string(self.chat_finish(ask)));
        if usage == StreamUsage::Included {
            let mut told = Vec::new();
            write_usage(&mut told, ask.used(&text));
            events.data(format_args!(r#"{head}"choices":[],{}}}"#, String::from_utf8_lossy(&told)));
        }
        events.data(format_args!("[DONE]"));
        Events { first_chunk: 1, ..events.finish() }
    }

    fn chat_head(&self, object: &str, ask: &Ask<'_>) -> Vec<u8> {
        let Self { call, created, .. } = self;
        let mut head = Vec::with_capacity(512);
        write_all(
            &mut head,
            format_args!(
                r#"{{"id":"chatcmpl-sim-{call}","object":"{object}","created":{created},"system_fingerprint":"fp_sim","model":"#
            ),
        );
        write_json_string(&mut head, &ask.model);
        head.push(b',');
        head
    }

    fn chat_finish(&self, ask: &Ask<'_>) -> &'static str {
        if ask.function.is_some() { "tool_calls" } else { self.length.finish_reason() }
    }

    /// A call of a function; `arguments` is a JSON string.
    fn tool_call(&self, function: &str, arguments: &str) -> String {
        let (call, function) = (self.call, json_string(function));
        format!(
            r#"{{"id":"call_sim_{call}","type":"function","function":{{"name":{function},"arguments":{arguments}}}}}"#
        )
    }
}

/// What a function is called with: the text that would else have been the answer.
fn arguments(text: &str) -> String {
    format!(r#"{{"text":"{text}"}}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::scribe::tests::{SCRIBE, chat, json, text};
    use super::*;

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
    fn a_function_that_must_be_called_is_called() {
        let body = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "tool_choice": "required",
            "tools": [{"type": "function", "function": {"name": "look\"up"}}],
        })
        .to_string();
        let ask = Ask::chat(body.as_bytes()).unwrap();
        let answer = json(&SCRIBE.chat(&ask));
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
        let function = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!(function["name"], "look\"up");
        let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({"text": SCRIBE.text(&ask)}));

        let events = SCRIBE.chat_events(&ask, StreamUsage::LeftOut);
        let said: String = events.ranges[..5]
            .iter()
            .map(|range| json(&events.bytes[range.start + 6..range.end]))
            .map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].clone())
            .fold(String::new(), |said, piece| said + piece.as_str().expect("arguments in every chunk"));
        assert_eq!(Value::from(said), function["arguments"]);
    }
}
