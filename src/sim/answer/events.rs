//! Streams of server-sent events, rendered as a whole before the first of them leaves.

use std::ops::Range;

use bytes::Bytes;

use super::json::write_all;

/// A stream of events as one text, with the places where it may be cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Events {
    pub(crate) bytes: Bytes,
    /// Where each event begins and ends.
    pub(crate) ranges: Vec<Range<usize>>,
    /// Which event is the first with content; those before it only announce.
    pub(crate) first_chunk: usize,
}

/// Writes events one after the other.
pub(super) struct EventWriter {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
    first_chunk: usize,
}

impl EventWriter {
    /// For about so many events of about so many bytes.
    pub(super) fn new(events: usize, event_bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(events * event_bytes),
            ranges: Vec::with_capacity(events),
            first_chunk: 0,
        }
    }

    /// An event without a name.
    pub(super) fn data(&mut self, data: std::fmt::Arguments<'_>) {
        let start = self.bytes.len();
        write_all(&mut self.bytes, format_args!("data: {data}\n\n"));
        self.ranges.push(start..self.bytes.len());
    }

    /// An event with a name.
    pub(super) fn named(&mut self, name: &str, data: std::fmt::Arguments<'_>) {
        let start = self.bytes.len();
        write_all(&mut self.bytes, format_args!("event: {name}\ndata: {data}\n\n"));
        self.ranges.push(start..self.bytes.len());
    }

    /// The next event is the first with content.
    pub(super) fn content_begins(&mut self) {
        self.first_chunk = self.ranges.len();
    }

    pub(super) fn finish(self) -> Events {
        Events { bytes: self.bytes.into(), ranges: self.ranges, first_chunk: self.first_chunk }
    }
}

/// `text` in so many pieces of about the same length, cut between characters: it need not be ASCII.
pub(super) fn pieces(text: &str, count: usize) -> impl Iterator<Item = &str> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let chars = places.len() - 1;
    (0..count).map(move |piece| &text[places[piece * chars / count]..places[(piece + 1) * chars / count]])
}
