//! What a row is told apart by, and by what it is known again.

use ring::digest::{Context, SHA256};

/// A row in two hashes: its name, and what it asks for.
///
/// They are the first eight bytes of SHA-256 and never change: a run that is resumed by a later version
/// must know its rows again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(in crate::batch) struct RowHash {
    /// Of the `custom_id`.
    pub id: u64,
    /// Of path and body, byte for byte.
    pub content: u64,
}

impl RowHash {
    /// Of a row.
    pub(in crate::batch) fn of(custom_id: &str, path: &str, body: &[u8]) -> Self {
        // No path contains a zero byte, so no two rows look alike joined.
        Self { content: hash(&[path.as_bytes(), b"\0", body]), ..Self::of_name(custom_id) }
    }

    /// Of a name alone.
    pub(in crate::batch) fn of_name(custom_id: &str) -> Self {
        Self { id: hash(&[custom_id.as_bytes()]), content: 0 }
    }

    /// Of the same row under another name.
    pub(in crate::batch) fn renamed(self, custom_id: &str) -> Self {
        Self { content: self.content, ..Self::of_name(custom_id) }
    }

    /// Of a line that is rejected: it may have no name, but it has its place. No `custom_id` that
    /// anybody writes begins with a zero byte.
    pub(in crate::batch) fn of_rejected(line: u64, raw: &[u8]) -> Self {
        Self::of(&format!("\0line {line}"), "", raw)
    }
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    let first = digest.as_ref().iter().take(8);
    first.fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_every_version() {
        let hash = RowHash::of("abc", "/x", b"{}");
        // FIPS 180-4's example: SHA-256("abc") begins with ba7816bf 8f01cfea.
        assert_eq!(hash.id, 0xba78_16bf_8f01_cfea);
        assert_eq!(RowHash::of("abc", "/x", b"{}"), hash);
    }

    #[test]
    fn a_row_changes_with_its_path_and_its_body_alone() {
        let row = RowHash::of("a", "/x", b"{}");
        assert_eq!(RowHash::of("b", "/x", b"{}").content, row.content);
        assert_ne!(RowHash::of("a", "/y", b"{}").content, row.content);
        assert_ne!(RowHash::of("a", "/x", b"{ }").content, row.content);
        assert_eq!(RowHash::of("a", "/y", b"{ }").id, row.id);
    }
}
