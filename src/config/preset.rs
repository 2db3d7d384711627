//! Providers that are known by name: one row each.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderName};
use keywheel_actors::dialect::{Anthropic, Dialect, Gemini, OpenAi, PlainHttp};

/// What a preset says in a provider's place, and what people like to know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset {
    /// The name that `preset` takes.
    pub name: &'static str,
    /// How the provider speaks; one of [`DIALECTS`].
    pub dialect: &'static str,
    /// Where it listens. `None` where each user has an address of their own, to be given as `base_url`.
    pub base_url: Option<&'static str>,
    /// What such an address looks like.
    pub base_url_example: &'static str,
    /// The header that takes the bare key. `None`: where the dialect puts it.
    pub key_header: Option<&'static str>,
    /// Where it answers OpenAI's requests too, if it speaks otherwise: what stands before their path.
    pub openai_path: Option<&'static str>,
    /// How to learn whether a key is good without spending anything. `None`: nothing is known.
    pub validity: Option<Validity>,
    /// The environment variable in which people usually keep its key.
    pub variable: Option<&'static str>,
    /// What its keys begin with and nobody else's do. A bare `sk-` says nothing: half a dozen providers use it.
    pub key_prefix: Option<&'static str>,
    /// Whether it asks for a key at all.
    pub key_need: KeyNeed,
    /// What its limits are counted by, in a few words for people.
    pub limits: &'static str,
}

/// A call that tells whether a key is good and costs nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// The HTTP method.
    pub method: Method,
    /// Path and query below the base URL, with a leading slash. `..` leaves the base's own path, never its host.
    pub path: &'static str,
}

/// The methods of such calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`, with nothing in its body.
    Post,
}

impl Validity {
    const fn get(path: &'static str) -> Self {
        Self { method: Method::Get, path }
    }
}

/// Whether a provider asks for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyNeed {
    /// A key that it gave out.
    Own,
    /// None: any text will do.
    AnyText,
}

/// An address where nothing better is known.
const ANY_URL: &str = "https://api.example.com/v1";

/// What most rows share: OpenAI's API, whose models' list asks for a good key.
const OPENAI_LIKE: Preset = Preset {
    name: "openai-compatible",
    dialect: "openai",
    base_url: None,
    base_url_example: ANY_URL,
    key_header: None,
    openai_path: None,
    validity: Some(Validity::get("/models")),
    variable: None,
    key_prefix: None,
    key_need: KeyNeed::Own,
    limits: "as the server has it; headers are read if it sends OpenAI's",
};

/// All presets.
///
/// Sources: the vendors' API references and pages on rate limits.
pub const PRESETS: [Preset; 14] = [
    Preset {
        name: "openai",
        base_url: Some("https://api.openai.com/v1"),
        variable: Some("OPENAI_API_KEY"),
        key_prefix: Some("sk-proj-"),
        limits: "per organisation, project and model; headers on every answer",
        ..OPENAI_LIKE
    },
    Preset {
        name: "anthropic",
        dialect: "anthropic",
        base_url: Some("https://api.anthropic.com/v1"),
        openai_path: Some(""),
        variable: Some("ANTHROPIC_API_KEY"),
        key_prefix: Some("sk-ant-"),
        limits: "per organisation, workspace and class of models; headers on every answer",
        ..OPENAI_LIKE
    },
    Preset {
        name: "gemini",
        dialect: "gemini",
        base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
        openai_path: Some("/openai"),
        validity: Some(Validity::get("/models?pageSize=1")),
        variable: Some("GEMINI_API_KEY"),
        key_prefix: Some("AIza"),
        limits: "per project and model, days from midnight in California; no headers",
        ..OPENAI_LIKE
    },
    Preset {
        name: "azure",
        base_url_example: "https://RESOURCE.openai.azure.com/openai/v1",
        key_header: Some("api-key"),
        variable: Some("AZURE_OPENAI_API_KEY"),
        limits: "per deployment, out of the quota of subscription, region and model; headers on every answer",
        ..OPENAI_LIKE
    },
    Preset {
        name: "mistral",
        base_url: Some("https://api.mistral.ai/v1"),
        variable: Some("MISTRAL_API_KEY"),
        limits: "per workspace, shared by all its keys",
        ..OPENAI_LIKE
    },
    Preset {
        name: "groq",
        base_url: Some("https://api.groq.com/openai/v1"),
        variable: Some("GROQ_API_KEY"),
        key_prefix: Some("gsk_"),
        limits: "per organisation and model; headers tell requests a day and tokens a minute",
        ..OPENAI_LIKE
    },
    Preset {
        name: "deepseek",
        base_url: Some("https://api.deepseek.com"),
        validity: Some(Validity::get("/user/balance")),
        variable: Some("DEEPSEEK_API_KEY"),
        limits: "per account, by load; no headers",
        ..OPENAI_LIKE
    },
    Preset {
        name: "openrouter",
        base_url: Some("https://openrouter.ai/api/v1"),
        // Its list of models asks for no key.
        validity: Some(Validity::get("/key")),
        variable: Some("OPENROUTER_API_KEY"),
        key_prefix: Some("sk-or-"),
        limits: "per account, per key's own cap, and per provider behind it; no headers",
        ..OPENAI_LIKE
    },
    Preset {
        name: "cohere",
        base_url: Some("https://api.cohere.ai/compatibility/v1"),
        // The compatible API has nothing that is free of charge.
        validity: Some(Validity { method: Method::Post, path: "/../../v1/check-api-key" }),
        variable: Some("COHERE_API_KEY"),
        limits: "per kind of key (trial or production) and endpoint; no headers",
        ..OPENAI_LIKE
    },
    Preset {
        name: "together",
        base_url: Some("https://api.together.xyz/v1"),
        variable: Some("TOGETHER_API_KEY"),
        limits: "per organisation and model, rising with steady use",
        ..OPENAI_LIKE
    },
    Preset {
        name: "xai",
        base_url: Some("https://api.x.ai/v1"),
        validity: Some(Validity::get("/api-key")),
        variable: Some("XAI_API_KEY"),
        key_prefix: Some("xai-"),
        limits: "per team and model",
        ..OPENAI_LIKE
    },
    Preset {
        name: "ollama",
        base_url: Some("http://127.0.0.1:11434/v1"),
        key_need: KeyNeed::AnyText,
        limits: "none but the machine's own",
        ..OPENAI_LIKE
    },
    OPENAI_LIKE,
    Preset {
        name: "http",
        dialect: "http",
        validity: None,
        limits: "as the server has it; only `retry-after` is read",
        ..OPENAI_LIKE
    },
];

impl Preset {
    /// The provider that `key` is of by its looks, if that isn't this one: somebody took the wrong key.
    pub fn owner_of(&self, key: &str) -> Option<&'static str> {
        let has_its_prefix = |preset: &Self| preset.key_prefix.is_some_and(|prefix| key.starts_with(prefix));
        let owner = PRESETS.into_iter().find(|preset| preset.name != self.name && has_its_prefix(preset))?;
        Some(owner.name)
    }
}

/// The names that `dialect` takes.
pub const DIALECTS: [&str; 4] = ["openai", "anthropic", "gemini", "http"];

/// The dialect of one of [`DIALECTS`], with the key in `key_header` if one is given.
///
/// `authorization` wants `Bearer` before the key, every other header takes it bare.
pub(super) fn dialect_named(name: &str, key_header: Option<HeaderName>) -> Option<Arc<dyn Dialect>> {
    match (name, key_header.filter(|header| *header != AUTHORIZATION)) {
        ("openai", None) => Some(Arc::new(OpenAi)),
        ("openai", Some(header)) => Some(Arc::new(OpenAi::with_key_header(header))),
        ("anthropic", None) => Some(Arc::new(Anthropic)),
        ("gemini", None) => Some(Arc::new(Gemini)),
        ("http", None) => Some(Arc::new(PlainHttp::bearer())),
        ("http", Some(header)) => Some(Arc::new(PlainHttp::header(header, ""))),
        _ => None,
    }
}

/// How a provider of which only the dialect is known tells whether a key is good.
pub(super) fn validity_of_dialect(name: &str) -> Option<Validity> {
    PRESETS.into_iter().find(|preset| preset.dialect == name).and_then(|preset| preset.validity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> Preset {
        PRESETS.into_iter().find(|preset| preset.name == name).expect(name)
    }

    #[test]
    fn every_name_means_something() {
        for name in DIALECTS {
            assert!(dialect_named(name, None).is_some(), "{name}");
        }
        for preset in PRESETS {
            assert!(DIALECTS.contains(&preset.dialect), "{}", preset.name);
        }
    }

    #[test]
    fn a_key_of_somebody_else_is_known_by_its_prefix() {
        for (name, key, owner) in [
            ("openai", "sk-ant-api03-abc", Some("anthropic")),
            ("openai", "sk-or-v1-abc", Some("openrouter")),
            ("openai", "sk-proj-abc", None),
            ("openai", "sk-abc", None),
            ("anthropic", "sk-proj-abc", Some("openai")),
            ("mistral", "xai-abc", Some("xai")),
            ("mistral", "abc", None),
        ] {
            assert_eq!(preset(name).owner_of(key), owner, "{name} {key}");
        }
    }

    #[test]
    fn no_prefix_begins_another() {
        for preset in PRESETS {
            let Some(prefix) = preset.key_prefix else { continue };
            assert_eq!(preset.owner_of(prefix), None, "{}", preset.name);
        }
    }
}
