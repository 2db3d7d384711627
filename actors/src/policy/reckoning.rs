//! What a call is reckoned to take from limits on tokens, before it is made and after.
//!
//! The prompt is known by its length. What will be written isn't: where the
//! provider itself reckons with the maximum that was asked for, so do we; where
//! it counts what was really written, or where no maximum was named, the answers
//! of the same model so far tell what to expect.

use std::collections::HashMap;

use crate::id::Model;
use crate::spec::Counting;
use crate::tokens::{Estimate, Tokens};

/// What is expected of the first answers of a model: about two paragraphs.
///
/// Low enough that a small limit isn't blocked by it, high enough that the first burst of calls doesn't
/// overdraw a limit many times over. The first answer replaces it.
pub const OUTPUT_FIRST_GUESS: u64 = 256;

/// A new sample weighs an eighth, and its distance from the mean a quarter of the deviation: the gains that
/// TCP estimates its round trips with (RFC 6298, section 2), where a few samples must tell a trend from a stray.
const MEAN_SHARE: f64 = 1.0 / 8.0;
const DEVIATION_SHARE: f64 = 1.0 / 4.0;

/// Callers may name any model; what is learned of more than these at once isn't worth its memory.
const MODELS_MAX: usize = 256;

/// What the answers of each model were like so far.
#[derive(Clone, Debug, Default)]
pub struct Reckoner {
    models: HashMap<Model, Answers>,
}

/// How long a model's answers are: their mean, and how far they are from it on average.
#[derive(Clone, Copy, Debug)]
struct Answers {
    mean: f64,
    deviation: f64,
}

impl Answers {
    /// The mean and one mean deviation: most answers are shorter, and those that aren't are settled.
    fn expected(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast clamps")]
        let expected = (self.mean + self.deviation).ceil() as u64;
        expected
    }
}

impl Reckoner {
    /// What a call is to be reckoned with. What is only expected is never more than `room`, the output that
    /// every key can grant at once: a guess must not make a job impossible.
    pub fn reckon(&self, counting: Counting, model: &Model, estimate: &Estimate, room: u64) -> Tokens {
        let most = estimate.most();
        let output = match (counting, most) {
            (Counting::UpFront | Counting::Corrected, Some(most)) => most,
            (Counting::UpFront | Counting::Corrected | Counting::Used, _) => {
                let known = self.models.get(model).map(|answers| answers.expected());
                let expected =
                    known.unwrap_or_else(|| OUTPUT_FIRST_GUESS.saturating_mul(estimate.answers.max(1)));
                expected.min(room).min(most.unwrap_or(u64::MAX))
            }
        };
        Tokens { input: estimate.input, output }
    }

    /// A call of this model wrote so much.
    pub fn wrote(&mut self, model: &Model, output_tokens: u64) {
        let sample = output_tokens as f64;
        if let Some(answers) = self.models.get_mut(model) {
            let distance = (sample - answers.mean).abs();
            answers.deviation += DEVIATION_SHARE * (distance - answers.deviation);
            answers.mean += MEAN_SHARE * (sample - answers.mean);
        } else if self.models.len() < MODELS_MAX {
            self.models.insert(model.clone(), Answers { mean: sample, deviation: sample / 2.0 });
        }
    }
}

/// The least that a call counts for, however little it uses.
///
/// A provider that reckons up front doesn't give back what wasn't used, so neither do we. What is used beyond
/// that is charged all the same, since nobody promises that it isn't counted.
pub fn floor(counting: Counting, estimate: &Estimate) -> Tokens {
    match counting {
        Counting::UpFront => Tokens { input: estimate.input, output: estimate.most().unwrap_or(0) },
        Counting::Corrected | Counting::Used => Tokens::NONE,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: Estimate = Estimate { input: 100, output_max: Some(1_000), answers: 2 };
    const UNSAID: Estimate = Estimate { output_max: None, ..ASKED };

    fn output(reckoner: &Reckoner, counting: Counting, estimate: &Estimate) -> u64 {
        reckoner.reckon(counting, &"m".into(), estimate, u64::MAX).output
    }

    #[test]
    fn who_reckons_up_front_is_believed_and_who_counts_is_learned() {
        let mut reckoner = Reckoner::default();
        assert_eq!(output(&reckoner, Counting::UpFront, &ASKED), 2_000);
        assert_eq!(output(&reckoner, Counting::UpFront, &UNSAID), 512);
        assert_eq!(output(&reckoner, Counting::Used, &ASKED), 512);
        for _ in 0..60 {
            reckoner.wrote(&"m".into(), 80);
        }
        assert_eq!(output(&reckoner, Counting::UpFront, &ASKED), 2_000, "as the provider does");
        assert_eq!(output(&reckoner, Counting::UpFront, &UNSAID), 81);
        assert_eq!(output(&reckoner, Counting::Corrected, &ASKED), 2_000, "until the answer tells");
        assert_eq!(output(&reckoner, Counting::Used, &ASKED), 81);
        assert_eq!(output(&reckoner, Counting::Used, &Estimate { output_max: Some(5), ..ASKED }), 10);
        let other = reckoner.reckon(Counting::Used, &"n".into(), &UNSAID, u64::MAX);
        assert_eq!(other, Tokens { input: 100, output: 512 }, "each model writes as it does");
    }

    #[test]
    fn answers_of_different_length_are_reckoned_with_a_margin() {
        let mut reckoner = Reckoner::default();
        for _ in 0..100 {
            reckoner.wrote(&"m".into(), 100);
            reckoner.wrote(&"m".into(), 300);
        }
        let expected = output(&reckoner, Counting::Used, &UNSAID);
        assert!((290..=330).contains(&expected), "a mean of 200 and a deviation of 100: {expected}");
    }

    #[test]
    fn a_guess_makes_no_job_impossible() {
        let reckoner = Reckoner::default();
        let reckon = |estimate| reckoner.reckon(Counting::UpFront, &"m".into(), estimate, 40);
        assert_eq!(reckon(&UNSAID).output, 40);
        assert_eq!(reckon(&ASKED).output, 2_000, "what is named is no guess");
    }

    proptest! {
        /// What a provider reckons up front is taken from the start and never given back.
        #[test]
        fn up_front_nothing_named_is_given_back(input: u32, most in prop::option::of(any::<u32>()), wrote: u32) {
            let estimate = Estimate { input: input.into(), output_max: most.map(u64::from), answers: 1 };
            let mut reckoner = Reckoner::default();
            reckoner.wrote(&"m".into(), wrote.into());
            let reckoned = reckoner.reckon(Counting::UpFront, &"m".into(), &estimate, u64::MAX);
            let floor = floor(Counting::UpFront, &estimate);
            prop_assert!(floor.is_within(reckoned));
            prop_assert_eq!(floor, Tokens { input: estimate.input, output: most.unwrap_or(0).into() });
        }
    }
}
