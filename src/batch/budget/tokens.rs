//! Input and output of a request, told apart: they have different prices.

use keywheel_actors::dialect::Dialect;
use keywheel_actors::outcome::Usage;
use keywheel_actors::request::Request;
use keywheel_actors::tokens::Estimate;

/// What a request will probably use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Reckoning {
    /// Its input, and its output at most.
    pub usage: Usage,
    /// Whether the request itself says how much output there can be, or has none.
    pub is_output_said: bool,
}

/// The tokens of `request`: its input by the dialect's estimate, and the most output that it asks for, or
/// `output_unsaid` for each answer if it names no maximum.
pub(super) fn tokens_of(dialect: &dyn Dialect, request: &Request, output_unsaid: u64) -> Reckoning {
    let estimate = dialect.estimate_tokens(request);
    if estimate == Estimate::NOTHING {
        // A body that nobody can read may ask for an answer all the same.
        let usage = Usage { output_tokens: output_unsaid, ..Usage::default() };
        return Reckoning { usage, is_output_said: false };
    }
    let most = estimate.most();
    let output_tokens = most.unwrap_or_else(|| output_unsaid.saturating_mul(estimate.answers));
    let usage = Usage { input_tokens: estimate.input, output_tokens, cached_tokens: 0 };
    Reckoning { usage, is_output_said: most.is_some() }
}
