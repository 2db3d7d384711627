//! A request under way, and the record of it. However it ends, it is told once.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use keywheel_actors::clock::Moment;
use keywheel_actors::id::Model;
use keywheel_actors::outcome::{Attempt, Usage};
use keywheel_actors::store::Wall;

use super::gate::{Gate, Passage};
use super::laps::Laps;
use super::refusal::Refusal;
use super::surface::decoded;
use super::wanted::Wanted;
use crate::clients::Admission;
use crate::config::Config;
use crate::config::lookalike::hushed;
use crate::money::Money;
use crate::telemetry::{Ended, Ending, Place, TraceContext};

/// The status in the records of clients that left before they had any, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What any other method is called, as OpenTelemetry has it.
const METHOD_UNUSUAL: &str = "_OTHER";

/// Longer paths are cut in records.
const PATH_CHARS_MAX: usize = 256;

/// What is known of the tokens that a request used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Used {
    /// Its provider told.
    Told(Usage),
    /// Its provider told nothing, or not all: so much of its answer was seen at least.
    Seen(Usage),
    Unknown,
}

impl From<Option<Usage>> for Used {
    fn from(told: Option<Usage>) -> Self {
        told.map_or(Self::Unknown, Self::Told)
    }
}

/// A request under way. Dropped, its client has left.
pub(super) struct Underway {
    pub(super) came: Moment,
    /// Its body was there: what came before was its client's time.
    pub(super) read: Moment,
    /// Models that its provider may serve it with instead, and doesn't tell where everybody reads it.
    pub(super) fallbacks: Vec<Model>,
    gate: Arc<Gate>,
    config: Arc<Config>,
    admission: Option<Admission>,
    /// `None` once it has been told.
    record: Option<Box<Ended>>,
    _passage: Passage,
}

impl Underway {
    pub(super) fn new(
        gate: &Arc<Gate>,
        config: Arc<Config>,
        surface: &'static str,
        request: &HttpRequest,
        request_id: &str,
        trace: TraceContext,
    ) -> Self {
        let clock = gate.wheel.clock();
        let came = clock.now();
        let record = Ended {
            at: Wall::from(clock.today()),
            began: came,
            request_id: request_id.to_owned(),
            trace,
            client: None,
            peer: request.peer_addr().map(|peer| peer.ip()),
            method: method(request.method()),
            path: path(request.path()),
            surface,
            model: None,
            served: None,
            status: CLIENT_CLOSED_REQUEST,
            ending: Ending::ClientGone,
            code: None,
            attempts: Vec::new(),
            fell_back: false,
            streamed: false,
            first_byte: None,
            took: Duration::ZERO,
            waited: Duration::ZERO,
            overhead: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            usage: None,
            cost: None,
        };
        Self {
            came,
            read: came,
            fallbacks: Vec::new(),
            gate: Arc::clone(gate),
            config,
            admission: None,
            record: Some(Box::new(record)),
            _passage: gate.enter(),
        }
    }

    fn note(&mut self, note: impl FnOnce(&mut Ended)) {
        if let Some(record) = &mut self.record {
            note(record);
        }
    }

    pub(super) fn sent_by(&mut self, client: Option<Arc<str>>) {
        self.note(|record| record.client = client);
    }

    pub(super) fn asks(&mut self, wanted: &Wanted) {
        self.read = wanted.read;
        self.fallbacks.clone_from(&wanted.fallbacks);
        self.note(|record| {
            record.model = Some(shown(&wanted.model)).filter(|model| !model.as_str().is_empty());
            record.bytes_in = wanted.body.len() as u64;
        });
    }

    pub(super) fn admitted(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// Its answer begins.
    pub(super) fn answered(&mut self, status: u16, laps: Laps, attempts: Vec<Attempt>, fell_back: bool) {
        let first_byte = self.gate.wheel.clock().now().since(self.came);
        self.note(|record| {
            record.status = status;
            record.first_byte = Some(first_byte);
            record.waited = laps.waited;
            record.overhead = laps.overhead;
            record.served = attempts.last().filter(|last| last.fault.is_none()).map(|last| Place {
                provider: last.key.provider.clone(),
                key: last.key.key.clone(),
                model: shown(&last.model),
            });
            record.attempts = attempts
                .into_iter()
                .map(|attempt| Attempt { model: shown(&attempt.model), ..attempt })
                .collect();
            record.fell_back = fell_back;
        });
    }

    /// Its answer comes in pieces.
    pub(super) fn streams(&mut self) {
        self.note(|record| record.streamed = true);
    }

    /// It was answered here.
    pub(super) fn answered_here(mut self, response: &HttpResponse) {
        self.note(|record| {
            record.status = response.status().as_u16();
            if let BodySize::Sized(bytes) = response.body().size() {
                record.bytes_out = bytes;
            }
        });
        self.end(Ending::Served, Used::Unknown);
    }

    /// So many bytes of its answer have left.
    pub(super) fn passed_on(&mut self, bytes: usize) {
        self.note(|record| record.bytes_out += bytes as u64);
    }

    /// It was refused.
    pub(super) fn refused(mut self, refusal: &Refusal) {
        let is_the_clients =
            refusal.status.is_client_error() || refusal.status == StatusCode::NOT_IMPLEMENTED;
        self.note(|record| {
            record.status = refusal.status.as_u16();
            record.code = Some(refusal.code.clone());
        });
        self.end(if is_the_clients { Ending::Refused } else { Ending::Failed }, Used::Unknown);
    }

    /// It got a provider's own refusal.
    pub(super) fn refused_there(mut self, code: &str) {
        self.note(|record| record.code = Some(code.to_owned()));
        self.end(Ending::Refused, Used::Unknown);
    }

    /// It ends.
    pub(super) fn end(&mut self, ending: Ending, used: Used) {
        let Some(mut record) = self.record.take() else { return };
        record.ending = ending;
        record.took = self.gate.wheel.clock().now().since(self.came);
        if let Used::Told(usage) = used {
            record.usage = Some(usage);
            record.cost = self.cost(&record, &usage);
        }
        if let Some(admission) = self.admission.take() {
            self.settle(admission, &record, used);
        }
        self.gate.told(&record, &self.config);
    }

    /// Its client has used what is known, and what was reckoned where nothing is.
    fn settle(&self, admission: Admission, record: &Ended, used: Used) {
        let failed = match record.ending {
            Ending::Served | Ending::Cut | Ending::ClientGone => None,
            Ending::Refused | Ending::Failed => Some(&record.attempts),
        };
        match failed {
            Some(attempts) if attempts.is_empty() => return admission.give_back(),
            Some(attempts) if attempts.iter().all(is_free) => return admission.forgive(),
            Some(_) | None => {}
        }
        match used {
            Used::Told(usage) => admission.settle(Some(usage), record.cost),
            Used::Seen(seen) => {
                let reckoned = admission.reckoned().input;
                let input_tokens = if seen.input_tokens == 0 { reckoned } else { seen.input_tokens };
                let usage = Usage { input_tokens, ..seen };
                admission.settle(Some(usage), self.cost(record, &usage));
            }
            Used::Unknown => admission.settle(None, None),
        }
    }

    /// What so much cost, of the models that may have served it at the dearest.
    fn cost(&self, record: &Ended, usage: &Usage) -> Option<Money> {
        let place = record.served.as_ref()?;
        let of = |model: &Model| Some(self.config.prices.of(&place.provider, model)?.cost(usage));
        let fallbacks = self.fallbacks.iter().filter_map(of).max();
        Some(of(&place.model)?.max(fallbacks.unwrap_or_default()))
    }
}

/// Whether a call failed, and nobody has to pay for it.
fn is_free(attempt: &Attempt) -> bool {
    attempt.fault.as_ref().is_some_and(|fault| !fault.reason.may_be_billed())
}

/// The word for a method; others than the usual ones could be anything.
fn method(method: &Method) -> &'static str {
    const USUAL: [Method; 8] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
    ];
    const WORDS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"];
    USUAL.iter().position(|usual| usual == method).map_or(METHOD_UNUSUAL, |at| WORDS[at])
}

/// A path as records show it: whoever mistakes it for a place of keys may have put one there.
fn path(path: &str) -> String {
    // `%2D` hides a key's dash.
    let decoded = decoded(path);
    let shown = match hushed(&decoded) {
        Cow::Borrowed(_) => hushed(path),
        Cow::Owned(quiet) => Cow::Owned(quiet),
    };
    shown.chars().take(PATH_CHARS_MAX).collect()
}

/// The name of a model as records show it: a key may have been put in its place.
fn shown(model: &Model) -> Model {
    match hushed(model.as_str()) {
        Cow::Borrowed(_) => model.clone(),
        Cow::Owned(hushed) => Model::from(hushed),
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.end(Ending::ClientGone, Used::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_the_key_that_was_pasted_into_it() {
        assert_eq!(path("/v1/models/a%2Fb"), "/v1/models/a%2Fb");
        for (came, shown) in [
            ("/v1/sk-0123456789abcdefgh/x", "/v1/sk-…efgh/x"),
            ("/v1/sk%2D0123456789abcdefgh", "/v1/sk-…efgh"),
            ("/kw-9f3c1be07d52a8464be9d01c7a35f682", "/…f682"),
        ] {
            assert_eq!(path(came), shown);
        }
        assert_eq!(path(&"/é".repeat(300)).chars().count(), PATH_CHARS_MAX);
    }

    #[test]
    fn a_method_is_one_of_a_few_words() {
        assert_eq!(method(&Method::DELETE), "DELETE");
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), METHOD_UNUSUAL);
    }
}
