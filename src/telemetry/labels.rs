//! Labels that stay few: names come from clients as well, and each new one is a new series forever.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// Names beside those of the configuration that are told apart; further ones are all `other`.
const NAMES_MAX: usize = 200;
/// What further ones are.
const OTHER: &str = "other";

/// The names that are told apart.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Nobody can use these up by making some up.
    configured: HashSet<Arc<str>>,
    met: HashSet<Arc<str>>,
}

impl Known {
    fn get(&self, name: &str) -> Option<Arc<str>> {
        self.configured.get(name).or_else(|| self.met.get(name)).cloned()
    }
}

impl Names {
    /// Takes over the names that the configuration has now.
    pub(super) fn configure<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let configured = names.map(Arc::from).collect();
        self.known.write().unwrap_or_else(PoisonError::into_inner).configured = configured;
    }

    /// The label for a name.
    pub(super) fn label(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.met.len() >= NAMES_MAX {
            return Arc::from(OTHER);
        }
        let name: Arc<str> = Arc::from(name);
        known.met.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_told_apart() {
        let names = Names::default();
        for number in 0..NAMES_MAX {
            assert_eq!(*names.label(&number.to_string()), number.to_string());
        }
        assert_eq!(&*names.label("one more"), OTHER);
        assert_eq!(&*names.label("7"), "7");
    }

    #[test]
    fn names_of_the_configuration_are_told_apart_whoever_came_first() {
        let names = Names::default();
        names.configure(["early"].into_iter());
        assert_eq!(&*names.label("early"), "early");
        for number in 0..NAMES_MAX {
            assert_eq!(*names.label(&number.to_string()), number.to_string(), "`early` took no place");
        }
        names.configure(["late"].into_iter());
        assert_eq!((&*names.label("late"), &*names.label("early")), ("late", OTHER));
    }
}
