//! The head of an answer, out of bytes as they come.

use std::mem::MaybeUninit;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use bytes::{Buf as _, Bytes, BytesMut};
use httparse::{ParserConfig, Status};

use super::Malformed;
use super::framing::{Connection, Framing, Signs, Version};

/// The longest head. The longest known have a few kilobytes; beyond this nobody means well.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most lines in a head.
const HEADERS_MAX: usize = 128;
/// The most interim answers (1xx) before the answer itself. Servers send one or two, some one a few seconds.
const INTERIM_MAX: usize = 64;
/// What every answer begins with.
const OPENING: &[u8] = b"HTTP/1.";

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    pub(super) connection: Connection,
}

/// Reads the head of one answer.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// So many bytes of the buffer hold no end of the head.
    searched: usize,
    interim: usize,
}

impl HeadReader {
    /// Takes the head out of `buffer`, once it is there as a whole. Interim answers are taken out and skipped.
    ///
    /// # Errors
    /// If this is no answer, or one that can be read in several ways.
    pub(super) fn read(&mut self, buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, Malformed> {
        loop {
            let opening = buffer.len().min(OPENING.len());
            if buffer[..opening] != OPENING[..opening] {
                return Err(Malformed("it is no HTTP/1"));
            }
            let Some(end) = self.find_end(buffer) else {
                return if buffer.len() > HEAD_BYTES_MAX { Err(TOO_LONG) } else { Ok(None) };
            };
            if end > HEAD_BYTES_MAX {
                return Err(TOO_LONG);
            }
            self.searched = 0;
            if let Some(head) = parse(&buffer.split_to(end).freeze(), method)? {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(Malformed("it has too many interim answers"));
            }
        }
    }

    /// Where the empty line ends that ends the head. Each byte is looked at once, however slowly they come.
    fn find_end(&mut self, buffer: &[u8]) -> Option<usize> {
        for feed in memchr::memchr_iter(b'\n', &buffer[self.searched..]) {
            let behind = self.searched + feed + 1;
            match &buffer[behind..] {
                [b'\n', ..] => return Some(behind + 1),
                [b'\r', b'\n', ..] => return Some(behind + 2),
                [] | [b'\r'] => {
                    self.searched = behind - 1;
                    return None;
                }
                [..] => {}
            }
        }
        self.searched = buffer.len();
        None
    }
}

const TOO_LONG: Malformed = Malformed("its head is too long");

/// Parses a whole head; `None` if it is of an interim answer.
fn parse(head: &Bytes, method: &Method) -> Result<Option<Head>, Malformed> {
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut lines = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut lines, head, &mut room);
    match parsed {
        Ok(Status::Complete(bytes)) if bytes == head.remaining() => {}
        Ok(_) => return Err(Malformed("its head has two ends")),
        Err(error) => return Err(Malformed(word_for(error))),
    }
    let status = lines.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Malformed("it has no status"))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Malformed("it switches to another protocol, which nobody asked for"));
    }
    if status.is_informational() {
        return Ok(None);
    }
    let version = if lines.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let mut headers = HeaderMap::with_capacity(lines.headers.len());
    let mut signs = Signs::default();
    for line in lines.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let name = name.map_err(|_| Malformed("the name of a header is none"))?;
        // The value stays where it is in the buffer.
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value));
        let value = value.map_err(|_| Malformed("the value of a header is none"))?;
        signs.read(&name, &value)?;
        headers.append(name, value);
    }
    let (framing, connection) = signs.decide(method, status, version)?;
    Ok(Some(Head { status, headers, framing, connection }))
}

/// The parser's own words speak of tokens and new lines; these of what a person can look for.
const fn word_for(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "the name of a header is none",
        httparse::Error::HeaderValue => "the value of a header is none",
        httparse::Error::NewLine | httparse::Error::Token => {
            "its head holds characters that mustn't be there"
        }
        httparse::Error::Status => "it has no status",
        httparse::Error::TooManyHeaders => "it has too many headers",
        httparse::Error::Version => "it is no HTTP/1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
        HeadReader::default().read(&mut BytesMut::from(bytes), &Method::GET)
    }

    fn refusal(bytes: &[u8]) -> &'static str {
        read(bytes).expect_err("it is malformed").0
    }

    #[test]
    fn a_head_is_read_however_it_comes() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b \r\nx-a: c\r\nset-cookie:\r\n\r\nhi";
        for step in 1..bytes.len() {
            let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
            let heads: Vec<Head> = bytes
                .chunks(step)
                .filter_map(|piece| {
                    buffer.extend_from_slice(piece);
                    if buffer.starts_with(b"H") {
                        reader.read(&mut buffer, &Method::GET).expect("sound")
                    } else {
                        None
                    }
                })
                .collect();
            let [head] = &heads[..] else { panic!("{} heads in steps of {step}", heads.len()) };
            assert_eq!(head.status, 200);
            assert_eq!(head.framing, Framing::Length(2));
            assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["b", "c"]);
            assert_eq!(head.headers["set-cookie"], "");
            assert_eq!(&buffer[..], b"hi");
        }
    }

    #[test]
    fn interim_answers_are_skipped() {
        let once = b"HTTP/1.1 100 Continue\r\n\r\n".as_slice();
        let hints = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        let last = b"HTTP/1.1 404 Not Found\r\n\r\n";
        let head = read(&[once, hints, last].concat()).expect("sound").expect("whole");
        assert_eq!(head.status, 404);
        assert!(head.headers.is_empty());
        assert!(read(&[once, hints].concat()).expect("sound").is_none());
        assert!(read(&once.repeat(INTERIM_MAX)).expect("sound").is_none());
        assert_eq!(refusal(&once.repeat(INTERIM_MAX + 1)), "it has too many interim answers");
    }

    #[test]
    fn what_is_no_answer_is_refused_at_once() {
        for (bytes, why) in [
            (&b"SSH-2.0-OpenSSH"[..], "it is no HTTP/1"),
            (b"HTTP/2 200\r\n\r\n", "it is no HTTP/1"),
            (b"HTTP/1.2 200 OK\r\n\r\n", "it is no HTTP/1"),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "it is no HTTP/1"),
            (b"\x15\x03\x01\x00\x02\x02", "it is no HTTP/1"),
            (b"HTTP/1.1 OK\r\n\r\n", "it has no status"),
            (b"HTTP/1.1 099 OK\r\n\r\n", "it has no status"),
            (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", "the name of a header is none"),
            (b"HTTP/1.1 200 OK\r\n\ta: b\r\n\r\n", "the name of a header is none"),
            (b"HTTP/1.1 200 OK\r\na : b\r\n\r\n", "the name of a header is none"),
            (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", "the name of a header is none"),
            (b"HTTP/1.1 200 OK\r\na\r\n\r\n", "the name of a header is none"),
            (b"HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n", "the value of a header is none"),
            (b"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n", "the value of a header is none"),
            (b"HTTP/1.1 200 O\0K\r\n\r\n", "it has no status"),
            (
                b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
                "it switches to another protocol, which nobody asked for",
            ),
        ] {
            assert_eq!(refusal(bytes), why, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_head_has_limits() {
        let line = b"x: y\r\n".as_slice();
        let head = |lines: usize| [b"HTTP/1.1 200 OK\r\n".as_slice(), &line.repeat(lines), b"\r\n"].concat();
        assert_eq!(read(&head(HEADERS_MAX)).expect("sound").expect("whole").headers.len(), HEADERS_MAX);
        assert_eq!(refusal(&head(HEADERS_MAX + 1)), "it has too many headers");
        let long = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &b"y".repeat(HEAD_BYTES_MAX)].concat();
        assert_eq!(refusal(&long), "its head is too long");
        assert_eq!(refusal(&[&long, b"\r\n\r\n".as_slice()].concat()), "its head is too long");
    }
}
