//! The body of a request: read as a whole where it is routed, and passed on as it comes where it is long and goes to
//! one provider.

use std::io;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use keywheel_actors::upload::Upload;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::headers;
use super::refusal::Refusal;
use super::room::Place;

/// A body to one provider that is no longer is kept, so that it can be sent again: pictures, short recordings.
pub(super) const KEPT_BYTES_MAX: usize = 8 << 20;

/// Pieces of an upload between its client and its provider: enough that neither waits for the other's thread.
const PIECES_WAITING_MAX: usize = 4;

/// The bounds of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of all of it.
    pub(super) bytes_max: u64,
    /// Of what is kept; longer ones are sent as they come.
    pub(super) kept_max: usize,
    /// The longest pause inside.
    pub(super) idle: Duration,
    /// The end of its request's time.
    pub(super) until: Instant,
}

/// Reads a body as far as it is kept, and gives what follows.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    bounds: Bounds,
    place: Place,
) -> Result<(Bytes, Option<Upload>), Refusal> {
    let read = tokio::time::timeout_at(bounds.until, read_in_time(request, payload, bounds, place)).await;
    read.unwrap_or_else(|_| Err(late("the body didn't come within the time of its request")))
}

async fn read_in_time(
    request: &HttpRequest,
    mut payload: Payload,
    bounds: Bounds,
    mut place: Place,
) -> Result<(Bytes, Option<Upload>), Refusal> {
    let length = headers::text(request.headers(), "content-length");
    let length = length.and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > bounds.bytes_max) {
        return Err(too_long(bounds.bytes_max));
    }
    // No more than this is kept of it.
    let kept_bytes = length.unwrap_or(0).min(bounds.kept_max as u64);
    place.look_for(kept_bytes)?;
    let mut read = BytesMut::new();
    while read.len() <= bounds.kept_max {
        let piece = tokio::time::timeout(bounds.idle, payload.next()).await;
        let Some(piece) = piece.map_err(|_| late("the body stopped coming"))? else {
            return Ok((place.held_by(read.freeze()), None));
        };
        let piece = piece.map_err(|error| Refusal::bad_request("broken_body", error.to_string()))?;
        if (read.len() + piece.len()) as u64 > bounds.bytes_max {
            return Err(too_long(bounds.bytes_max));
        }
        place.take(piece.len())?;
        if read.is_empty() && length == Some(piece.len() as u64) {
            return Ok((place.held_by(piece), None));
        }
        read.extend_from_slice(&piece);
    }
    let longer = || Refusal::bad_request("broken_body", "the body is longer than announced");
    let rest = match length {
        Some(length) => Some(length.checked_sub(read.len() as u64).ok_or_else(longer)?),
        None => None,
    };
    let upload = upload(payload, rest, bounds.bytes_max - read.len() as u64, bounds.idle);
    Ok((place.held_by(read.freeze()), Some(upload)))
}

fn too_long(bytes_max: u64) -> Refusal {
    let message = format!("the body is longer than {bytes_max} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
}

fn late(message: &str) -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
}

/// What goes from a client's thread to a provider's.
enum Passed {
    Piece(Bytes),
    /// The body is whole. Without it, it never was.
    End,
}

/// Passes on what still comes, no faster than it is taken.
fn upload(mut payload: Payload, rest: Option<u64>, bytes_max: u64, idle: Duration) -> Upload {
    let (send, mut receive) = mpsc::channel(PIECES_WAITING_MAX);
    actix_web::rt::spawn(async move {
        let mut left = bytes_max;
        loop {
            let passed = match tokio::time::timeout(idle, payload.next()).await {
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
                Ok(None) => Ok(Passed::End),
                Ok(Some(Err(error))) => Err(io::Error::other(error.to_string())),
                Ok(Some(Ok(piece))) => match left.checked_sub(piece.len() as u64) {
                    Some(rest) => {
                        left = rest;
                        Ok(Passed::Piece(piece))
                    }
                    None => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
                },
            };
            let is_last = !matches!(passed, Ok(Passed::Piece(_)));
            // Nobody takes it any more: the call has ended.
            if send.send(passed).await.is_err() || is_last {
                return;
            }
        }
    });
    let mut has_ended = false;
    let pieces = stream::poll_fn(move |task| {
        if has_ended {
            return std::task::Poll::Ready(None);
        }
        receive.poll_recv(task).map(|passed| match passed {
            Some(Ok(Passed::Piece(piece))) => Some(Ok(piece)),
            Some(Ok(Passed::End)) => {
                has_ended = true;
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof))),
        })
    });
    Upload::new(pieces, rest)
}
