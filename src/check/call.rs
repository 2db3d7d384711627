//! The one call that a test makes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hyper::Method as HttpMethod;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use keywheel_actors::clock::Clock;
use keywheel_actors::id::KeyId;
use keywheel_actors::outcome::Gauges;
use keywheel_actors::spec::{KeySpec, ProviderSpec};
use keywheel_actors::unit::format_duration;
use keywheel_actors::upstream::{BodyStream, Call, TransportError, Upstream};
use tokio::time::timeout;
use url::{Position, Url};

use super::answer::{self, Answer};
use super::finding::Finding;
use super::unreachable;
use super::verdict::Verdict;
use crate::config::{Method, Validity};

/// Lists of models are made in a moment; who takes longer is in trouble.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The longest list of models known has half a megabyte.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What one call told.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Told {
    pub(super) verdict: Verdict,
    /// Until the whole answer was there; `None` if none was.
    pub(super) took: Option<Duration>,
    pub(super) status: Option<u16>,
    pub(super) gauges: Gauges,
}

impl Told {
    /// Without an answer.
    pub(super) fn unheard(verdict: Verdict) -> Self {
        Self { verdict, took: None, status: None, gauges: Gauges::default() }
    }
}

/// The server, and what is asked there. The path is this program's own: it may leave the base URL's, never its host.
fn address(base_url: &str, path: &str) -> (Arc<str>, String) {
    match Url::parse(&format!("{}{path}", base_url.trim_end_matches('/'))) {
        Ok(url) => {
            let (origin, path) =
                (&url[..Position::BeforePath], &url[Position::BeforePath..Position::AfterQuery]);
            (origin.into(), path.to_owned())
        }
        Err(_) => (base_url.into(), path.to_owned()),
    }
}

/// Asks `provider` about `key`. The key goes to the provider's own address and nowhere else.
pub(super) async fn ask(
    upstream: &dyn Upstream,
    provider: &ProviderSpec,
    key: &KeySpec,
    validity: Option<Validity>,
) -> Told {
    let Some(validity) = validity else { return Told::unheard(Verdict::untestable()) };
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    if let Err(error) = provider.dialect.authenticate(&key.secret, &mut headers) {
        return Told::unheard(Verdict::new(Finding::WrongKey, error.to_string()));
    }
    let (base_url, path) = address(&provider.base_url, validity.path);
    let call = Call {
        key: KeyId { provider: provider.id.clone(), key: key.name.clone() },
        method: match validity.method {
            Method::Get => HttpMethod::GET,
            Method::Post => HttpMethod::POST,
        },
        base_url,
        path,
        headers,
        body: Bytes::new(),
        upload: None,
        withdrawn: None,
    };
    let clock = Clock::start();
    let answer = timeout(ANSWER_WITHIN, async {
        let response = upstream.call(call).await?;
        let body = collect(response.body).await?;
        Ok::<_, TransportError>((response.status, response.headers, body))
    });
    let (status, headers, body) = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Told::unheard(unreachable::verdict(&error)),
        Err(_) => return Told::unheard(unreachable::too_late(&format_duration(ANSWER_WITHIN))),
    };
    let took = clock.now().since_start();
    // Before it is read: a provider may echo the key, and a message that is cut could hold half of it.
    let body = key.secret.scrub_bytes(&body).unwrap_or(body);
    let now = SystemTime::now();
    let answer = Answer { status, headers: &headers, body: &body };
    Told {
        verdict: answer::verdict(&*provider.dialect, &answer, now),
        took: Some(took),
        status: Some(status.as_u16()),
        gauges: provider.dialect.gauges(&headers, now),
    }
}

/// The whole body. What goes beyond the limit is left unread: it is no list of models.
async fn collect(mut body: BodyStream) -> Result<Bytes, TransportError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        whole.extend_from_slice(&chunk?);
        if whole.len() > BODY_BYTES_MAX {
            break;
        }
    }
    Ok(whole.freeze())
}
