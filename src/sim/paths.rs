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

/// Where Gemini's own calls begin.
pub(crate) const GEMINI: &str = "/v1beta";

/// Where Gemini answers OpenAI's.
pub(crate) const GEMINI_AS_OPENAI: &str = "/v1beta/openai";

type Reader<'a> = fn(&'a [u8]) -> serde_json::Result<Ask<'a>>;

/// Whether the body of a call is counted instead of kept.
pub(crate) fn is_upload(method: &Method, path: &str) -> bool {
    *method == Method::POST && path == "/v1/files"
}

/// What a call wants.
pub(crate) fn work<'a>(method: &Method, path: &'a str, sent: &'a Sent) -> Work<'a> {
    if *method == Method::GET {
        if is_list(path) {
            return Work::List(None);
        }
        if let Some(model) = listed(path) {
            return Work::List(Some(model));
        }
        if let Some(bytes) = downloaded(path) {
            return Work::Ask(Ask::plain(Cow::Borrowed(""), "", Form::Download(bytes)));
        }
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
            None if is_list(path) || path == "/v1/files" => {
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

/// Whether it is the list of models.
fn is_list(path: &str) -> bool {
    path.strip_prefix(GEMINI).or_else(|| path.strip_prefix("/v1")) == Some("/models")
}

/// The model of the list that is asked for alone.
fn listed(path: &str) -> Option<&str> {
    let below = path.strip_prefix(GEMINI).or_else(|| path.strip_prefix("/v1"))?;
    below.strip_prefix("/models/").filter(|_| generation(path).is_none())
}

fn reader<'a>(path: &str) -> Option<Reader<'a>> {
    Some(match path.strip_prefix(GEMINI_AS_OPENAI).or_else(|| path.strip_prefix("/v1"))? {
        "/chat/completions" => Ask::chat,
        "/completions" => Ask::completion,
        "/responses" => Ask::response,
        "/embeddings" => Ask::embeddings,
        "/audio/speech" => Ask::speech,
        "/messages" => Ask::message,
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
        let Work::List(None) = work(&Method::GET, "/v1beta/models", &empty) else { panic!() };
        let body = Sent::Whole(Bytes::from_static(br#"{"model":"g-1","messages":[]}"#));
        let Work::Ask(ask) = work(&Method::POST, "/v1beta/openai/chat/completions", &body) else { panic!() };
        assert_eq!(&*ask.model, "g-1");
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
