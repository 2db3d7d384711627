//! OpenAI's responses: whole, or as the named events that announce, fill and end them.
//!
//! Source: <https://platform.openai.com/docs/api-reference/responses-streaming>

use bytes::Bytes;

use super::super::account::Cost;
use super::super::ask::Ask;
use super::events::{EventWriter, Events, pieces};
use super::json::json_string;
use super::scribe::{Length, Scribe};

/// Events of a stream beside those with text.
const FURTHER_EVENTS: usize = 8;

impl Scribe {
    /// A response in one piece.
    pub(crate) fn response(&self, ask: &Ask<'_>) -> Bytes {
        let text = self.text(ask);
        self.response_object(ask, self.response_status(), Some(&text)).into()
    }

    /// A response as events.
    pub(crate) fn response_events(&self, ask: &Ask<'_>) -> Events {
        let (call, text, status) = (self.call, self.text(ask), self.response_status());
        let mut events = EventWriter::new(self.chunks + FURTHER_EVENTS, 256);
        let mut number = 0;
        let mut event = |events: &mut EventWriter, name: &str, rest: std::fmt::Arguments<'_>| {
            events.named(name, format_args!(r#"{{"type":"{name}","sequence_number":{number},{rest}}}"#));
            number += 1;
        };
        let begun = self.response_object(ask, "in_progress", None);
        event(&mut events, "response.created", format_args!(r#""response":{begun}"#));
        event(&mut events, "response.in_progress", format_args!(r#""response":{begun}"#));
        let item = self.item("in_progress", None);
        event(&mut events, "response.output_item.added", format_args!(r#""output_index":0,"item":{item}"#));
        let place = format!(r#""item_id":"msg-sim-{call}","output_index":0,"content_index":0"#);
        event(&mut events, "response.content_part.added", format_args!(r#"{place},"part":{}"#, part("")));
        events.content_begins();
        for piece in pieces(&text, self.chunks) {
            event(
                &mut events,
                "response.output_text.delta",
                format_args!(r#"{place},"delta":"{piece}","logprobs":[]"#),
            );
        }
        event(
            &mut events,
            "response.output_text.done",
            format_args!(r#"{place},"text":"{text}","logprobs":[]"#),
        );
        event(&mut events, "response.content_part.done", format_args!(r#"{place},"part":{}"#, part(&text)));
        let item = self.item(status, Some(&text));
        event(&mut events, "response.output_item.done", format_args!(r#""output_index":0,"item":{item}"#));
        let ended = self.response_object(ask, status, Some(&text));
        event(&mut events, &format!("response.{status}"), format_args!(r#""response":{ended}"#));
        events.finish()
    }

    fn response_status(&self) -> &'static str {
        match self.length {
            Length::Full => "completed",
            Length::CutShort => "incomplete",
        }
    }

    /// The response as it stands; it has output and usage once it has a text.
    fn response_object(&self, ask: &Ask<'_>, status: &str, text: Option<&str>) -> String {
        let Self { call, created, .. } = self;
        let output = text.map_or(String::new(), |text| self.item(status, Some(text)));
        let usage = text.map_or("null".to_owned(), |text| usage(ask.used(text)));
        let incomplete = match (text, self.length) {
            (Some(_), Length::CutShort) => r#"{"reason":"max_output_tokens"}"#,
            (Some(_), Length::Full) | (None, _) => "null",
        };
        format!(
            r#"{{"id":"resp-sim-{call}","object":"response","created_at":{created},"status":"{status}","error":null,"incomplete_details":{incomplete},"instructions":null,"metadata":{{}},"model":{},"output":[{output}],"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":{usage}}}"#,
            json_string(&ask.model)
        )
    }

    fn item(&self, status: &str, text: Option<&str>) -> String {
        let (call, content) = (self.call, text.map_or(String::new(), part));
        format!(
            r#"{{"id":"msg-sim-{call}","type":"message","status":"{status}","role":"assistant","content":[{content}]}}"#
        )
    }
}

fn part(text: &str) -> String {
    format!(r#"{{"type":"output_text","text":"{text}","annotations":[],"logprobs":[]}}"#)
}

fn usage(used: Cost) -> String {
    let Cost { prompt, answer } = used;
    format!(
        r#"{{"input_tokens":{prompt},"input_tokens_details":{{"cached_tokens":0}},"output_tokens":{answer},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}"#,
        prompt + answer
    )
}
