//! What a request asks for, once its body has been looked into: whether its client may have it, and what it is
//! reckoned to take.

use actix_web::http::StatusCode;
use bytes::Bytes;
use keywheel_actors::dialect::{Anthropic, Api, Dialect as _, Gemini, OpenAi};
use keywheel_actors::id::Model;
use keywheel_actors::outcome::Usage;
use keywheel_actors::request::{Delivery, Request};
use keywheel_actors::tokens::Tokens;
use keywheel_actors::upload::Upload;

use super::peek::{Peeked, Streamed};
use super::refusal::Refusal;
use super::surface::Endpoint;
use crate::clients::{Claim, Client};
use crate::config::Config;
use crate::money::Money;

/// What a client takes of its tokens and money that has no such limits, or only reads.
pub(super) const NOTHING: Claim = Claim { tokens: Tokens::NONE, cost: Some(Money::ZERO) };

/// Tokens that an answer is reckoned to have whose request names no maximum: few are longer.
const OUTPUT_UNSAID: u64 = 1_024;

/// What a request asks for.
pub(super) struct Wanted {
    pub(super) body: Bytes,
    pub(super) upload: Option<Upload>,
    pub(super) model: Model,
    pub(super) streamed: Streamed,
    /// Another one that its body names beside its path.
    beside: Option<Model>,
    pub(super) delivery: Delivery,
}

impl Wanted {
    /// What goes where its model's route leads.
    pub(super) fn routed(endpoint: &Endpoint, query: &str, body: Bytes) -> Result<Self, Refusal> {
        let peeked = Peeked::into(&body).map_err(|message| Refusal::bad_request("invalid_json", message))?;
        let (model, beside) = models(endpoint, peeked.model);
        let model = model.filter(|model| !model.as_str().is_empty());
        let model =
            model.ok_or_else(|| Refusal::bad_request("model_missing", "the request names no `model`"))?;
        let is_stream = peeked.streamed == Streamed::Yes || wants_events(endpoint, query);
        let (delivery, streamed) =
            if is_stream { (Delivery::Stream, Streamed::Yes) } else { (Delivery::Whole, Streamed::No) };
        Ok(Self { body, upload: None, model, streamed, beside, delivery })
    }

    /// What goes to one provider. Whatever it is, it goes on as it came.
    pub(super) fn passed(endpoint: &Endpoint, body: Bytes, upload: Option<Upload>) -> Self {
        let peeked = Peeked::into(&body).unwrap_or_default();
        let (model, beside) = models(endpoint, peeked.model);
        let model = model.unwrap_or_else(|| Model::from(""));
        Self { body, upload, model, streamed: peeked.streamed, beside, delivery: Delivery::Passed }
    }

    /// Who only reads uses no model.
    pub(super) fn sends_something(&self) -> bool {
        !self.body.is_empty() || self.upload.is_some()
    }

    /// Whether the client may have it. Of a body in which no model can be read nobody knows what it asks for: who is
    /// bound to some models may send none.
    pub(super) fn is_for(&self, client: &Client) -> Result<(), Refusal> {
        let refused = |message| Err(Refusal::new(StatusCode::FORBIDDEN, "model_not_allowed", message));
        let named = [Some(&self.model), self.beside.as_ref()].into_iter().flatten();
        let mut named = named.filter(|model| !model.as_str().is_empty()).peekable();
        if named.peek().is_none() && self.sends_something() && client.is_bound_to_models() {
            let message = "this client may use some models only, and of this request none can be read";
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

/// Gemini's streams are asked for by their path.
fn wants_events(endpoint: &Endpoint, query: &str) -> bool {
    endpoint.path.ends_with(":streamGenerateContent") && query.split('&').any(|part| part == "alt=sse")
}

/// What the request is reckoned to take, for a client of which that is limited.
pub(super) fn claim(config: &Config, api: Api, request: &Request) -> Claim {
    let estimate = match api {
        Api::OpenAi => OpenAi.estimate_tokens(request),
        Api::Anthropic => Anthropic.estimate_tokens(request),
        Api::Gemini => Gemini.estimate_tokens(request),
    };
    let output = estimate.most().unwrap_or(OUTPUT_UNSAID);
    let usage = Usage { input_tokens: estimate.input, output_tokens: output, cached_tokens: 0 };
    let prices = config.wheel.providers.iter().filter_map(|provider| {
        let model = provider.model_there(&request.model);
        config.prices.of(&provider.id, &model).map(|price| price.cost(&usage))
    });
    Claim { tokens: Tokens { input: estimate.input, output }, cost: prices.max() }
}
