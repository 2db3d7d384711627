//! Providers that are known by name: one row each.

use std::sync::Arc;

use keywheel_actors::dialect::{Dialect, OpenAi, PlainHttp};

/// What a preset says in a provider's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset {
    /// The name that `preset` takes.
    pub name: &'static str,
    /// How the provider speaks; one of [`DIALECTS`].
    pub dialect: &'static str,
    /// Where it listens.
    pub base_url: &'static str,
}

/// All presets.
///
/// Sources: the vendors' API references, as of the project's provider notes.
pub const PRESETS: [Preset; 8] = [
    Preset { name: "openai", dialect: "openai", base_url: "https://api.openai.com/v1" },
    Preset { name: "mistral", dialect: "openai", base_url: "https://api.mistral.ai/v1" },
    Preset { name: "groq", dialect: "openai", base_url: "https://api.groq.com/openai/v1" },
    Preset { name: "deepseek", dialect: "openai", base_url: "https://api.deepseek.com" },
    Preset { name: "openrouter", dialect: "openai", base_url: "https://openrouter.ai/api/v1" },
    Preset { name: "together", dialect: "openai", base_url: "https://api.together.xyz/v1" },
    Preset { name: "xai", dialect: "openai", base_url: "https://api.x.ai/v1" },
    Preset { name: "ollama", dialect: "openai", base_url: "http://127.0.0.1:11434/v1" },
];

/// The names that `dialect` takes.
pub const DIALECTS: [&str; 2] = ["openai", "http"];

/// The dialect of one of [`DIALECTS`].
pub(super) fn dialect_named(name: &str) -> Option<Arc<dyn Dialect>> {
    match name {
        "openai" => Some(Arc::new(OpenAi)),
        "http" => Some(Arc::new(PlainHttp::bearer())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_something() {
        for name in DIALECTS {
            assert!(dialect_named(name).is_some(), "{name}");
        }
        for preset in PRESETS {
            assert!(DIALECTS.contains(&preset.dialect), "{}", preset.name);
        }
    }
}
