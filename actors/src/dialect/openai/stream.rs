//! Reads streams: chunks of chat completions and completions, events of responses.
//!
//! Until the stream is committed every event is understood in full. From then on only errors, usage and
//! the end matter, and most events are dismissed by a look for these words, without being parsed.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{fault, usage};
use crate::dialect::said::is_truthy;
use crate::dialect::{Ending, EventMeaning, StreamReader, sse};
use crate::outcome::{Fault, Reason, Usage};

/// Types of events that end a stream without `[DONE]`: responses, speech, transcriptions, images.
const LAST_EVENTS: [&str; 6] = [
    "response.completed",
    "response.incomplete",
    "speech.audio.done",
    "transcript.text.done",
    "image_generation.completed",
    "image_edit.completed",
];

/// Beginnings of types that tell of images. When several were asked for, one may begin behind another's last event.
const IMAGES: [&str; 2] = ["image_generation.", "image_edit."];

/// Endings of types that announce something and bring none of it.
const ANNOUNCEMENTS: [&str; 4] = [".created", ".queued", ".in_progress", ".added"];

/// Types that only keep the connection alive.
const PINGS: [&str; 3] = ["ping", "keepalive", "heartbeat"];

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    committed: bool,
    usage: Option<Usage>,
    end: End,
}

/// Whether the end was said.
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
        // As the vendor's own SDK reads it: whatever may follow on the line.
        if data.starts_with(b"[DONE]") {
            self.end = End::Said;
            return EventMeaning::Done;
        }
        if self.end == End::Open && self.committed && !is_noteworthy(event.name.as_deref(), data) {
            return EventMeaning::Content;
        }
        let meaning = match serde_json::from_slice::<Value>(data) {
            Ok(value) => {
                self.usage = usage::in_event(&value).or(self.usage);
                let meaning = meaning_of(event.name.as_deref(), &value);
                self.behind_the_end(meaning, event.name.as_deref(), &value)
            }
            Err(_) if self.end == End::Said => EventMeaning::Prelude,
            // Deeper than we parse, but whole.
            Err(_) if serde_json::from_slice::<IgnoredAny>(data).is_ok() => EventMeaning::Content,
            // After the commit it is the caller's to judge: nothing can be taken back.
            Err(_) if self.committed => EventMeaning::Content,
            Err(_) => {
                EventMeaning::Failed(Fault::new(Reason::Cut, "the stream holds an event that isn't JSON"))
            }
        };
        self.committed |= meaning == EventMeaning::Content;
        self.end = match meaning {
            EventMeaning::Done => End::Said,
            EventMeaning::Content => End::Open,
            EventMeaning::Prelude | EventMeaning::Failed(_) => self.end,
        };
        meaning
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn ending(&self) -> Ending {
        Ending::Marked
    }
}

impl Reader {
    /// What an event means in its place: behind the end nothing goes on but images.
    fn behind_the_end(&self, meaning: EventMeaning, name: Option<&str>, value: &Value) -> EventMeaning {
        let is_of_image = || IMAGES.iter().any(|beginning| kind_of(name, value).starts_with(beginning));
        match (self.end, meaning) {
            (End::Said, EventMeaning::Content) if !is_of_image() => EventMeaning::Prelude,
            (End::Open | End::Said, meaning) => meaning,
        }
    }
}

/// Words between quotes, made ready to be found: each event of a stream is searched for them.
struct Words {
    error: Finder<'static>,
    usage: Finder<'static>,
    kind: Finder<'static>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    error: Finder::new("\"error\""),
    usage: Finder::new("\"usage\""),
    kind: Finder::new("\"type\""),
});

/// Whether an event may tell of an error, of usage or of the end.
///
/// Inside a JSON string quotes are escaped, so that content which speaks of `"error"` isn't mistaken for one.
fn is_noteworthy(name: Option<&str>, data: &[u8]) -> bool {
    let words = &*WORDS;
    name.is_some_and(|name| name == "error" || LAST_EVENTS.contains(&name))
        || has_more_than_null(data, &words.error)
        || has_more_than_null(data, &words.usage)
        // Chunks of chats have no type, and one look is cheaper than four.
        || words.kind.find(data).is_some() && LAST_EVENTS.iter().any(|last| memmem::find(data, last.as_bytes()).is_some())
}

/// Whether `word` stands in `data` and isn't just the name of a field that is null.
fn has_more_than_null(data: &[u8], word: &Finder<'_>) -> bool {
    word.find_iter(data).any(|at| {
        let behind = data[at + word.needle().len()..].trim_ascii_start();
        behind.strip_prefix(b":").is_none_or(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}

fn meaning_of(name: Option<&str>, value: &Value) -> EventMeaning {
    let kind = kind_of(name, value);
    if kind == "response.failed" {
        return EventMeaning::Failed(fault::in_event(value.get("response").unwrap_or(value)));
    }
    if kind == "error" || name == Some("error") || value.get("error").is_some_and(is_truthy) {
        return EventMeaning::Failed(fault::in_event(value));
    }
    if LAST_EVENTS.contains(&kind) {
        return EventMeaning::Done;
    }
    let is_prelude = match value.get("choices").and_then(Value::as_array) {
        Some(choices) => !choices.iter().any(has_content),
        None => ANNOUNCEMENTS.iter().any(|ending| kind.ends_with(ending)) || PINGS.contains(&kind),
    };
    if is_prelude { EventMeaning::Prelude } else { EventMeaning::Content }
}

/// The type of an event, which its data tells, or its name.
fn kind_of<'e>(name: Option<&'e str>, value: &'e Value) -> &'e str {
    value.get("type").and_then(Value::as_str).or(name).unwrap_or_default()
}

/// Whether one choice of a chunk brings anything but its role. The end of a choice counts: an answer may
/// be empty.
fn has_content(choice: &Value) -> bool {
    let finished = choice.get("finish_reason").is_some_and(is_truthy);
    let text = choice.get("text").is_some_and(is_truthy);
    let delta = choice.get("delta").and_then(Value::as_object);
    finished
        || text
        || delta.is_some_and(|delta| delta.iter().any(|(key, value)| key != "role" && is_truthy(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Scope;

    fn read(reader: &mut Reader, raw: &str) -> EventMeaning {
        reader.read(&sse::Event::parse(raw.as_bytes()))
    }

    fn first(data: &str) -> EventMeaning {
        read(&mut Reader::default(), &format!("data: {data}\n\n"))
    }

    #[track_caller]
    fn fault(meaning: EventMeaning) -> (Reason, Scope, Option<Box<str>>) {
        let EventMeaning::Failed(fault) = meaning else { panic!("not a fault: {meaning:?}") };
        (fault.reason, fault.scope, fault.code)
    }

    const ROLE: &str = r#"{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#;
    const HELLO: &str =
        r#"{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"usage":null}"#;
    const USAGE: &str =
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    const COUNTED: Option<Usage> = Some(Usage { input_tokens: 9, output_tokens: 2, cached_tokens: 0 });

    #[test]
    fn nothing_is_committed_by_what_brings_nothing() {
        for data in [
            "",
            ROLE,
            r#"{"choices":[{"delta":{},"finish_reason":null}]}"#,
            r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
            r#"{"choices":[{"delta":{"content":null,"reasoning_content":"","tool_calls":[]}}]}"#,
            r#"{"type":"response.created","response":{"id":"r","error":null,"usage":null}}"#,
            r#"{"type":"response.in_progress","response":{}}"#,
            r#"{"type":"response.output_item.added","item":{"type":"message","content":[]}}"#,
            r#"{"type":"ping"}"#,
        ] {
            assert_eq!(first(data), EventMeaning::Prelude, "{data}");
        }
        assert_eq!(read(&mut Reader::default(), ": OPENROUTER PROCESSING\n\n"), EventMeaning::Prelude);
        assert_eq!(read(&mut Reader::default(), "\n"), EventMeaning::Prelude);
    }

    #[test]
    fn anything_of_the_answer_commits() {
        for data in [
            HELLO,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"Hm"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"Hm"}}]}"#,
            r#"{"choices":[{"delta":{"refusal":"No"}}]}"#,
            r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":""}}}]}"#,
            r#"{"choices":[{"text":"once"}]}"#,
            r#"{"choices":[{"delta":{}},{"delta":{"content":"b"}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#,
            r#"{"type":"response.output_text.delta","delta":"H"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
            r#"{"something":"else"}"#,
        ] {
            assert_eq!(first(data), EventMeaning::Content, "{data}");
        }
    }

    #[test]
    fn a_chat_ends_with_its_mark_and_tells_its_usage() {
        let mut reader = Reader::default();
        let meanings =
            [ROLE, HELLO, HELLO, USAGE, "[DONE]"].map(|data| read(&mut reader, &format!("data: {data}\n\n")));
        let [role, hello, more, _, done] = meanings;
        assert_eq!(role, EventMeaning::Prelude);
        assert_eq!((hello, more), (EventMeaning::Content, EventMeaning::Content));
        assert_eq!(done, EventMeaning::Done);
        assert_eq!(reader.usage(), COUNTED);
        assert_eq!(reader.ending(), Ending::Marked);
    }

    #[test]
    fn a_response_ends_with_its_last_event_with_or_without_names() {
        for name in ["", "event: response.completed\n"] {
            let mut reader = Reader::default();
            read(&mut reader, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"H\"}\n\n");
            let last = r#"{"type":"response.completed","response":{"error":null,"usage":{"input_tokens":9,"output_tokens":2}}}"#;
            assert_eq!(read(&mut reader, &format!("{name}data: {last}\n\n")), EventMeaning::Done);
            assert_eq!(reader.usage(), COUNTED);
        }
        assert_eq!(first(r#"{"type":"response.incomplete","response":{}}"#), EventMeaning::Done);
    }

    #[test]
    fn a_stream_of_an_image_ends_with_the_image() {
        for of in ["image_generation", "image_edit"] {
            for named in [true, false] {
                let event = |kind: &str, more: &str| {
                    let name = if named { format!("event: {of}.{kind}\n") } else { String::new() };
                    format!(r#"{name}data: {{"type":"{of}.{kind}","b64_json":"aGk="{more}}}"#) + "\n\n"
                };
                let mut reader = Reader::default();
                let partial = event("partial_image", r#","partial_image_index":0"#);
                assert_eq!(read(&mut reader, &partial), EventMeaning::Content);
                assert_eq!(read(&mut reader, &partial), EventMeaning::Content);
                let last = event("completed", r#","usage":{"input_tokens":9,"output_tokens":2}"#);
                assert_eq!(read(&mut reader, &last), EventMeaning::Done);
                assert_eq!(reader.usage(), COUNTED);
                assert_eq!(read(&mut reader, &partial), EventMeaning::Content, "another one begins");
                assert_eq!(read(&mut reader, &last), EventMeaning::Done);
                assert_eq!(
                    read(&mut Reader::default(), &last),
                    EventMeaning::Done,
                    "it may be the only event"
                );
            }
        }
    }

    #[test]
    fn a_chat_with_several_choices_ends_with_its_mark_and_with_nothing_else() {
        let mut reader = Reader::default();
        for (index, reason) in [(0, "null"), (1, "null"), (0, "\"stop\""), (1, "null"), (1, "\"length\"")] {
            let choice = format!(r#"{{"index":{index},"delta":{{"content":"x"}},"finish_reason":{reason}}}"#);
            let chunk = format!("data: {{\"choices\":[{choice}]}}\n\n");
            assert_eq!(read(&mut reader, &chunk), EventMeaning::Content, "{chunk}");
        }
        assert_eq!(read(&mut reader, "data: [DONE]\n\n"), EventMeaning::Done);
    }

    #[test]
    fn nothing_behind_the_end_takes_it_back() {
        for last in ["[DONE]", r#"{"type":"response.completed","response":{}}"#] {
            let mut reader = Reader::default();
            read(&mut reader, &format!("data: {HELLO}\n\n"));
            assert_eq!(read(&mut reader, &format!("data: {last}\n\n")), EventMeaning::Done);
            for data in [HELLO, USAGE, r#"{"type":"cost","usd":1}"#, "{\"choices\":[", "bye"] {
                assert_eq!(read(&mut reader, &format!("data: {data}\n\n")), EventMeaning::Prelude, "{data}");
            }
            assert_eq!(reader.usage(), COUNTED, "it is heard all the same");
            assert_eq!(read(&mut reader, "data: [DONE]\n\n"), EventMeaning::Done);
        }
    }

    #[test]
    fn groq_tells_its_usage_elsewhere() {
        let mut reader = Reader::default();
        read(&mut reader, &format!("data: {HELLO}\n\n"));
        let last = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":2}}}"#;
        assert_eq!(read(&mut reader, &format!("data: {last}\n\n")), EventMeaning::Content);
        assert_eq!(reader.usage(), COUNTED);
    }

    /// Each of them as the first event and after content, where events are only glanced at.
    #[test]
    fn errors_are_found_before_and_after_the_commit() {
        let throttled = (Reason::Throttled, Scope::Lane, Some("rate_limit_exceeded".into()));
        let server = |code: &str| (Reason::ServerError, Scope::Provider, Some(code.into()));
        for (raw, wanted) in [
            (
                r#"data: {"error":{"message":"Too fast","type":"requests","code":"rate_limit_exceeded"}}"#,
                throttled.clone(),
            ),
            (
                r#"data: {"error" : {"message":"We had an error","type":"server_error","code":null}}"#,
                server("server_error"),
            ),
            (
                r#"data: {"id":"x","error":{"code":502,"message":"gone"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
                server("502"),
            ),
            (
                r#"data: {"type":"error","code":"rate_limit_exceeded","message":"Too fast","param":null}"#,
                throttled.clone(),
            ),
            (
                r#"data: {"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}"#,
                server("server_error"),
            ),
            (
                "event: error\ndata: {\"code\":\"slow_down\",\"message\":\"m\"}",
                (Reason::SlowDown, Scope::Provider, Some("slow_down".into())),
            ),
            (
                r#"data: {"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                (Reason::MoneyGone, Scope::Group, Some("insufficient_quota".into())),
            ),
            (r#"data: {"error":"it broke"}"#, (Reason::ServerError, Scope::Provider, None)),
        ] {
            assert_eq!(fault(read(&mut Reader::default(), &format!("{raw}\n\n"))), wanted, "{raw}");
            let mut reader = Reader::default();
            read(&mut reader, &format!("data: {HELLO}\n\n"));
            assert_eq!(fault(read(&mut reader, &format!("{raw}\n\n"))), wanted, "after content: {raw}");
        }
    }

    #[test]
    fn a_throttle_inside_a_stream_rests_as_its_message_says() {
        let meaning =
            first(r#"{"error":{"message":"Please try again in 1.2s.","code":"rate_limit_exceeded"}}"#);
        let EventMeaning::Failed(fault) = meaning else { panic!("{meaning:?}") };
        assert_eq!(fault.rest, Some(std::time::Duration::from_millis(1_200)));
        assert_eq!(fault.status, None);
    }

    #[test]
    fn content_that_speaks_of_errors_is_content() {
        let mut reader = Reader::default();
        read(&mut reader, &format!("data: {HELLO}\n\n"));
        for data in [
            r#"{"choices":[{"delta":{"content":"{\"error\":{\"code\":1},\"usage\":{}}"}}],"usage":null,"error": null}"#,
            r#"{"choices":[{"delta":{"content":"the word \"error\" and [DONE]"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"error"}}]}}]}"#,
        ] {
            assert_eq!(read(&mut reader, &format!("data: {data}\n\n")), EventMeaning::Content, "{data}");
        }
        assert_eq!(reader.usage(), None);
    }

    #[test]
    fn garbage_fails_over_while_it_can() {
        assert_eq!(fault(first("{\"choices\":[")).0, Reason::Cut);
        let mut reader = Reader::default();
        read(&mut reader, &format!("data: {HELLO}\n\n"));
        assert_eq!(read(&mut reader, "data: {\"error\":\n\n"), EventMeaning::Content);
    }

    #[test]
    fn the_end_mark_may_have_company() {
        assert_eq!(first("[DONE] "), EventMeaning::Done);
        assert_eq!(first("[DONE]\u{0}"), EventMeaning::Done);
    }
}
