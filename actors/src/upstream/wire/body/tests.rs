//! What the decoder makes of bodies, good and bad, in whatever pieces they come.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What came of a body and of what stood behind it.
#[derive(PartialEq, Eq, Debug)]
struct Read {
    data: Vec<u8>,
    behind: Vec<u8>,
    is_whole: bool,
}

fn read(framing: Framing, pieces: &[&[u8]]) -> Result<Read, Malformed> {
    let (mut decoder, mut buffer, mut data) = (Decoder::new(framing), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        data.extend_from_slice(&decoder.decode(&mut buffer)?);
    }
    Ok(Read { data, behind: buffer.to_vec(), is_whole: decoder.is_whole() })
}

/// `bytes` cut at these places, which are taken modulo its length.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut begin = 0;
    let mut pieces = Vec::new();
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[begin..place]);
        begin = place;
    }
    pieces
}

fn chunked(chunks: &[Vec<u8>], extension: &str, trailers: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("0{extension}\r\n").as_bytes());
    for trailer in trailers {
        body.extend_from_slice(format!("{trailer}\r\n").as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}

#[test]
fn chunks_that_are_there_together_come_together() {
    let mut buffer = BytesMut::from(&b"3\r\nabc\r\n1;x=\"y\"\r\nd\r\n0002\r\nefghost"[..]);
    let mut decoder = Decoder::new(Framing::Chunked);
    let error = decoder.decode(&mut buffer.clone()).expect_err("`g` isn't the end of a chunk");
    assert_eq!(error, Malformed("a chunk is longer than it says"));

    buffer.truncate(buffer.len() - b"fghost".len());
    let mut decoder = Decoder::new(Framing::Chunked);
    assert_eq!(decoder.decode(&mut buffer), Ok(Bytes::from_static(b"abcde")));
    assert!(buffer.is_empty() && !decoder.is_whole());
    buffer.extend_from_slice(b"f\r\n0\r\nx-trailer: 1\r\n\r\nnext");
    assert_eq!(decoder.decode(&mut buffer), Ok(Bytes::from_static(b"f")));
    assert!(decoder.is_whole());
    assert_eq!(&buffer[..], b"next");
    assert_eq!(decoder.decode(&mut buffer), Ok(Bytes::new()));
}

#[test]
fn a_single_chunk_is_not_copied() {
    let mut buffer = BytesMut::from(&b"5\r\nhello\r\n0\r\n\r\n"[..]);
    let place = buffer[3..].as_ptr();
    let data = Decoder::new(Framing::Chunked).decode(&mut buffer).expect("a body");
    assert_eq!((&data[..], data.as_ptr()), (&b"hello"[..], place));
}

#[test]
fn what_ends_a_body_decides_what_its_connection_s_end_means() {
    assert_eq!(Decoder::new(Framing::Nothing).close(), AtClose::Whole);
    assert_eq!(Decoder::new(Framing::Length(0)).close(), AtClose::Whole);
    assert_eq!(Decoder::new(Framing::UntilClose).close(), AtClose::Whole);
    assert_eq!(Decoder::new(Framing::Length(1)).close(), AtClose::Cut);
    assert_eq!(Decoder::new(Framing::Chunked).close(), AtClose::Cut);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for body in [
        "\r\n",
        "-1\r\nx\r\n",
        "+1\r\nx\r\n",
        " 1\r\nx\r\n",
        "1 \r\nx\r\n",
        "1\t;a\r\nx\r\n",
        "0x1\r\nx\r\n",
        "g\r\n",
        ";a\r\n",
        "1\nx\r\n",
        "1\rx\r\n",
        "1;a\nx\r\n",
        "1;a\rx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n",
        "1\r\nx\rz",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\n\r\r",
        "0\r\na: b\n\r\n",
        "0\r\na: b\rc",
        "0\n\r\n",
    ] {
        let pieces: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert!(read(Framing::Chunked, &[body.as_bytes()]).is_err(), "{}", body.escape_debug());
        assert!(read(Framing::Chunked, &pieces).is_err(), "{}", body.escape_debug());
    }
}

#[test]
fn the_frame_has_limits() {
    let long = "x".repeat(16 << 10);
    let body = |extension: &str, trailer: &str| format!("0{extension}\r\n{trailer}\r\n\r\n").into_bytes();
    assert!(read(Framing::Chunked, &[&body(&format!(";{long}"), "a")]).is_ok_and(|read| read.is_whole));
    assert!(read(Framing::Chunked, &[&body(&format!(";{long}x"), "a")]).is_err());
    assert!(read(Framing::Chunked, &[&body("", &long)]).is_ok_and(|read| read.is_whole));
    assert!(read(Framing::Chunked, &[&body("", &format!("{long}x"))]).is_err());
    let largest = read(Framing::Chunked, &[b"ffffffffffffffff\r\nx"]).expect("sixteen digits are a number");
    assert_eq!((&largest.data[..], largest.is_whole), (&b"x"[..], false));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_body(
        chunks in vec(vec(any::<u8>(), 0..40), 0..8),
        behind in vec(any::<u8>(), 0..10),
        places in vec(any::<usize>(), 0..12),
        extension in prop::sample::select(vec!["", ";a", ";a=\"b c\" ;d"]),
        trailers in prop::sample::select(vec![&[][..], &["a: b"], &["a: b", "c:"]]),
    ) {
        let data = chunks.concat();
        for (framing, body) in [
            (Framing::Length(data.len() as u64), data.clone()),
            (Framing::Chunked, chunked(&chunks, extension, trailers)),
        ] {
            let bytes = [&body[..], &behind].concat();
            let expected = Read { data: data.clone(), behind: behind.clone(), is_whole: true };
            prop_assert_eq!(read(framing, &[&bytes]), Ok(expected));
            let cut = read(framing, &cut(&bytes, &places)).expect("a sound body");
            prop_assert_eq!((cut.data, cut.behind, cut.is_whole), (data.clone(), behind.clone(), true));
        }
    }

    #[test]
    fn a_part_never_looks_whole(chunks in vec(vec(any::<u8>(), 1..20), 1..4)) {
        let data = chunks.concat();
        for (framing, body) in [
            (Framing::Length(data.len() as u64), data.clone()),
            (Framing::Chunked, chunked(&chunks, ";a", &["a: b"])),
        ] {
            for bytes in 0..body.len() {
                let part = read(framing, &[&body[..bytes]]).expect("no mistake in a part of a sound body");
                prop_assert!(!part.is_whole, "{bytes} of {} bytes", body.len());
                prop_assert!(data.starts_with(&part.data));
            }
        }
    }

    #[test]
    fn no_bytes_are_too_much_for_it(
        bytes in vec(prop::sample::select(b"0123456789abcfF;=\"x: \t\r\n\0\xff".to_vec()), 0..60),
        places in vec(any::<usize>(), 0..6),
    ) {
        let at_once = read(Framing::Chunked, &[&bytes]);
        let in_pieces = read(Framing::Chunked, &cut(&bytes, &places));
        prop_assert_eq!(at_once.is_ok(), in_pieces.is_ok());
        if let (Ok(at_once), Ok(in_pieces)) = (at_once, in_pieces) {
            prop_assert_eq!(at_once, in_pieces);
        }
    }
}
