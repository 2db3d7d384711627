//! The keys of a provider, each at its place.
//!
//! Messages name a key by its place, so a place is used again only when the
//! actor that had it has ended and said so. A thousand reloads need no more
//! places than there were keys at once.

use std::collections::BTreeSet;

use crate::id::KeyName;
use crate::policy::pick::KeyIndex;

use super::children::{Child, Stage};

/// The keys of a provider.
pub(super) type Children = Places<Child>;

/// Things by place.
pub(super) struct Places<T> {
    places: Vec<Option<T>>,
    vacant: BTreeSet<usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { places: Vec::new(), vacant: BTreeSet::new() }
    }
}

impl<T> Places<T> {
    /// So many places, all of them vacant.
    pub(super) fn of_size(places: usize) -> Self {
        Self { places: std::iter::repeat_with(|| None).take(places).collect(), vacant: (0..places).collect() }
    }

    /// Whether there is nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.vacant.len() == self.places.len()
    }

    pub(super) fn get(&self, key: KeyIndex) -> Option<&T> {
        self.places.get(key.0)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: KeyIndex) -> Option<&mut T> {
        self.places.get_mut(key.0)?.as_mut()
    }

    /// All of them, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyIndex, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(place, child)| child.as_ref().map(|child| (KeyIndex(place), child)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }

    /// The place for the next one.
    pub(super) fn vacancy(&self) -> KeyIndex {
        KeyIndex(self.vacant.first().copied().unwrap_or(self.places.len()))
    }

    /// Gives a key a place that is vacant.
    pub(super) fn put(&mut self, key: KeyIndex, child: T) {
        if key.0 == self.places.len() {
            self.places.push(None);
        }
        if let Some(place) = self.places.get_mut(key.0) {
            *place = Some(child);
            self.vacant.remove(&key.0);
        }
    }

    /// Vacates a place.
    pub(super) fn take(&mut self, key: KeyIndex) -> Option<T> {
        let child = self.places.get_mut(key.0)?.take()?;
        self.vacant.insert(key.0);
        Some(child)
    }

    /// Every place, with its key.
    pub(super) fn into_places(self) -> Vec<Option<T>> {
        self.places
    }
}

impl Children {
    /// Those that the configuration names.
    pub(super) fn serving(&self) -> impl Iterator<Item = (KeyIndex, &Child)> {
        self.iter().filter(|(_, child)| child.stage == Stage::Serving)
    }

    /// The one that has this name in the configuration.
    pub(super) fn named(&self, name: &KeyName) -> Option<&Child> {
        self.serving().map(|(_, child)| child).find(|child| child.spec.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_never_more_than_were_needed_at_once() {
        let mut places = Places::of_size(2);
        places.put(KeyIndex(0), "a");
        assert_eq!(places.vacancy(), KeyIndex(1));
        for _ in 0..1_000 {
            for name in ["b", "c"] {
                let vacancy = places.vacancy();
                places.put(vacancy, name);
            }
            assert_eq!(places.vacancy(), KeyIndex(3));
            assert_eq!((places.take(KeyIndex(2)), places.take(KeyIndex(1))), (Some("c"), Some("b")));
            assert_eq!((places.vacancy(), places.get(KeyIndex(2))), (KeyIndex(1), None));
            assert_eq!(places.take(KeyIndex(2)), None, "nobody is there");
        }
        assert_eq!((places.places.len(), places.iter().count(), places.is_empty()), (3, 1, false));
        assert_eq!((places.take(KeyIndex(0)), places.is_empty()), (Some("a"), true));
    }
}
