//! A request that has come: who sent it, and the record of it if it becomes no job.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use keywheel_actors::dialect::Api;
use keywheel_actors::id::Model;

use super::gate::Gate;
use super::headers;
use super::models;
use super::refusal::Refusal;
use super::underway::Underway;
use crate::clients::{Client, NotKnown};
use crate::config::Config;
use crate::telemetry::TraceContext;

/// Where a trace stands in a request.
pub(super) const TRACEPARENT: &str = "traceparent";

/// A request that has come.
pub(super) struct Arrival<'a> {
    pub(super) gate: &'a Arc<Gate>,
    /// As it is now, whatever is reloaded meanwhile.
    pub(super) config: Arc<Config>,
    pub(super) request: &'a HttpRequest,
    /// Its name.
    pub(super) id: &'a str,
    pub(super) trace: TraceContext,
}

impl<'a> Arrival<'a> {
    pub(super) fn of(gate: &'a Arc<Gate>, request: &'a HttpRequest, id: &'a str) -> Self {
        let config = Arc::clone(&gate.config.borrow());
        let traceparent = headers::text(request.headers(), TRACEPARENT);
        let trace = TraceContext::of(traceparent, config.server.trace_one_in);
        Self { gate, config, request, id, trace }
    }

    /// Who calls.
    pub(super) fn identify(&self) -> Result<Client, Refusal> {
        let Self { gate, request, .. } = self;
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

    /// Begins its record.
    pub(super) fn begun(&self, surface: &'static str) -> Underway {
        Underway::new(self.gate, Arc::clone(&self.config), surface, self.request, self.id, self.trace)
    }

    /// Refuses what becomes no job.
    pub(super) fn refuse(&self, surface: &'static str, refusal: &Refusal) -> HttpResponse {
        self.begun(surface).refused(refusal);
        refusal.respond(Api::OpenAi)
    }

    /// The models that its client may use, or one of them.
    pub(super) fn models(&self, surface: &'static str, api: Api, name: Option<&str>) -> HttpResponse {
        let mut underway = self.begun(surface);
        let listed = self.identify().and_then(|client| {
            underway.sent_by(client.name().cloned());
            let offered = models::offered(&self.config.wheel, |name| client.may_use(&Model::from(name)));
            models::respond(api, &offered, name)
        });
        match listed {
            Ok(response) => {
                underway.answered_here(&response);
                response
            }
            Err(refusal) => {
                underway.refused(&refusal);
                refusal.respond(api)
            }
        }
    }
}
