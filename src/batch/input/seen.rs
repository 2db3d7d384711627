//! Which rows have been met, and which of them an earlier run has written: ten million in 67 MB.
//!
//! An id is known by the 64 bits of its hash. The first 16 choose one of 65,536 partitions, so only the other
//! 48 are kept, in order, in an array that grows by a few entries at a time: no table doubles, nothing is
//! held twice while it grows. A run that goes on where an earlier one ended needs three bytes more a row,
//! for a part of the content's hash and whether the row was met in this run.
//!
//! Two different ids share a hash with a probability of n²/2⁶⁵, one in 370,000 for ten million rows. The later
//! row would then be refused by mistake, with a message that says so.

use std::fmt;

use super::hash::RowHash;
use super::sorted::{Key, Sorted};

/// Chosen by the first 16 bits of a hash.
const PARTITIONS: usize = 1 << 16;

/// 23 bits of the content's hash, and one that says whether the row was met in this run: a row that was
/// changed is taken for unchanged with a probability of one in eight million.
type Note = [u8; 3];

/// The bit of a note's last byte that says: met in this run.
const MET: u8 = 1;

/// The rows met so far, and those that an earlier run has written.
pub(in crate::batch) struct Seen {
    partitions: Vec<Sorted>,
    keeps: Keeps,
}

/// What an entry holds beside its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keeps {
    /// Nothing: every row that has an entry was met in this run.
    Nothing,
    /// A [`Note`].
    Notes,
    /// There are no entries: the names were looked through before.
    NoNames,
}

/// What is known of a row's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Sighting {
    /// It is new.
    First,
    /// It stood on an earlier line of this input.
    Again,
    /// An earlier run has written it, and it asks for the same as then.
    Done,
    /// An earlier run has written it, but it asked for something else then.
    Changed,
}

#[cfg_attr(not(test), allow(dead_code, reason = "remembering is for the journal, which is written next"))]
impl Seen {
    /// For a fresh run.
    pub(in crate::batch) fn new() -> Self {
        Self::keeping(Keeps::Nothing)
    }

    /// For a run that goes on where an earlier one ended: what that one has written can be remembered.
    pub(in crate::batch) fn remembering() -> Self {
        Self::keeping(Keeps::Notes)
    }

    /// For a fresh run over names that are known to be distinct: nothing has to be kept.
    pub(in crate::batch) const fn of_distinct() -> Self {
        Self { partitions: Vec::new(), keeps: Keeps::NoNames }
    }

    /// Whether it holds nothing that an earlier run has written.
    pub(in crate::batch) fn is_fresh(&self) -> bool {
        self.keeps != Keeps::Notes
    }

    fn keeping(keeps: Keeps) -> Self {
        Self { partitions: vec![Sorted::default(); PARTITIONS], keeps }
    }

    /// An earlier run has written this row; a later call for the same id wins.
    ///
    /// A set for a fresh run has no room for that: there the row counts as met.
    pub(in crate::batch) fn remember(&mut self, hash: RowHash) {
        self.put(hash, note(hash));
    }

    /// Notes a row of this input.
    pub(in crate::batch) fn note(&mut self, hash: RowHash) -> Sighting {
        let unmet = note(hash);
        let [first, second, last] = unmet;
        match self.put(hash, [first, second, last | MET]) {
            None => Sighting::First,
            Some([_, _, last]) if last & MET != 0 => Sighting::Again,
            Some(before) if before == unmet => Sighting::Done,
            Some(_) => Sighting::Changed,
        }
    }

    /// Puts a note behind its key. Returns the one that stood there before.
    fn put(&mut self, hash: RowHash, note: Note) -> Option<Note> {
        let (partition, key) = place(hash);
        let partition = self.partitions.get_mut(partition)?;
        match self.keeps {
            Keeps::NoNames => None,
            Keeps::Nothing => {
                let before = partition.put(key, &mut []);
                before.map(|()| [0, 0, MET])
            }
            Keeps::Notes => {
                let mut swapped = note;
                let before = partition.put(key, &mut swapped);
                before.map(|()| swapped)
            }
        }
    }
}

/// The partition of an id, and its key in there.
fn place(hash: RowHash) -> (usize, Key) {
    let [first, second, key @ ..] = hash.id.to_be_bytes();
    (usize::from(u16::from_be_bytes([first, second])), key)
}

/// What is kept of a content, of a row that was not met.
fn note(hash: RowHash) -> Note {
    let [first, second, last, ..] = hash.content.to_be_bytes();
    [first, second, last & !MET]
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn row(id: u64, content: u64) -> RowHash {
        RowHash { id, content: content << 48 }
    }

    #[test]
    fn an_id_is_new_once() {
        let mut seen = Seen::new();
        assert_eq!(seen.note(row(1, 7)), Sighting::First);
        assert_eq!(seen.note(row(2, 7)), Sighting::First);
        assert_eq!(seen.note(row(1, 8)), Sighting::Again);
    }

    #[test]
    fn a_row_is_done_once_and_only_as_it_was_written() {
        let mut seen = Seen::remembering();
        seen.remember(row(1, 7));
        seen.remember(row(2, 7));
        seen.remember(row(2, 8));
        assert_eq!(seen.note(row(1, 9)), Sighting::Changed);
        assert_eq!(seen.note(row(2, 8)), Sighting::Done);
        assert_eq!(seen.note(row(2, 8)), Sighting::Again);
        assert_eq!(seen.note(row(3, 8)), Sighting::First);
    }

    #[test]
    fn twenty_three_bits_of_the_content_count() {
        let mut seen = Seen::remembering();
        let content = |bit: u32| RowHash { id: u64::from(bit), content: 1 << bit };
        let unchanged: Vec<u32> = (0..64)
            .filter(|bit| {
                seen.remember(RowHash { id: u64::from(*bit), content: 0 });
                seen.note(content(*bit)) == Sighting::Done
            })
            .collect();
        assert_eq!(unchanged, (0..=40).collect::<Vec<_>>());
    }

    /// The same in a map.
    #[derive(Default)]
    struct Model(HashMap<u64, (u64, bool)>);

    impl Model {
        fn note(&mut self, hash: RowHash) -> Sighting {
            match self.0.insert(hash.id, (hash.content, true)) {
                None => Sighting::First,
                Some((_, true)) => Sighting::Again,
                Some((content, false)) if content == hash.content => Sighting::Done,
                Some((_, false)) => Sighting::Changed,
            }
        }
    }

    /// Few ids, so that they meet again; some in one partition, some in the first and the last.
    fn hashes() -> impl Strategy<Value = Vec<RowHash>> {
        let id = prop_oneof![0..40_u64, any::<u8>().prop_map(|id| u64::MAX - u64::from(id)), any::<u64>()];
        prop::collection::vec((id, 0..3_u64).prop_map(|(id, content)| row(id, content)), 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_resumed_run_agrees_with_a_map(written in hashes(), rows in hashes()) {
            let (mut seen, mut model) = (Seen::remembering(), Model::default());
            for hash in written {
                seen.remember(hash);
                model.0.insert(hash.id, (hash.content, false));
            }
            for hash in rows {
                prop_assert_eq!(seen.note(hash), model.note(hash));
            }
        }

        #[test]
        fn a_fresh_run_agrees_with_a_map(rows in hashes()) {
            let (mut seen, mut model) = (Seen::new(), Model::default());
            for hash in rows {
                prop_assert_eq!(seen.note(hash), model.note(hash));
            }
        }
    }
}
