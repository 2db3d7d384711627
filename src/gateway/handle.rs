//! One request, from its head to its answer.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keywheel_actors::Keeping;
use keywheel_actors::clock::Moment;
use keywheel_actors::dialect::Api;
use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::request::{Destination, Patience, Request, Terms};
use keywheel_actors::upload::Upload;

use super::answer;
use super::arrival::{Arrival, TRACEPARENT};
use super::ask;
use super::body::{self, Bounds, KEPT_BYTES_MAX};
use super::connection::{Attended, Attention};
use super::gate::Gate;
use super::headers;
use super::laps::{Laps, Times};
use super::peek::Streamed;
use super::refusal::Refusal;
use super::surface::{self, Endpoint, Surface};
use super::underway::Underway;
use super::wanted::{self, Naming, Wanted};
use crate::clients::{Claim, Client, Now};

/// Answers one request.
pub(super) async fn handle(
    request: HttpRequest,
    payload: Payload,
    gate: Data<Gate>,
) -> HttpResponse<Attended> {
    let attention = Attention::paid_to(&request);
    let gate = gate.into_inner();
    let id = ask::request_id(request.headers());
    let reader = surface::reader(request.headers());
    let surface = surface::find(request.method(), request.path(), reader);
    let response = answer::named(of_surface(surface, &id, &request, payload, &gate).await, &id);
    attention.until_answered(answer::framed(response, &request))
}

async fn of_surface(
    surface: Surface,
    id: &str,
    request: &HttpRequest,
    payload: Payload,
    gate: &Arc<Gate>,
) -> HttpResponse {
    let arrival = Arrival::of(gate, request, id);
    let name = surface.name();
    if headers::text(request.headers(), "upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket")) {
        let message = "websockets aren't served here";
        let refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, "upgrade_not_served", message);
        return arrival.refuse(name, &refusal);
    }
    match surface {
        // Who looks every second would drown the others: that is no request.
        Surface::Live => HttpResponse::Ok().body("live\n"),
        Surface::Ready if gate.is_ready() => HttpResponse::Ok().body(readiness(gate)),
        Surface::Ready => HttpResponse::ServiceUnavailable().body("draining\n"),
        Surface::Models { api, name: model } => arrival.models(name, api, model.as_deref()),
        Surface::Call(endpoint) => {
            Incoming::new(arrival, &endpoint).answer(payload, Destination::Routed).await
        }
        Surface::Pass { provider, path } => {
            let providers = &arrival.config.wheel.providers;
            let Some(spec) = providers.iter().find(|spec| spec.id == provider) else {
                // Strangers aren't told who is there.
                let refusal = match arrival.identify() {
                    Ok(_) => not_found(&format!("there is no provider `{provider}`")),
                    Err(refusal) => refusal,
                };
                return arrival.refuse(name, &refusal);
            };
            let path = surface::below_base(&spec.base_url, &path);
            let endpoint = Endpoint {
                name,
                api: Api::of_path(path).or(spec.dialect.api()).unwrap_or(Api::OpenAi),
                path: path.to_owned(),
                model: surface::model_in(path),
                events: surface::Events::of_path(path),
            };
            Incoming::new(arrival, &endpoint).answer(payload, Destination::Provider(provider)).await
        }
        Surface::Dotted => {
            let message = "a path with `.` or `..` in it leads nowhere here";
            arrival.refuse(name, &Refusal::bad_request("dots_in_path", message))
        }
        Surface::WrongMethod { allow } => {
            let message = format!("`{}` isn't asked by {}, but by {allow}", request.path(), request.method());
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
            let mut response = arrival.refuse(name, &refusal);
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
            response
        }
        Surface::Unknown => {
            let message =
                format!("there is no `{}`; calls of other kinds go to /providers/ID/…", request.path());
            arrival.refuse(name, &not_found(&message))
        }
    }
}

/// What who asks is told while requests are taken. A disk that is full keeps nobody from that.
fn readiness(gate: &Gate) -> &'static str {
    match gate.wheel.keeping() {
        Keeping::Durably => "ready\n",
        Keeping::Nothing | Keeping::Failing { .. } => "ready, but a restart will forget what happens\n",
    }
}

fn not_found(message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", message)
}

/// A request that becomes a job.
struct Incoming<'a> {
    arrival: Arrival<'a>,
    endpoint: &'a Endpoint,
}

impl<'a> Deref for Incoming<'a> {
    type Target = Arrival<'a>;

    fn deref(&self) -> &Arrival<'a> {
        &self.arrival
    }
}

impl<'a> Incoming<'a> {
    fn new(arrival: Arrival<'a>, endpoint: &'a Endpoint) -> Self {
        Self { arrival, endpoint }
    }

    async fn answer(&self, payload: Payload, to: Destination) -> HttpResponse {
        let mut underway = self.begun(self.endpoint.name);
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
        let client = self.identify()?;
        underway.sent_by(client.name().cloned());
        may_reach(&client, to)?;
        let entered = client.enter().map_err(Refusal::of_client)?;
        let bounds = self.bounds(to, underway.came)?;
        let place = self.gate.room.place(self.config.server.bodies_bytes_max);
        let (body, upload) = body::read(self.request, payload, bounds, place).await?;
        let wanted = match to {
            Destination::Routed => self.routed(body)?,
            Destination::Provider(_) => self.passed(body, upload),
        };
        underway.asks(&wanted);
        wanted.is_for(&client, self.naming(to))?;
        let terms = self.terms(&client, wanted.streamed, underway.came)?;
        let sends_something = wanted.sends_something();
        let request = self.request_for(wanted, to.clone());
        let now = Now::by(self.gate.wheel.clock());
        let is_reckoned = client.is_measured() && sends_something;
        let claim =
            if is_reckoned { self.claim(&client, &request, &underway.fallbacks) } else { Claim::NOTHING };
        underway.admitted(entered.admit(claim, now).map_err(Refusal::of_client)?);
        Ok((request, terms))
    }

    /// How long its body may be, and how slow.
    fn bounds(&self, to: &Destination, came: Moment) -> Result<Bounds, Refusal> {
        let server = &self.config.server;
        let (bytes_max, kept_max) = match to {
            Destination::Routed => {
                let bytes_max = server.body_bytes_max.min(server.bodies_bytes_max);
                (bytes_max as u64, bytes_max)
            }
            // What is kept ends with a piece that may go beyond.
            Destination::Provider(_) => {
                (server.upload_bytes_max, KEPT_BYTES_MAX.min(server.bodies_bytes_max / 2))
            }
        };
        // Whether it is to be a stream is known when it has been read; what an SDK says of itself counts from there.
        let until = came + self.time(Streamed::Yes)?;
        let until = self.gate.wheel.clock().instant(until);
        Ok(Bounds { bytes_max, kept_max, idle: server.body_timeout, until })
    }

    /// What goes where its model's route leads.
    fn routed(&self, body: Bytes) -> Result<Wanted, Refusal> {
        let read = self.gate.wheel.clock().now();
        Wanted::routed(self.endpoint, self.request.query_string(), body, read)
    }

    /// What goes to one provider.
    fn passed(&self, body: Bytes, upload: Option<Upload>) -> Wanted {
        let read = self.gate.wheel.clock().now();
        Wanted::passed(self.endpoint, body, upload, read)
    }

    /// Whether it is known where such requests name their models: a provider of which nothing is known may take them out
    /// of its path, or out of any field.
    fn naming(&self, to: &Destination) -> Naming {
        let speaks = |id: &ProviderId| {
            let mut providers = self.config.wheel.providers.iter();
            providers.any(|spec| spec.id == *id && spec.dialect.api().is_some())
        };
        match to {
            Destination::Routed => Naming::Known,
            Destination::Provider(_) if Api::of_path(&self.endpoint.path).is_some() => Naming::Known,
            Destination::Provider(id) if speaks(id) => Naming::Known,
            Destination::Provider(_) => Naming::Unknown,
        }
    }

    fn request_for(&self, wanted: Wanted, to: Destination) -> Request {
        let Wanted { body, upload, model, delivery, .. } = wanted;
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
        let answered = self.gate.wheel.send_here(request, terms).await;
        let times = Times { read: underway.read, sent, answered: clock.now() };
        match answered {
            Ok(answer) => {
                let laps = Laps::of_served(times, &answer.served.attempts);
                answer::respond(answer, self.endpoint, laps, underway)
            }
            Err(error) => {
                let laps = Laps::of_failed(times, error.attempts());
                answer::refuse(&error, self.endpoint, laps, underway)
            }
        }
    }

    fn terms(&self, client: &Client, streamed: Streamed, came: Moment) -> Result<Terms, Refusal> {
        let headers = self.request.headers();
        let server = &self.config.server;
        Ok(Terms {
            deadline: came + self.time(streamed)?,
            caller: client.caller(),
            patience: Patience::Interactive,
            hold_back: server.hold_back,
            priority: client.priority(ask::priority(headers)?),
            ..Terms::default()
        })
    }

    /// How long it may take in all.
    fn time(&self, streamed: Streamed) -> Result<Duration, Refusal> {
        let longest = self.config.server.deadline;
        let said = ask::timeout(self.request.headers(), streamed == Streamed::Yes)?;
        Ok(said.map_or(longest, |said| said.min(longest)))
    }

    fn claim(&self, client: &Client, request: &Request, fallbacks: &[Model]) -> Claim {
        wanted::claim(&self.config, self.endpoint.api, request, fallbacks, client)
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

/// Whether the client may ask there.
fn may_reach(client: &Client, to: &Destination) -> Result<(), Refusal> {
    match to {
        Destination::Provider(provider) if !client.may_pass_to(provider) => {
            let message = format!("this client may not call the provider `{provider}` by its id");
            Err(Refusal::new(StatusCode::FORBIDDEN, "provider_not_allowed", message))
        }
        Destination::Provider(_) | Destination::Routed => Ok(()),
    }
}

/// What its members keep in it: it goes on as it came.
const TRACESTATE: &str = "tracestate";
