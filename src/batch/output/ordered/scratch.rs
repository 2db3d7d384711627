//! Files without a name, which are gone with the process, however it ends.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// A file in `directory` that two may use, each with a position of its own.
pub(in crate::batch::output) fn shared(directory: &Path) -> io::Result<(File, File)> {
    let named = NamedTempFile::new_in(directory)?;
    Ok((named.reopen()?, named.reopen()?))
}

/// A file of entries of one size.
#[derive(Debug)]
pub(super) struct Entries<const BYTES: usize>(File);

impl<const BYTES: usize> Entries<BYTES> {
    pub(super) const fn of(file: File) -> Self {
        Self(file)
    }

    pub(super) fn in_directory(directory: &Path) -> io::Result<Self> {
        tempfile::tempfile_in(directory).map(Self)
    }

    /// The entry of this number; `None` behind the last. One that was passed over is all zeros.
    pub(super) fn get(&mut self, number: u64) -> io::Result<Option<[u8; BYTES]>> {
        let mut entry = [0; BYTES];
        self.0.seek(SeekFrom::Start(number * BYTES as u64))?;
        match self.0.read_exact(&mut entry) {
            Ok(()) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn put(&mut self, number: u64, entry: [u8; BYTES]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(number * BYTES as u64))?;
        self.0.write_all(&entry)
    }

    /// Makes room for so many entries, all of them zeros.
    pub(super) fn make_room(&self, entries: u64) -> io::Result<()> {
        self.0.set_len(entries * BYTES as u64)
    }
}

/// Two numbers in sixteen bytes.
pub(super) fn pair(first: u64, second: u64) -> [u8; 16] {
    (u128::from(first) | u128::from(second) << 64).to_le_bytes()
}

/// The two numbers of [`pair`].
#[expect(clippy::cast_possible_truncation, reason = "each half is what was put there")]
pub(super) const fn unpair(bytes: [u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(bytes);
    (both as u64, (both >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_where_they_were_put() {
        let mut entries = Entries::<16>::in_directory(&std::env::temp_dir()).unwrap();
        entries.put(2, pair(7, u64::MAX)).unwrap();
        assert_eq!(entries.get(2).unwrap().map(unpair), Some((7, u64::MAX)));
        assert_eq!(entries.get(0).unwrap().map(unpair), Some((0, 0)), "passed over");
        assert_eq!(entries.get(3).unwrap(), None);
    }
}
