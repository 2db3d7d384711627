//! Which of the keys with credit serves next.
//!
//! The picker knows keys by number only and hears of every change, so that a
//! choice looks at ready keys and at no others.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::spec::Pick;

/// A key's place among its provider's keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyIndex(pub usize);

/// What a call that ended told about the speed of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// Its first content took so long.
    Took(Duration),
    /// It failed: that counts as slow, or a key that fails fast would look like the best one.
    Failed,
    /// Nothing.
    Unknown,
}

/// A new sample weighs one fifth: three calls later half of a change is seen.
const NEW_SAMPLE_SHARE: f64 = 0.2;
/// A failed call counts as twice as slow as usual, and as no faster than this.
const FAILED_S_MIN: f64 = 1.0;
/// What is assumed of a key that has not answered yet: fast, so that it is tried.
const UNTRIED_S: f64 = 0.001;

/// Chooses among the ready keys of one provider.
#[derive(Clone, Debug)]
pub struct Picker {
    pick: Pick,
    /// By place; a place may be empty.
    keys: Vec<Option<Entry>>,
    /// Those that are ready, by rank.
    in_order: BTreeSet<(Rank, KeyIndex)>,
    /// The same keys as [`Picker::in_order`], for drawing at random.
    drawable: Vec<KeyIndex>,
    last: Option<(Rank, KeyIndex)>,
}

/// Where a key stands in the configuration: the first one is the primary one.
type Rank = usize;

#[derive(Clone, Debug)]
struct Entry {
    rank: Rank,
    weight: i64,
    /// What smooth weighted round robin owes it.
    owed: i64,
    in_flight: u32,
    first_content_s: Option<f64>,
    /// Its place in `drawable`, if it is ready.
    drawn_at: Option<usize>,
}

impl Picker {
    /// A picker without keys.
    pub const fn new(pick: Pick) -> Self {
        Self { pick, keys: Vec::new(), in_order: BTreeSet::new(), drawable: Vec::new(), last: None }
    }

    /// From now on chooses so.
    pub const fn set_pick(&mut self, pick: Pick) {
        self.pick = pick;
    }

    /// Gives a key a place, not ready yet, or changes what is known of the one that has it. A weight below
    /// 1 counts as 1.
    pub fn seat(&mut self, key: KeyIndex, rank: usize, weight: u32) {
        if self.keys.len() <= key.0 {
            self.keys.resize(key.0 + 1, None);
        }
        let weight = i64::from(weight.max(1));
        let Some(entry) = &mut self.keys[key.0] else {
            self.keys[key.0] =
                Some(Entry { rank, weight, owed: 0, in_flight: 0, first_content_s: None, drawn_at: None });
            return;
        };
        entry.weight = weight;
        let before = std::mem::replace(&mut entry.rank, rank);
        if self.in_order.remove(&(before, key)) {
            self.in_order.insert((rank, key));
        }
    }

    /// The key is gone; another may get its place.
    pub fn vacate(&mut self, key: KeyIndex) {
        self.set_ready(key, false);
        if let Some(place) = self.keys.get_mut(key.0) {
            *place = None;
        }
    }

    /// The key has credits, or has none.
    pub fn set_ready(&mut self, key: KeyIndex, ready: bool) {
        let Some(entry) = self.keys.get_mut(key.0).and_then(Option::as_mut) else { return };
        match (ready, entry.drawn_at) {
            (true, None) => {
                self.in_order.insert((entry.rank, key));
                entry.drawn_at = Some(self.drawable.len());
                self.drawable.push(key);
            }
            (false, Some(place)) => {
                self.in_order.remove(&(entry.rank, key));
                entry.drawn_at = None;
                self.drawable.swap_remove(place);
                if let Some(moved) = self.drawable.get(place)
                    && let Some(moved) = &mut self.keys[moved.0]
                {
                    moved.drawn_at = Some(place);
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Whether any key is ready.
    pub fn has_ready(&self) -> bool {
        !self.drawable.is_empty()
    }

    /// The key that is to serve next, of those that are ready and that `fits` accepts.
    /// `avoid` is chosen only if there is no other.
    /// `affinity` is equal for jobs that should share a key, if they may.
    pub fn pick(
        &mut self,
        avoid: Option<KeyIndex>,
        affinity: u64,
        fits: impl Fn(KeyIndex) -> bool,
        rng: &mut fastrand::Rng,
    ) -> Option<KeyIndex> {
        let preferred = |key: KeyIndex| Some(key) != avoid && fits(key);
        let picked = match self.pick {
            Pick::RoundRobin => self.after_last().find(|key| preferred(*key)),
            Pick::PrimaryFirst => self.ready().find(|key| preferred(*key)),
            Pick::Weighted => self.most_owed(preferred),
            Pick::LeastInFlight => {
                self.after_last().filter(|key| preferred(*key)).min_by_key(|key| self.in_flight(*key))
            }
            Pick::Fastest => self.faster_of_two(preferred, rng),
            Pick::Sticky => {
                self.ready().filter(|key| preferred(*key)).max_by_key(|key| attraction(affinity, *key))
            }
        };
        let picked = picked.or_else(|| avoid.filter(|key| self.is_ready(*key) && fits(*key)));
        if let Some(key) = picked
            && let Some(entry) = self.entry(key)
        {
            self.last = Some((entry.rank, key));
        }
        picked
    }

    /// A call with the key began.
    pub fn started(&mut self, key: KeyIndex) {
        if let Some(entry) = self.keys.get_mut(key.0).and_then(Option::as_mut) {
            entry.in_flight += 1;
        }
    }

    /// A call with the key ended.
    pub fn finished(&mut self, key: KeyIndex, speed: Speed) {
        let Some(entry) = self.keys.get_mut(key.0).and_then(Option::as_mut) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let known = entry.first_content_s;
        let sample = match speed {
            Speed::Took(first_content) => first_content.as_secs_f64(),
            Speed::Failed => (known.unwrap_or(0.0) * 2.0).max(FAILED_S_MIN),
            Speed::Unknown => return,
        };
        entry.first_content_s =
            Some(known.map_or(sample, |known| known + NEW_SAMPLE_SHARE * (sample - known)));
    }

    /// The ready keys in turn, beginning behind the last one picked.
    fn after_last(&self) -> impl Iterator<Item = KeyIndex> {
        let from = self.last.map_or((0, KeyIndex(0)), |(rank, last)| (rank, KeyIndex(last.0 + 1)));
        self.in_order.range(from..).chain(self.in_order.range(..from)).map(|(_, key)| *key)
    }

    /// The ready keys, by rank.
    fn ready(&self) -> impl Iterator<Item = KeyIndex> {
        self.in_order.iter().map(|(_, key)| *key)
    }

    fn is_ready(&self, key: KeyIndex) -> bool {
        self.entry(key).is_some_and(|entry| entry.drawn_at.is_some())
    }

    fn entry(&self, key: KeyIndex) -> Option<&Entry> {
        self.keys.get(key.0)?.as_ref()
    }

    fn in_flight(&self, key: KeyIndex) -> u32 {
        self.entry(key).map_or(0, |entry| entry.in_flight)
    }

    /// Smooth weighted round robin, as nginx does it: each key is owed its weight per turn, the one that
    /// is owed most serves and pays for all.
    fn most_owed(&mut self, fits: impl Fn(KeyIndex) -> bool) -> Option<KeyIndex> {
        let mut total = 0;
        let mut most: Option<(i64, KeyIndex)> = None;
        for (_, key) in &self.in_order {
            let Some(entry) = self.keys[key.0].as_mut().filter(|_| fits(*key)) else { continue };
            entry.owed += entry.weight;
            total += entry.weight;
            if most.is_none_or(|(owed, _)| entry.owed > owed) {
                most = Some((entry.owed, *key));
            }
        }
        let (_, key) = most?;
        if let Some(entry) = &mut self.keys[key.0] {
            entry.owed -= total;
        }
        Some(key)
    }

    /// The better of two drawn at random, by time to first content × calls in flight. If neither fits,
    /// the best of all.
    fn faster_of_two(&self, fits: impl Fn(KeyIndex) -> bool, rng: &mut fastrand::Rng) -> Option<KeyIndex> {
        if self.drawable.is_empty() {
            return None;
        }
        let first = rng.usize(..self.drawable.len());
        // A second one other than the first, if there is one.
        let second = (first + 1 + rng.usize(..self.drawable.len().max(2) - 1)) % self.drawable.len();
        let drawn = [self.drawable[first], self.drawable[second]];
        let faster = |a: &KeyIndex, b: &KeyIndex| self.cost(*a).total_cmp(&self.cost(*b));
        let better = drawn.into_iter().filter(|key| fits(*key)).min_by(faster);
        better.or_else(|| self.drawable.iter().copied().filter(|key| fits(*key)).min_by(faster))
    }

    fn cost(&self, key: KeyIndex) -> f64 {
        let first_content_s = self.entry(key).and_then(|entry| entry.first_content_s);
        first_content_s.unwrap_or(UNTRIED_S) * f64::from(self.in_flight(key) + 1)
    }
}

/// How much a key draws such jobs. The most attractive of the ready keys serves (rendezvous hashing), so one that
/// rests or leaves moves its own jobs and no others, and they spread over all that are left.
///
/// The mixing is that of `SplitMix64` (Steele et al., 2014): every bit of both reaches all of the result.
const fn attraction(affinity: u64, key: KeyIndex) -> u64 {
    let seed = affinity ^ (key.0 as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Story {
        picker: Picker,
        rng: fastrand::Rng,
    }

    impl Story {
        fn of(pick: Pick, weights: &[u32]) -> Self {
            let mut picker = Picker::new(pick);
            for (place, weight) in weights.iter().enumerate() {
                picker.seat(KeyIndex(place), place, *weight);
                picker.set_ready(KeyIndex(place), true);
            }
            Self { picker, rng: fastrand::Rng::with_seed(3) }
        }

        fn next(&mut self) -> Option<usize> {
            self.picker.pick(None, 0, |_| true, &mut self.rng).map(|key| key.0)
        }

        fn next_many(&mut self, count: usize) -> Vec<usize> {
            (0..count).filter_map(|_| self.next()).collect()
        }

        fn ready(&mut self, key: usize, ready: bool) {
            self.picker.set_ready(KeyIndex(key), ready);
        }

        fn took(&mut self, key: usize, millis: u64) {
            self.picker.finished(KeyIndex(key), Speed::Took(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn round_robin_takes_each_in_turn_and_skips_who_rests() {
        let mut story = Story::of(Pick::RoundRobin, &[1, 1, 1]);
        assert_eq!(story.next_many(4), [0, 1, 2, 0]);
        story.ready(1, false);
        assert_eq!(story.next_many(3), [2, 0, 2]);
        story.ready(1, true);
        assert_eq!(story.next_many(3), [0, 1, 2]);
    }

    #[test]
    fn weighted_interleaves_smoothly() {
        let mut story = Story::of(Pick::Weighted, &[5, 1, 1]);
        assert_eq!(story.next_many(7), [0, 0, 1, 0, 2, 0, 0]);
        story.ready(0, false);
        assert_eq!(story.next_many(4), [1, 2, 1, 2]);
    }

    #[test]
    fn least_in_flight_prefers_the_idle_and_takes_turns_among_equals() {
        let mut story = Story::of(Pick::LeastInFlight, &[1, 1, 1]);
        story.picker.started(KeyIndex(0));
        assert_eq!(story.next_many(4), [1, 2, 1, 2]);
        story.picker.finished(KeyIndex(0), Speed::Unknown);
        assert_eq!(story.next(), Some(0));
    }

    #[test]
    fn fastest_prefers_the_faster_unless_it_is_busier() {
        let mut story = Story::of(Pick::Fastest, &[1, 1]);
        story.took(0, 100);
        story.took(1, 300);
        assert_eq!(story.next_many(10), [0; 10]);
        for _ in 0..3 {
            story.picker.started(KeyIndex(0));
        }
        assert_eq!(story.next_many(10), [1; 10]);
    }

    #[test]
    fn fastest_doesnt_fall_for_a_key_that_fails_fast() {
        let mut story = Story::of(Pick::Fastest, &[1, 1]);
        story.took(0, 100);
        story.picker.finished(KeyIndex(1), Speed::Failed);
        assert_eq!(story.next_many(10), [0; 10]);
    }

    #[test]
    fn primary_first_stays_with_the_first_until_it_rests() {
        let mut story = Story::of(Pick::PrimaryFirst, &[1, 1, 1]);
        assert_eq!(story.next_many(2), [0, 0]);
        story.ready(0, false);
        assert_eq!(story.next_many(2), [1, 1]);
        story.ready(0, true);
        assert_eq!(story.next(), Some(0));
    }

    #[test]
    fn sticky_keeps_what_belongs_together_and_moves_only_what_it_must() {
        let mut story = Story::of(Pick::Sticky, &[1; 8]);
        let at = |story: &mut Story, affinity| {
            story.picker.pick(None, affinity, |_| true, &mut story.rng).map_or(99, |key| key.0)
        };
        let before: Vec<usize> = (0..800).map(|affinity| at(&mut story, affinity)).collect();
        for key in 0..8 {
            let share = before.iter().filter(|chosen| **chosen == key).count();
            assert!((70..=130).contains(&share), "key {key} draws {share} of 800");
        }
        story.ready(3, false);
        for (affinity, key) in before.iter().enumerate() {
            let now = at(&mut story, affinity as u64);
            assert!(if *key == 3 { now != 3 } else { now == *key }, "{affinity}");
        }
        story.ready(3, true);
        let after: Vec<usize> = (0..800).map(|affinity| at(&mut story, affinity)).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn a_place_is_empty_and_used_again_and_the_order_is_the_configurations() {
        let mut story = Story::of(Pick::PrimaryFirst, &[1, 1, 1]);
        story.took(0, 900);
        story.picker.vacate(KeyIndex(0));
        assert_eq!(story.next(), Some(1));
        story.ready(0, true);
        assert_eq!(story.next(), Some(1), "an empty place is never ready");
        story.picker.seat(KeyIndex(0), 7, 1);
        story.ready(0, true);
        assert_eq!(story.next(), Some(1), "the new key stands last in the configuration");
        story.picker.seat(KeyIndex(0), 0, 1);
        assert_eq!(story.next(), Some(0), "and now first, ready as it was");
        story.picker.set_pick(Pick::Fastest);
        story.took(1, 300);
        story.ready(2, false);
        assert_eq!(story.next_many(3), [0, 0, 0], "nothing is known of the new key's speed");
    }

    #[test]
    fn the_avoided_key_is_the_last_resort() {
        for (_, pick) in Pick::ALL {
            let mut story = Story::of(pick, &[1, 1]);
            let avoid = Some(KeyIndex(0));
            assert_eq!(story.picker.pick(avoid, 0, |_| true, &mut story.rng), Some(KeyIndex(1)), "{pick:?}");
            story.ready(1, false);
            assert_eq!(story.picker.pick(avoid, 0, |_| true, &mut story.rng), avoid, "{pick:?}");
            story.ready(0, false);
            assert_eq!(story.picker.pick(avoid, 0, |_| true, &mut story.rng), None, "{pick:?}");
        }
    }

    proptest! {
        /// Whoever is picked is ready and fits; if such a key exists, one is picked.
        #[test]
        fn picks_a_fitting_ready_key_if_there_is_one(
            strategy in 0usize..6,
            steps in proptest::collection::vec((0usize..6, any::<bool>(), any::<u8>()), 1..100),
        ) {
            let mut story = Story::of(Pick::ALL[strategy].1, &[1, 2, 3, 4, 5, 6]);
            let mut ready = [true; 6];
            for (key, is_ready, mask) in steps {
                story.ready(key, is_ready);
                ready[key] = is_ready;
                let fits = |key: KeyIndex| mask & (1 << key.0) != 0;
                let picked = story.picker.pick(Some(KeyIndex(key)), mask.into(), fits, &mut story.rng);
                let possible = (0..6).any(|key| ready[key] && fits(KeyIndex(key)));
                prop_assert_eq!(picked.is_some(), possible);
                prop_assert!(picked.is_none_or(|key| ready[key.0] && fits(key)));
            }
        }
    }
}
