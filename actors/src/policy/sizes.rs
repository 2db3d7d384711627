//! How large the last jobs of a key or a caller were: what the next one may be like.

use std::collections::VecDeque;

use crate::tokens::Tokens;

/// So many jobs are remembered: enough that a mix of sizes shows, few enough that a change is soon seen.
const JOBS: usize = 16;

/// The sizes of the last jobs that came, in the order in which they were noted.
#[derive(Clone, Debug, Default)]
pub struct Sizes(VecDeque<Tokens>);

impl Sizes {
    /// A job came.
    pub fn note(&mut self, tokens: Tokens) {
        if self.0.len() == JOBS {
            self.0.pop_front();
        }
        self.0.push_back(tokens);
    }

    /// The least that any took: as long as there is room for that, a job can be sent here.
    pub fn least(&self) -> Tokens {
        self.0.iter().copied().reduce(Tokens::min).unwrap_or(Tokens::NONE)
    }

    /// The most that any took: so much should be there at once.
    pub fn most(&self) -> Tokens {
        self.0.iter().copied().reduce(Tokens::max).unwrap_or(Tokens::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sixteen_count() {
        let mut sizes = Sizes::default();
        assert_eq!((sizes.least(), sizes.most()), (Tokens::NONE, Tokens::NONE));
        sizes.note(Tokens { input: 5, output: 900 });
        for size in 10..26 {
            assert_eq!(sizes.least().input, 5);
            sizes.note(Tokens { input: size, output: 1 });
        }
        assert_eq!(
            (sizes.least(), sizes.most()),
            (Tokens { input: 10, output: 1 }, Tokens { input: 25, output: 1 })
        );
    }
}
