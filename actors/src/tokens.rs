//! Tokens of one call, in the parts that providers limit separately.

use crate::spec::Dimension;

/// What a call takes, or took, from limits on tokens.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct Tokens {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

impl Tokens {
    /// Nothing: what a call takes where nobody limits tokens.
    pub const NONE: Self = Self { input: 0, output: 0 };

    /// A prompt without an answer.
    pub const fn input(input: u64) -> Self {
        Self { input, output: 0 }
    }

    /// Both parts together.
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// What it takes from a limit of that kind.
    pub const fn amount(self, dimension: Dimension) -> u64 {
        match dimension {
            Dimension::Requests => 1,
            Dimension::Tokens => self.total(),
            Dimension::InputTokens => self.input,
            Dimension::OutputTokens => self.output,
        }
    }

    /// Whether no part is larger than that of `other`: wherever `other` fits, this does.
    pub const fn is_within(self, other: Self) -> bool {
        self.input <= other.input && self.output <= other.output
    }

    /// The smaller one of each part.
    pub fn min(self, other: Self) -> Self {
        Self { input: self.input.min(other.input), output: self.output.min(other.output) }
    }

    /// The larger one of each part.
    pub fn max(self, other: Self) -> Self {
        Self { input: self.input.max(other.input), output: self.output.max(other.output) }
    }
}

/// What a request itself says about the tokens that it will use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// Tokens of the prompt, by its length.
    pub input: u64,
    /// The most that one answer may have; `None` if the request names no maximum.
    pub output_max: Option<u64>,
    /// How many answers it asks for.
    pub answers: u64,
}

impl Estimate {
    /// Of a request about which nothing can be said: it counts for nothing.
    pub const NOTHING: Self = Self { input: 0, output_max: Some(0), answers: 1 };

    /// The most that may be written, all answers together.
    pub const fn most(&self) -> Option<u64> {
        match self.output_max {
            Some(most) => Some(most.saturating_mul(self.answers)),
            None => None,
        }
    }
}
