//! One request, from its head to its answer.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method};
use keywheel_actors::clock::Moment;
use keywheel_actors::dialect::Api;
use keywheel_actors::id::Model;
use keywheel_actors::request::{Delivery, Destination, Patience, Request, Terms};

use super::answer::{self, Laps};
use super::ask;
use super::gate::{Gate, Passage};
use super::headers;
use super::models;
use super::peek::{Peeked, Streamed};
use super::refusal::Refusal;
use super::surface::{self, Endpoint, Surface};

/// Answers one request.
pub(super) async fn handle(request: HttpRequest, payload: Payload, gate: Data<Gate>) -> HttpResponse {
    let gate = gate.into_inner();
    let came = gate.wheel.clock().now();
    let id = ask::request_id(request.headers());
    let is_anthropic = request.headers().contains_key("anthropic-version");
    let response = match surface::find(request.method(), request.path(), is_anthropic) {
        Surface::Live => HttpResponse::Ok().body("live\n"),
        Surface::Ready if gate.is_ready() => HttpResponse::Ok().body("ready\n"),
        Surface::Ready => HttpResponse::ServiceUnavailable().body("draining\n"),
        Surface::Models { api, name } => {
            let config = Arc::clone(&gate.config.borrow());
            models::respond(api, &models::offered(&config.wheel, |_| true), name.as_deref())
        }
        Surface::Call(endpoint) => {
            let job = Incoming { gate: &gate, request: &request, endpoint: &endpoint, came, id: &id };
            job.answer(payload, gate.enter()).await.unwrap_or_else(|refusal| refusal.respond(endpoint.api))
        }
        Surface::Pass { provider, path } => {
            let config = Arc::clone(&gate.config.borrow());
            let spec = config.wheel.providers.iter().find(|spec| spec.id == provider);
            match spec {
                Some(spec) => {
                    let path = surface::below_base(&spec.base_url, &path);
                    let endpoint = Endpoint {
                        name: "pass_through",
                        api: Api::of_path(path).or(spec.dialect.api()).unwrap_or(Api::OpenAi),
                        path: path.to_owned(),
                        model: None,
                        events: surface::Events::of_path(path),
                    };
                    let job = Incoming { gate: &gate, request: &request, endpoint: &endpoint, came, id: &id };
                    let passed = job.pass(payload, Destination::Provider(provider), gate.enter());
                    passed.await.unwrap_or_else(|refusal| refusal.respond(endpoint.api))
                }
                None => not_found(&format!("there is no provider `{provider}`")),
            }
        }
        Surface::WrongMethod => {
            let message = format!("`{}` isn't asked by {}", request.path(), request.method());
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).respond(Api::OpenAi)
        }
        Surface::Unknown => not_found(&format!(
            "there is no `{}`; calls of other kinds go to /providers/ID/…",
            request.path()
        )),
    };
    answer::named(response, &id)
}

fn not_found(message: &str) -> HttpResponse {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", message).respond(Api::OpenAi)
}

/// A request that becomes a job.
struct Incoming<'a> {
    gate: &'a Gate,
    request: &'a HttpRequest,
    endpoint: &'a Endpoint,
    came: Moment,
    id: &'a str,
}

impl Incoming<'_> {
    /// Takes it where its model's route leads.
    async fn answer(&self, payload: Payload, passage: Passage) -> Result<HttpResponse, Refusal> {
        let body = self.read(payload).await?;
        let peeked = Peeked::into(&body).map_err(|message| Refusal::bad_request("invalid_json", message))?;
        let model = self.endpoint.model.clone().or(peeked.model).filter(|model| !model.as_str().is_empty());
        let model =
            model.ok_or_else(|| Refusal::bad_request("model_missing", "the request names no `model`"))?;
        let is_stream =
            peeked.streamed == Streamed::Yes || self.endpoint.path.ends_with(":streamGenerateContent");
        let delivery = if is_stream { Delivery::Stream } else { Delivery::Whole };
        self.send(body, model, delivery, Destination::Routed, passage).await
    }

    /// Takes it to the provider that it names.
    async fn pass(
        &self,
        payload: Payload,
        to: Destination,
        passage: Passage,
    ) -> Result<HttpResponse, Refusal> {
        let body = self.read(payload).await?;
        let peeked = Peeked::into(&body).unwrap_or_default();
        let model = peeked.model.unwrap_or_else(|| Model::from(""));
        let delivery = if peeked.streamed == Streamed::Yes { Delivery::Stream } else { Delivery::Whole };
        self.send(body, model, delivery, to, passage).await
    }

    /// Reads the body, as far as its bounds go.
    async fn read(&self, mut payload: Payload) -> Result<Bytes, Refusal> {
        let bytes_max = self.gate.settings.body_bytes_max;
        let too_long = || {
            let message = format!("the body is longer than {bytes_max} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
        };
        let announced = headers::text(self.request.headers(), "content-length");
        let announced = announced.and_then(|length| length.parse::<u64>().ok()).unwrap_or_default();
        if announced > bytes_max as u64 {
            return Err(too_long());
        }
        let mut read = BytesMut::new();
        loop {
            let piece = tokio::time::timeout(self.gate.settings.body_timeout, payload.next());
            let piece = piece.await.map_err(|_| {
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body stopped coming")
            })?;
            let Some(piece) = piece else { return Ok(read.freeze()) };
            let piece = piece.map_err(|error| Refusal::bad_request("broken_body", error.to_string()))?;
            if read.len() + piece.len() > bytes_max {
                return Err(too_long());
            }
            if read.is_empty() && piece.len() as u64 == announced {
                return Ok(piece);
            }
            read.extend_from_slice(&piece);
        }
    }

    async fn send(
        &self,
        body: Bytes,
        model: Model,
        delivery: Delivery,
        to: Destination,
        passage: Passage,
    ) -> Result<HttpResponse, Refusal> {
        let clock = self.gate.wheel.clock();
        let timeout = ask::timeout(self.request.headers(), delivery == Delivery::Stream)?;
        let timeout =
            timeout.map_or(self.gate.settings.deadline, |said| said.min(self.gate.settings.deadline));
        let terms =
            Terms { deadline: self.came + timeout, patience: Patience::Interactive, ..Terms::default() };
        let query = headers::query_without_credential(self.request.query_string());
        let request = Request {
            method: Method::from_bytes(self.request.method().as_str().as_bytes()).unwrap_or(Method::POST),
            path: format!("{}{query}", self.endpoint.path),
            headers: self.headers(),
            body,
            model,
            delivery,
            to,
        };
        let sent = clock.now();
        let answered = self.gate.wheel.send(request, terms).await;
        let now = clock.now();
        Ok(match answered {
            Ok(answer) => {
                let laps = Laps::of(self.came, sent, now, &answer.served.attempts);
                answer::respond(answer, self.endpoint, laps, passage)
            }
            Err(error) => {
                let laps = Laps::of(self.came, sent, now, error.attempts());
                answer::refuse(&error, self.endpoint, laps)
            }
        })
    }

    fn headers(&self) -> HeaderMap {
        let mut passed = headers::to_provider(self.request.headers());
        if let Ok(id) = HeaderValue::from_str(self.id) {
            passed.insert(keywheel_actors::request::X_REQUEST_ID, id);
        }
        passed
    }
}
