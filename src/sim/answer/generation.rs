//! Gemini's generated content, whole or as events.
//!
//! Source: <https://ai.google.dev/api/generate-content>

use bytes::Bytes;

use super::super::account::Cost;
use super::super::ask::Ask;
use super::events::{EventWriter, Events, pieces};
use super::json::json_string;
use super::scribe::{Length, Scribe};

impl Scribe {
    /// Content in one piece.
    pub(crate) fn generation(&self, ask: &Ask<'_>) -> Bytes {
        let text = self.text(ask);
        self.generated(ask, &text, &text, Part::Last).into()
    }

    /// Content as events: each has a part of the text, the last one how it ended and what it cost.
    pub(crate) fn generation_events(&self, ask: &Ask<'_>) -> Events {
        let text = self.text(ask);
        let mut events = EventWriter::new(self.chunks, 256);
        for (place, piece) in pieces(&text, self.chunks).enumerate() {
            let part = if place + 1 == self.chunks { Part::Last } else { Part::Earlier };
            events.data(format_args!("{}", self.generated(ask, piece, &text, part)));
        }
        events.finish()
    }

    fn generated(&self, ask: &Ask<'_>, piece: &str, text: &str, part: Part) -> String {
        let (call, model) = (self.call, json_string(&ask.model));
        let finish = match (part, self.length) {
            (Part::Earlier, _) => "",
            (Part::Last, Length::Full) => r#","finishReason":"STOP""#,
            (Part::Last, Length::CutShort) => r#","finishReason":"MAX_TOKENS""#,
        };
        let Cost { prompt, answer } = ask.used(text);
        let total = prompt + answer;
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{piece}"}}],"role":"model"}}{finish},"index":0}}],"usageMetadata":{{"promptTokenCount":{prompt},"candidatesTokenCount":{answer},"totalTokenCount":{total}}},"modelVersion":{model},"responseId":"sim-{call}"}}"#
        )
    }
}

/// Where in a stream an event stands.
#[derive(Clone, Copy)]
enum Part {
    Earlier,
    Last,
}
