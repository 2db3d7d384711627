//! Which path is which call.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::Method;

use super::ask::{Ask, Form, Manner, Received, StreamUsage};
use super::complaint::Complaint;
use super::run::Work;

/// A body as far as it was kept.
pub(crate) enum Sent {
    /// As a whole.
    Whole(Bytes),
    /// It was too long.
    TooLong(Complaint),
    /// Only how much it was.
    Counted(Received),
}

type Reader<'a> = fn(&'a [u8]) -> serde_json::Result<Ask<'a>>;

/// Whether the body of a call is counted instead of kept.
pub(crate) fn is_upload(method: &Method, path: &str) -> bool {
    *method == Method::POST && path == "/v1/files"
}

/// What a call wants.
pub(crate) fn work<'a>(method: &Method, path: &'a str, sent: &'a Sent) -> Work<'a> {
    match (method, path) {
        (&Method::GET, "/v1/models") => return Work::List(None),
        (&Method::GET, _) if path.starts_with("/v1/models/") => {
            return Work::List(path.strip_prefix("/v1/models/"));
        }
        (&Method::GET, _) => {
            if let Some(bytes) = downloaded(path) {
                return Work::Ask(Ask::plain(Cow::Borrowed(""), "", Form::Download(bytes)));
            }
        }
        _ => {}
    }
    let body = match sent {
        Sent::Counted(received) => {
            return Work::Ask(Ask::plain(Cow::Borrowed(""), "", Form::Upload(*received)));
        }
        Sent::TooLong(complaint) => return Work::Nonsense(complaint.clone()),
        Sent::Whole(body) => body,
    };
    let read = match reader(path) {
        Some(read) if *method == Method::POST => read(body),
        Some(_) => return Work::Nonsense(Complaint::wrong_method(method.as_str(), path)),
        None => match generation(path) {
            Some((model, manner)) if *method == Method::POST => Ask::generation(model, manner, body),
            Some(_) => return Work::Nonsense(Complaint::wrong_method(method.as_str(), path)),
            None if matches!(path, "/v1/models" | "/v1/files") => {
                return Work::Nonsense(Complaint::wrong_method(method.as_str(), path));
            }
            None => return Work::Nonsense(Complaint::unknown_path(method.as_str(), path)),
        },
    };
    match read {
        Ok(ask) => Work::Ask(ask),
        Err(error) => Work::Nonsense(Complaint::bad_body(&error)),
    }
}

fn reader<'a>(path: &str) -> Option<Reader<'a>> {
    Some(match path {
        "/v1/chat/completions" => Ask::chat,
        "/v1/completions" => Ask::completion,
        "/v1/responses" => Ask::response,
        "/v1/embeddings" => Ask::embeddings,
        "/v1/audio/speech" => Ask::speech,
        "/v1/messages" => Ask::message,
        _ => return None,
    })
}

/// Gemini's model and whether its answer is to be streamed.
fn generation(path: &str) -> Option<(&str, Manner)> {
    let (model, verb) = path.strip_prefix("/v1beta/models/")?.split_once(':')?;
    match verb {
        "generateContent" => Some((model, Manner::Whole)),
        // Its events always tell their usage.
        "streamGenerateContent" => Some((model, Manner::Stream(StreamUsage::Included))),
        _ => None,
    }
}

/// How long a file is to be: `/v1/files/bytes-1000/content`.
fn downloaded(path: &str) -> Option<u64> {
    path.strip_prefix("/v1/files/bytes-")?.strip_suffix("/content")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_models_and_lengths() {
        let empty = Sent::Whole(Bytes::new());
        let Work::Ask(ask) = work(&Method::GET, "/v1/files/bytes-1000/content", &empty) else { panic!() };
        assert_eq!(ask.form, Form::Download(1_000));
        let body = Sent::Whole(Bytes::from_static(br#"{"contents":[]}"#));
        let Work::Ask(ask) = work(&Method::POST, "/v1beta/models/g-1:generateContent", &body) else {
            panic!()
        };
        assert_eq!((&*ask.model, ask.form), ("g-1", Form::Generation(Manner::Whole)));
        let Work::List(model) = work(&Method::GET, "/v1/models/org/m", &empty) else { panic!() };
        assert_eq!(model, Some("org/m"));
    }

    #[test]
    fn what_is_asked_wrongly_is_told_apart_from_what_is_not_there() {
        let empty = Sent::Whole(Bytes::new());
        for (path, status) in
            [("/v1/messages", 405), ("/v1beta/models/g:generateContent", 405), ("/v1/images", 404)]
        {
            let Work::Nonsense(complaint) = work(&Method::PUT, path, &empty) else { panic!("{path}") };
            assert_eq!(complaint.status.as_u16(), status, "{path}");
        }
    }
}
