//! Who answers what.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, Uri};
use keywheel_actors::store::Wall;

use super::answer::{Answer, bytes, json, refused};
use super::events;
use super::gate::Gate;
use super::orders;
use super::page::{self, File};
use super::service::Service;
use super::turned;
use crate::admin::status;
use crate::admin::{Source, StatusReport};

/// A request's surroundings.
pub(super) struct Asked {
    pub(super) service: Arc<Service>,
    /// What it has to pass; `None` on the unix socket.
    pub(super) gate: Option<Arc<Gate>>,
    /// Set if the answer is a stream, which may last.
    pub(super) streams: Arc<AtomicBool>,
    /// How long it may. `None`: as long as its reader wants.
    pub(super) stream_life: Option<Duration>,
}

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    File(&'static File),
    Live,
    Ready,
    Metrics,
    Status,
    Stats,
    Events,
    History,
    Failures,
    Order,
    Reload,
    Login,
    Logout,
}

impl Place {
    /// What is at `path`.
    pub(super) fn at(path: &str) -> Option<Self> {
        let place = match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/v1/status" => Self::Status,
            "/v1/stats" => Self::Stats,
            "/v1/events" => Self::Events,
            "/v1/history" => Self::History,
            "/v1/failures" => Self::Failures,
            "/v1/order" => Self::Order,
            "/v1/reload" => Self::Reload,
            "/v1/login" => Self::Login,
            "/v1/logout" => Self::Logout,
            path => Self::File(File::at(path)?),
        };
        Some(place)
    }

    /// How it is asked for.
    fn method(self) -> Method {
        match self {
            Self::File(_)
            | Self::Live
            | Self::Ready
            | Self::Metrics
            | Self::Status
            | Self::Stats
            | Self::Events
            | Self::History
            | Self::Failures => Method::GET,
            Self::Order | Self::Reload | Self::Login | Self::Logout => Method::POST,
        }
    }

    /// Whether it is asked for so. Who watches asks with HEAD, too.
    fn takes(self, method: &Method) -> bool {
        let is_watched = matches!(self, Self::Live | Self::Ready | Self::Metrics);
        *method == self.method() || is_watched && *method == Method::HEAD
    }

    /// Whether it is the page itself, which a link may lead to from anywhere.
    pub(super) fn is_page(self) -> bool {
        matches!(self, Self::File(file) if file.is_page())
    }

    /// Whether it tells everybody the same, or is how one gets in.
    pub(super) fn is_public(self) -> bool {
        match self {
            Self::File(_) | Self::Live | Self::Ready | Self::Login => true,
            Self::Metrics
            | Self::Status
            | Self::Stats
            | Self::Events
            | Self::History
            | Self::Failures
            | Self::Order
            | Self::Reload
            | Self::Logout => false,
        }
    }
}

pub(super) async fn answer(asked: &Asked, request: Request<Incoming>) -> Answer {
    let service = &asked.service;
    let path = request.uri().path().to_owned();
    let place = Place::at(&path);
    if let Some(gate) = &asked.gate {
        let now = service.subject.wheel.clock().now();
        if let Some(token) = &service.subject.config.borrow().admin.token {
            gate.renew(token);
        }
        if let Err(turned) = gate.check(place, request.method(), request.uri(), request.headers(), now) {
            return turned::away(turned, gate).await;
        }
    }
    let Some(place) = place else {
        return refused(StatusCode::NOT_FOUND, &format!("there is no `{path}`"));
    };
    if !place.takes(request.method()) {
        return refused(StatusCode::METHOD_NOT_ALLOWED, &format!("`{path}` isn't asked like that"));
    }
    match place {
        Place::File(file) => page::file(file),
        Place::Live => bytes(StatusCode::OK, "text/plain", "ok\n"),
        Place::Ready => readiness(service),
        Place::Metrics => metrics(service).await,
        Place::Status => json(StatusCode::OK, &live_status(service)),
        Place::Stats => match service.subject.wheel.stats().await {
            Ok(stats) => json(StatusCode::OK, &stats),
            Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        },
        Place::Events => events::follow(service, asked.stream_life, &asked.streams),
        Place::History => {
            let since = Wall(asked_since(request.uri()));
            json(StatusCode::OK, &service.recorder.history(&service.subject.wheel, since).await)
        }
        Place::Failures => json(StatusCode::OK, &service.recorder.failures()),
        Place::Order => orders::order(service, request).await,
        Place::Reload => orders::reload(service).await,
        Place::Login | Place::Logout => match &asked.gate {
            Some(gate) => {
                let now = service.subject.wheel.clock().now();
                turned::log_in_or_out(gate, place, request, now).await
            }
            None => refused(StatusCode::NOT_FOUND, "nobody logs in on the socket"),
        },
    }
}

/// `since`, in milliseconds since 1970; what isn't a number is as good as none.
fn asked_since(uri: &Uri) -> u64 {
    let mut words = uri.query().unwrap_or_default().split('&');
    let since = words.find_map(|word| word.strip_prefix("since="));
    since.and_then(|since| since.parse().ok()).unwrap_or(0)
}

/// Not failing because a provider does: who is to send requests elsewhere isn't helped by that.
fn readiness(service: &Service) -> Answer {
    if service.subject.wheel.is_draining() {
        return bytes(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n");
    }
    bytes(StatusCode::OK, "text/plain", "ok\n")
}

async fn metrics(service: &Service) -> Answer {
    match service.subject.metrics.get() {
        Some(metrics) => bytes(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            metrics().await,
        ),
        None => {
            refused(StatusCode::NOT_FOUND, &format!("`keywheel {}` has no metrics", service.subject.verb))
        }
    }
}

fn live_status(service: &Service) -> StatusReport {
    let subject = &service.subject;
    let source = Source::Live {
        pid: std::process::id(),
        verb: subject.verb.to_owned(),
        since: subject.since,
        dashboard: service.address.get().map(|address| format!("http://{address}/")),
    };
    let config = Arc::clone(&subject.config.borrow());
    status::live(&config, &subject.wheel, source)
}
