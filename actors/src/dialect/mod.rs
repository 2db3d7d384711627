//! Wire ↔ meaning: what an answer of a provider says, and nothing about what follows from it.
//!
//! A dialect knows headers, bodies and events of one family of APIs. It knows
//! nothing of keys' states, of clocks or of sockets.

pub(crate) mod affinity;
mod anthropic;
mod calendar;
mod gemini;
pub mod hints;
pub mod http;
mod key_header;
mod message;
mod model_name;
mod object;
pub mod openai;
pub(crate) mod redirect;
mod rule;
mod said;
mod speech;
pub mod sse;
pub(crate) mod success;
mod weight;
pub(crate) mod written;

use std::fmt;
use std::time::SystemTime;

use ::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;

use crate::id::Model;
use crate::outcome::{Fault, Gauges, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::spec::Counting;
use crate::tokens::{Estimate, Tokens};

pub use anthropic::Anthropic;
pub use gemini::Gemini;
pub use http::PlainHttp;
pub use key_header::KeyInHeader;
pub use openai::OpenAi;
pub use speech::Api;
pub(crate) use speech::{Kind, Speech, Tongue};

/// How a family of providers speaks.
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// The name used in the configuration.
    fn name(&self) -> &'static str;

    /// Whose requests such a provider understands. `None`: anybody's, as far as this dialect knows.
    fn api(&self) -> Option<Api> {
        None
    }

    /// Whether such providers answer OpenAI's requests for `path`, where they answer OpenAI's at all.
    fn hosts_openai(&self, _path: &str) -> bool {
        true
    }

    /// Puts the credential where this provider wants it.
    ///
    /// # Errors
    /// [`BadSecret`] if the key can't stand in a header.
    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret>;

    /// Path and body of `request` with the provider's own name of the model.
    ///
    /// The rest of the body stays as the caller wrote it, byte for byte.
    fn address_to(&self, request: &Request, model: &Model) -> (String, Bytes);

    /// What a finished answer means: `None` is success.
    ///
    /// The body comes before the status: a 429 may be a matter of money and a 400 a dead key.
    /// `now` is the calendar's date, for hints that are dates.
    fn fault_in(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Option<Fault>;

    /// What the headers say about limits, on success too.
    fn gauges(&self, headers: &HeaderMap, now: SystemTime) -> Gauges;

    /// Tokens used, out of a finished body.
    fn usage_in(&self, body: &[u8]) -> Option<Usage>;

    /// What `request` says about the tokens that it will use.
    ///
    /// The prompt counts as a quarter of its bytes as JSON: no provider is known to reckon with more.
    fn estimate_tokens(&self, request: &Request) -> Estimate;

    /// Which tokens such providers hold against their limits, unless the configuration says otherwise.
    fn counting(&self) -> Counting {
        Counting::Used
    }

    /// What `usage` counts for in such a provider's limits. Where it isn't known that what the cache gave is
    /// free, it counts.
    fn counted(&self, usage: &Usage) -> Tokens {
        Tokens { input: usage.input_tokens, output: usage.output_tokens }
    }

    /// A reader for one stream of server-sent events.
    fn stream_reader(&self) -> Box<dyn StreamReader>;
}

/// Reads one stream, event by event.
///
/// The last event of a body may lack its closing blank line (`data: [DONE]` and one line feed);
/// give it [`sse::Splitter::last_event`] too before judging how the stream ended.
pub trait StreamReader: Send {
    /// What one event says.
    fn read(&mut self, event: &sse::Event<'_>) -> EventMeaning;

    /// Whether the event that was read last brings content, though it means [`EventMeaning::Done`].
    fn ends_with_content(&self) -> bool {
        false
    }

    /// Tokens used, as far as the events told.
    fn usage(&self) -> Option<Usage>;

    /// How a whole stream of this kind ends; see [`Ending`] for what follows when the body ends.
    fn ending(&self) -> Ending;
}

/// What one event of a stream says.
#[derive(Clone, PartialEq, Debug)]
pub enum EventMeaning {
    /// Pings, role-only chunks, annotations: nothing is committed yet.
    Prelude,
    /// The first of these commits the stream to its caller. Behind a [`Done`](Self::Done) it takes that back: there
    /// is more to come, and another end.
    Content,
    /// An error inside a stream that began with 200.
    Failed(Fault),
    /// The proper end. Bytes that still come (a second end mark, say) belong to the caller all the same.
    Done,
}

/// How a whole stream ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With an event that means [`EventMeaning::Done`]: a body that ends without one was cut,
    /// however cleanly its connection closed.
    Marked,
    /// With such an event, and then with its body: this stream marked events that weren't its last, so that the
    /// mark alone proves nothing.
    MarkedAndClosed,
    /// With its body: no event marks it, so a clean end of the body is a whole answer
    /// and only a broken connection is a cut.
    Unmarked,
}

/// A key that can't stand in a header: control characters, or nothing at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the key is empty or holds characters that can't stand in an HTTP header")]
pub struct BadSecret;

/// The key as a header value, behind `prefix`, marked so that nobody prints it.
fn secret_header(prefix: &str, secret: &Secret) -> Result<HeaderValue, BadSecret> {
    let key = secret.expose();
    if key.is_empty() {
        return Err(BadSecret);
    }
    let mut value = HeaderValue::from_str(&format!("{prefix}{key}")).map_err(|_| BadSecret)?;
    value.set_sensitive(true);
    Ok(value)
}
