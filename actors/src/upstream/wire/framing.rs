//! How long an answer's body is and whether its connection lives on, out of its head (RFC 9112 §6.3, §9.3).
//!
//! Two servers that read one answer differently is how answers are smuggled to others. So whatever can be read in
//! two ways is refused here, also where the standard lets a recipient choose.

use ::http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::Malformed;

/// What ends a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// Nothing comes.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Its last chunk.
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Connection {
    Keep,
    Close,
}

/// The version that an answer speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    Http10,
    Http11,
}

/// What the lines of a head say about its frame.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Signs {
    length: Option<u64>,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
}

impl Signs {
    /// Takes note of one line.
    ///
    /// # Errors
    /// If it can't be read in one way only.
    pub(super) fn read(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Malformed> {
        match *name {
            header::CONTENT_LENGTH => self.read_length(value.as_bytes()),
            header::TRANSFER_ENCODING => self.read_encoding(value.as_bytes()),
            header::CONNECTION => {
                for word in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.says_close |= word.eq_ignore_ascii_case(b"close");
                    self.says_keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The same length may be said several times, as some servers do (RFC 9110 §8.6).
    fn read_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for number in value.split(|byte| *byte == b',') {
            let length =
                number_of(number.trim_ascii()).ok_or(Malformed("its content-length is no number"))?;
            if self.length.is_some_and(|other| other != length) {
                return Err(Malformed("it has several content-lengths"));
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// We ask for no other encoding, so there is no other.
    fn read_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed("its transfer-encoding isn't chunked alone"));
        }
        self.is_chunked = true;
        Ok(())
    }

    /// What follows for the body and the connection.
    ///
    /// # Errors
    /// If the signs contradict each other.
    pub(super) fn decide(
        self,
        method: &Method,
        status: StatusCode,
        version: Version,
    ) -> Result<(Framing, Connection), Malformed> {
        if self.is_chunked && self.length.is_some() {
            return Err(Malformed("it has a content-length and is chunked"));
        }
        if self.is_chunked && version == Version::Http10 {
            return Err(Malformed("it is chunked, which HTTP/1.0 doesn't know"));
        }
        let has_none =
            *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let framing = match self.length {
            _ if has_none => Framing::Nothing,
            Some(length) => Framing::Length(length),
            None if self.is_chunked => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let is_kept = match version {
            Version::Http10 => self.says_keep_alive,
            Version::Http11 => true,
        };
        // Some servers send what they announce, although there mustn't be any; it could come at any time.
        let announces_nothing = !self.is_chunked && self.length.unwrap_or(0) == 0;
        let is_over =
            framing != Framing::UntilClose && (status != StatusCode::NO_CONTENT || announces_nothing);
        let connection =
            if is_kept && is_over && !self.says_close { Connection::Keep } else { Connection::Close };
        Ok((framing, connection))
    }
}

/// A number of digits and nothing else: no sign, no blank, no more than fits.
fn number_of(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(
        version: Version,
        method: &Method,
        status: u16,
        lines: &[(&'static str, &str)],
    ) -> Result<(Framing, Connection), Malformed> {
        let mut signs = Signs::default();
        for (name, value) in lines {
            signs.read(&HeaderName::from_static(name), &value.parse().expect("a header"))?;
        }
        signs.decide(method, StatusCode::from_u16(status).expect("a status"), version)
    }

    #[test]
    fn a_frame_is_what_its_head_says() {
        use Connection::{Close, Keep};
        use Framing::{Chunked, Length, Nothing, UntilClose};
        use Version::{Http10, Http11};
        let (get, head) = (Method::GET, Method::HEAD);
        for (version, method, status, lines, framing, connection) in [
            (Http11, &get, 200, &[("content-length", "5")][..], Length(5), Keep),
            (Http11, &get, 200, &[("content-length", "5, 5")], Length(5), Keep),
            (Http11, &get, 200, &[("content-length", "05"), ("content-length", "5")], Length(5), Keep),
            (Http11, &get, 200, &[("content-length", "0"), ("connection", "x, Close")], Length(0), Close),
            (Http11, &get, 200, &[("connection", "keep-alive"), ("connection", "close")], UntilClose, Close),
            (Http11, &get, 200, &[("transfer-encoding", "Chunked")], Chunked, Keep),
            (Http11, &get, 200, &[], UntilClose, Close),
            (Http11, &get, 204, &[], Nothing, Keep),
            (Http11, &get, 204, &[("content-length", "0")], Nothing, Keep),
            (Http11, &get, 204, &[("content-length", "5")], Nothing, Close),
            (Http11, &get, 204, &[("transfer-encoding", "chunked")], Nothing, Close),
            (Http11, &get, 304, &[("content-length", "700")], Nothing, Keep),
            (Http11, &head, 200, &[("content-length", "700")], Nothing, Keep),
            (Http11, &head, 200, &[("transfer-encoding", "chunked")], Nothing, Keep),
            (Http10, &get, 200, &[("content-length", "5")], Length(5), Close),
            (Http10, &get, 200, &[("content-length", "5"), ("connection", "keep-alive")], Length(5), Keep),
            (Http10, &get, 200, &[("connection", "keep-alive")], UntilClose, Close),
        ] {
            assert_eq!(decide(version, method, status, lines), Ok((framing, connection)), "{lines:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for lines in [
            &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            &[("content-length", "5"), ("content-length", "6")],
            &[("content-length", "5, 6")],
            &[("content-length", "")],
            &[("content-length", "5,")],
            &[("content-length", "+5")],
            &[("content-length", "-5")],
            &[("content-length", "5 5")],
            &[("content-length", "0x5")],
            &[("content-length", "5.0")],
            &[("content-length", "18446744073709551616")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "xchunked")],
            &[("transfer-encoding", "")],
        ] {
            for version in [Version::Http10, Version::Http11] {
                assert!(decide(version, &Method::GET, 200, lines).is_err(), "{lines:?}");
            }
        }
        let chunked = [("transfer-encoding", "chunked")];
        assert!(decide(Version::Http10, &Method::GET, 200, &chunked).is_err());
    }
}
