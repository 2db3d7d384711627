//! One request, from its head to its answer.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keywheel_actors::Keeping;
use keywheel_actors::clock::Moment;
use keywheel_actors::dialect::{Anthropic, Api, Dialect as _, Gemini, OpenAi};
use keywheel_actors::id::Model;
use keywheel_actors::outcome::Usage;
use keywheel_actors::request::{Delivery, Destination, Patience, Request, Terms};
use keywheel_actors::tokens::Tokens;
use keywheel_actors::upload::Upload;

use super::answer::{self, Laps};
use super::ask;
use super::body::{self, Bounds, KEPT_BYTES_MAX};
use super::gate::Gate;
use super::headers;
use super::models;
use super::peek::{Peeked, Streamed};
use super::refusal::Refusal;
use super::surface::{self, Endpoint, Surface};
use super::underway::Underway;
use crate::clients::{Claim, Client, NotKnown, Now};
use crate::config::Config;
use crate::money::Money;
use crate::telemetry::TraceContext;

/// Answers one request.
pub(super) async fn handle(request: HttpRequest, payload: Payload, gate: Data<Gate>) -> HttpResponse {
    let gate = gate.into_inner();
    let id = ask::request_id(request.headers());
    let is_anthropic = request.headers().contains_key("anthropic-version");
    let surface = surface::find(request.method(), request.path(), is_anthropic);
    answer::named(of_surface(surface, &id, &request, payload, &gate).await, &id)
}

async fn of_surface(
    surface: Surface,
    id: &str,
    request: &HttpRequest,
    payload: Payload,
    gate: &Arc<Gate>,
) -> HttpResponse {
    let incoming = |config, endpoint| Incoming::new(gate, config, request, endpoint, id);
    let config = Arc::clone(&gate.config.borrow());
    if headers::text(request.headers(), "upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket")) {
        let message = "websockets aren't served here";
        return Refusal::new(StatusCode::NOT_IMPLEMENTED, "upgrade_not_served", message).respond(Api::OpenAi);
    }
    match surface {
        Surface::Live => HttpResponse::Ok().body("live\n"),
        Surface::Ready if gate.is_ready() => HttpResponse::Ok().body(readiness(gate)),
        Surface::Ready => HttpResponse::ServiceUnavailable().body("draining\n"),
        Surface::Models { api, name } => match identify(gate, request) {
            Ok(client) => {
                let offered = models::offered(&config.wheel, |name| client.may_use(&Model::from(name)));
                models::respond(api, &offered, name.as_deref())
            }
            Err(refusal) => refusal.respond(api),
        },
        Surface::Call(endpoint) => incoming(config, &endpoint).answer(payload, Destination::Routed).await,
        Surface::Pass { provider, path } => {
            let Some(spec) = config.wheel.providers.iter().find(|spec| spec.id == provider) else {
                // Strangers aren't told who is there.
                return match identify(gate, request) {
                    Ok(_) => not_found(&format!("there is no provider `{provider}`")),
                    Err(refusal) => refusal.respond(Api::OpenAi),
                };
            };
            let path = surface::below_base(&spec.base_url, &path);
            let endpoint = Endpoint {
                name: "pass_through",
                api: Api::of_path(path).or(spec.dialect.api()).unwrap_or(Api::OpenAi),
                path: path.to_owned(),
                model: surface::model_in(path),
                events: surface::Events::of_path(path),
            };
            let to = Destination::Provider(provider);
            incoming(Arc::clone(&config), &endpoint).answer(payload, to).await
        }
        Surface::Dotted => {
            let message = "a path with `.` or `..` in it leads nowhere here";
            Refusal::bad_request("dots_in_path", message).respond(Api::OpenAi)
        }
        Surface::WrongMethod => {
            let message = format!("`{}` isn't asked by {}", request.path(), request.method());
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).respond(Api::OpenAi)
        }
        Surface::Unknown => not_found(&format!(
            "there is no `{}`; calls of other kinds go to /providers/ID/…",
            request.path()
        )),
    }
}

/// What who asks is told while requests are taken. A disk that is full keeps nobody from that.
fn readiness(gate: &Gate) -> &'static str {
    match gate.wheel.keeping() {
        Keeping::Durably => "ready\n",
        Keeping::Nothing | Keeping::Failing { .. } => "ready, but a restart will forget what happens\n",
    }
}

/// Who calls.
fn identify(gate: &Gate, request: &HttpRequest) -> Result<Client, Refusal> {
    let token = headers::token(request.headers(), request.query_string());
    let client = gate.clients.identify(token).map_err(|NotKnown| {
        let message = "the token is missing or isn't known here";
        Refusal::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    })?;
    if client.name().is_none() && headers::is_of_a_page(request.headers()) {
        let message = "without clients a gateway serves this machine's programs: no page of another site, no other \
                       name than localhost; `keywheel client new` makes a token";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "foreign_page", message));
    }
    Ok(client)
}

fn not_found(message: &str) -> HttpResponse {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", message).respond(Api::OpenAi)
}

/// A request that becomes a job.
struct Incoming<'a> {
    gate: &'a Arc<Gate>,
    config: Arc<Config>,
    request: &'a HttpRequest,
    endpoint: &'a Endpoint,
    id: &'a str,
    trace: TraceContext,
}

/// What is known of a request once its body has been looked into.
struct Wanted {
    body: Bytes,
    upload: Option<Upload>,
    model: Model,
    streamed: Streamed,
    /// Another one that its body names beside its path.
    beside: Option<Model>,
    delivery: Delivery,
}

impl Wanted {
    /// Who only reads uses no model.
    fn sends_something(&self) -> bool {
        !self.body.is_empty() || self.upload.is_some()
    }
}

impl<'a> Incoming<'a> {
    fn new(
        gate: &'a Arc<Gate>,
        config: Arc<Config>,
        request: &'a HttpRequest,
        endpoint: &'a Endpoint,
        id: &'a str,
    ) -> Self {
        let traceparent = headers::text(request.headers(), TRACEPARENT);
        let trace = TraceContext::of(traceparent, config.server.trace_one_in);
        Self { gate, config, request, endpoint, id, trace }
    }

    async fn answer(&self, payload: Payload, to: Destination) -> HttpResponse {
        let config = Arc::clone(&self.config);
        let mut underway = Underway::new(self.gate, config, self.endpoint.name, self.id, self.trace);
        match self.prepare(payload, &to, &mut underway).await {
            Ok((request, terms)) => self.send(request, terms, underway).await,
            Err(refusal) => {
                underway.refused(&refusal);
                refusal.respond(self.endpoint.api)
            }
        }
    }

    /// Reads it, and lets it in.
    async fn prepare(
        &self,
        payload: Payload,
        to: &Destination,
        underway: &mut Underway,
    ) -> Result<(Request, Terms), Refusal> {
        let client = identify(self.gate, self.request)?;
        underway.sent_by(client.name().cloned());
        let server = &self.config.server;
        let wanted = match to {
            Destination::Routed => {
                let bytes_max = server.body_bytes_max as u64;
                let bounds = Bounds { bytes_max, kept_max: server.body_bytes_max, idle: server.body_timeout };
                self.routed(body::read(self.request, payload, bounds).await?.0)?
            }
            Destination::Provider(_) => {
                let bytes_max = server.upload_bytes_max;
                let bounds = Bounds { bytes_max, kept_max: KEPT_BYTES_MAX, idle: server.body_timeout };
                let (body, upload) = body::read(self.request, payload, bounds).await?;
                self.passed(body, upload)
            }
        };
        underway.asks(&wanted.model, wanted.body.len());
        allow(&client, &wanted)?;
        let terms = self.terms(&client, wanted.streamed, underway.came)?;
        let sends_something = wanted.sends_something();
        let request = self.request_for(wanted, to.clone());
        let now = Now::by(self.gate.wheel.clock());
        let is_reckoned = client.is_measured() && sends_something;
        let claim = if is_reckoned { self.claim(&request) } else { NOTHING };
        underway.admitted(client.admit(claim, now).map_err(Refusal::of_client)?);
        Ok((request, terms))
    }

    /// What goes where its model's route leads.
    fn routed(&self, body: Bytes) -> Result<Wanted, Refusal> {
        let peeked = Peeked::into(&body).map_err(|message| Refusal::bad_request("invalid_json", message))?;
        let (model, beside) = self.models(peeked.model);
        let model = model.filter(|model| !model.as_str().is_empty());
        let model =
            model.ok_or_else(|| Refusal::bad_request("model_missing", "the request names no `model`"))?;
        let is_stream = peeked.streamed == Streamed::Yes || self.wants_events();
        let (delivery, streamed) =
            if is_stream { (Delivery::Stream, Streamed::Yes) } else { (Delivery::Whole, Streamed::No) };
        Ok(Wanted { body, upload: None, model, streamed, beside, delivery })
    }

    /// The model that counts, and another one: a path goes before what a body says.
    fn models(&self, in_body: Option<Model>) -> (Option<Model>, Option<Model>) {
        match self.endpoint.model.clone() {
            Some(in_path) => (Some(in_path), in_body),
            None => (in_body, None),
        }
    }

    /// Gemini's streams are asked for by their path.
    fn wants_events(&self) -> bool {
        self.endpoint.path.ends_with(":streamGenerateContent")
            && self.request.query_string().split('&').any(|part| part == "alt=sse")
    }

    /// What goes to one provider. Whatever it is, it goes on as it came.
    fn passed(&self, body: Bytes, upload: Option<Upload>) -> Wanted {
        let peeked = Peeked::into(&body).unwrap_or_default();
        let (model, beside) = self.models(peeked.model);
        let model = model.unwrap_or_else(|| Model::from(""));
        Wanted { body, upload, model, streamed: peeked.streamed, beside, delivery: Delivery::Passed }
    }

    fn request_for(&self, wanted: Wanted, to: Destination) -> Request {
        let Wanted { body, upload, model, streamed: _, beside: _, delivery } = wanted;
        let query = headers::query_without_credential(self.request.query_string());
        Request {
            method: Method::from_bytes(self.request.method().as_str().as_bytes()).unwrap_or(Method::POST),
            path: format!("{}{query}", self.endpoint.path),
            headers: self.headers(),
            body,
            upload,
            model,
            delivery,
            to,
        }
    }

    async fn send(&self, request: Request, terms: Terms, underway: Underway) -> HttpResponse {
        let clock = self.gate.wheel.clock();
        let sent = clock.now();
        let answered = self.gate.wheel.send(request, terms).await;
        let now = clock.now();
        match answered {
            Ok(answer) => {
                let laps = Laps::of(underway.came, sent, now, &answer.served.attempts);
                answer::respond(answer, self.endpoint, laps, underway)
            }
            Err(error) => {
                let laps = Laps::of(underway.came, sent, now, error.attempts());
                answer::refuse(&error, self.endpoint, laps, underway)
            }
        }
    }

    fn terms(&self, client: &Client, streamed: Streamed, came: Moment) -> Result<Terms, Refusal> {
        let headers = self.request.headers();
        let server = &self.config.server;
        let timeout = ask::timeout(headers, streamed == Streamed::Yes)?;
        let timeout = timeout.map_or(server.deadline, |said| said.min(server.deadline));
        Ok(Terms {
            deadline: came + timeout,
            caller: client.caller(),
            patience: Patience::Interactive,
            hold_back: server.hold_back,
            priority: client.priority(ask::priority(headers)?),
            ..Terms::default()
        })
    }

    /// What the request is reckoned to take, for a client of which that is limited.
    fn claim(&self, request: &Request) -> Claim {
        let estimate = match self.endpoint.api {
            Api::OpenAi => OpenAi.estimate_tokens(request),
            Api::Anthropic => Anthropic.estimate_tokens(request),
            Api::Gemini => Gemini.estimate_tokens(request),
        };
        let output = estimate.most().unwrap_or(OUTPUT_UNSAID);
        let usage = Usage { input_tokens: estimate.input, output_tokens: output, cached_tokens: 0 };
        let providers = self.config.wheel.providers.iter();
        let prices = providers.filter_map(|provider| {
            let model = provider.model_there(&request.model);
            self.config.prices.of(&provider.id, &model).map(|price| price.cost(&usage))
        });
        Claim { tokens: Tokens { input: estimate.input, output }, cost: prices.max() }
    }

    fn headers(&self) -> HeaderMap {
        let forwarded = &self.config.server.forward_headers;
        let mut passed = headers::to_provider(self.request.headers(), forwarded);
        if let Ok(id) = HeaderValue::from_str(self.id) {
            passed.insert(keywheel_actors::request::X_REQUEST_ID, id);
        }
        // Nobody's trace goes to a provider that isn't part of one.
        if self.trace.parent.is_some()
            && let Ok(trace) = HeaderValue::from_str(&self.trace.to_string())
        {
            passed.insert(HeaderName::from_static(TRACEPARENT), trace);
            for state in self.request.headers().get_all(TRACESTATE) {
                if let Ok(state) = HeaderValue::from_bytes(state.as_bytes()) {
                    passed.append(HeaderName::from_static(TRACESTATE), state);
                }
            }
        }
        passed
    }
}

/// Whether the client may have what it wants. Of a body in which no model can be read nobody knows what it asks for:
/// who is bound to some models may send none.
fn allow(client: &Client, wanted: &Wanted) -> Result<(), Refusal> {
    let refused = |message| Err(Refusal::new(StatusCode::FORBIDDEN, "model_not_allowed", message));
    let named = [Some(&wanted.model), wanted.beside.as_ref()].into_iter().flatten();
    let mut named = named.filter(|model| !model.as_str().is_empty()).peekable();
    if named.peek().is_none() && wanted.sends_something() && client.is_bound_to_models() {
        let message = "this client may use some models only, and of this request none can be read";
        return refused(message.to_owned());
    }
    match named.find(|model| !client.may_use(model)) {
        Some(model) => refused(format!("this client may not use the model `{model}`")),
        None => Ok(()),
    }
}

/// Where a trace stands in a request.
const TRACEPARENT: &str = "traceparent";
/// What its members keep in it: it goes on as it came.
const TRACESTATE: &str = "tracestate";

/// What a client takes of its tokens and money that has no such limits, or only reads.
const NOTHING: Claim = Claim { tokens: Tokens::NONE, cost: Some(Money::ZERO) };

/// Tokens that an answer is reckoned to have whose request names no maximum: few are longer.
const OUTPUT_UNSAID: u64 = 1_024;
