//! Pieces of bytes as one.

use bytes::{Bytes, BytesMut};

/// Pieces put together in order. Mostly there is one, and it stays as it is: only further ones are worth copying
/// for.
#[derive(Default, Debug)]
pub(crate) struct Joined {
    first: Bytes,
    /// All of them, `first` too, once there are several.
    all: BytesMut,
}

impl Joined {
    /// Puts one more at the end.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.all.extend_from_slice(&piece);
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    /// The first byte of which that holds.
    pub(crate) fn first_byte_where(&self, holds: impl Fn(u8) -> bool) -> Option<u8> {
        self.first.iter().chain(&self.all).copied().find(|byte| holds(*byte))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, and nothing stays.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.all.is_empty() { std::mem::take(&mut self.first) } else { self.all.split().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_stays_as_it_is_and_several_become_one() {
        let mut joined = Joined::default();
        assert!(joined.take().is_empty());
        let piece = Bytes::from(vec![b'a'; 100]);
        joined.push(Bytes::new());
        joined.push(piece.clone());
        assert_eq!(joined.len(), 100);
        assert_eq!(joined.take().as_ptr(), piece.as_ptr());
        assert!(joined.is_empty());

        for piece in ["ab", "", "c", "def"] {
            joined.push(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!((joined.len(), joined.take()), (6, Bytes::from_static(b"abcdef")));
        joined.push(Bytes::from_static(b"g"));
        assert_eq!(joined.take(), "g");
    }
}
