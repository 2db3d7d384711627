//! Which provider is meant, by the many names that it goes under.

use super::bag::plain;
use crate::config::preset::{DIALECTS, PRESETS, Preset};

/// Other names of presets, and of ways to speak.
const OTHER_NAMES: [(&str, &str); 16] = [
    ("azureopenai", "azure"),
    ("claude", "anthropic"),
    ("google", "gemini"),
    ("googleai", "gemini"),
    ("googlegemini", "gemini"),
    ("googlegenerativeai", "gemini"),
    ("grok", "xai"),
    ("mistralai", "mistral"),
    ("togetherai", "together"),
    ("cohereai", "cohere"),
    ("custom", "openai-compatible"),
    ("openailike", "openai-compatible"),
    ("openaicompat", "openai-compatible"),
    ("lmstudio", "openai-compatible"),
    ("vllm", "openai-compatible"),
    ("llamacpp", "openai-compatible"),
];

/// What is known of a provider by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// All of it.
    Preset(Preset),
    /// How it speaks, but not where it listens.
    Dialect(&'static str),
}

/// The kind that goes by `name`.
pub(super) fn called(name: &str) -> Option<Kind> {
    let name = plain(name);
    let ours = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| plain(ours));
    let name = ours.unwrap_or(name);
    if let Some(preset) = PRESETS.into_iter().find(|preset| plain(preset.name) == name) {
        return Some(Kind::Preset(preset));
    }
    if name == "openaicompatible" {
        return Some(Kind::Dialect("openai"));
    }
    DIALECTS.into_iter().find(|dialect| plain(dialect) == name).map(Kind::Dialect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_every_spelling() {
        let name = |text: &str| match called(text) {
            Some(Kind::Preset(preset)) => preset.name,
            Some(Kind::Dialect(dialect)) => dialect,
            None => "unknown",
        };
        assert_eq!(name("OpenAI"), "openai");
        assert_eq!(name("together-ai"), "together");
        assert_eq!(name("Grok"), "xai");
        assert_eq!(name("http"), "http");
        assert_eq!(name("my-gateway"), "unknown");
    }
}
