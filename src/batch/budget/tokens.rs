//! Input and output of a request, told apart: they have different prices.

use keywheel_actors::dialect::Dialect;
use keywheel_actors::outcome::Usage;
use keywheel_actors::request::Request;
use serde::Deserialize;

/// What OpenAI's dialect reckons for a request that names no maximum.
const UNSAID_BY_OPENAI: u64 = 16;

/// The most output that Anthropic's dialect reckons.
const MOST_BY_ANTHROPIC: u64 = 1_024;

/// What a request will probably use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) struct Estimate {
    /// Its input, and its output at most.
    pub usage: Usage,
    /// Whether the request itself says how much output there can be, or has none.
    pub is_output_said: bool,
}

/// The tokens of `request`: its input by the dialect's estimate, and the most output that it asks for, or
/// `output_unsaid` if it names no maximum.
pub(super) fn tokens_of(dialect: &dyn Dialect, request: &Request, output_unsaid: u64) -> Estimate {
    let asked: Asked = serde_json::from_slice(&request.body).unwrap_or_default();
    let reckoned = dialect.estimate_tokens(request);
    let answers = asked.n.max(asked.best_of).unwrap_or(1).max(1);
    let writes = !request.path.contains("embed");
    // The dialect adds some output for the sake of limits; that part isn't input.
    let reckoned_output = match dialect.name() {
        "openai" if writes => asked.most().unwrap_or(UNSAID_BY_OPENAI).saturating_mul(answers),
        "anthropic" => asked.max_tokens.unwrap_or(0).min(MOST_BY_ANTHROPIC),
        _ => 0,
    };
    let output = if writes { asked.most().unwrap_or(output_unsaid).saturating_mul(answers) } else { 0 };
    let input_tokens = reckoned.saturating_sub(reckoned_output);
    let usage = Usage { input_tokens, output_tokens: output, cached_tokens: 0 };
    Estimate { usage, is_output_said: !writes || asked.most().is_some() }
}

/// What the dialects call a maximum of output.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
    #[serde(rename = "generationConfig", alias = "generation_config")]
    generation: Generation,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Generation {
    #[serde(rename = "maxOutputTokens", alias = "max_output_tokens")]
    most: Option<u64>,
    #[serde(rename = "candidateCount", alias = "candidate_count")]
    answers: Option<u64>,
}

impl Asked {
    fn most(&self) -> Option<u64> {
        let gemini =
            self.generation.most.map(|most| most.saturating_mul(self.generation.answers.unwrap_or(1)));
        self.max_completion_tokens.or(self.max_output_tokens).or(self.max_tokens).or(gemini)
    }
}
