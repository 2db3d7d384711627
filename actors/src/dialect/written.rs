//! How much a stream has written so far, for one whose end never comes or tells nothing of it.

use super::sse::Event;
use super::weight::BYTES_PER_TOKEN;

/// What stands around the text is looked for among so many events at most twice: more than enough that one with hardly
/// any text is among them, few enough that a stream that goes on otherwise, with a call of a tool, is soon known.
const EVENTS_ALIKE: u64 = 32;

/// The events of a stream that brought content.
///
/// Models are sent out token by token, and what stands around the text is the same in each event: the shortest one so
/// far has hardly more. Whatever is longer is text. The last event, shorter than those with text, comes too late to
/// count as one.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Written {
    events: u64,
    tokens: u64,
    /// The shortest one of the last full [`EVENTS_ALIKE`], and of those since.
    shortest: [Option<u64>; 2],
}

impl Written {
    /// One more event with content came.
    pub(crate) fn note(&mut self, event: &Event<'_>) {
        let bytes = event.data.len() as u64;
        let [_, since] = self.shortest;
        self.shortest = if self.events.is_multiple_of(EVENTS_ALIKE) {
            [since, Some(bytes)]
        } else {
            [self.shortest[0], since.min(Some(bytes))]
        };
        let around = self.shortest.into_iter().flatten().min().unwrap_or(bytes);
        self.events += 1;
        self.tokens += ((bytes - around) / BYTES_PER_TOKEN).max(1);
    }

    /// Tokens that they amount to: one for each event, or as many as their text has by its length.
    pub(crate) const fn tokens(&self) -> u64 {
        self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(written: &mut Written, delta: &str) {
        let raw = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{{delta}}}}}]}}\n\n");
        written.note(&Event::parse(raw.as_bytes()));
    }

    fn say(written: &mut Written, text: &str) {
        note(written, &format!("\"content\":\"{text}\""));
    }

    #[test]
    fn an_event_is_a_token_and_a_long_one_as_many_as_it_has_text() {
        let mut written = Written::default();
        assert_eq!(written.tokens(), 0);
        for text in ["Once", " upon", " a", " time", ","] {
            say(&mut written, text);
        }
        assert_eq!(written.tokens(), 5);
        say(&mut written, &"x".repeat(401));
        assert_eq!(written.tokens(), 105, "what stands around the text counts for nothing");
        note(&mut written, "");
        assert_eq!(written.tokens(), 106, "the end of a choice is shorter, and changes nothing");
    }

    #[test]
    fn events_of_another_shape_are_soon_known() {
        let mut written = Written::default();
        say(&mut written, "a");
        for _ in 0..1_000 {
            note(&mut written, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]");
        }
        // Some 40 bytes more, for as long as the first one may be what stands around a text.
        assert_eq!(written.tokens(), 1 + 63 * 10 + 937);
    }
}
