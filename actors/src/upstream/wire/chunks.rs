//! The frame of a chunked body: sizes, extensions, trailers (RFC 9112 §7.1).
//!
//! A line ends with CR and LF and nothing else, a size is hexadecimal digits and nothing else: where two readers
//! may differ over such a line, one of them reads the next answer at another place.

use super::Malformed;

/// All extensions of a body together. Nobody uses them.
const EXTENSION_BYTES_MAX: usize = 16 << 10;
/// All trailers of a body together. We have no use for them.
const TRAILER_BYTES_MAX: usize = 16 << 10;

/// Where in its frame a chunked body stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    place: Place,
    /// Of the chunk that is being read.
    size: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Before the first digit of a size.
    SizeBegins,
    Size,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    /// At the beginning of a trailer's line, or of the last, which is empty.
    LineBegins,
    Trailer,
    TrailerFeed,
    LastFeed,
    End,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// More of the frame, which isn't there yet.
    Frame,
    /// So many bytes of data.
    Data(u64),
    /// Nothing: the body is whole.
    End,
}

impl Frame {
    /// At the beginning of a body.
    pub(super) const fn new() -> Self {
        Self { place: Place::SizeBegins, size: 0, extension_bytes: 0, trailer_bytes: 0 }
    }

    /// Reads the frame at the beginning of `bytes`: how many there are of it, and what comes next.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, Next), Malformed> {
        let mut read = 0;
        loop {
            match self.place {
                Place::Data => return Ok((read, Next::Data(self.size))),
                Place::End => return Ok((read, Next::End)),
                Place::SizeBegins
                | Place::Size
                | Place::Extension
                | Place::SizeFeed
                | Place::DataReturn
                | Place::DataFeed
                | Place::LineBegins
                | Place::Trailer
                | Place::TrailerFeed
                | Place::LastFeed => {}
            }
            let Some(byte) = bytes.get(read) else { return Ok((read, Next::Frame)) };
            self.place = self.step(*byte)?;
            read += 1;
        }
    }

    /// Notes that so many bytes of a chunk's data have been taken.
    pub(super) const fn take(&mut self, bytes: u64) {
        self.size -= bytes;
        if self.size == 0 {
            self.place = Place::DataReturn;
        }
    }

    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        match (self.place, byte) {
            (Place::SizeBegins | Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => byte.to_ascii_lowercase() - b'a' + 10,
                };
                let size = self.size.checked_mul(16).ok_or(Malformed("a chunk is longer than can be"))?;
                self.size = size | u64::from(digit);
                Ok(Place::Size)
            }
            (Place::Size | Place::Extension, b'\r') => Ok(Place::SizeFeed),
            (Place::Size, b';') => Ok(Place::Extension),
            (Place::SizeBegins | Place::Size, _) => Err(Malformed("the size of a chunk is no number")),
            // Blanks and what is quoted are of no interest; a line feed alone would end the line for some.
            (Place::Extension, b'\n') => Err(Malformed("the size of a chunk has no proper end")),
            (Place::Extension, _) => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES_MAX {
                    return Err(Malformed("its chunks have too many extensions"));
                }
                Ok(Place::Extension)
            }
            (Place::SizeFeed, b'\n') if self.size == 0 => Ok(Place::LineBegins),
            (Place::SizeFeed, b'\n') => Ok(Place::Data),
            (Place::SizeFeed, _) => Err(Malformed("the size of a chunk has no proper end")),
            (Place::DataReturn, b'\r') => Ok(Place::DataFeed),
            (Place::DataFeed, b'\n') => Ok(Place::SizeBegins),
            (Place::DataReturn | Place::DataFeed, _) => Err(Malformed("a chunk is longer than it says")),
            (Place::LineBegins, b'\r') => Ok(Place::LastFeed),
            (Place::LineBegins | Place::Trailer, b'\n') => Err(Malformed("a trailer has no proper end")),
            (Place::Trailer, b'\r') => Ok(Place::TrailerFeed),
            (Place::LineBegins | Place::Trailer, _) => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > TRAILER_BYTES_MAX {
                    return Err(Malformed("its trailers are too long"));
                }
                Ok(Place::Trailer)
            }
            (Place::TrailerFeed, b'\n') => Ok(Place::LineBegins),
            (Place::LastFeed, b'\n') => Ok(Place::End),
            (Place::TrailerFeed | Place::LastFeed, _) => Err(Malformed("a trailer has no proper end")),
            (Place::Data | Place::End, _) => Ok(self.place),
        }
    }
}
