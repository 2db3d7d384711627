//! Reads streams of generations: each event is one, with the next piece of the answer in it.
//!
//! No event marks the end, but the last piece of each candidate says why the model stopped. Without that word
//! of all of them a stream was cut, however cleanly its connection closed.
//!
//! Some models, and servers that translate into this dialect, say so with every piece
//! (<https://github.com/songquanpeng/one-api/issues/1408>). Then the word proves nothing any more without a
//! clean end of the connection; a cut right behind the first such piece nobody can tell from an end.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{fault, usage};
use crate::dialect::said::is_truthy;
use crate::dialect::{Ending, EventMeaning, StreamReader, sse};
use crate::outcome::{Fault, Reason, Usage};

/// The word that stands for none.
const NOT_FINISHED: &str = "FINISH_REASON_UNSPECIFIED";

/// Candidates that are told apart; the API gives eight at most.
const CANDIDATES_MAX: usize = 64;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    committed: bool,
    usage: Option<Usage>,
    /// How far each candidate is that was seen, by its index.
    candidates: BTreeMap<u64, Progress>,
    finish: Finish,
    ends_with_content: bool,
}

/// How far a candidate is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Begun,
    Finished,
}

/// What it means that a candidate is said to be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Finish {
    #[default]
    Last,
    /// Nothing: a candidate has gone on behind it.
    Anything,
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
                self.meaning_of(&chunk)
            }
            // Another dialect's end mark, say: behind the end it takes nothing back.
            Err(_) if self.is_finished() => EventMeaning::Prelude,
            // After the commit it is the caller's to judge: nothing can be taken back.
            Err(_) if self.committed => EventMeaning::Content,
            Err(_) => {
                EventMeaning::Failed(Fault::new(Reason::Cut, "the stream holds an event that isn't JSON"))
            }
        };
        self.committed |= matches!(meaning, EventMeaning::Content | EventMeaning::Done);
        meaning
    }

    fn ends_with_content(&self) -> bool {
        self.ends_with_content
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn ending(&self) -> Ending {
        match self.finish {
            Finish::Last => Ending::Marked,
            Finish::Anything => Ending::MarkedAndClosed,
        }
    }
}

impl Reader {
    fn meaning_of(&mut self, chunk: &Value) -> EventMeaning {
        if chunk.get(0).unwrap_or(chunk).get("error").is_some_and(is_truthy) {
            return EventMeaning::Failed(fault::in_event(chunk));
        }
        if let Some(refusal) = fault::refusal_in(chunk) {
            return EventMeaning::Failed(refusal);
        }
        let candidates = chunk.get("candidates").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let was_finished = self.is_finished();
        for candidate in candidates {
            self.follow(candidate);
        }
        let has_content = candidates.iter().any(has_content);
        self.ends_with_content = has_content;
        match (self.is_finished(), was_finished) {
            (true, _) if !candidates.is_empty() => EventMeaning::Done,
            // A candidate has begun behind the end of the others.
            (false, true) => EventMeaning::Content,
            (true | false, _) if has_content => EventMeaning::Content,
            (true | false, _) => EventMeaning::Prelude,
        }
    }

    /// Notes how far a candidate is with this piece of it.
    fn follow(&mut self, candidate: &Value) {
        // Zero is left out in some of these streams, as everywhere in Google's JSON.
        let index = candidate.get("index").and_then(Value::as_u64).unwrap_or_default();
        let progress = if is_finished(candidate) { Progress::Finished } else { Progress::Begun };
        match self.candidates.get(&index) {
            Some(Progress::Finished) if !has_content(candidate) => return,
            Some(Progress::Finished) => self.finish = Finish::Anything,
            None if self.candidates.len() >= CANDIDATES_MAX => return,
            Some(Progress::Begun) | None => {}
        }
        self.candidates.insert(index, progress);
    }

    /// Whether every candidate that was seen is finished.
    fn is_finished(&self) -> bool {
        !self.candidates.is_empty()
            && self.candidates.values().all(|progress| *progress == Progress::Finished)
    }
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

    /// A piece of a candidate, with the word that it is finished or without.
    fn piece(index: u64, text: &str, finish_reason: Option<&str>) -> Value {
        let candidate = json!({"content": {"parts": [{"text": text}]}, "index": index});
        let mut candidate = candidate.as_object().cloned().expect("an object");
        candidate.extend(finish_reason.map(|reason| ("finishReason".to_owned(), reason.into())));
        json!({"candidates": [candidate]})
    }

    #[test]
    fn a_stream_of_several_ends_with_the_last_of_them() {
        let mut reader = Reader::default();
        let both = json!({"candidates": [
            {"content": {"parts": [{"text": "a"}]}},
            {"content": {"parts": [{"text": "b"}]}, "index": 1},
        ]});
        assert_eq!(read(&mut reader, &both), EventMeaning::Content);
        assert_eq!(read(&mut reader, &piece(0, "!", Some("STOP"))), EventMeaning::Content, "one of two");
        assert_eq!(read(&mut reader, &piece(1, "c", None)), EventMeaning::Content);
        assert_eq!(read(&mut reader, &piece(1, "", Some("MAX_TOKENS"))), EventMeaning::Done);
        assert_eq!(reader.ending(), Ending::Marked);
        let usage = json!({"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2}});
        assert_eq!(read(&mut reader, &usage), EventMeaning::Prelude, "it takes nothing back");
        assert_eq!(read(&mut reader, &piece(1, "", None)), EventMeaning::Done);
    }

    #[test]
    fn a_candidate_that_begins_late_takes_the_end_back() {
        for late in [piece(1, "b", None), piece(1, "", None)] {
            let mut reader = Reader::default();
            assert_eq!(read(&mut reader, &piece(0, "a", Some("STOP"))), EventMeaning::Done);
            assert_eq!(read(&mut reader, &late), EventMeaning::Content, "{late}");
            assert_eq!(read(&mut reader, &piece(1, "", Some("SAFETY"))), EventMeaning::Done);
            assert_eq!(reader.ending(), Ending::Marked);
        }
    }

    #[test]
    fn a_word_that_comes_with_every_piece_is_none_without_a_clean_end() {
        let mut reader = Reader::default();
        assert_eq!(read(&mut reader, &piece(0, "a", Some("STOP"))), EventMeaning::Done);
        assert_eq!(reader.ending(), Ending::Marked, "nobody can know better yet");
        for text in ["b", "c"] {
            assert_eq!(read(&mut reader, &piece(0, text, Some("STOP"))), EventMeaning::Done);
            assert_eq!(reader.ending(), Ending::MarkedAndClosed);
        }
        assert_eq!(read(&mut reader, &piece(0, "d", None)), EventMeaning::Content, "not the last either");
        assert_eq!(read(&mut reader, &piece(0, "", Some("STOP"))), EventMeaning::Done);
    }

    #[test]
    fn a_word_before_everything_is_taken_back() {
        let mut reader = Reader::default();
        let empty = json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]});
        assert_eq!(read(&mut reader, &empty), EventMeaning::Done);
        assert_eq!(read(&mut reader, &empty), EventMeaning::Done);
        assert_eq!(read(&mut reader, &text("Hello")), EventMeaning::Content);
        assert_eq!(read(&mut reader, &last("!")), EventMeaning::Done);
        assert_eq!(reader.ending(), Ending::MarkedAndClosed);
    }

    #[test]
    fn what_is_no_piece_behind_the_end_takes_nothing_back() {
        let mut reader = Reader::default();
        assert_eq!(read(&mut reader, &last("Hi")), EventMeaning::Done);
        for raw in ["data: [DONE]\n\n", "data: {\"candidates\":\n\n", ": bye\n\n"] {
            assert_eq!(reader.read(&sse::Event::parse(raw.as_bytes())), EventMeaning::Prelude, "{raw}");
        }
    }

    #[test]
    fn more_candidates_than_there_can_be_cost_no_memory() {
        let mut reader = Reader::default();
        for index in 0..1_000 {
            read(&mut reader, &piece(index, "a", None));
        }
        assert_eq!(reader.candidates.len(), CANDIDATES_MAX);
    }

    proptest! {
        /// However the pieces of several candidates come mixed, the stream is complete when the last of them is.
        #[test]
        fn a_mixed_stream_ends_with_its_last_piece(
            lengths in prop::collection::vec(1..5_usize, 1..5),
            order in prop::collection::vec(any::<prop::sample::Index>(), 32),
        ) {
            let mut left = lengths.clone();
            let mut reader = Reader::default();
            let mut meanings = Vec::new();
            for which in order {
                let open: Vec<usize> = (0..left.len()).filter(|at| left[*at] > 0).collect();
                if open.is_empty() {
                    break;
                }
                let at = *which.get(&open);
                left[at] -= 1;
                let reason = (left[at] == 0).then_some("STOP");
                let seen_done = (0..left.len()).all(|at| left[at] == 0 || left[at] == lengths[at]);
                meanings.push((read(&mut reader, &piece(at as u64, "x", reason)), seen_done));
            }
            prop_assert_eq!(reader.ending(), Ending::Marked);
            for (meaning, all_seen_are_done) in meanings {
                let wanted = if all_seen_are_done { EventMeaning::Done } else { EventMeaning::Content };
                prop_assert_eq!(meaning, wanted);
            }
        }

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
