//! Lines that a later line of the same row has taken the place of.

use std::collections::HashSet;
use std::fs::File;
use std::io;

use super::read::Records;

/// Ids held at once, some 20 MB with the table's slack. A longer journal is read more than once.
const IDS_AT_ONCE: u64 = 1 << 20;

/// A set of record numbers, one bit each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::batch::output) struct Bits {
    words: Vec<u64>,
    count: u64,
}

impl Bits {
    /// Takes a number in.
    pub(in crate::batch::output) fn insert(&mut self, number: u64) {
        let (word, bit) = place(number);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.count += u64::from(self.words[word] >> bit & 1 == 0);
        self.words[word] |= 1 << bit;
    }

    /// Whether a number is in.
    pub(in crate::batch::output) fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.words.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// How many numbers are in.
    pub(in crate::batch::output) const fn count(&self) -> u64 {
        self.count
    }
}

const fn place(number: u64) -> (usize, u64) {
    ((number / 64) as usize, number % 64)
}

/// The numbers of all lines of `journal` behind which another one of the same row stands; `lines` is how many
/// lines it has.
///
/// # Errors
/// If it can't be read.
pub(in crate::batch::output) fn superseded(journal: &File, lines: u64) -> io::Result<Bits> {
    superseded_in(journal, lines, IDS_AT_ONCE)
}

fn superseded_in(journal: &File, lines: u64, ids_at_once: u64) -> io::Result<Bits> {
    let mut superseded = Bits::default();
    let shares = lines.div_ceil(ids_at_once);
    for share in 0..shares {
        // A first pass finds the ids that come twice, a second one all but their last lines.
        let mut once = HashSet::new();
        let mut again = std::collections::HashMap::new();
        let is_ours = |id: u64| id % shares == share;
        let mut records = Records::of(journal)?;
        let mut number = 0;
        while let Some(line) = records.next_line()? {
            if is_ours(line.hash.id) && !once.insert(line.hash.id) {
                again.insert(line.hash.id, number);
            }
            number += 1;
        }
        if again.is_empty() {
            continue;
        }
        let mut records = Records::of(journal)?;
        let mut number = 0;
        while let Some(line) = records.next_line()? {
            if again.get(&line.hash.id).is_some_and(|last| *last != number) {
                superseded.insert(number);
            }
            number += 1;
        }
    }
    Ok(superseded)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::input::hash::RowHash;
    use crate::batch::output::journal::record::{Kind, LineRecord, RECORD_BYTES, Record};

    fn journal(ids: &[u64]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; RECORD_BYTES]).unwrap();
        for id in ids {
            let hash = RowHash { id: *id, content: 0 };
            let line = LineRecord { hash, kind: Kind::Ok, line: 1, bytes: 1, error_bytes: 0, sum: 0 };
            file.write_all(&Record::Line(line).encode()).unwrap();
            file.write_all(&Record::Synced.encode()).unwrap();
        }
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_but_the_last_line_of_a_row_are_superseded(
            ids in prop::collection::vec(0..12_u64, 0..40),
            ids_at_once in 1..50_u64,
        ) {
            let found = superseded_in(&journal(&ids), ids.len() as u64, ids_at_once).unwrap();
            let expected = |number: usize| ids[number + 1..].contains(&ids[number]);
            for number in 0..ids.len() {
                prop_assert_eq!(found.contains(number as u64), expected(number), "{}", number);
            }
            prop_assert_eq!(found.count(), (0..ids.len()).filter(|number| expected(*number)).count() as u64);
        }
    }
}
