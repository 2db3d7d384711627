//! How much a stream has written so far, for one whose end never comes or tells nothing of it.

use super::sse::Event;
use super::weight::BYTES_PER_TOKEN;

/// The events of a stream that brought content.
///
/// Models are sent out token by token, and what stands around the text is the same in each event: the shortest one has
/// hardly more. Whatever is longer is text.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Written {
    events: u64,
    bytes: u64,
    shortest: u64,
}

impl Written {
    /// One more event with content came.
    pub(crate) fn note(&mut self, event: &Event<'_>) {
        let bytes = event.data.len() as u64;
        self.shortest = if self.events == 0 { bytes } else { self.shortest.min(bytes) };
        self.bytes = self.bytes.saturating_add(bytes);
        self.events += 1;
    }

    /// Tokens that they amount to: one for each event, or as many as their text has by its length.
    pub(crate) fn tokens(&self) -> u64 {
        let text = self.bytes.saturating_sub(self.events.saturating_mul(self.shortest));
        self.events.max(text.div_ceil(BYTES_PER_TOKEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(texts: &[&str]) -> u64 {
        let mut written = Written::default();
        for text in texts {
            let raw =
                format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
            written.note(&Event::parse(raw.as_bytes()));
        }
        written.tokens()
    }

    #[test]
    fn an_event_is_a_token_and_a_long_one_as_many_as_it_has_text() {
        assert_eq!(tokens(&[]), 0);
        assert_eq!(tokens(&["a"]), 1);
        assert_eq!(tokens(&["Once", " upon", " a", " time", ","]), 5);
        let long = "x".repeat(400);
        assert_eq!(tokens(&["", &long, &long]), 200, "what stands around the text counts for nothing");
    }
}
