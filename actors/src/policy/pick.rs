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
    keys: Vec<Entry>,
    in_order: BTreeSet<KeyIndex>,
    /// The same keys as [`Picker::in_order`], for drawing at random.
    drawable: Vec<KeyIndex>,
    last: Option<KeyIndex>,
}

#[derive(Clone, Debug)]
struct Entry {
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

    /// Adds the next key; it isn't ready yet. A weight below 1 counts as 1.
    pub fn add(&mut self, weight: u32) -> KeyIndex {
        self.keys.push(Entry {
            weight: i64::from(weight.max(1)),
            owed: 0,
            in_flight: 0,
            first_content_s: None,
            drawn_at: None,
        });
        KeyIndex(self.keys.len() - 1)
    }

    /// The key has credits, or has none.
    pub fn set_ready(&mut self, key: KeyIndex, ready: bool) {
        match (ready, self.keys[key.0].drawn_at) {
            (true, None) => {
                self.in_order.insert(key);
                self.keys[key.0].drawn_at = Some(self.drawable.len());
                self.drawable.push(key);
            }
            (false, Some(place)) => {
                self.in_order.remove(&key);
                self.keys[key.0].drawn_at = None;
                self.drawable.swap_remove(place);
                if let Some(moved) = self.drawable.get(place) {
                    self.keys[moved.0].drawn_at = Some(place);
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
    pub fn pick(
        &mut self,
        avoid: Option<KeyIndex>,
        fits: impl Fn(KeyIndex) -> bool,
        rng: &mut fastrand::Rng,
    ) -> Option<KeyIndex> {
        let preferred = |key: KeyIndex| Some(key) != avoid && fits(key);
        let picked = match self.pick {
            Pick::RoundRobin => self.after_last().find(|key| preferred(*key)),
            Pick::PrimaryFirst => self.in_order.iter().copied().find(|key| preferred(*key)),
            Pick::Weighted => self.most_owed(preferred),
            Pick::LeastInFlight => {
                self.after_last().filter(|key| preferred(*key)).min_by_key(|key| self.keys[key.0].in_flight)
            }
            Pick::Fastest => self.faster_of_two(preferred, rng),
        };
        let picked = picked.or_else(|| avoid.filter(|key| self.in_order.contains(key) && fits(*key)));
        if picked.is_some() {
            self.last = picked;
        }
        picked
    }

    /// A call with the key began.
    pub fn started(&mut self, key: KeyIndex) {
        self.keys[key.0].in_flight += 1;
    }

    /// A call with the key ended.
    pub fn finished(&mut self, key: KeyIndex, speed: Speed) {
        let entry = &mut self.keys[key.0];
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
        let from = self.last.map_or(KeyIndex(0), |last| KeyIndex(last.0 + 1));
        self.in_order.range(from..).chain(self.in_order.range(..from)).copied()
    }

    /// Smooth weighted round robin, as nginx does it: each key is owed its weight per turn, the one that
    /// is owed most serves and pays for all.
    fn most_owed(&mut self, fits: impl Fn(KeyIndex) -> bool) -> Option<KeyIndex> {
        let mut total = 0;
        let mut most: Option<(i64, KeyIndex)> = None;
        for key in &self.in_order {
            if !fits(*key) {
                continue;
            }
            let entry = &mut self.keys[key.0];
            entry.owed += entry.weight;
            total += entry.weight;
            if most.is_none_or(|(owed, _)| entry.owed > owed) {
                most = Some((entry.owed, *key));
            }
        }
        let (_, key) = most?;
        self.keys[key.0].owed -= total;
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
        let entry = &self.keys[key.0];
        entry.first_content_s.unwrap_or(UNTRIED_S) * f64::from(entry.in_flight + 1)
    }
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
            for weight in weights {
                let key = picker.add(*weight);
                picker.set_ready(key, true);
            }
            Self { picker, rng: fastrand::Rng::with_seed(3) }
        }

        fn next(&mut self) -> Option<usize> {
            self.picker.pick(None, |_| true, &mut self.rng).map(|key| key.0)
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
    fn the_avoided_key_is_the_last_resort() {
        for (_, pick) in Pick::ALL {
            let mut story = Story::of(pick, &[1, 1]);
            let avoid = Some(KeyIndex(0));
            assert_eq!(story.picker.pick(avoid, |_| true, &mut story.rng), Some(KeyIndex(1)), "{pick:?}");
            story.ready(1, false);
            assert_eq!(story.picker.pick(avoid, |_| true, &mut story.rng), avoid, "{pick:?}");
            story.ready(0, false);
            assert_eq!(story.picker.pick(avoid, |_| true, &mut story.rng), None, "{pick:?}");
        }
    }

    proptest! {
        /// Whoever is picked is ready and fits; if such a key exists, one is picked.
        #[test]
        fn picks_a_fitting_ready_key_if_there_is_one(
            strategy in 0usize..5,
            steps in proptest::collection::vec((0usize..6, any::<bool>(), any::<u8>()), 1..100),
        ) {
            let mut story = Story::of(Pick::ALL[strategy].1, &[1, 2, 3, 4, 5, 6]);
            let mut ready = [true; 6];
            for (key, is_ready, mask) in steps {
                story.ready(key, is_ready);
                ready[key] = is_ready;
                let fits = |key: KeyIndex| mask & (1 << key.0) != 0;
                let picked = story.picker.pick(Some(KeyIndex(key)), fits, &mut story.rng);
                let possible = (0..6).any(|key| ready[key] && fits(KeyIndex(key)));
                prop_assert_eq!(picked.is_some(), possible);
                prop_assert!(picked.is_none_or(|key| ready[key.0] && fits(key)));
            }
        }
    }
}
