//! A journal's first forty bytes: what it is, and for which options it was begun.

use super::record::{RECORD_BYTES, is_whole, sealed};
use crate::batch::output::format::Format;
use crate::batch::output::order::Order;

/// What a journal begins with. The digit is the version.
const MAGIC: [u8; 16] = *b"keywheel batch 1";

/// What a run must not change when it goes on with an output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch::output) struct Header {
    /// The form of its lines.
    pub format: Format,
    /// Their order.
    pub order: Order,
    /// A hash of the error file's name; 0 if there is none.
    pub errors: u64,
}

impl Header {
    pub(in crate::batch::output) fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..16].copy_from_slice(&MAGIC);
        bytes[16..24].copy_from_slice(&self.errors.to_le_bytes());
        bytes[24] = match self.format {
            Format::OpenAi => 0,
            Format::Anthropic => 1,
            Format::Body => 2,
            Format::Text => 3,
        };
        bytes[25] = match self.order {
            Order::Completion => 0,
            Order::Input => 1,
        };
        sealed(bytes)
    }

    /// Reads one; `None` if it is torn, or of another version.
    pub(in crate::batch::output) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        if !is_whole(bytes) || bytes[..16] != MAGIC {
            return None;
        }
        let format = match bytes[24] {
            0 => Format::OpenAi,
            1 => Format::Anthropic,
            2 => Format::Body,
            3 => Format::Text,
            _ => return None,
        };
        let order = match bytes[25] {
            0 => Order::Completion,
            1 => Order::Input,
            _ => return None,
        };
        let errors = bytes[16..24].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(Self { format, order, errors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_kept() {
        for format in [Format::OpenAi, Format::Anthropic, Format::Body, Format::Text] {
            for order in [Order::Completion, Order::Input] {
                let header = Header { format, order, errors: 0x0123_4567_89ab_cdef };
                let bytes = header.encode();
                assert_eq!(Header::decode(&bytes), Some(header));
                let mut later = bytes;
                later[15] = b'2';
                assert_eq!(Header::decode(&sealed(later)), None, "a later version's");
            }
        }
    }
}
