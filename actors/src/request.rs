//! What a caller wants done, in its dialect's own bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};

use crate::clock::Moment;
use crate::id::{CallerId, Model, ProviderId};
use crate::upload::Upload;

/// An HTTP request to some provider, without host and without credential.
#[derive(Clone, Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Path below the provider's base URL, with a leading slash: `/chat/completions`.
    pub path: String,
    /// Headers to forward. Credentials are the key's business and don't belong here.
    pub headers: HeaderMap,
    /// The body, as the caller wrote it.
    pub body: Bytes,
    /// What follows it, if that is too long to be kept: such a request is sent once.
    pub upload: Option<Upload>,
    /// The model that the caller asks for.
    pub model: Model,
    /// How the answer is wanted.
    pub delivery: Delivery,
    /// Who is asked.
    pub to: Destination,
}

/// Who is asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Destination {
    /// Whoever serves the model by its route, and understands what goes to this path.
    #[default]
    Routed,
    /// This provider and nobody else.
    Provider(ProviderId),
}

/// The header by which callers, providers and gateways name a request in their logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Request {
    /// Whether it can't be sent again: of its upload something is gone.
    pub fn is_spent(&self) -> bool {
        self.upload.as_ref().is_some_and(Upload::is_spent)
    }

    /// The caller's own name of it: its header `x-request-id`, as far as it is text.
    pub fn id(&self) -> Option<&str> {
        self.headers.get(X_REQUEST_ID)?.to_str().ok()
    }
}

/// How an answer reaches its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// In one piece, read to its end before the caller sees it.
    Whole,
    /// As server-sent events, handed out from the first content event on.
    Stream,
    /// However it comes: events as a stream of events, short JSON in one piece, and any other bytes as they come,
    /// of which nothing is understood but their status.
    Passed,
}

/// How a job is to be treated on its way.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// No answer later than this is wanted. [`Moment::NEVER`] for none.
    pub deadline: Moment,
    /// Whose job it is.
    pub caller: CallerId,
    /// What to do when nobody can serve it soon.
    pub patience: Patience,
    /// Calls that may fail by a fault of the provider (5xx, cut, timeout) before the job gives up.
    /// Throttles, dead keys and a provider's outage don't count.
    pub attempts_max: u32,
    /// How much of a stream is held back before the caller sees any.
    pub hold_back: HoldBack,
    /// Who goes first of those that wait.
    pub priority: Priority,
}

/// How much of a stream is held back: what the caller hasn't seen can still come from elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum HoldBack {
    /// Nothing.
    None,
    /// All until its first content.
    #[default]
    FirstContent,
    /// All of it, up to 64 MiB.
    Full,
}

/// Who goes first of those that wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Priority {
    /// Whoever has time.
    Low,
    /// Everybody.
    #[default]
    Normal,
    /// Whoever a person waits for.
    High,
}

impl Priority {
    /// All of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            deadline: Moment::NEVER,
            caller: CallerId::default(),
            patience: Patience::UntilDeadline,
            attempts_max: 5,
            hold_back: HoldBack::default(),
            priority: Priority::default(),
        }
    }
}

/// What a job does when every key of its last candidate rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Waits as long as its deadline allows, also beyond the earliest resume that is known.
    UntilDeadline,
    /// Gives up at once if the earliest resume lies behind its deadline.
    Interactive,
}
