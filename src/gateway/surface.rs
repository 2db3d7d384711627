//! Which of the gateway's addresses means what.

use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use keywheel_actors::dialect::Api;
use keywheel_actors::id::{Model, ProviderId};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Surface {
    /// A call that goes where its model's route leads.
    Call(Endpoint),
    /// The models that are offered, or one of them.
    Models {
        /// How the list is to look.
        api: Api,
        /// Which one.
        name: Option<String>,
    },
    /// Anything for one provider.
    Pass {
        /// Which.
        provider: ProviderId,
        /// What is called there, with a leading slash and without a query.
        path: String,
    },
    /// Whether the process lives.
    Live,
    /// Whether it takes requests.
    Ready,
    /// An address with dots to be resolved: what it means to a provider isn't what stands here.
    Dotted,
    /// There is such an address, but it isn't asked like that.
    WrongMethod {
        /// How it is.
        allow: &'static str,
    },
    /// There is none.
    Unknown,
}

impl Surface {
    /// Its name in metrics and logs.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Call(endpoint) => endpoint.name,
            Self::Models { .. } => "models",
            Self::Pass { .. } => "pass_through",
            Self::Live | Self::Ready => "probe",
            Self::Dotted | Self::WrongMethod { .. } | Self::Unknown => "unknown",
        }
    }
}

/// A call of an API that the gateway knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Endpoint {
    /// Its name in metrics and logs.
    pub(super) name: &'static str,
    /// Whose API it is.
    pub(super) api: Api,
    /// Its path below a provider's base URL.
    pub(super) path: String,
    /// The model, where the path says it.
    pub(super) model: Option<Model>,
    /// How its streams tell of an error.
    pub(super) events: Events,
}

/// How a stream tells of an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Events {
    /// As chat completions do: `data` alone.
    Chunks,
    /// As OpenAI's responses do: an event `error`.
    Responses,
    /// As Anthropic's messages do: an event `error` of another shape.
    Messages,
    /// As Gemini does: `data` alone, of another shape.
    Generations,
    /// Bytes of which nothing is known: only the broken connection tells.
    None,
}

impl Events {
    /// Of a path below a provider's base URL.
    pub(super) fn of_path(path: &str) -> Self {
        match Api::of_path(path) {
            Some(Api::OpenAi) if path.starts_with("/responses") => Self::Responses,
            Some(Api::OpenAi) => Self::Chunks,
            Some(Api::Anthropic) => Self::Messages,
            Some(Api::Gemini) => Self::Generations,
            None => Self::None,
        }
    }
}

/// OpenAI's calls that are routed: their names in metrics and their paths.
const OPENAI: [(&str, &str); 4] = [
    ("chat_completions", "/chat/completions"),
    ("completions", "/completions"),
    ("embeddings", "/embeddings"),
    ("responses", "/responses"),
];

/// Anthropic's.
const ANTHROPIC: [(&str, &str); 2] = [("messages", "/messages"), ("count_tokens", "/messages/count_tokens")];

/// What versions stand before the paths; SDKs differ in whether the base URL has one.
const VERSIONS: [&str; 2] = ["/v1beta", "/v1"];

/// Whose SDK asks, where it is told by headers: `/v1/models` is an address of all three APIs.
///
/// Anthropic wants its version in each request; Google's SDK shows its key in a header that is Google's alone.
pub(super) fn reader(headers: &HeaderMap) -> Api {
    if headers.contains_key("anthropic-version") {
        return Api::Anthropic;
    }
    if headers.contains_key("x-goog-api-key") { Api::Gemini } else { Api::OpenAi }
}

/// What a request is for. A list of models that no version tells apart looks as its `reader` knows it.
pub(super) fn find(method: &Method, path: &str, reader: Api) -> Surface {
    if is_dotted(path) {
        return Surface::Dotted;
    }
    match path {
        "/livez" => return read_only(method, Surface::Live),
        "/readyz" => return read_only(method, Surface::Ready),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/providers/") {
        return of_provider(rest);
    }
    let (version, path) = versioned(path);
    let known = OPENAI.map(|call| (Api::OpenAi, call)).into_iter();
    let mut known = known.chain(ANTHROPIC.map(|call| (Api::Anthropic, call)));
    if let Some((api, (name, path))) = known.find(|(_, (_, known))| *known == path) {
        return call(
            method,
            Endpoint { name, api, path: path.to_owned(), model: None, events: Events::of_path(path) },
        );
    }
    let Some(rest) = path.strip_prefix("/models") else { return Surface::Unknown };
    if let Some(model) = model_in(path) {
        return call(
            method,
            Endpoint {
                name: "generate_content",
                api: Api::Gemini,
                path: path.to_owned(),
                model: Some(model),
                events: Events::Generations,
            },
        );
    }
    let api = if version == Some("/v1beta") { Api::Gemini } else { reader };
    match rest.strip_prefix('/') {
        Some(name) if !name.is_empty() => {
            read_only(method, Surface::Models { api, name: Some(decoded(name)) })
        }
        None if !rest.is_empty() => Surface::Unknown,
        Some(_) | None => read_only(method, Surface::Models { api, name: None }),
    }
}

/// The model that a path such as `/models/NAME:generateContent` names, or as Azure's `/deployments/NAME/…`.
pub(super) fn model_in(path: &str) -> Option<Model> {
    let deployed = || path.split_once("/deployments/")?.1.split('/').next();
    let name = match path.strip_prefix("/models/") {
        Some(rest) => rest.rsplit_once(':')?.0,
        None => deployed()?,
    };
    Some(Model::from(decoded(name)))
}

/// Whether a part of the path is `.` or `..`, in any of their spellings (URL standard, "double-dot URL path segment").
fn is_dotted(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    path.split(['/', '\\']).any(|part| part == "." || part == "..")
}

fn versioned(path: &str) -> (Option<&'static str>, &str) {
    VERSIONS
        .into_iter()
        .find_map(|version| {
            let rest = path.strip_prefix(version).filter(|rest| rest.starts_with('/'))?;
            Some((Some(version), rest))
        })
        .unwrap_or((None, path))
}

fn of_provider(rest: &str) -> Surface {
    let (provider, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if provider.is_empty() || path.is_empty() {
        return Surface::Unknown;
    }
    Surface::Pass { provider: ProviderId::from(provider), path: path.to_owned() }
}

fn call(method: &Method, endpoint: Endpoint) -> Surface {
    if *method == Method::POST { Surface::Call(endpoint) } else { Surface::WrongMethod { allow: "POST" } }
}

fn read_only(method: &Method, surface: Surface) -> Surface {
    if *method == Method::GET || *method == Method::HEAD {
        surface
    } else {
        Surface::WrongMethod { allow: "GET, HEAD" }
    }
}

/// The name of a model as it was meant: some hold slashes, and clients encode them.
pub(super) fn decoded(name: &str) -> String {
    percent_decoded(name).unwrap_or_else(|| name.to_owned())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
            bytes.push(u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// `path` without its version where the provider's base URL says one: SDKs put theirs before every path.
///
/// Theirs needn't be the provider's: Google's SDK asks for `v1` by itself, and OpenAI's users are used to it.
pub(super) fn below_base<'p>(base_url: &str, path: &'p str) -> &'p str {
    let version = base_url.rsplit('/').next().unwrap_or_default();
    if !version.starts_with('v') || !version[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return path;
    }
    let same = path.strip_prefix('/').and_then(|path| path.strip_prefix(version));
    same.filter(|rest| rest.starts_with('/')).unwrap_or_else(|| versioned(path).1)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn post(path: &str) -> Surface {
        find(&Method::POST, path, Api::OpenAi)
    }

    #[test]
    fn calls_are_known_with_and_without_a_version() {
        for path in ["/v1/chat/completions", "/chat/completions"] {
            let Surface::Call(endpoint) = post(path) else { panic!("{path}") };
            assert_eq!((endpoint.name, endpoint.path.as_str()), ("chat_completions", "/chat/completions"));
        }
        let Surface::Call(endpoint) = post("/v1/responses") else { panic!() };
        assert_eq!((endpoint.api, endpoint.events), (Api::OpenAi, Events::Responses));
        let Surface::Call(endpoint) = post("/v1/messages") else { panic!() };
        assert_eq!((endpoint.api, endpoint.events), (Api::Anthropic, Events::Messages));
        assert_eq!(find(&Method::GET, "/v1/embeddings", Api::OpenAi), Surface::WrongMethod { allow: "POST" });
        assert_eq!(post("/v1/unheard/of"), Surface::Unknown);
        assert_eq!(post("/v1x/chat/completions"), Surface::Unknown);
    }

    #[test]
    fn geminis_path_names_the_model() {
        let Surface::Call(endpoint) = post("/v1beta/models/fast:streamGenerateContent") else { panic!() };
        assert_eq!((endpoint.api, endpoint.model), (Api::Gemini, Some(Model::from("fast"))));
        assert_eq!(endpoint.path, "/models/fast:streamGenerateContent");
        assert_eq!(model_in("/openai/deployments/gpt%2D4/chat/completions"), Some(Model::from("gpt-4")));
        assert_eq!(model_in("/files/x"), None);
    }

    #[test]
    fn the_list_of_models_looks_as_its_reader_knows_it() {
        let get = |path: &str, reader| find(&Method::GET, path, reader);
        for api in [Api::OpenAi, Api::Anthropic, Api::Gemini] {
            assert_eq!(get("/v1/models", api), Surface::Models { api, name: None });
        }
        assert_eq!(get("/v1beta/models", Api::OpenAi), Surface::Models { api: Api::Gemini, name: None });
        let named = Surface::Models { api: Api::OpenAi, name: Some("org/model".to_owned()) };
        assert_eq!(get("/v1/models/org%2Fmodel", Api::OpenAi), named);
        assert_eq!(get("/v1/models/org/model", Api::OpenAi), named);
        assert_eq!(get("/v1/modelsx", Api::OpenAi), Surface::Unknown);
    }

    #[test]
    fn who_asks_is_told_by_the_headers_of_its_sdk() {
        let of = |name: &'static str| {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static("x"));
            reader(&HeaderMap::from_iter([(name, value)]))
        };
        assert_eq!(of("anthropic-version"), Api::Anthropic);
        assert_eq!(of("x-goog-api-key"), Api::Gemini);
        assert_eq!(of("authorization"), Api::OpenAi);
    }

    #[test]
    fn dots_are_never_resolved() {
        for path in [
            "/providers/a/../b",
            "/providers/a/%2E%2e/b",
            "/providers/a/.%2e",
            "/providers/a\\..\\b",
            "/v1/./models",
            "/providers/a/b%2F..%2fc",
            "/providers/a/b%5C..%5cc",
        ] {
            assert_eq!(post(path), Surface::Dotted, "{path}");
        }
        assert!(!is_dotted("/providers/a/files/...") && !is_dotted("/v1/models/gpt-4.1/.hidden"));
    }

    #[test]
    fn a_provider_is_named_by_its_id() {
        let pass = Surface::Pass { provider: "a".into(), path: "/files/x".to_owned() };
        assert_eq!(find(&Method::DELETE, "/providers/a/files/x", Api::OpenAi), pass);
        assert_eq!(post("/providers/a"), Surface::Unknown);
        assert_eq!(post("/providers//files"), Surface::Unknown);
    }

    #[test]
    fn a_version_stands_once_in_the_address() {
        for (base_url, path, wanted) in [
            ("https://api.anthropic.com/v1", "/v1/messages", "/messages"),
            ("https://api.anthropic.com/v1", "/messages", "/messages"),
            ("https://api.deepseek.com", "/v1/chat/completions", "/v1/chat/completions"),
            ("https://h/v1beta", "/v1beta/models", "/models"),
            ("https://h/v1beta", "/v1/models/g:generateContent", "/models/g:generateContent"),
            ("https://h/paas/v4", "/v1/chat/completions", "/chat/completions"),
            ("https://h/v1", "/v2/models", "/v2/models"),
            ("https://h/v1", "/v1x/models", "/v1x/models"),
            ("https://h/api", "/api/x", "/api/x"),
        ] {
            assert_eq!(below_base(base_url, path), wanted, "{base_url} {path}");
        }
    }
}
