//! Reads the events of a message as it is written.
//!
//! Each event says its type twice, in its name and in its data. Deltas, nearly all of a stream, are known
//! by their name and not parsed.

use serde::Deserialize as _;
use serde_json::Value;

use super::fault;
use super::usage::Told;
use crate::dialect::{Ending, EventMeaning, StreamReader, sse};
use crate::outcome::{Fault, Reason, Usage};

/// Blocks that are announced empty. All others come whole: results of the vendor's own tools,
/// thinking that it keeps to itself.
const FILLED_LATER: [&str; 4] = ["text", "thinking", "tool_use", "server_tool_use"];

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    committed: bool,
    told: Option<Told>,
    end: End,
}

/// Whether the message has ended. What comes behind that takes nothing back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum End {
    #[default]
    Open,
    Said,
}

impl StreamReader for Reader {
    fn read(&mut self, event: &sse::Event<'_>) -> EventMeaning {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return EventMeaning::Prelude;
        }
        if self.end == End::Open && self.committed && event.name.as_deref() == Some("content_block_delta") {
            return EventMeaning::Content;
        }
        let meaning = match serde_json::from_slice::<Value>(data) {
            Ok(value) => {
                self.heed_usage(&value);
                match (self.end, meaning_of(event.name.as_deref(), &value)) {
                    (End::Said, EventMeaning::Content) => EventMeaning::Prelude,
                    (End::Open | End::Said, meaning) => meaning,
                }
            }
            Err(_) if self.end == End::Said => EventMeaning::Prelude,
            // After the commit it is the caller's to judge: nothing can be taken back.
            Err(_) if self.committed => EventMeaning::Content,
            Err(_) => {
                EventMeaning::Failed(Fault::new(Reason::Cut, "the stream holds an event that isn't JSON"))
            }
        };
        self.committed |= meaning == EventMeaning::Content;
        if meaning == EventMeaning::Done {
            self.end = End::Said;
        }
        meaning
    }

    fn usage(&self) -> Option<Usage> {
        self.told.map(Told::counted)
    }

    fn ending(&self) -> Ending {
        Ending::Marked
    }
}

impl Reader {
    /// `message_start` tells the prompt's tokens, `message_delta` the answer's so far.
    fn heed_usage(&mut self, event: &Value) {
        let usage = event.pointer("/message/usage").or_else(|| event.get("usage"));
        let Some(told) = usage.and_then(|usage| Told::deserialize(usage).ok()) else { return };
        self.told = Some(told.over(self.told.unwrap_or_default()));
    }
}

fn meaning_of(name: Option<&str>, event: &Value) -> EventMeaning {
    let kind = event.get("type").and_then(Value::as_str).or(name).unwrap_or_default();
    match kind {
        "error" => EventMeaning::Failed(fault::in_event(event)),
        "message_stop" => EventMeaning::Done,
        "ping" | "message_start" | "content_block_stop" => EventMeaning::Prelude,
        "content_block_start" if is_filled_later(event) => EventMeaning::Prelude,
        // The end of a message counts as content: it may be empty.
        "message_delta" if event.pointer("/delta/stop_reason").is_none_or(Value::is_null) => {
            EventMeaning::Prelude
        }
        _ => EventMeaning::Content,
    }
}

fn is_filled_later(event: &Value) -> bool {
    let kind = event.pointer("/content_block/type").and_then(Value::as_str);
    kind.is_some_and(|kind| FILLED_LATER.contains(&kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Scope;

    const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":1}}}"#;
    const BLOCK: &str =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    const HELLO: &str =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#;
    const END: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#;
    const STOP: &str = r#"{"type":"message_stop"}"#;

    /// With the name in front, as the vendor sends it.
    fn read(reader: &mut Reader, data: &str) -> EventMeaning {
        let kind = serde_json::from_str::<Value>(data)
            .ok()
            .and_then(|event| Some(event.get("type")?.as_str()?.to_owned()));
        let raw = format!("event: {}\ndata: {data}\n\n", kind.unwrap_or_default());
        reader.read(&sse::Event::parse(raw.as_bytes()))
    }

    fn first(data: &str) -> EventMeaning {
        read(&mut Reader::default(), data)
    }

    #[test]
    fn nothing_behind_the_end_takes_it_back() {
        let mut reader = Reader::default();
        assert_eq!([HELLO, STOP].map(|data| read(&mut reader, data))[1], EventMeaning::Done);
        for data in [HELLO, END, START, "[DONE]", r#"{"type":"cost"}"#] {
            assert_eq!(read(&mut reader, data), EventMeaning::Prelude, "{data}");
        }
        assert_eq!(read(&mut reader, STOP), EventMeaning::Done);
    }

    #[test]
    fn a_message_begins_commits_ends_and_tells_its_usage() {
        let mut reader = Reader::default();
        let meanings =
            [START, BLOCK, r#"{"type":"ping"}"#, HELLO, HELLO, r#"{"type":"content_block_stop"}"#, END, STOP]
                .map(|data| read(&mut reader, data));
        let (prelude, content) = (EventMeaning::Prelude, EventMeaning::Content);
        let wanted =
            [&prelude, &prelude, &prelude, &content, &content, &prelude, &content, &EventMeaning::Done];
        assert_eq!(meanings.each_ref(), wanted);
        let usage = Usage { input_tokens: 125, output_tokens: 15, cached_tokens: 100 };
        assert_eq!(reader.usage(), Some(usage));
        assert_eq!(reader.ending(), Ending::Marked);
    }

    #[test]
    fn nothing_is_committed_by_what_brings_nothing() {
        for data in [
            START,
            BLOCK,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":1}}"#,
            r#"{"type":"ping"}"#,
        ] {
            assert_eq!(first(data), EventMeaning::Prelude, "{data}");
        }
        assert_eq!(Reader::default().read(&sse::Event::parse(b": keep-alive\n\n")), EventMeaning::Prelude);
    }

    #[test]
    fn anything_of_the_answer_commits() {
        for data in [
            HELLO,
            END,
            r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"x"}}"#,
            r#"{"type":"something_new"}"#,
        ] {
            assert_eq!(first(data), EventMeaning::Content, "{data}");
        }
    }

    /// Each of them as the first event and after content.
    #[test]
    fn errors_are_found_before_and_after_the_commit() {
        for (kind, reason, scope) in [
            ("overloaded_error", Reason::Overloaded, Scope::Provider),
            ("api_error", Reason::ServerError, Scope::Provider),
            ("rate_limit_error", Reason::Throttled, Scope::Lane),
            ("something_new", Reason::ServerError, Scope::Provider),
        ] {
            let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
            let mut late = Reader::default();
            read(&mut late, HELLO);
            for reader in [&mut Reader::default(), &mut late] {
                let EventMeaning::Failed(fault) = read(reader, &data) else { panic!("{kind} is an error") };
                let read = (fault.reason, fault.scope, fault.code.as_deref());
                assert_eq!(read, (reason, scope, Some(kind)));
            }
        }
    }

    #[test]
    fn garbage_fails_over_while_it_can() {
        let broken = "data: {\"type\":\n\n".as_bytes();
        let EventMeaning::Failed(fault) = Reader::default().read(&sse::Event::parse(broken)) else {
            panic!("not a fault")
        };
        assert_eq!(fault.reason, Reason::Cut);
        let mut reader = Reader::default();
        read(&mut reader, HELLO);
        assert_eq!(reader.read(&sse::Event::parse(broken)), EventMeaning::Content);
    }

    proptest! {
        /// A message of any text ends once, at its end, with the tokens of its last word on them.
        #[test]
        fn only_the_last_event_ends_a_message(texts in prop::collection::vec("\\PC{0,12}", 0..12)) {
            let mut reader = Reader::default();
            let mut events = vec![START.to_owned(), BLOCK.to_owned()];
            events.extend(texts.iter().map(|text| {
                serde_json::json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}).to_string()
            }));
            events.push(END.to_owned());
            for event in &events {
                let meaning = read(&mut reader, event);
                prop_assert!(matches!(meaning, EventMeaning::Prelude | EventMeaning::Content));
            }
            prop_assert_eq!(read(&mut reader, STOP), EventMeaning::Done);
            prop_assert_eq!(reader.usage().map(|usage| usage.output_tokens), Some(15));
        }
    }
}
