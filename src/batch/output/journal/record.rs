//! A journal's records: forty bytes each, whole or not there.

use flate2::Crc;

use crate::batch::input::hash::RowHash;

/// The length of a record, and of the header, in bytes.
pub(in crate::batch::output) const RECORD_BYTES: usize = 40;

/// Where its checksum stands.
const CHECK_AT: usize = RECORD_BYTES - 4;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch::output) enum Record {
    /// A row has its line.
    Line(LineRecord),
    /// All lines before are in the files, which are so long.
    Commit(Ends),
    /// All commits before outlast a power cut.
    Synced,
    /// No row has more than one line.
    Tidy,
}

/// A row's line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch::output) struct LineRecord {
    /// Whose it is.
    pub hash: RowHash,
    /// How the row ended.
    pub kind: Kind,
    /// The row's line in the input of its run.
    pub line: u64,
    /// The line's length in OUT before compression, its end included.
    pub bytes: u32,
    /// The length of its line in the error file; 0 if there is none.
    pub error_bytes: u32,
    /// The checksum of both.
    pub sum: u32,
}

/// How a row ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Kind {
    /// With an answer.
    Ok,
    /// Without success, and the same again would fail again.
    Failed,
    /// Without success, for a reason that may pass.
    MayPass,
    /// Not sent.
    Rejected,
}

/// How long the files are, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(in crate::batch::output) struct Ends {
    /// OUT, compressed if it is.
    pub out: u64,
    /// The error file.
    pub errors: u64,
    /// The lines that wait to be compressed.
    pub tail: u64,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Ok => 1,
            Self::Failed => 2,
            Self::MayPass => 3,
            Self::Rejected => 4,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Ok),
            2 => Some(Self::Failed),
            3 => Some(Self::MayPass),
            4 => Some(Self::Rejected),
            _ => None,
        }
    }
}

const COMMIT: u8 = 16;
const SYNCED: u8 = 17;
const TIDY: u8 = 18;

impl Record {
    /// As it is written. The third number shares its eight bytes with the kind: 2⁵⁶ lines are enough.
    pub(in crate::batch::output) fn encode(&self) -> [u8; RECORD_BYTES] {
        let (code, numbers, small) = match self {
            Self::Line(line) => (
                line.kind.code(),
                [line.hash.id, line.hash.content, line.line],
                [line.bytes, line.error_bytes, line.sum],
            ),
            Self::Commit(ends) => (COMMIT, [ends.out, ends.errors, ends.tail], [0; 3]),
            Self::Synced => (SYNCED, [0; 3], [0; 3]),
            Self::Tidy => (TIDY, [0; 3], [0; 3]),
        };
        let mut bytes = [0; RECORD_BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[23] = code;
        for (place, number) in bytes[24..CHECK_AT].chunks_exact_mut(4).zip(small) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        sealed(bytes)
    }

    /// Reads one; `None` if it is torn or isn't one.
    pub(in crate::batch::output) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        if !is_whole(bytes) {
            return None;
        }
        let [id, content, third] = [0, 8, 16].map(|at| u64_at(bytes, at));
        let code = bytes[23];
        let third = third & ((1 << 56) - 1);
        let [length, error_bytes, sum] = [24, 28, 32].map(|at| u32_at(bytes, at));
        match code {
            COMMIT => Some(Self::Commit(Ends { out: id, errors: content, tail: third })),
            SYNCED => Some(Self::Synced),
            TIDY => Some(Self::Tidy),
            code => Kind::of(code).map(|kind| {
                let hash = RowHash { id, content };
                Self::Line(LineRecord { hash, kind, line: third, bytes: length, error_bytes, sum })
            }),
        }
    }
}

/// The checksum of a row's line in OUT and the one in the error file.
pub(in crate::batch::output) fn sum_of(line: &[u8], error_line: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(line);
    crc.update(error_line);
    crc.sum()
}

/// With the checksum in its last four bytes.
pub(super) fn sealed(mut bytes: [u8; RECORD_BYTES]) -> [u8; RECORD_BYTES] {
    let sum = sum_of(&bytes[..CHECK_AT], b"");
    bytes[CHECK_AT..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

pub(super) fn is_whole(bytes: &[u8; RECORD_BYTES]) -> bool {
    u32_at(bytes, CHECK_AT) == sum_of(&bytes[..CHECK_AT], b"")
}

fn u64_at(bytes: &[u8; RECORD_BYTES], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn u32_at(bytes: &[u8; RECORD_BYTES], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_torn_byte_passes() {
        let line = |kind| {
            let hash = RowHash { id: u64::MAX, content: 2 };
            Record::Line(LineRecord { hash, kind, line: 3 << 40, bytes: 4, error_bytes: 5, sum: u32::MAX })
        };
        let records = [
            line(Kind::Ok),
            line(Kind::Failed),
            line(Kind::MayPass),
            line(Kind::Rejected),
            Record::Commit(Ends { out: 1 << 60, errors: 7, tail: 8 }),
            Record::Synced,
            Record::Tidy,
        ];
        for record in records {
            let bytes = record.encode();
            assert_eq!(Record::decode(&bytes), Some(record));
            for at in 0..RECORD_BYTES {
                let mut torn = bytes;
                torn[at] ^= 1;
                assert_eq!(Record::decode(&torn), None, "byte {at} of {record:?}");
            }
        }
        assert_eq!(Record::decode(&[0; RECORD_BYTES]), None, "a block that was never written");
    }
}
