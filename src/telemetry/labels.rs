//! Labels that stay few: names come from clients as well, and each new one is a new series forever.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// Names that are told apart; further ones are all `other`.
const NAMES_MAX: usize = 200;
/// What further ones are.
const OTHER: &str = "other";

/// The names met so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RwLock<HashSet<Arc<str>>>,
}

impl Names {
    /// The label for a name.
    pub(super) fn label(&self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMES_MAX {
            return Arc::from(OTHER);
        }
        let name: Arc<str> = Arc::from(name);
        known.insert(Arc::clone(&name));
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
}
