//! What somebody wants to be done.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, StatusCode, header};
use keywheel_actors::id::KeyId;
use keywheel_actors::{CommandError, Kept, KeyCommand};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::answer::{Answer, json, refused};
use super::service::Service;
use crate::admin::operator::{Order, Reloaded};

/// An order is a few words.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A client that doesn't finish its request within this is none.
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// An order and the key that it is for.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::admin) struct OrderFor {
    pub(in crate::admin) key: KeyId,
    pub(in crate::admin) order: Order,
}

/// How an order went.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::admin) struct OrderDone {
    pub(in crate::admin) pid: u32,
    pub(in crate::admin) not_durable: Option<String>,
}

/// Whether the request says that its body is JSON. A form of another page can't.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// What a request's body says, as JSON of whatever form; else the refusal.
pub(super) async fn said(request: Request<Incoming>) -> Result<Bytes, Answer> {
    if !is_json(request.headers()) {
        return Err(refused(StatusCode::BAD_REQUEST, "an order is JSON"));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "an order is a few words"))
        }
        Ok(Err(_)) => Err(refused(StatusCode::BAD_REQUEST, "the order can't be read")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the order doesn't end")),
    }
}

/// Carries out an order for a key.
pub(super) async fn order(service: &Service, request: Request<Incoming>) -> Answer {
    let said = match said(request).await {
        Ok(said) => said,
        Err(refusal) => return refusal,
    };
    let OrderFor { key, order } = match serde_json::from_slice(&said) {
        Ok(order) => order,
        Err(error) => {
            return refused(StatusCode::BAD_REQUEST, &format!("the order can't be understood: {error}"));
        }
    };
    let command = match order {
        Order::Disable => KeyCommand::Disable,
        Order::Enable => KeyCommand::Enable,
        Order::Rest { duration } => KeyCommand::Rest(duration),
        Order::Reset => KeyCommand::Reset,
    };
    match service.subject.wheel.command(&key, command).await {
        Ok(kept) => {
            let not_durable = match kept {
                Kept::Durably => None,
                Kept::InMemory { why } => Some(why.to_string()),
            };
            json(StatusCode::OK, &OrderDone { pid: std::process::id(), not_durable })
        }
        Err(error @ CommandError::NoSuchKey(_)) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ CommandError::Stopped) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// Has the configuration read again.
pub(super) async fn reload(service: &Service) -> Answer {
    let (tell, told) = oneshot::channel();
    let ending = || refused(StatusCode::SERVICE_UNAVAILABLE, "it is about to end");
    if service.subject.reload.send(tell).await.is_err() {
        return ending();
    }
    match told.await {
        Ok(Ok(changes)) => json(StatusCode::OK, &Reloaded { pid: std::process::id(), changes }),
        Ok(Err(problem)) => refused(StatusCode::UNPROCESSABLE_ENTITY, &problem),
        Err(_) => ending(),
    }
}
