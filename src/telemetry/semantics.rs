//! What OpenTelemetry calls things: its semantic conventions for HTTP and for generative AI, version 1.37.

use std::time::Duration;

use http::Uri;
use keywheel_actors::dialect::Api;
use keywheel_actors::id::ProviderId;
use keywheel_actors::outcome::Attempt;
use keywheel_actors::spec::ProviderSpec;
use opentelemetry::KeyValue;

use super::{Ended, Ending};

/// Well-known values of `gen_ai.provider.name`, by the end of the host where their APIs are.
const HOSTS: [(&str, &str); 19] = [
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("models.ai.azure.com", "azure.ai.inference"),
    ("amazonaws.com", "aws.bedrock"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.cohere.ai", "cohere"),
    ("api.cohere.com", "cohere"),
    ("api.perplexity.ai", "perplexity"),
    ("api.x.ai", "x_ai"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
];

/// Who is behind the providers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendors<'a> {
    providers: &'a [ProviderSpec],
}

impl<'a> Vendors<'a> {
    pub(super) const fn of(providers: &'a [ProviderSpec]) -> Self {
        Self { providers }
    }

    /// The vendor's well-known name; the provider's own id where there is none.
    fn name(&self, id: &ProviderId) -> String {
        let spec = self.providers.iter().find(|spec| spec.id == *id);
        spec.and_then(vendor).map_or_else(|| id.to_string(), str::to_owned)
    }

    fn attributes(&self, id: &ProviderId) -> [KeyValue; 2] {
        [
            KeyValue::new("gen_ai.provider.name", self.name(id)),
            KeyValue::new("keywheel.provider.id", id.to_string()),
        ]
    }
}

/// By its address; elsewhere by its dialect, but for OpenAI's, which everybody speaks.
fn vendor(spec: &ProviderSpec) -> Option<&'static str> {
    let address: Option<Uri> = spec.base_url.parse().ok();
    let host = address.as_ref().and_then(Uri::host).unwrap_or_default();
    let is_at = |end: &str| {
        host.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with(['.', '-']))
    };
    let known = HOSTS.iter().find(|(end, _)| is_at(end)).map(|(_, name)| *name);
    known.or(match spec.dialect.api() {
        Some(Api::Anthropic) => Some("anthropic"),
        Some(Api::Gemini) => Some("gcp.gemini"),
        Some(Api::OpenAi) | None => None,
    })
}

/// The word of the conventions, or our own where they have none.
pub(super) fn operation(surface: &'static str) -> &'static str {
    match surface {
        "chat_completions" | "messages" | "responses" => "chat",
        "completions" => "text_completion",
        other => other,
    }
}

/// Whether such requests are for a model.
fn is_generation(surface: &str) -> bool {
    !matches!(surface, "models" | "probe" | "unknown")
}

/// The name of a request's span. A method alone, of what isn't known: paths would be as many names.
pub(super) fn name(ended: &Ended) -> String {
    if !is_generation(ended.surface) {
        return format!("{} {}", ended.method, ended.surface);
    }
    let model = ended.model.as_ref().map_or("", |model| model.as_str());
    format!("{} {model}", operation(ended.surface)).trim().to_owned()
}

/// What spans and metrics of a request have in common. Few values each.
pub(super) fn of_request(ended: &Ended) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", ended.method),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("http.response.status_code", i64::from(ended.status)),
        KeyValue::new("keywheel.surface", ended.surface),
    ];
    match ended.ending {
        Ending::Served => {}
        Ending::Refused | Ending::Failed | Ending::Cut | Ending::ClientGone => {
            let word = ended.code.clone().unwrap_or_else(|| ended.ending.as_str().to_owned());
            attributes.push(KeyValue::new("error.type", word));
        }
    }
    attributes
}

/// What a request's span tells of the model's part in it.
pub(super) fn of_generation(ended: &Ended, vendors: &Vendors<'_>) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if is_generation(ended.surface) {
        attributes.push(KeyValue::new("gen_ai.operation.name", operation(ended.surface)));
    }
    if let Some(place) = &ended.served {
        attributes.extend(vendors.attributes(&place.provider));
        attributes.push(KeyValue::new("gen_ai.response.model", place.model.to_string()));
    }
    if let Some(model) = &ended.model {
        attributes.push(KeyValue::new("gen_ai.request.model", model.to_string()));
    }
    attributes
}

/// What spans and metrics of a call have in common. Few values each: models are those that were served.
pub(super) fn of_call(ended: &Ended, attempt: &Attempt, vendors: &Vendors<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("gen_ai.operation.name", operation(ended.surface))];
    attributes.extend(vendors.attributes(&attempt.key.provider));
    let error = match (&attempt.fault, ended.ending) {
        (Some(fault), _) => Some(fault.reason.as_str()),
        (None, Ending::Cut) => Some(Ending::Cut.as_str()),
        (None, Ending::Served | Ending::Refused | Ending::Failed | Ending::ClientGone) => None,
    };
    if attempt.fault.is_none() {
        attributes.push(KeyValue::new("gen_ai.request.model", attempt.model.to_string()));
        attributes.push(KeyValue::new("gen_ai.response.model", attempt.model.to_string()));
    }
    attributes.extend(error.map(|error| KeyValue::new("error.type", error)));
    attributes
}

/// How long a call took: of a stream to its end, which is the request's.
pub(super) fn took(ended: &Ended, attempt: &Attempt) -> Duration {
    if ended.streamed && attempt.fault.is_none() {
        return (ended.began + ended.took).since(attempt.started);
    }
    attempt.took
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keywheel_actors::dialect::{Anthropic, Dialect, Gemini, OpenAi};

    use super::*;
    use crate::config::PRESETS;

    #[test]
    fn a_vendor_is_known_by_its_address_and_else_by_its_dialect() {
        let of =
            |dialect: Arc<dyn Dialect>, base_url: &str| vendor(&ProviderSpec::new("mine", dialect, base_url));
        for (base_url, wanted) in [
            ("https://api.openai.com/v1", Some("openai")),
            ("https://api.x.ai/v1", Some("x_ai")),
            ("https://us-central1-aiplatform.googleapis.com/v1", Some("gcp.vertex_ai")),
            ("https://team.openai.azure.com/openai", Some("azure.ai.openai")),
            ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", Some("aws.bedrock")),
            ("https://notapi.openai.com.example/v1", None),
            ("https://evilapi.openai.com/v1", None),
            ("http://127.0.0.1:11434/v1", None),
        ] {
            assert_eq!(of(Arc::new(OpenAi), base_url), wanted, "{base_url}");
        }
        assert_eq!(of(Arc::new(Anthropic), "http://127.0.0.1:1"), Some("anthropic"));
        assert_eq!(of(Arc::new(Gemini), "http://127.0.0.1:1"), Some("gcp.gemini"));
        let specs = [ProviderSpec::new("a", Arc::new(OpenAi), "https://api.groq.com/openai/v1")];
        let vendors = Vendors::of(&specs);
        assert_eq!((&*vendors.name(&"a".into()), &*vendors.name(&"gone".into())), ("groq", "gone"));
    }

    #[test]
    fn every_preset_whose_vendor_has_a_well_known_name_has_it() {
        let names = PRESETS.iter().filter_map(|preset| Some((preset.name, preset.base_url?)));
        let unknown: Vec<&str> = names
            .filter(|(_, base_url)| vendor(&ProviderSpec::new("x", Arc::new(OpenAi), *base_url)).is_none())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(unknown, ["openrouter", "together", "ollama"], "the conventions have no names for these");
    }
}
