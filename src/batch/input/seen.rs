//! Which `custom_id`s have been seen, in eight bytes each.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Hashes of the ids so far.
///
/// An id costs the eight bytes of its hash (some 18 with the table's slack), however long it is:
/// ten million rows take less than 200 MB. Two different ids share a hash with a probability of
/// n²/2⁶⁵, one in 370,000 for ten million rows; the later row would then be refused by mistake,
/// with a message that says so.
#[derive(Debug, Default)]
pub(in crate::batch) struct SeenIds {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

/// Whether an id stood on an earlier line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Sighting {
    /// It is new.
    First,
    /// It has been seen.
    Again,
}

impl SeenIds {
    /// Notes an id.
    pub(in crate::batch) fn note(&mut self, custom_id: &str) -> Sighting {
        if self.hashes.insert(self.hasher.hash_one(custom_id)) { Sighting::First } else { Sighting::Again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once() {
        let mut seen = SeenIds::default();
        assert_eq!(seen.note("a"), Sighting::First);
        assert_eq!(seen.note("b"), Sighting::First);
        assert_eq!(seen.note("a"), Sighting::Again);
    }
}
