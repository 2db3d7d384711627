//! Which APIs a provider speaks: its dialect's own, and perhaps OpenAI's beside it.
//!
//! Anthropic and Google answer OpenAI's chat completions themselves. So a request of that kind goes to them as it
//! is, without being translated, and what they alone can say about their models stays with them.

use std::sync::Arc;
use std::time::SystemTime;

use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use super::{BadSecret, Dialect, OpenAi, StreamReader};
use crate::id::Model;
use crate::outcome::{Fault, Gauges, Reason, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::spec::Counting;
use crate::tokens::{Estimate, Tokens};

/// A family of APIs that can be told by its paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Gemini's.
    Gemini,
}

impl Api {
    /// Whose path this is. `None` where several have such a path, or nobody known has.
    pub fn of_path(path: &str) -> Option<Self> {
        match path.split_once('?').map_or(path, |(path, _)| path) {
            "/chat/completions" | "/completions" | "/embeddings" | "/responses" => Some(Self::OpenAi),
            "/messages" | "/messages/count_tokens" => Some(Self::Anthropic),
            path if is_of_a_model(path) => Some(Self::Gemini),
            _ => None,
        }
    }
}

/// `/models/NAME:generateContent` and the like.
fn is_of_a_model(path: &str) -> bool {
    let name = path.strip_prefix("/models/").or_else(|| path.strip_prefix("/tunedModels/"));
    name.is_some_and(|name| name.contains(':'))
}

/// How one provider may be spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    own: Arc<dyn Dialect>,
    openai: Option<Door>,
}

/// Where a provider of another dialect answers OpenAI's requests.
#[derive(Clone, Debug)]
struct Door {
    /// What stands before the path: `/openai` for Gemini.
    prefix: Arc<str>,
    dialect: Arc<dyn Dialect>,
}

/// The dialect for one request, and what stands before its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tongue<'a> {
    pub(crate) dialect: &'a Arc<dyn Dialect>,
    pub(crate) prefix: &'a str,
    pub(crate) kind: Kind,
}

/// Which of a provider's tongues it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Own,
    AsOpenAi,
}

impl Speech {
    /// Of a provider that speaks `own`, and OpenAI's below `openai_path` if that is given.
    pub(crate) fn new(own: Arc<dyn Dialect>, openai_path: Option<&str>) -> Self {
        let openai = openai_path.map(|prefix| Door {
            prefix: prefix.into(),
            dialect: Arc::new(AsOpenAi { host: Arc::clone(&own) }),
        });
        Self { own, openai }
    }

    /// How to say what goes to `path`; `None` if this provider doesn't understand it.
    pub(crate) fn for_path(&self, path: &str) -> Option<Tongue<'_>> {
        match (Api::of_path(path), self.own.api(), &self.openai) {
            (Some(asked), Some(own), _) if asked == own => Some(self.own()),
            (Some(Api::OpenAi), Some(_), Some(door)) if self.own.hosts_openai(path) => {
                Some(Tongue { dialect: &door.dialect, prefix: &door.prefix, kind: Kind::AsOpenAi })
            }
            (Some(_), Some(_), _) => None,
            (None, _, _) | (_, None, _) => Some(self.own()),
        }
    }

    /// The same for a request that was addressed to this very provider: what it doesn't know is its own to refuse.
    pub(crate) fn for_path_at_hand(&self, path: &str) -> Tongue<'_> {
        if let Some(door) = &self.openai
            && !door.prefix.is_empty()
            && path.strip_prefix(&*door.prefix).is_some_and(|rest| rest.starts_with('/'))
        {
            return Tongue { dialect: &door.dialect, prefix: "", kind: Kind::AsOpenAi };
        }
        self.for_path(path).unwrap_or_else(|| self.own())
    }

    /// The provider's own.
    pub(crate) fn own(&self) -> Tongue<'_> {
        Tongue { dialect: &self.own, prefix: "", kind: Kind::Own }
    }

    /// The credential for the other tongue, if there is one.
    pub(crate) fn credential_as_openai(&self, secret: &Secret) -> Result<HeaderMap, BadSecret> {
        let mut headers = HeaderMap::new();
        if let Some(door) = &self.openai {
            door.dialect.authenticate(secret, &mut headers)?;
        }
        Ok(headers)
    }
}

/// A provider of another family that answers OpenAI's requests: bodies are OpenAI's, refusals its own, or OpenAI's
/// where it has none of its own for them.
#[derive(Debug)]
struct AsOpenAi {
    host: Arc<dyn Dialect>,
}

impl Dialect for AsOpenAi {
    fn name(&self) -> &'static str {
        OpenAi.name()
    }

    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret> {
        OpenAi.authenticate(secret, headers)
    }

    fn address_to(&self, request: &Request, model: &Model) -> (String, Bytes) {
        OpenAi.address_to(request, model)
    }

    fn fault_in(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Option<Fault> {
        let as_openai = || OpenAi.fault_in(status, headers, body, now);
        if status.is_success() {
            return as_openai();
        }
        let by_host = self.host.fault_in(status, headers, body, now)?;
        if !matches!(by_host.reason, Reason::Unclassified | Reason::CallerMistake) {
            return Some(by_host);
        }
        // It may refuse in OpenAI's words at this door: `model_not_found` is no caller's mistake.
        as_openai().filter(|fault| fault.reason != Reason::Unclassified).or(Some(by_host))
    }

    fn gauges(&self, headers: &HeaderMap, now: SystemTime) -> Gauges {
        self.host.gauges(headers, now)
    }

    fn usage_in(&self, body: &[u8]) -> Option<Usage> {
        OpenAi.usage_in(body)
    }

    fn estimate_tokens(&self, request: &Request) -> Estimate {
        OpenAi.estimate_tokens(request)
    }

    fn counting(&self) -> Counting {
        self.host.counting()
    }

    fn counted(&self, usage: &Usage) -> Tokens {
        self.host.counted(usage)
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        OpenAi.stream_reader()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Anthropic, Gemini, PlainHttp};

    fn tongue(own: impl Dialect, openai_path: Option<&str>, path: &str) -> Option<(Kind, String)> {
        let speech = Speech::new(Arc::new(own), openai_path);
        speech.for_path(path).map(|tongue| (tongue.kind, format!("{}{path}", tongue.prefix)))
    }

    #[test]
    fn a_path_tells_whose_api_is_meant() {
        for (path, api) in [
            ("/chat/completions", Some(Api::OpenAi)),
            ("/embeddings?x=1", Some(Api::OpenAi)),
            ("/messages", Some(Api::Anthropic)),
            ("/models/g:streamGenerateContent?alt=sse", Some(Api::Gemini)),
            ("/models/g", None),
            ("/files", None),
        ] {
            assert_eq!(Api::of_path(path), api, "{path}");
        }
    }

    #[test]
    fn who_speaks_openais_too_is_asked_there() {
        let chat = "/chat/completions";
        assert_eq!(tongue(OpenAi, None, chat), Some((Kind::Own, chat.to_owned())));
        assert_eq!(
            tongue(Gemini, Some("/openai"), chat),
            Some((Kind::AsOpenAi, "/openai/chat/completions".to_owned()))
        );
        assert_eq!(tongue(Anthropic, Some(""), chat), Some((Kind::AsOpenAi, chat.to_owned())));
        assert_eq!(tongue(Anthropic, Some(""), "/embeddings"), None, "Anthropic has none");
        assert_eq!(tongue(Anthropic, None, chat), None);
        assert_eq!(tongue(OpenAi, None, "/messages"), None);
        assert_eq!(tongue(PlainHttp::bearer(), None, "/messages"), Some((Kind::Own, "/messages".to_owned())));
        assert_eq!(tongue(Anthropic, None, "/files"), Some((Kind::Own, "/files".to_owned())));
    }

    #[test]
    fn whoever_names_the_provider_may_say_anything_to_it() {
        let speech = Speech::new(Arc::new(Gemini), Some("/openai"));
        for (path, kind, prefix) in [
            ("/openai/chat/completions", Kind::AsOpenAi, ""),
            ("/chat/completions", Kind::AsOpenAi, "/openai"),
            ("/messages", Kind::Own, ""),
            ("/openaix", Kind::Own, ""),
            ("/models/g:generateContent", Kind::Own, ""),
        ] {
            let tongue = speech.for_path_at_hand(path);
            assert_eq!((tongue.kind, tongue.prefix), (kind, prefix), "{path}");
        }
    }

    #[test]
    fn refusals_are_read_as_the_host_writes_them() {
        let gemini = AsOpenAi { host: Arc::new(Gemini) };
        let body = br#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#;
        let fault = gemini.fault_in(StatusCode::BAD_REQUEST, &HeaderMap::new(), body, SystemTime::UNIX_EPOCH);
        assert_eq!(fault.map(|fault| fault.reason), Some(Reason::BadCredential));
    }

    #[test]
    fn what_the_host_says_in_openais_words_is_understood_too() {
        let refusal = |host: Arc<dyn Dialect>, body: &[u8]| {
            let (status, headers) = (StatusCode::NOT_FOUND, HeaderMap::new());
            let fault = AsOpenAi { host }.fault_in(status, &headers, body, SystemTime::UNIX_EPOCH);
            fault.map(|fault| fault.reason)
        };
        let model = br#"{"error":{"message":"The model `g` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
        assert_eq!(refusal(Arc::new(Anthropic), model), Some(Reason::ModelDenied));
        assert_eq!(refusal(Arc::new(Gemini), model), Some(Reason::ModelDenied));
        let own = br#"{"type":"error","error":{"type":"invalid_request_error","message":"no such thing"}}"#;
        assert_eq!(refusal(Arc::new(Anthropic), own), Some(Reason::CallerMistake));
    }
}
