//! Small entries of equal length in one array, in order of their keys.

/// The length of a key.
const KEY_BYTES: usize = 6;

/// What an entry begins with, and by what it is found.
pub(super) type Key = [u8; KEY_BYTES];

/// Allocators of common systems give pieces of 16 n + 8 bytes, so an array grows by so much at a time. More
/// room saves no time that could be measured, and costs its share of ten million entries.
const ALLOCATED_STEP_BYTES: usize = 16;
const ALLOCATED_REST_BYTES: usize = 8;

/// The entries: a [`Key`] each, and behind it what is kept with it, of one length in all of them.
#[derive(Clone, Default, Debug)]
pub(super) struct Sorted(Vec<u8>);

impl Sorted {
    /// Puts `kept` behind `key`. If the key is known, `kept` gets what stood there before.
    pub(super) fn put(&mut self, key: Key, kept: &mut [u8]) -> Option<()> {
        let entry_bytes = KEY_BYTES + kept.len();
        match self.find(key, entry_bytes) {
            Ok(at) => {
                self.0[at + KEY_BYTES..at + entry_bytes].swap_with_slice(kept);
                Some(())
            }
            Err(at) => {
                self.insert(at, key, kept);
                None
            }
        }
    }

    /// Where the entry of `key` begins, or where it would.
    fn find(&self, key: Key, entry_bytes: usize) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.0.len() / entry_bytes);
        while from < to {
            let middle = from.midpoint(to);
            let at = middle * entry_bytes;
            match self.0[at..at + KEY_BYTES].cmp(&key) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from * entry_bytes)
    }

    fn insert(&mut self, at: usize, key: Key, kept: &[u8]) {
        let bytes_before = self.0.len();
        let bytes = bytes_before + KEY_BYTES + kept.len();
        if bytes > self.0.capacity() {
            let allocated = (bytes + ALLOCATED_REST_BYTES).next_multiple_of(ALLOCATED_STEP_BYTES);
            self.0.reserve_exact(allocated - ALLOCATED_REST_BYTES - bytes_before);
        }
        self.0.resize(bytes, 0);
        self.0.copy_within(at..bytes_before, bytes - (bytes_before - at));
        self.0[at..at + KEY_BYTES].copy_from_slice(&key);
        self.0[at + KEY_BYTES..at + KEY_BYTES + kept.len()].copy_from_slice(kept);
    }
}
