//! Completions of the kind before chat.

use bytes::Bytes;

use super::super::ask::{Ask, StreamUsage};
use super::events::{EventWriter, Events, pieces};
use super::json::{write_all, write_json_string, write_usage};
use super::scribe::Scribe;

impl Scribe {
    /// A completion in one piece.
    pub(crate) fn completion(&self, ask: &Ask<'_>) -> Bytes {
        let (text, finish) = (self.text(ask), self.length.finish_reason());
        let mut body = self.completion_head(ask);
        write_all(
            &mut body,
            format_args!(
                r#""choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":"{finish}"}}],"#
            ),
        );
        write_usage(&mut body, ask.used(&text));
        body.push(b'}');
        body.into()
    }

    /// A completion as events: text, finish, perhaps usage, `[DONE]`.
    pub(crate) fn completion_events(&self, ask: &Ask<'_>, usage: StreamUsage) -> Events {
        let text = self.text(ask);
        let head = self.completion_head(ask);
        let head = String::from_utf8_lossy(&head);
        let mut events = EventWriter::new(self.chunks + 3, head.len() + 96);
        let choice = |events: &mut EventWriter, piece: &str, finish: &str| {
            events.data(format_args!(
                r#"{head}"choices":[{{"index":0,"text":"{piece}","logprobs":null,"finish_reason":{finish}}}]}}"#
            ));
        };
        for piece in pieces(&text, self.chunks) {
            choice(&mut events, piece, "null");
        }
        choice(&mut events, "", &format!(r#""{}""#, self.length.finish_reason()));
        if usage == StreamUsage::Included {
            let mut told = Vec::new();
            write_usage(&mut told, ask.used(&text));
            events.data(format_args!(r#"{head}"choices":[],{}}}"#, String::from_utf8_lossy(&told)));
        }
        events.data(format_args!("[DONE]"));
        events.finish()
    }

    fn completion_head(&self, ask: &Ask<'_>) -> Vec<u8> {
        let Self { call, created, .. } = self;
        let mut head = Vec::with_capacity(384);
        write_all(
            &mut head,
            format_args!(
                r#"{{"id":"cmpl-sim-{call}","object":"text_completion","created":{created},"model":"#
            ),
        );
        write_json_string(&mut head, &ask.model);
        head.push(b',');
        head
    }
}
