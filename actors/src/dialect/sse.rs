//! Server-sent events, split without copying and kept as raw bytes.
//!
//! A caller gets what its provider wrote, byte for byte, so events are cut out of the stream and not
//! rebuilt. Lines may end with LF, CR or CRLF, also mixed, and chunks may end anywhere.
//!
//! Source: WHATWG HTML, section 9.2 "Server-sent events".

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr2;

/// One event, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The `event` field, if there is one.
    pub name: Option<Cow<'a, str>>,
    /// The `data` fields, joined by line feeds. Empty for a comment.
    pub data: Cow<'a, [u8]>,
}

/// Cuts a byte stream into events, whatever its chunks.
///
/// An event that lies in one chunk shares the chunk's memory; only one that spans chunks is copied.
/// Every byte is looked at once.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Chunks that aren't looked at yet.
    chunks: VecDeque<Bytes>,
    /// The beginning of an event whose end hasn't come.
    begun: BytesMut,
    place: Place,
    overflowed: bool,
}

/// What to do once an event has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading<R> {
    /// Read the next one too.
    On,
    /// It is the last one of its piece.
    Last,
    /// It doesn't belong there, because of this.
    Rejected(R),
}

/// An event longer than the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an event of the stream is longer than {} bytes", Splitter::EVENT_BYTES_MAX)]
pub struct EventTooLong;

impl Splitter {
    /// Longer events end the stream: something else than a model speaks there.
    pub const EVENT_BYTES_MAX: usize = 8 << 20;

    /// Takes the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !self.overflowed {
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole event with its closing blank line, as it came.
    ///
    /// Blank lines and comments that stand alone are events too, without data.
    ///
    /// # Errors
    /// [`EventTooLong`] beyond [`Splitter::EVENT_BYTES_MAX`]; from then on always.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, EventTooLong> {
        let (event, _) = self.next_run(|_| Reading::<Infallible>::Last)?;
        Ok((!event.is_empty()).then_some(event))
    }

    /// Whole events that came together, as one piece, as far as `read` goes; empty if there is none. An event that
    /// `read` rejects is left out, and what it made of it comes behind the piece.
    ///
    /// # Errors
    /// As [`Splitter::next_event`].
    pub fn next_run<R>(
        &mut self,
        mut read: impl FnMut(&[u8]) -> Reading<R>,
    ) -> Result<(Bytes, Option<R>), EventTooLong> {
        while let Some(mut chunk) = self.chunks.pop_front() {
            let (run, rejected) = if self.begun.is_empty() {
                self.run_of(&mut chunk, &mut read)
            } else {
                self.close(&mut chunk, &mut read)
            };
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
            if !run.is_empty() || rejected.is_some() {
                return Ok((run, rejected));
            }
        }
        if self.overflowed { Err(EventTooLong) } else { Ok((Bytes::new(), None)) }
    }

    /// Takes whole events off `chunk`. If none is left in it, what is left begins the next one.
    fn run_of<R>(
        &mut self,
        chunk: &mut Bytes,
        read: &mut impl FnMut(&[u8]) -> Reading<R>,
    ) -> (Bytes, Option<R>) {
        let mut run = 0;
        while let Some(length) = self.place.find_end(&chunk[run..]) {
            if length > Self::EVENT_BYTES_MAX {
                let run = chunk.split_to(run);
                self.overflow(chunk);
                return (run, None);
            }
            match read(&chunk[run..run + length]) {
                Reading::On => run += length,
                Reading::Last => return (chunk.split_to(run + length), None),
                Reading::Rejected(why) => {
                    let run = chunk.split_to(run);
                    chunk.advance(length);
                    return (run, Some(why));
                }
            }
        }
        let run = chunk.split_to(run);
        self.keep(chunk);
        (run, None)
    }

    /// Takes from `chunk` what closes the event that was begun.
    fn close<R>(
        &mut self,
        chunk: &mut Bytes,
        read: &mut impl FnMut(&[u8]) -> Reading<R>,
    ) -> (Bytes, Option<R>) {
        let Some(end) = self.place.find_end(chunk) else {
            self.keep(chunk);
            return (Bytes::new(), None);
        };
        self.keep(&mut chunk.split_to(end));
        if self.overflowed {
            // Nor what comes with its end: that would look whole.
            chunk.clear();
            return (Bytes::new(), None);
        }
        let event = self.begun.split().freeze();
        match read(&event) {
            Reading::On | Reading::Last => (event, None),
            Reading::Rejected(why) => (Bytes::new(), Some(why)),
        }
    }

    /// Keeps all of `piece` until its event closes.
    fn keep(&mut self, piece: &mut Bytes) {
        if self.begun.len() + piece.len() > Self::EVENT_BYTES_MAX {
            return self.overflow(piece);
        }
        self.begun.extend_from_slice(piece);
        piece.clear();
    }

    /// Nothing comes any more.
    fn overflow(&mut self, chunk: &mut Bytes) {
        chunk.clear();
        *self = Self { overflowed: true, ..Self::default() };
    }

    /// What is left once the body has ended and [`Splitter::next_event`] gave everything:
    /// an event whose closing blank line never came.
    pub fn last_event(&mut self) -> Option<Bytes> {
        self.place = Place::default();
        (!self.begun.is_empty()).then(|| self.begun.split().freeze())
    }

    /// Whether nothing is left of an event that never closed. Lone line ends don't count.
    pub fn is_drained(&self) -> bool {
        self.chunks.is_empty() && self.begun.iter().all(|byte| is_line_end(*byte))
    }
}

/// Where in an event the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Place {
    /// At the start of a line that may turn out blank.
    #[default]
    LineStart,
    /// Inside a line.
    InLine,
    /// Behind a line's CR, whose LF may follow.
    AfterCr,
    /// Behind a blank line's CR, whose LF nearly always follows: the event waits for that byte,
    /// so that a chunk's end between the two changes nothing.
    BlankCr,
    /// Behind an event that closed with two bare CRs. A stream of bare CRs can't be made to wait
    /// for one more byte, its last event would never come; should an LF follow all the same,
    /// it opens the next event and means nothing.
    LateLf,
}

enum Step {
    Go(Place),
    EndAfter(Place),
    EndBefore(Place),
}

impl Place {
    const fn step(self, byte: u8) -> Step {
        match (self, byte) {
            (Self::LineStart | Self::BlankCr, b'\n') => Step::EndAfter(Self::LineStart),
            (Self::BlankCr, _) => Step::EndBefore(Self::LineStart),
            (Self::AfterCr, b'\r') => Step::EndAfter(Self::LateLf),
            (Self::LineStart | Self::LateLf, b'\r') => Step::Go(Self::BlankCr),
            (Self::InLine | Self::AfterCr | Self::LateLf, b'\n') => Step::Go(Self::LineStart),
            (Self::InLine, b'\r') => Step::Go(Self::AfterCr),
            (Self::LineStart | Self::InLine | Self::AfterCr | Self::LateLf, _) => Step::Go(Self::InLine),
        }
    }

    /// Goes through `bytes` up to the end of the event, and says where that is.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if *self == Self::InLine {
                at += memchr2(b'\n', b'\r', &bytes[at..])?;
            }
            match self.step(bytes[at]) {
                Step::Go(place) => *self = place,
                Step::EndAfter(place) => {
                    *self = place;
                    return Some(at + 1);
                }
                Step::EndBefore(place) => {
                    *self = place;
                    return Some(at);
                }
            }
            at += 1;
        }
        None
    }
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl<'a> Event<'a> {
    /// Reads one event as [`Splitter::next_event`] gave it.
    ///
    /// `id` and `retry` mean nothing to us. A byte order mark is passed over wherever it opens an event.
    pub fn parse(raw: &'a [u8]) -> Self {
        let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
        let mut name = None;
        let mut data: Option<Cow<'a, [u8]>> = None;
        let mut rest = raw;
        while !rest.is_empty() {
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (field, value) = field_of(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            match field {
                b"event" => name = Some(String::from_utf8_lossy(value)),
                b"data" => match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(lines) => {
                        let lines = lines.to_mut();
                        lines.push(b'\n');
                        lines.extend_from_slice(value);
                    }
                },
                _ => {}
            }
        }
        Self { name, data: data.unwrap_or_default() }
    }
}

/// Name and value of a line. A comment has an empty name; one space behind the colon doesn't count.
fn field_of(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> (Vec<Bytes>, Splitter) {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = splitter.next_event().unwrap() {
                events.push(event);
            }
        }
        (events, splitter)
    }

    fn data_of(stream: &str) -> Vec<String> {
        let (events, _) = split(&[stream.as_bytes()]);
        events.iter().map(|raw| String::from_utf8_lossy(&Event::parse(raw).data).into_owned()).collect()
    }

    #[test]
    fn every_line_end_closes_events() {
        for stream in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            assert_eq!(data_of(stream), ["a", "b"], "{stream:?}");
        }
        assert_eq!(data_of("data: a\r\n\ndata: b\n\r\ndata: c\r\r\ndata: d\n\n"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_closed_event_comes_at_once() {
        for stream in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
            let (events, splitter) = split(&[stream.as_bytes()]);
            assert_eq!(events, [stream.as_bytes()]);
            assert!(splitter.is_drained());
        }
    }

    #[test]
    fn a_line_end_cut_in_two_belongs_to_its_event() {
        let (events, splitter) = split(&[b"data: a\r\n\r", b"\ndata: b\r", b"\n\r\n"]);
        assert_eq!(events, [&b"data: a\r\n\r\n"[..], b"data: b\r\n\r\n"]);
        assert!(splitter.is_drained());
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        for (raw, name, data) in [
            ("data: x\n\n", None, "x"),
            ("data:x\n\n", None, "x"),
            ("data:  x\n\n", None, " x"),
            ("data\n\n", None, ""),
            ("data: a\ndata: b\r\ndata:\n\n", None, "a\nb\n"),
            ("event: error\ndata: {}\nid: 7\nretry: 5\n\n", Some("error"), "{}"),
            (": keep-alive\n\n", None, ""),
            (": comment: with colons\ndata: x\n\n", None, "x"),
            ("\u{feff}data: x\n\n", None, "x"),
            ("data: x", None, "x"),
            ("\n", None, ""),
            ("Data: x\n\n", None, ""),
        ] {
            let event = Event::parse(raw.as_bytes());
            assert_eq!(event.name.as_deref(), name, "{raw:?}");
            assert_eq!(&*event.data, data.as_bytes(), "{raw:?}");
        }
    }

    #[test]
    fn one_line_of_data_is_not_copied() {
        assert!(matches!(Event::parse(b"data: x\n\n").data, Cow::Borrowed(b"x")));
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let mut splitter = Splitter::default();
        splitter.push(chunk.clone());
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(event.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn the_end_of_a_body_hands_out_what_never_closed() {
        let (events, mut splitter) = split(&[b"data: a\n\ndata: [DO", b"NE]\n"]);
        assert_eq!(events.len(), 1);
        assert!(!splitter.is_drained());
        let last = splitter.last_event().unwrap();
        assert_eq!(&*Event::parse(&last).data, b"[DONE]");
        assert_eq!(splitter.last_event(), None);
        assert!(splitter.is_drained());
    }

    /// 2 MB in pieces of 64 bytes: 33,000 chunks. Searching from the start on each of them would look
    /// at 34 GB and take minutes.
    #[test]
    fn a_long_line_in_small_pieces_takes_linear_time() {
        let mut line = vec![b'x'; 2 << 20];
        line.extend_from_slice(b"\n\n");
        let mut splitter = Splitter::default();
        let mut events = 0;
        for piece in line.chunks(64) {
            splitter.push(Bytes::copy_from_slice(piece));
            events += usize::from(splitter.next_event().unwrap().is_some());
        }
        assert_eq!(events, 1);
    }

    #[test]
    fn an_event_beyond_the_limit_ends_the_stream_for_good() {
        let mut longest = vec![b'x'; Splitter::EVENT_BYTES_MAX - 2];
        longest.extend_from_slice(b"\n\n");
        let mut splitter = Splitter::default();
        splitter.push(Bytes::from(longest.clone()));
        assert_eq!(splitter.next_event().unwrap().unwrap().len(), Splitter::EVENT_BYTES_MAX);

        longest.insert(0, b'x');
        // What comes together with its end isn't told either: without it, it would look whole.
        longest.extend_from_slice(b"data: [DONE]\n\n");
        for pieces in [1, 2, 3] {
            let mut splitter = Splitter::default();
            for piece in longest.chunks(longest.len().div_ceil(pieces)) {
                splitter.push(Bytes::copy_from_slice(piece));
            }
            assert_eq!(splitter.next_event(), Err(EventTooLong));
            splitter.push(Bytes::from_static(b"data: a\n\n"));
            assert_eq!(splitter.next_event(), Err(EventTooLong));
        }
    }

    /// Streams dense in line ends, where the mistakes would be.
    fn any_stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec!["\r", "\n", "\r\n", "data: x", "event: y", ":"]);
        let mark = prop::sample::select(vec!["", "\u{feff}"]);
        (mark, prop::collection::vec(piece, 0..40))
            .prop_map(|(mark, pieces)| format!("{mark}{}", pieces.concat()).into_bytes())
    }

    /// What the standard makes of a stream: the data of the events that it dispatches.
    fn dispatched_by_the_standard(stream: &[u8]) -> Vec<Vec<u8>> {
        let text = String::from_utf8(stream.to_vec()).unwrap();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
        let mut dispatched = Vec::new();
        let mut data = Vec::new();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            if let Some(value) = line.strip_prefix("data: ") {
                data.push(value.to_owned());
            }
            if line.is_empty() && !data.is_empty() {
                dispatched.push(data.join("\n").into_bytes());
                data.clear();
            }
        }
        dispatched
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events_and_keeps_every_byte(
            stream in any_stream(),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let (whole, mut whole_rest) = split(&[&stream]);
            let mut chunks = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            let (events, mut events_rest) = split(&chunks);
            prop_assert_eq!(&events, &whole);
            prop_assert_eq!(events_rest.is_drained(), whole_rest.is_drained());

            let last = events_rest.last_event();
            prop_assert_eq!(&last, &whole_rest.last_event());
            let mut joined = events.concat();
            joined.extend_from_slice(&last.unwrap_or_default());
            prop_assert_eq!(joined, stream);
        }

        #[test]
        fn the_standard_reads_the_same_events(mut stream in any_stream()) {
            // Behind a last line, so that an end which waits for its LF is decided.
            stream.extend_from_slice(b"\n\n:");
            let (events, _) = split(&[&stream]);
            let read: Vec<Vec<u8>> = events
                .iter()
                .map(|raw| Event::parse(raw).data.into_owned())
                .filter(|data| !data.is_empty())
                .collect();
            prop_assert_eq!(read, dispatched_by_the_standard(&stream));
        }
    }
}
