//! The head of a request, as bytes.

use ::http::{HeaderMap, HeaderName, Method, header};
use bytes::{BufMut, BytesMut};

use super::super::{TransportError, UNCOMPRESSED};
use super::target::Target;

/// Room for a line that has no more than a name and a number.
const LINE_BYTES: usize = 64;

/// How long a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Length {
    Known(u64),
    /// Nobody knows yet: it comes in chunks, each with its own length.
    Chunked,
}

/// The head of a request with a body of that length.
///
/// What frames the message, names the server or speaks of the connection is written here and nowhere else: of
/// `headers` such lines are left out, or a caller could make one request look like two.
///
/// # Errors
/// [`TransportError::Unsendable`] if it is no request for a server's resource.
pub(super) fn request(
    method: &Method,
    target: &Target,
    path: &str,
    headers: &HeaderMap,
    length: Length,
) -> Result<BytesMut, TransportError> {
    if method == Method::CONNECT {
        return Err(TransportError::Unsendable("CONNECT asks for a tunnel, not for an answer".to_owned()));
    }
    let (prefix, path) = target.path(path)?;
    let authority = &target.origin.authority;
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + b": \r\n".len());
    let room = 4 * LINE_BYTES + prefix.len() + path.len() + authority.len() + lines.sum::<usize>();
    let mut head = BytesMut::with_capacity(room);
    for part in [method.as_str(), " ", prefix, &path, " HTTP/1.1\r\nhost: ", authority, "\r\n"] {
        head.put_slice(part.as_bytes());
    }
    match length {
        Length::Known(0) if !is_sent_with_a_body(method) => {}
        Length::Known(bytes) => {
            head.put_slice(b"content-length: ");
            put_number(&mut head, bytes);
            head.put_slice(b"\r\n");
        }
        Length::Chunked => head.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    if !headers.contains_key(header::ACCEPT) {
        head.put_slice(b"accept: */*\r\n");
    }
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        head.put_slice(b"accept-encoding: ");
        head.put_slice(UNCOMPRESSED.as_bytes());
        head.put_slice(b"\r\n");
    }
    for (name, value) in headers {
        if is_ours(name) {
            continue;
        }
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(b"\r\n");
    Ok(head)
}

/// Whether a server expects to hear how long the body is, even if there is none (RFC 9110 §8.6).
fn is_sent_with_a_body(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PUT || *method == Method::PATCH
}

/// Whether a header is about the connection or the message's frame (RFC 9110 §7.6.1, RFC 9112 §6).
fn is_ours(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn put_number(head: &mut BytesMut, number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut rest = number;
    loop {
        first -= 1;
        digits[first] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    head.put_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::super::target::Targets;
    use super::*;

    fn written(method: &Method, headers: &[(&'static str, &str)], body_bytes: u64) -> String {
        let target = Targets::default().of(&"http://127.0.0.1:81/v1".into()).expect("an address");
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), value.parse().expect("it can stand in a header"))
        });
        let head = request(method, &target, "/chat", &headers.collect(), Length::Known(body_bytes))
            .expect("a request");
        String::from_utf8(head.to_vec()).expect("it is text")
    }

    #[test]
    fn a_request_says_where_how_long_and_what_its_caller_said() {
        assert_eq!(
            written(&Method::POST, &[("authorization", "Bearer sk-0"), ("x-a", "")], 1_234_567_890),
            "POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:81\r\ncontent-length: 1234567890\r\naccept: */*\r\n\
             accept-encoding: identity\r\nauthorization: Bearer sk-0\r\nx-a: \r\n\r\n"
        );
        assert_eq!(
            written(&Method::GET, &[("accept", "text/plain"), ("accept-encoding", "gzip")], 0),
            "GET /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:81\r\naccept: text/plain\r\n\
             accept-encoding: gzip\r\n\r\n"
        );
        assert!(written(&Method::PUT, &[], 0).contains("\r\ncontent-length: 0\r\n"));
        assert!(written(&Method::DELETE, &[], 7).contains("\r\ncontent-length: 7\r\n"));
    }

    #[test]
    fn nobody_else_frames_the_message() {
        let smuggled = [
            ("host", "evil.example"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
        ];
        assert_eq!(written(&Method::POST, &smuggled, 3), written(&Method::POST, &[], 3));
    }

    #[test]
    fn there_are_no_tunnels() {
        let target = Targets::default().of(&"http://h".into()).expect("an address");
        let error = request(&Method::CONNECT, &target, "/", &HeaderMap::new(), Length::Known(0));
        assert!(matches!(error, Err(TransportError::Unsendable(_))));
    }
}
