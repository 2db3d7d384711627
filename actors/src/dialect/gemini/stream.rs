//! Reads streams of generations: each event is one, with the next piece of the answer in it.
//!
//! No event marks the end, but the last piece says why the model stopped. Without that word a stream was
//! cut, however cleanly its connection closed.

use serde_json::Value;

use super::{fault, usage};
use crate::dialect::said::is_truthy;
use crate::dialect::{Ending, EventMeaning, StreamReader, sse};
use crate::outcome::{Fault, Reason, Usage};

/// The word that stands for none.
const NOT_FINISHED: &str = "FINISH_REASON_UNSPECIFIED";

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    committed: bool,
    usage: Option<Usage>,
}

impl StreamReader for Reader {
    fn read(&mut self, event: &sse::Event<'_>) -> EventMeaning {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return EventMeaning::Prelude;
        }
        let meaning = match serde_json::from_slice::<Value>(data) {
            Ok(chunk) => {
                self.usage = usage::in_chunk(&chunk).or(self.usage);
                meaning_of(&chunk)
            }
            // After the commit it is the caller's to judge: nothing can be taken back.
            Err(_) if self.committed => EventMeaning::Content,
            Err(_) => {
                EventMeaning::Failed(Fault::new(Reason::Cut, "the stream holds an event that isn't JSON"))
            }
        };
        self.committed |= meaning == EventMeaning::Content;
        meaning
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn ending(&self) -> Ending {
        Ending::Marked
    }
}

fn meaning_of(chunk: &Value) -> EventMeaning {
    if chunk.get(0).unwrap_or(chunk).get("error").is_some_and(is_truthy) {
        return EventMeaning::Failed(fault::in_event(chunk));
    }
    if let Some(refusal) = fault::refusal_in(chunk) {
        return EventMeaning::Failed(refusal);
    }
    let candidates = || chunk.get("candidates").and_then(Value::as_array).into_iter().flatten();
    if candidates().any(is_finished) {
        return EventMeaning::Done;
    }
    if candidates().any(has_content) { EventMeaning::Content } else { EventMeaning::Prelude }
}

fn is_finished(candidate: &Value) -> bool {
    candidate.get("finishReason").and_then(Value::as_str).is_some_and(|reason| reason != NOT_FINISHED)
}

/// Whether a candidate brings anything but its role and empty text.
fn has_content(candidate: &Value) -> bool {
    let parts = candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(Value::as_object).any(|part| part.values().any(is_truthy))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::outcome::Scope;

    fn read(reader: &mut Reader, chunk: &Value) -> EventMeaning {
        reader.read(&sse::Event::parse(format!("data: {chunk}\r\n\r\n").as_bytes()))
    }

    fn text(text: &str) -> Value {
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 9}})
    }

    fn last(text: &str) -> Value {
        json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5}})
    }

    #[test]
    fn a_stream_ends_with_the_reason_why_it_stopped() {
        let mut reader = Reader::default();
        assert_eq!(read(&mut reader, &text("")), EventMeaning::Prelude);
        assert_eq!(read(&mut reader, &text("Hello")), EventMeaning::Content);
        assert_eq!(read(&mut reader, &last("!")), EventMeaning::Done);
        assert_eq!(reader.ending(), Ending::Marked);
        assert_eq!(reader.usage(), Some(Usage { input_tokens: 9, output_tokens: 7, cached_tokens: 0 }));
    }

    #[test]
    fn a_short_answer_is_one_event() {
        assert_eq!(read(&mut Reader::default(), &last("Hi")), EventMeaning::Done);
        let refused = json!({"candidates": [{"finishReason": "SAFETY"}]});
        assert_eq!(read(&mut Reader::default(), &refused), EventMeaning::Done);
    }

    #[test]
    fn nothing_is_committed_by_what_brings_nothing() {
        for chunk in [
            json!({"usageMetadata": {"promptTokenCount": 9}}),
            json!({"candidates": []}),
            json!({"candidates": [{"content": {"role": "model"}, "finishReason": NOT_FINISHED}]}),
            json!({"candidates": [{"content": {"parts": [{"text": ""}]}}]}),
        ] {
            assert_eq!(read(&mut Reader::default(), &chunk), EventMeaning::Prelude, "{chunk}");
        }
        let call = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]});
        assert_eq!(read(&mut Reader::default(), &call), EventMeaning::Content);
    }

    /// Each of them as the first event and after content.
    #[test]
    fn errors_are_found_before_and_after_the_commit() {
        let error =
            |code: u16, status: &str| json!({"error": {"code": code, "message": "m", "status": status}});
        for (chunk, reason, scope) in [
            (error(503, "UNAVAILABLE"), Reason::Overloaded, Scope::Provider),
            (json!([error(500, "INTERNAL")]), Reason::ServerError, Scope::Provider),
            (error(429, "RESOURCE_EXHAUSTED"), Reason::Throttled, Scope::Lane),
            (json!({"error": {"message": "m"}}), Reason::ServerError, Scope::Provider),
            (json!({"promptFeedback": {"blockReason": "SAFETY"}}), Reason::PolicyRefused, Scope::Request),
        ] {
            let mut late = Reader::default();
            read(&mut late, &text("Hello"));
            for reader in [&mut Reader::default(), &mut late] {
                let EventMeaning::Failed(fault) = read(reader, &chunk) else { panic!("{chunk} is an error") };
                assert_eq!((fault.reason, fault.scope), (reason, scope), "{chunk}");
            }
        }
    }

    #[test]
    fn garbage_fails_over_while_it_can() {
        let broken = sse::Event::parse(b"data: {\"candidates\":\n\n");
        let EventMeaning::Failed(fault) = Reader::default().read(&broken) else { panic!("not a fault") };
        assert_eq!(fault.reason, Reason::Cut);
        let mut reader = Reader::default();
        read(&mut reader, &text("Hello"));
        assert_eq!(reader.read(&broken), EventMeaning::Content);
    }

    proptest! {
        /// Whatever the model says, only the word that it stopped ends its stream.
        #[test]
        fn only_the_last_event_ends_a_stream(texts in prop::collection::vec("\\PC{0,12}", 0..12)) {
            let mut reader = Reader::default();
            for piece in &texts {
                let meaning = read(&mut reader, &text(piece));
                let wanted = if piece.is_empty() { EventMeaning::Prelude } else { EventMeaning::Content };
                prop_assert_eq!(meaning, wanted);
            }
            prop_assert_eq!(read(&mut reader, &last("")), EventMeaning::Done);
            prop_assert_eq!(reader.usage().map(|usage| usage.output_tokens), Some(7));
        }
    }
}
