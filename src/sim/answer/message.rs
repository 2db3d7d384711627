//! Anthropic's messages, whole or as events.
//!
//! Source: <https://docs.anthropic.com/en/api/messages-streaming>

use bytes::Bytes;

use super::super::account::Cost;
use super::super::ask::Ask;
use super::events::{EventWriter, Events, pieces};
use super::json::json_string;
use super::scribe::{Length, Scribe};

/// Events of a stream beside those with text.
const FURTHER_EVENTS: usize = 6;

impl Scribe {
    /// A message in one piece.
    pub(crate) fn message(&self, ask: &Ask<'_>) -> Bytes {
        let text = self.text(ask);
        let Cost { prompt, answer } = ask.used(&text);
        let content = format!(r#"{{"type":"text","text":"{text}"}}"#);
        self.message_object(ask, &content, &format!(r#""{}""#, self.stop_reason()), prompt, answer).into()
    }

    /// A message as events.
    pub(crate) fn message_events(&self, ask: &Ask<'_>) -> Events {
        let text = self.text(ask);
        let Cost { prompt, answer } = ask.used(&text);
        let mut events = EventWriter::new(self.chunks + FURTHER_EVENTS, 160);
        let message = self.message_object(ask, "", "null", prompt, 1);
        events.named("message_start", format_args!(r#"{{"type":"message_start","message":{message}}}"#));
        events.named(
            "content_block_start",
            format_args!(
                r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"text","text":""}}}}"#
            ),
        );
        events.named("ping", format_args!(r#"{{"type":"ping"}}"#));
        events.content_begins();
        for piece in pieces(&text, self.chunks) {
            events.named(
                "content_block_delta",
                format_args!(
                    r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{piece}"}}}}"#
                ),
            );
        }
        events.named("content_block_stop", format_args!(r#"{{"type":"content_block_stop","index":0}}"#));
        let stop = self.stop_reason();
        events.named(
            "message_delta",
            format_args!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"{stop}","stop_sequence":null}},"usage":{{"output_tokens":{answer}}}}}"#
            ),
        );
        events.named("message_stop", format_args!(r#"{{"type":"message_stop"}}"#));
        events.finish()
    }

    const fn stop_reason(&self) -> &'static str {
        match self.length {
            Length::Full => "end_turn",
            Length::CutShort => "max_tokens",
        }
    }

    fn message_object(&self, ask: &Ask<'_>, content: &str, stop: &str, input: u64, output: u64) -> String {
        let (call, model) = (self.call, json_string(&ask.model));
        format!(
            r#"{{"id":"msg_sim_{call}","type":"message","role":"assistant","model":{model},"content":[{content}],"stop_reason":{stop},"stop_sequence":null,"usage":{{"input_tokens":{input},"output_tokens":{output}}}}}"#
        )
    }
}
