//! What a request asks for, once its body has been looked into: whether its client may have it, and what it is
//! reckoned to take.

use actix_web::http::StatusCode;
use bytes::Bytes;
use keywheel_actors::clock::Moment;
use keywheel_actors::dialect::{Anthropic, Api, Dialect as _, Gemini, OpenAi};
use keywheel_actors::id::Model;
use keywheel_actors::outcome::Usage;
use keywheel_actors::policy::route::{Candidate, Routes};
use keywheel_actors::request::{Delivery, Destination, Request};
use keywheel_actors::spec::ProviderSpec;
use keywheel_actors::tokens::Tokens;
use keywheel_actors::upload::Upload;

use super::peek::{Fallbacks, Peeked, Streamed};
use super::refusal::Refusal;
use super::surface::Endpoint;
use crate::clients::{Claim, Client, Share};
use crate::config::Config;

/// Tokens that an answer is reckoned to have whose request names no maximum: few are longer.
const OUTPUT_UNSAID: u64 = 1_024;

/// What a request asks for.
pub(super) struct Wanted {
    pub(super) body: Bytes,
    pub(super) upload: Option<Upload>,
    pub(super) model: Model,
    pub(super) streamed: Streamed,
    pub(super) delivery: Delivery,
    /// When its body was there.
    pub(super) read: Moment,
    /// Another one that its body names beside its path.
    beside: Option<Model>,
    /// Those that its provider may serve it with instead.
    pub(super) fallbacks: Vec<Model>,
    /// Whether those are all that its body names.
    naming: Naming,
}

/// Whether all models that a request names are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Naming {
    Known,
    Unknown,
}

impl Wanted {
    /// What goes where its model's route leads.
    pub(super) fn routed(
        endpoint: &Endpoint,
        query: &str,
        body: Bytes,
        read: Moment,
    ) -> Result<Self, Refusal> {
        let peeked = Peeked::into(&body).map_err(|message| Refusal::bad_request("invalid_json", message))?;
        let (model, beside) = models(endpoint, peeked.model);
        let (fallbacks, naming) = named(peeked.fallbacks);
        let model = model.filter(|model| !model.as_str().is_empty());
        let model =
            model.ok_or_else(|| Refusal::bad_request("model_missing", "the request names no `model`"))?;
        let is_stream = peeked.streamed == Streamed::Yes || wants_events(endpoint, query);
        let (delivery, streamed) =
            if is_stream { (Delivery::Stream, Streamed::Yes) } else { (Delivery::Whole, Streamed::No) };
        Ok(Self { body, upload: None, model, streamed, delivery, read, beside, fallbacks, naming })
    }

    /// What goes to one provider. Whatever it is, it goes on as it came.
    pub(super) fn passed(endpoint: &Endpoint, body: Bytes, upload: Option<Upload>, read: Moment) -> Self {
        let peeked = Peeked::into(&body).unwrap_or_default();
        let (model, beside) = models(endpoint, peeked.model);
        let (fallbacks, naming) = named(peeked.fallbacks);
        let model = model.unwrap_or_else(|| Model::from(""));
        let (streamed, delivery) = (peeked.streamed, Delivery::Passed);
        Self { body, upload, model, streamed, delivery, read, beside, fallbacks, naming }
    }

    /// Who only reads uses no model.
    pub(super) fn sends_something(&self) -> bool {
        !self.body.is_empty() || self.upload.is_some()
    }

    /// Whether the client may have it, if such requests name their models so. Where a model may be named that can't be read nobody knows what is asked for: who
    /// is bound to some models may send no such request.
    pub(super) fn is_for(&self, client: &Client, such: Naming) -> Result<(), Refusal> {
        let refused = |message| Err(Refusal::new(StatusCode::FORBIDDEN, "model_not_allowed", message));
        let named = [&self.model].into_iter().chain(&self.beside).chain(&self.fallbacks);
        let mut named = named.filter(|model| !model.as_str().is_empty()).peekable();
        let is_known = match (such, self.naming) {
            (Naming::Known, Naming::Known) => named.peek().is_some() || !self.sends_something(),
            (Naming::Unknown, _) | (_, Naming::Unknown) => false,
        };
        if !is_known && client.is_bound_to_models() {
            let message =
                "this client may use some models only, and which this request asks for can't be read";
            return refused(message.to_owned());
        }
        match named.find(|model| !client.may_use(model)) {
            Some(model) => refused(format!("this client may not use the model `{model}`")),
            None => Ok(()),
        }
    }
}

/// The model that counts, and another one: a path goes before what a body says.
fn models(endpoint: &Endpoint, in_body: Option<Model>) -> (Option<Model>, Option<Model>) {
    match endpoint.model.clone() {
        Some(in_path) => (Some(in_path), in_body),
        None => (in_body, None),
    }
}

fn named(fallbacks: Fallbacks) -> (Vec<Model>, Naming) {
    match fallbacks {
        Fallbacks::Named(models) => (models, Naming::Known),
        Fallbacks::Unreadable => (Vec::new(), Naming::Unknown),
    }
}

/// Gemini's streams are asked for by their path.
fn wants_events(endpoint: &Endpoint, query: &str) -> bool {
    endpoint.path.ends_with(":streamGenerateContent") && query.split('&').any(|part| part == "alt=sse")
}

/// What the request is reckoned to take, for a client of which that is limited; its provider may serve it with one of
/// those models instead.
pub(super) fn claim(
    config: &Config,
    api: Api,
    request: &Request,
    fallbacks: &[Model],
    client: &Client,
) -> Claim {
    if only_counts(&request.path) {
        return Claim::NOTHING;
    }
    let estimate = match api {
        Api::OpenAi => OpenAi.estimate_tokens(request),
        Api::Anthropic => Anthropic.estimate_tokens(request),
        Api::Gemini => Gemini.estimate_tokens(request),
    };
    let candidates = candidates(config, request);
    let share = |output: u64| {
        let usage = Usage { input_tokens: estimate.input, output_tokens: output, cached_tokens: 0 };
        let cost = |at: &Candidate| Some(config.prices.of(&at.provider, &at.model)?.cost(&usage));
        let fallbacks = fallbacks.iter().map(|model| {
            let at = |at: &Candidate| cost(&Candidate { model: model.clone(), ..at.clone() });
            candidates.iter().filter_map(at).max()
        });
        let costs: Option<Vec<_>> =
            [candidates.iter().filter_map(cost).max()].into_iter().chain(fallbacks).collect();
        let cost = costs.and_then(|costs| costs.into_iter().max());
        Share { tokens: Tokens { input: estimate.input, output }, cost }
    };
    match estimate.most() {
        Some(most) => Claim { reckoned: share(most), at_length: None },
        None => Claim {
            reckoned: share(OUTPUT_UNSAID),
            at_length: Some(share(client.longest_answer().max(OUTPUT_UNSAID))),
        },
    }
}

/// Whether the tokens of a prompt are asked for and no answer: nobody bills that.
fn only_counts(path: &str) -> bool {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    ["/count_tokens", "/input_tokens", ":countTokens"].iter().any(|ending| path.ends_with(ending))
}

/// Who may serve it.
fn candidates(config: &Config, request: &Request) -> Vec<Candidate> {
    match &request.to {
        Destination::Routed => Routes::new(&config.wheel).candidates(&request.model),
        Destination::Provider(id) => {
            let there = config.wheel.providers.iter().filter(|provider| provider.id == *id);
            let candidate = |provider: &ProviderSpec| Candidate {
                provider: provider.id.clone(),
                model: provider.model_there(&request.model),
            };
            there.map(candidate).collect()
        }
    }
}
