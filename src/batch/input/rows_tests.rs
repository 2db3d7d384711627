//! The same rows, however they arrive.

use std::io::{BufReader, Cursor, Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::batch::input::packing::Packing;
use crate::batch::input::source::{Input, Source};

/// Gives its bytes in pieces of these lengths, over and over.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    lengths: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths.next().unwrap_or(1).min(bytes.len());
        self.bytes.read(&mut bytes[..length])
    }
}

fn input(bytes: Vec<u8>, lengths: Vec<usize>, packing: Packing, reading: Reading) -> Input {
    let bytes_total = Some(bytes.len() as u64);
    let pieces = Pieces { bytes: Cursor::new(bytes), lengths: lengths.into_iter().cycle() };
    let reader = Box::new(BufReader::with_capacity(64, pieces));
    Input::open(Source { reader, packing, name: "in.gz".to_owned(), bytes_total }, reading).unwrap()
}

fn rows(input: Input) -> Vec<ReadRow> {
    input.into_rows().collect::<io::Result<_>>().unwrap()
}

fn plain(bytes: &[u8]) -> Vec<ReadRow> {
    rows(input(bytes.to_vec(), vec![usize::MAX], Packing::Plain, Reading::default()))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Lines of every kind, good and bad.
fn text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[a-z]{1,4}".prop_map(|id| format!(r#"{{"custom_id":"{id}","url":"/v1/x","body":{{"model":"m"}}}}"#)),
        "[a-zä\\\\]{0,9}".prop_map(|prompt| format!(r#"{{"model":"m","messages":["{prompt}"]}}"#)),
        Just(String::new()),
        Just("{".to_owned()),
    ];
    prop::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neither_chunks_nor_packing_change_a_row(
        text in text(),
        lengths in prop::collection::vec(1..40_usize, 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = text.as_bytes();
        let wanted = plain(bytes);
        let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
        for (packed, packing) in [
            (bytes.to_vec(), Packing::Plain),
            ([gzip(first), gzip(second)].concat(), Packing::Gzip),
            ([zstd(first), zstd(second)].concat(), Packing::Zstd),
        ] {
            let length = packed.len() as u64;
            let input = input(packed, lengths.clone(), packing, Reading::default());
            let mut found = input.into_rows();
            prop_assert_eq!(&found.by_ref().collect::<io::Result<Vec<_>>>().unwrap(), &wanted);
            prop_assert_eq!(found.meter().bytes(), length);
        }
    }
}

#[test]
fn a_packed_file_that_is_cut_is_an_error_with_its_name() {
    let text = format!("{}\n", r#"{"model":"m","messages":[]}"#).repeat(1_000);
    for (packed, packing) in [(gzip(text.as_bytes()), Packing::Gzip), (zstd(text.as_bytes()), Packing::Zstd)]
    {
        for bytes_kept in [packed.len() - 1, packed.len() / 2, 12] {
            let cut = packed[..bytes_kept].to_vec();
            let input = input(cut, vec![usize::MAX], packing, Reading::default());
            let error = input.into_rows().find_map(Result::err).expect("it is cut").to_string();
            assert!(error.starts_with("in.gz: "), "{packing:?} {bytes_kept}: {error}");
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_known_by_its_beginning() {
    let lines = Lines::new(Box::new(Cursor::new("x".repeat(5_000))) as Box<_>, 2_000);
    let rows = Rows::new(super::Source::Lines(lines), Meter::default(), Reading::default());
    let rejected = rows.map(|row| row.unwrap().unwrap_err()).next().unwrap();
    assert_eq!(rejected.message, "line 1: longer than 2000 bytes");
    assert_eq!(rejected.raw.len(), 1_024);
}
