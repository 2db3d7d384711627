//! A simulated provider, for tests, demonstrations, measurements and people who want to try things.
//!
//! It is a real HTTP/1.1 server that speaks OpenAI's API, and Anthropic's
//! messages and Gemini's content beside it. It has any number of keys, each with limits that are counted exactly; it fails on request, by chance or
//! by a script of events in time; and its [`Ledger`] tells what it accepted and
//! what it refused, per key and per request id.
//!
//! ```no_run
//! # async fn story() -> std::io::Result<()> {
//! use std::time::Duration;
//! use keywheel::sim::{Availability, Change, LimitSpec, Outcome, Shape, Sim, SimSpec};
//!
//! let minute = Duration::from_secs(60);
//! let limit = LimitSpec::requests(300, minute).shaped(Shape::TokenBucket { burst: 5 });
//! let sim = Sim::start(
//!     SimSpec::with_keys(3)
//!         .limited(limit)
//!         .at(Duration::from_secs(5), Change::Availability(Availability::Failing)),
//! )
//! .await?;
//! println!("POST {}/chat/completions with the keys sk-0, sk-1, sk-2", sim.base_url());
//! assert_eq!(sim.ledger().count(Outcome::Throttled), 0);
//! # Ok(())
//! # }
//! ```
//!
//! | path | what it does |
//! |---|---|
//! | `POST /v1/chat/completions` | answers, plain or streamed; calls a function if it must |
//! | `POST /v1/completions`, `/v1/responses` | the same in those shapes |
//! | `POST /v1/embeddings` | one vector of eight numbers for each input, as numbers or in base64 |
//! | `POST /v1/audio/speech` | some bytes |
//! | `POST /v1/files` | counts what it is sent, holding none of it |
//! | `GET /v1/files/bytes-N/content` | a file of N bytes |
//! | `GET /v1/models`, `/v1/models/{id}` | lists the models; checks the key and costs nothing |
//! | `POST /v1/messages` | Anthropic's messages, plain or streamed |
//! | `POST /v1beta/models/{id}:generateContent`, `:streamGenerateContent` | Gemini's content, plain or streamed |
//! | `GET /ledger` | the books; with `?requests=1` also per `x-request-id` |
//! | `GET /healthz` | says that it is up, whatever the script plays |
//!
//! A call is decided at its arrival, in this order: the provider is down; the
//! credential; the body; money; the model; a mishap is drawn; the limits. What
//! the limits took stays taken, whether or not the answer reaches its caller.
//! Refusals are answered at once, everything else after the latency.
//!
//! The quota rules here are the oracle against which Keywheel's own are tested:
//! they share no code.
//!
//! The file that `keywheel sim --scenario` reads is described in `docs/sim.md`.

mod account;
mod answer;
mod ask;
mod body;
mod books;
mod complaint;
mod fault;
pub mod file;
mod foreign;
mod headers;
mod latency;
mod ledger;
mod limit;
mod paths;
mod peak;
mod run;
mod script;
mod server;
mod service;
mod snippet;
mod spec;
mod tongue;

pub use fault::FaultRates;
pub use latency::{BadLatency, Latency};
pub use ledger::{KeyLedger, Ledger, LimitLedger, Outcome, OutcomeClass, RequestEntry};
pub use script::{Availability, BadChange, Change, Event};
pub use server::Sim;
pub use snippet::provider_toml;
pub use spec::{Charge, Conduct, HeaderStyle, KeySpec, LimitSpec, Pace, Shape, SimSpec, Words};
