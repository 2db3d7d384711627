//! Puts the model's name where Google wants it: into the path, and into bodies that repeat it.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

use crate::dialect::model_name;
use crate::id::Model;
use crate::request::{Delivery, Request};

/// The collection of everybody's models.
const MODELS: &str = "models/";
/// The collection of a project's own.
const TUNED_MODELS: &str = "tunedModels/";

/// Parameters in which a caller may have put a credential: it would stand in the address, and be another's.
const CREDENTIALS: [&str; 2] = ["key", "access_token"];

/// The path of `request` with `model` in the place of whatever model stands there.
///
/// A stream is asked for as server-sent events: without `alt=sse` Google sends one long JSON array.
pub(super) fn path(request: &Request, model: &Model) -> String {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut path = match place_of_model(path) {
        Some((before, after)) => format!("{before}{}{after}", resource(model)),
        None => path.to_owned(),
    };
    let mut parts: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !CREDENTIALS.contains(&part.split('=').next().unwrap_or_default()))
        .collect();
    let is_stream = request.delivery == Delivery::Stream && path.ends_with(":streamGenerateContent");
    if is_stream && !parts.iter().any(|part| part.starts_with("alt=")) {
        parts.push("alt=sse");
    }
    if !parts.is_empty() {
        path.push('?');
        path.push_str(&parts.join("&"));
    }
    path
}

/// `body` with `model` in the place of its own `model` and those of its `requests`, which Google compares
/// with the path.
pub(super) fn body(body: &Bytes, model: &Model) -> Bytes {
    model_name::with_model_in_all(body, &resource_name(model))
}

/// What stands before and behind `models/NAME` in a path such as `/models/NAME:generateContent`.
fn place_of_model(path: &str) -> Option<(&str, &str)> {
    let collections = [MODELS, TUNED_MODELS];
    let (start, collection) = collections
        .iter()
        .filter_map(|collection| Some((path.find(&format!("/{collection}"))? + 1, collection)))
        .min_by_key(|(start, _)| *start)?;
    let name = &path[start + collection.len()..];
    let action = name.find(':')?;
    Some((&path[..start], &name[action..]))
}

/// `models/NAME`, unless the name says its collection itself.
fn resource_name(model: &Model) -> Cow<'_, str> {
    let name = model.as_str();
    if name.starts_with(MODELS) || name.starts_with(TUNED_MODELS) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("{MODELS}{name}"))
}

/// The same for a path: a caller's name of a model must not become another path, a query or a fragment.
fn resource(model: &Model) -> String {
    let name = resource_name(model);
    let (collection, name) = name.split_once('/').unwrap_or((MODELS.trim_end_matches('/'), &name));
    let mut path = format!("{collection}/");
    for byte in name.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        // Writing to a string can't fail.
        let _ = if is_plain { path.write_char(char::from(byte)) } else { write!(path, "%{byte:02X}") };
    }
    path
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};

    use super::*;

    fn path_of(path_asked: &str, model: &str, delivery: Delivery) -> String {
        let request = Request {
            method: Method::POST,
            path: path_asked.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            model: Model::from("fast"),
            delivery,
            to: crate::request::Destination::Routed,
            upload: None,
        };
        path(&request, &Model::from(model))
    }

    #[test]
    fn the_model_stands_in_the_path() {
        for (asked, model, wanted) in [
            ("/models/fast:generateContent", "gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
            ("/models/fast:embedContent", "models/g", "/models/g:embedContent"),
            ("/models/fast:generateContent", "tunedModels/mine", "/tunedModels/mine:generateContent"),
            ("/tunedModels/mine:generateContent", "g", "/models/g:generateContent"),
            ("/models/a:b:generateContent?x=1", "g", "/models/g:b:generateContent?x=1"),
            ("/models?pageSize=1", "g", "/models?pageSize=1"),
            ("/models/fast", "g", "/models/fast"),
            ("/files/a:b", "g", "/files/a:b"),
        ] {
            assert_eq!(path_of(asked, model, Delivery::Whole), wanted, "{asked} {model}");
        }
    }

    #[test]
    fn no_name_of_a_model_leads_elsewhere() {
        for (model, wanted) in [
            ("../../x", "/models/..%2F..%2Fx:generateContent"),
            ("..", "/models/..:generateContent"),
            ("a?key=b#c", "/models/a%3Fkey%3Db%23c:generateContent"),
            ("tunedModels/../x", "/tunedModels/..%2Fx:generateContent"),
            ("é ", "/models/%C3%A9%20:generateContent"),
        ] {
            assert_eq!(path_of("/models/fast:generateContent", model, Delivery::Whole), wanted);
        }
    }

    #[test]
    fn a_stream_comes_as_events_and_no_credential_stands_in_the_address() {
        let stream = |query: &str| {
            path_of(&format!("/models/fast:streamGenerateContent{query}"), "g", Delivery::Stream)
        };
        assert_eq!(stream(""), "/models/g:streamGenerateContent?alt=sse");
        assert_eq!(stream("?alt=sse"), "/models/g:streamGenerateContent?alt=sse");
        assert_eq!(stream("?key=AIza&alt=sse"), "/models/g:streamGenerateContent?alt=sse");
        assert_eq!(stream("?access_token=t"), "/models/g:streamGenerateContent?alt=sse");
        assert_eq!(
            path_of("/models/fast:generateContent?key=AIza", "g", Delivery::Whole),
            "/models/g:generateContent"
        );
    }

    #[test]
    fn bodies_that_repeat_the_model_are_made_to_agree() {
        for (written, wanted) in [
            (
                r#"{"contents":[{"parts":[{"text":"model"}]}]}"#,
                r#"{"contents":[{"parts":[{"text":"model"}]}]}"#,
            ),
            (r#"{"model":"models/fast","content":{}}"#, r#"{"model":"models/g","content":{}}"#),
            (
                r#"{"requests":[{"model":"models/fast","content":{}},{ "model" : "models/fast" }], "x":1.0}"#,
                r#"{"requests":[{"model":"models/g","content":{}},{ "model" : "models/g" }], "x":1.0}"#,
            ),
            (r#"{"model":"fast"}"#, r#"{"model":"models/g"}"#),
        ] {
            let changed = body(&Bytes::from_static(written.as_bytes()), &Model::from("g"));
            assert_eq!(changed, wanted);
        }
    }
}
