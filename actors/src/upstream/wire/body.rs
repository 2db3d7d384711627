//! The body of an answer, out of bytes as they come.

use bytes::{Buf as _, Bytes, BytesMut};

use super::Malformed;
use super::chunks::{Frame, Next};
use super::framing::Framing;

/// Reads one body. It has no socket: whoever has one feeds it.
#[derive(Debug)]
pub(super) enum Decoder {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks, until the last.
    Chunked(Frame),
    /// Whatever comes, until the connection ends.
    UntilClose,
    /// Nothing more.
    Whole,
}

/// What the end of the connection means for the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AtClose {
    Whole,
    Cut,
}

impl Decoder {
    /// For a body of this frame.
    pub(super) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Nothing | Framing::Length(0) => Self::Whole,
            Framing::Length(bytes) => Self::Length(bytes),
            Framing::Chunked => Self::Chunked(Frame::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes all data out of `buffer` that is there, in one piece; empty if there is none.
    ///
    /// Chunks that have come together go out together: the data of further ones is moved up to that of the first,
    /// within the buffer. Nothing is copied where there is only one.
    ///
    /// # Errors
    /// If it is no body; the data before the mistake is lost with it, as is the answer.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Bytes, Malformed> {
        // Splitting nothing off would cost an allocation.
        if buffer.is_empty() {
            return Ok(Bytes::new());
        }
        match self {
            Self::Length(rest) => {
                let data = buffer.split_to(at_most(buffer.len(), *rest)).freeze();
                *rest -= data.len() as u64;
                if *rest == 0 {
                    *self = Self::Whole;
                }
                Ok(data)
            }
            Self::Chunked(frame) => {
                let (data, next) = take_chunks(frame, buffer)?;
                if next == Next::End {
                    *self = Self::Whole;
                }
                Ok(data)
            }
            Self::UntilClose => Ok(buffer.split().freeze()),
            Self::Whole => Ok(Bytes::new()),
        }
    }

    /// Whether everything has come.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// What it means that the connection has ended here.
    pub(super) const fn close(&self) -> AtClose {
        match self {
            Self::UntilClose | Self::Whole => AtClose::Whole,
            Self::Length(_) | Self::Chunked(_) => AtClose::Cut,
        }
    }
}

fn take_chunks(frame: &mut Frame, buffer: &mut BytesMut) -> Result<(Bytes, Next), Malformed> {
    // Behind what has been read stands what is to be read; the data found lies at `begin..end` before it.
    let (mut read, mut begin, mut end) = (0, 0, 0);
    loop {
        let (bytes, next) = frame.read(&buffer[read..])?;
        read += bytes;
        let size = match next {
            Next::Data(size) => at_most(buffer.len() - read, size),
            Next::Frame | Next::End => 0,
        };
        if size == 0 {
            buffer.advance(begin);
            let data = if begin == end { Bytes::new() } else { buffer.split_to(end - begin).freeze() };
            buffer.advance(read - end);
            return Ok((data, next));
        }
        if begin == end {
            (begin, end) = (read, read + size);
        } else {
            buffer.copy_within(read..read + size, end);
            end += size;
        }
        read += size;
        frame.take(size as u64);
    }
}

/// As many of `there` bytes as belong to `rest`.
fn at_most(there: usize, rest: u64) -> usize {
    usize::try_from(rest).map_or(there, |rest| rest.min(there))
}

#[cfg(test)]
mod tests;
