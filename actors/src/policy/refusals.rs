//! What a key has lately been too full for, as its provider remembers it.
//!
//! Only the key knows what is left of its token limits. It sends a job back that is too large for now and
//! says until when; then the provider needn't ask again, while smaller jobs still go there.

use crate::clock::Moment;
use crate::tokens::Tokens;

/// Sizes of jobs that are told apart. More are rarely under way at once; the least useful one is forgotten,
/// which costs a message and no call.
const SIZES_MAX: usize = 8;

/// The sizes of jobs that were refused, and until when.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Vec<(Tokens, Moment)>);

impl Refusals {
    /// A job of this size can't start before `until`.
    pub fn note(&mut self, tokens: Tokens, until: Moment) {
        // Whoever is as large and was told of an earlier moment is told the later one by this one, too.
        self.0.retain(|(known, end)| !(tokens.is_within(*known) && *end <= until) && *known != tokens);
        if self.0.len() >= SIZES_MAX {
            let soonest = self.0.iter().enumerate().min_by_key(|(_, (_, end))| *end).map(|(place, _)| place);
            soonest.map(|place| self.0.swap_remove(place));
        }
        self.0.push((tokens, until));
    }

    /// Until when a job of this size is refused, for what was said of it or of smaller ones.
    pub fn until(&self, now: Moment, tokens: Tokens) -> Option<Moment> {
        let known = self.0.iter().filter(|(known, end)| *end > now && known.is_within(tokens));
        known.map(|(_, end)| *end).max()
    }

    /// Something was given back: anything may fit.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets what is over. When the next one will be.
    pub fn expire(&mut self, now: Moment) -> Moment {
        self.0.retain(|(_, end)| *end > now);
        self.0.iter().map(|(_, end)| *end).min().unwrap_or(Moment::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn the_larger_wait_as_long_and_the_smaller_go_on() {
        let mut refusals = Refusals::default();
        refusals.note(Tokens::input(100), at(5));
        refusals.note(Tokens::input(400), at(9));
        let until = |refusals: &Refusals, tokens| refusals.until(at(1), Tokens::input(tokens));
        assert_eq!(
            [99, 100, 399, 400].map(|tokens| until(&refusals, tokens)),
            [None, Some(at(5)), Some(at(5)), Some(at(9))]
        );
        assert_eq!(refusals.until(at(1), Tokens { input: 50, output: 900 }), None, "another kind of tokens");
        assert_eq!(refusals.until(at(5), Tokens::input(100)), None);
        assert_eq!(refusals.expire(at(5)), at(9));
        refusals.note(Tokens::input(10), at(20));
        assert_eq!(until(&refusals, 400), Some(at(20)), "what a small one waits for, a large one does");
        refusals.clear();
        assert_eq!((until(&refusals, 400), refusals.expire(at(1))), (None, Moment::NEVER));
    }

    proptest! {
        /// However many sizes there were: never a wait that nobody told of, and few are remembered.
        #[test]
        fn nothing_is_made_up(told in prop::collection::vec((0..50_u64, 0..50_u64, 1..60_u64), 1..40), asked in 0..50_u64) {
            let mut refusals = Refusals::default();
            for (input, output, end) in &told {
                refusals.note(Tokens { input: *input, output: *output }, at(*end));
            }
            let asked = Tokens { input: asked, output: asked };
            let covers = |input: u64, output: u64| Tokens { input, output }.is_within(asked);
            let latest = told.iter().filter(|(input, output, _)| covers(*input, *output)).map(|(.., end)| at(*end)).max();
            prop_assert!(refusals.until(at(0), asked) <= latest);
            prop_assert!(refusals.0.len() <= SIZES_MAX);
        }
    }
}
