//! A request's body that comes while it is sent: in chunks, or up to the length that was announced.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::upload::Upload;

/// What is still to come of a body.
pub(super) struct Feed {
    /// What was there at the start; empty once it has been sent.
    first: Bytes,
    upload: Upload,
    frames: Frames,
}

/// How the pieces are told apart.
enum Frames {
    /// Not at all: so many bytes are still to come.
    Counted(u64),
    /// Each by its length. Before the first one no line has to be closed.
    Chunks { is_first: bool },
    /// The last one has been sent.
    Ended,
}

impl Feed {
    /// `first`, and then all of `upload`.
    pub(super) fn new(first: Bytes, upload: Upload) -> Self {
        let frames = match upload.length() {
            Some(rest) => Frames::Counted(rest + first.len() as u64),
            None => Frames::Chunks { is_first: true },
        };
        Self { first, upload, frames }
    }

    /// The next piece, what stands before it apart. `None` at its end.
    pub(super) fn poll_frame(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(BytesMut, Bytes)>>> {
        if matches!(self.frames, Frames::Ended) {
            return Poll::Ready(Ok(None));
        }
        let piece = loop {
            let piece = if self.first.is_empty() {
                ready!(self.upload.poll_piece(task))
            } else {
                Some(Ok(std::mem::take(&mut self.first)))
            };
            match piece {
                // An empty chunk would be the last one.
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => break Some(piece),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => break None,
            }
        };
        Poll::Ready(self.framed(piece))
    }

    fn framed(&mut self, piece: Option<Bytes>) -> io::Result<Option<(BytesMut, Bytes)>> {
        match (&mut self.frames, piece) {
            (Frames::Counted(rest), Some(piece)) => {
                *rest = rest
                    .checked_sub(piece.len() as u64)
                    .ok_or_else(|| broken("it is longer than announced"))?;
                Ok(Some((BytesMut::new(), piece)))
            }
            (Frames::Chunks { is_first }, Some(piece)) => {
                let before = if std::mem::take(is_first) { "" } else { "\r\n" };
                let line = format!("{before}{:x}\r\n", piece.len());
                Ok(Some((BytesMut::from(line.as_bytes()), piece)))
            }
            (Frames::Chunks { is_first }, None) => {
                let before = if *is_first { "" } else { "\r\n" };
                let line = format!("{before}0\r\n\r\n");
                self.frames = Frames::Ended;
                Ok(Some((BytesMut::from(line.as_bytes()), Bytes::new())))
            }
            (Frames::Counted(0), None) | (Frames::Ended, _) => Ok(None),
            (Frames::Counted(_), None) => Err(broken("it is shorter than announced")),
        }
    }
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::stream;

    use super::*;

    fn sent(first: &'static str, pieces: &[&'static str], length: Option<u64>) -> io::Result<String> {
        let pieces: Vec<io::Result<Bytes>> = pieces.iter().map(|piece| Ok(Bytes::from(*piece))).collect();
        let mut feed = Feed::new(Bytes::from(first), Upload::new(stream::iter(pieces), length));
        let mut text = String::new();
        let mut task = Context::from_waker(Waker::noop());
        while let Poll::Ready(frame) = feed.poll_frame(&mut task) {
            let Some((head, body)) = frame? else { return Ok(text) };
            text.push_str(std::str::from_utf8(&head).expect("text"));
            text.push_str(std::str::from_utf8(&body).expect("text"));
        }
        panic!("all pieces are there")
    }

    #[test]
    fn a_body_of_unknown_length_is_sent_in_chunks() {
        assert_eq!(sent("ab", &["", "cde"], None).expect("whole"), "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
        assert_eq!(sent("", &[], None).expect("whole"), "0\r\n\r\n");
    }

    #[test]
    fn one_of_known_length_is_sent_as_it_is_and_is_as_long_as_it_said() {
        assert_eq!(sent("ab", &["cde"], Some(3)).expect("whole"), "abcde");
        assert!(sent("ab", &["cd"], Some(3)).is_err());
        assert!(sent("ab", &["cdef"], Some(3)).is_err());
    }
}
