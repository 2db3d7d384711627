//! What an error page without structure says to a person.

use std::borrow::Cow;

use ::http::StatusCode;

use crate::outcome::Fault;

/// The body's text, or the status's usual words if the body is empty, a web page or no text.
pub(super) fn of_plain_body(status: StatusCode, body: &[u8]) -> Cow<'_, str> {
    // A few bytes more than a fault keeps, since a cut inside a character must not show as garbage.
    let head = &body[..body.len().min(Fault::MESSAGE_BYTES_MAX + 4)];
    let text = String::from_utf8_lossy(head);
    let is_text = !text.trim_start().is_empty()
        && !text.trim_start().starts_with('<')
        && !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    if is_text {
        return match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
    }
    Cow::Borrowed(status.canonical_reason().unwrap_or("an answer without words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_and_web_pages_are_not() {
        let told = |body: &[u8]| of_plain_body(StatusCode::BAD_GATEWAY, body).into_owned();
        assert_eq!(told(b"upstream is gone\n"), "upstream is gone");
        assert_eq!(told(b"\n<html><body>502</body></html>"), "Bad Gateway");
        assert_eq!(told(b""), "Bad Gateway");
        assert_eq!(told(b"\x00\x01\x02"), "Bad Gateway");
    }
}
