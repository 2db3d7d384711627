//! Keys that look like those of another provider.

use keywheel_actors::secret::Secret;

use crate::config::{PRESETS, ProviderOutline};

/// A warning, if this is probably no key of `provider`.
///
/// Only a provider with a preset that has its address is judged: behind a gateway's own address any key may be right.
pub(in super::super) fn warning(provider: &ProviderOutline, secret: &Secret) -> Option<String> {
    let preset = PRESETS.iter().find(|known| Some(known.name) == provider.preset)?;
    preset.base_url?;
    // A mask shows the prefix, and nothing that this function should see.
    let owner = preset.owner_of(&secret.masked())?;
    Some(format!("it looks like a key of {owner}, but `{}` is {}", provider.id, preset.name))
}

#[cfg(test)]
mod tests {
    use keywheel_actors::spec::Pick;

    use super::*;

    fn provider(preset: Option<&'static str>) -> ProviderOutline {
        ProviderOutline {
            id: "p".into(),
            enabled: true,
            preset,
            dialect: Some("openai"),
            base_url: None,
            models: std::collections::BTreeMap::new(),
            pick: Pick::RoundRobin,
            keys: Vec::new(),
        }
    }

    #[test]
    fn a_key_of_somebody_else_is_noticed() {
        let warned = |preset, secret: &str| warning(&provider(preset), &Secret::new(secret)).is_some();
        assert!(warned(Some("openai"), "gsk_0123456789abcdefghij"));
        assert!(!warned(Some("groq"), "gsk_0123456789abcdefghij"));
        assert!(!warned(Some("deepseek"), "sk-0123456789abcdefghij"));
        assert!(warned(Some("groq"), "sk-proj-0123456789abcdefghij"));
        assert!(!warned(Some("openai-compatible"), "gsk_0123456789abcdefghij"));
        assert!(!warned(None, "gsk_0123456789abcdefghij"), "a gateway takes what it takes");
    }
}
